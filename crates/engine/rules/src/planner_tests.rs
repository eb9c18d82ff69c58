use proptest::prelude::*;

use super::*;
use crate::elements::{Protocol, Refusal};

fn key(number: u8) -> Owner {
    Owner::Service("default".into(), format!("service-{number}"))
}

fn endpoint(number: u8) -> Endpoint {
    Endpoint { address: Ipv4Addr::new(10, 42, 0, number), port: 8080 }
}

fn frontend(number: u8) -> Frontend {
    let address = if number == 0 { Frontend::ANY_NODE_ADDRESS } else { Ipv4Addr::new(10, 43, 0, number) };
    Frontend { address, protocol: if number.is_multiple_of(2) { Protocol::Udp } else { Protocol::Tcp }, port: 80 }
}

fn serving(endpoints: &[u8]) -> Action {
    Action::Serve { endpoints: endpoints.iter().map(|number| endpoint(*number)).collect(), affinity_seconds: None }
}

fn service(actions: &[(u8, Action)]) -> ServiceRules {
    ServiceRules {
        frontends: actions.iter().map(|(number, action)| (frontend(*number), action.clone())).collect(),
        ..ServiceRules::default()
    }
}

fn step(planner: &mut Planner) -> Changes {
    let changes = planner.changes();
    planner.applied(&changes);
    assert!(planner.changes().is_empty(), "done means done");
    changes
}

#[test]
fn endpoints_keep_their_slots() {
    let cases: &[(&[u8], &[u8], &[u8])] = &[
        (&[], &[1, 2, 3], &[1, 2, 3]),
        (&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]),
        (&[3, 1, 2], &[1, 2, 3, 4], &[3, 1, 2, 4]),
        (&[1, 2, 3], &[1, 3], &[1, 3]),
        (&[1, 2, 3], &[2, 3], &[3, 2]),
        (&[1, 2, 3], &[2, 3, 4], &[4, 2, 3]),
        (&[1, 2, 3], &[3], &[3]),
        (&[1, 1], &[1, 2], &[1, 2]),
        (&[1], &[], &[]),
    ];
    for (before, wanted, expected) in cases {
        let before: Vec<_> = before.iter().map(|number| endpoint(*number)).collect();
        let wanted: BTreeSet<_> = wanted.iter().map(|number| endpoint(*number)).collect();
        let expected: Vec<_> = expected.iter().map(|number| endpoint(*number)).collect();
        assert_eq!(arrange(&before, &wanted), expected, "{before:?} -> {wanted:?}");
    }
}

#[test]
fn a_changed_endpoint_touches_one_slot() {
    let mut planner = Planner::default();
    for number in 1..100 {
        planner.set(&key(number), service(&[(number, serving(&[1, 2, 3]))]));
    }
    assert_eq!(step(&mut planner).add.slots.len(), 99 * 3);
    planner.set(&key(6), service(&[(6, serving(&[1, 2, 4]))]));
    let changes = step(&mut planner);
    assert_eq!((changes.add.slots.len(), changes.remove.slots.len(), changes.add.served.len()), (1, 1, 0));
    assert_eq!(changes.stale_udp, [(frontend(6), endpoint(3))].into());
}

#[test]
fn the_last_endpoint_gone_means_refused_and_back() {
    let mut planner = Planner::default();
    planner.set(&key(1), service(&[(1, serving(&[1]))]));
    assert_eq!(step(&mut planner).add.balances.len(), 1);
    planner.set(&key(1), service(&[(1, Action::Refuse(Refusal::Reject))]));
    let changes = step(&mut planner);
    assert_eq!((changes.remove.served.len(), changes.remove.slots.len(), changes.add.refused.len()), (1, 1, 1));
    assert_eq!(changes.remove.balances.len(), 0, "the chain may be needed again soon");
    planner.set(&key(1), service(&[(1, serving(&[1]))]));
    let changes = step(&mut planner);
    assert_eq!((changes.remove.refused.len(), changes.add.balances.len()), (1, 0));
    planner.set(&key(1), ServiceRules::default());
    step(&mut planner);
    let mut restarted = Planner::new(planner.programmed().clone());
    assert_eq!(step(&mut restarted).remove.balances.len(), 1, "a start sweeps");
}

#[test]
fn clients_may_stick_to_the_endpoints_there_are() {
    let sticky = |numbers: &[u8]| Action::Serve {
        endpoints: numbers.iter().map(|number| endpoint(*number)).collect(),
        affinity_seconds: Some(60),
    };
    let mut planner = Planner::default();
    planner.set(&key(1), service(&[(1, sticky(&[1, 2]))]));
    step(&mut planner);
    planner.set(&key(1), service(&[(1, sticky(&[2, 3]))]));
    let changes = step(&mut planner);
    assert_eq!(changes.remove.sticky, [(frontend(1), endpoint(1))].into());
    assert_eq!(changes.add.sticky, [(frontend(1), endpoint(3))].into());
    planner.set(&key(1), service(&[(1, serving(&[2, 3]))]));
    assert_eq!(step(&mut planner).remove.sticky.len(), 2);
}

#[test]
fn of_two_that_claim_a_frontend_the_first_gets_it_and_the_other_inherits() {
    let mut planner = Planner::default();
    planner.set(&key(2), service(&[(7, serving(&[2]))]));
    planner.set(&key(1), service(&[(7, serving(&[1]))]));
    step(&mut planner);
    assert_eq!(planner.programmed().slots_of(frontend(7)), [endpoint(1)]);
    planner.set(&key(1), ServiceRules::default());
    step(&mut planner);
    assert_eq!(planner.programmed().slots_of(frontend(7)), [endpoint(2)]);
}

fn any_action() -> impl Strategy<Value = Action> {
    let serve = (proptest::collection::btree_set(1_u8..9, 1..5), proptest::option::of(1_u32..3)).prop_map(
        |(numbers, affinity_seconds)| Action::Serve {
            endpoints: numbers.into_iter().map(endpoint).collect(),
            affinity_seconds,
        },
    );
    prop_oneof![serve, Just(Action::Refuse(Refusal::Reject)), Just(Action::Refuse(Refusal::Drop))]
}

fn any_rules() -> impl Strategy<Value = ServiceRules> {
    let ips = || proptest::collection::btree_set((1_u8..5).prop_map(|n| Ipv4Addr::new(10, 42, 0, n)), 0..3);
    (proptest::collection::btree_map((0_u8..8).prop_map(frontend), any_action(), 0..4), ips(), ips())
        .prop_map(|(frontends, hairpins, cluster_ips)| ServiceRules { frontends, hairpins, cluster_ips })
}

/// What the maps must hold, but for the order of slots: computed from scratch.
fn expected(services: &BTreeMap<Owner, ServiceRules>) -> Planner {
    let mut planner = Planner::default();
    for (key, rules) in services {
        planner.set(key, rules.clone());
    }
    step(&mut planner);
    planner
}

fn without_slot_order(elements: &Elements) -> (Elements, BTreeSet<(Frontend, Endpoint)>, usize) {
    let slots = elements.slots.iter().map(|((frontend, _), endpoint)| (*frontend, *endpoint)).collect();
    // Kinds of balance may stay for later.
    let balances = elements.served.values().copied().collect();
    assert!(elements.balances.is_superset(&balances));
    (Elements { slots: BTreeMap::new(), balances, ..elements.clone() }, slots, elements.slots.len())
}

proptest! {
    /// Any sequence of changes, with restarts in between, leads to what is wanted; slots are dense; steps apply.
    #[test]
    fn any_history_converges(history in proptest::collection::vec((0_u8..4, any_rules(), 0_u8..6), 1..20)) {
        let mut services = BTreeMap::new();
        let mut planner = Planner::default();
        let mut kernel = Elements::default();
        for (number, rules, event) in history {
            planner.set(&key(number), rules.clone());
            services.insert(key(number), rules);
            match event {
                // Several changes are applied together.
                0 => continue,
                // The process dies before it has applied the change, and starts over with what the kernel holds.
                1 => {
                    planner = Planner::new(kernel.clone());
                    for (key, rules) in &services {
                        planner.set(key, rules.clone());
                    }
                }
                // The change failed; what the kernel holds is read again.
                2 => planner.reset(kernel.clone()),
                _ => {}
            }
            let changes = planner.changes();
            kernel.apply(&changes);
            planner.applied(&changes);
            prop_assert_eq!(planner.programmed(), &kernel);
            prop_assert!(planner.changes().is_empty());
            prop_assert_eq!(without_slot_order(&kernel), without_slot_order(expected(&services).programmed()));
            for (frontend, balance) in &kernel.served {
                let slots: Vec<u32> = kernel.slots.range((*frontend, 0)..=(*frontend, u32::MAX)).map(|((_, slot), _)| *slot).collect();
                prop_assert!(slots.iter().copied().eq(0..balance.endpoints));
            }
        }
    }
}
