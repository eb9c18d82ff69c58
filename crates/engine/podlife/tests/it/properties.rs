//! Whatever happens: no second instance, no restart by forgetting, an end, and a status that agrees with the world.
//! (`World::act` itself refuses a second instance and a sandbox stopped under running containers.)

use minato_podlife::ProbeKind;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::world::World;

#[derive(Clone, Debug)]
enum Event {
    Exit { which: usize, code: i32 },
    Pass { seconds: i64 },
    Probe { which: usize, kind: u8, healthy: bool },
    Restart,
    LoseSandbox,
    PartOfTheWork { steps: usize },
    Delete { grace: i64 },
    Obey,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..5usize, prop_oneof![Just(0), Just(1), Just(137)]).prop_map(|(which, code)| Event::Exit { which, code }),
        4 => (0..400i64).prop_map(|seconds| Event::Pass { seconds }),
        2 => (0..5usize, 0..3u8, any::<bool>()).prop_map(|(which, kind, healthy)| Event::Probe { which, kind, healthy }),
        1 => Just(Event::Restart),
        1 => Just(Event::LoseSandbox),
        2 => (0..3usize).prop_map(|steps| Event::PartOfTheWork { steps }),
        1 => (0..40i64).prop_map(|grace| Event::Delete { grace }),
        2 => Just(Event::Obey),
    ];
    proptest::collection::vec(event, 0..40)
}

fn specs() -> impl Strategy<Value = Value> {
    let policy = prop_oneof![Just("Always"), Just("OnFailure"), Just("Never")];
    (policy, 0..3usize, 1..3usize, any::<bool>()).prop_map(|(policy, inits, mains, sidecar)| {
        let container = |name: String| json!({"name": name, "image": "i", "startupProbe": {"exec": {}}});
        let mut init: Vec<Value> = (0..inits).map(|n| json!({"name": format!("i{n}"), "image": "i"})).collect();
        if sidecar {
            init.insert(0, json!({"name": "side", "image": "i", "restartPolicy": "Always"}));
        }
        let containers: Vec<Value> = (0..mains).map(|n| container(format!("c{n}"))).collect();
        json!({"restartPolicy": policy, "initContainers": init, "containers": containers})
    })
}

fn running(world: &World) -> Vec<(String, String)> {
    let running = world.observed.containers.iter().filter(|container| container.is_running());
    running.map(|container| (container.name.clone(), container.id.clone())).collect()
}

fn happen(world: &mut World, event: &Event) {
    let containers = running(world);
    let pick = |which: usize| containers.get(which % containers.len().max(1)).cloned();
    match event {
        Event::Exit { which, code } => {
            if let Some((name, _)) = pick(*which) {
                world.exit(&name, *code);
            }
        }
        Event::Pass { seconds } => world.pass(*seconds),
        Event::Probe { which, kind, healthy } => {
            let kind = [ProbeKind::Startup, ProbeKind::Readiness, ProbeKind::Liveness][usize::from(*kind)];
            if let Some((name, id)) = pick(*which) {
                world.memory.probed(&name, &id, kind, *healthy);
            }
        }
        Event::Restart => {
            world.memory = Default::default();
            for container in &mut world.observed.containers {
                container.stopping = None;
            }
        }
        Event::LoseSandbox => {
            if let Some(sandbox) = &mut world.observed.sandbox {
                sandbox.ready = false;
            }
        }
        Event::PartOfTheWork { steps } => {
            for action in world.decide().actions.into_iter().take(*steps) {
                world.act(action);
            }
        }
        Event::Delete { grace } => {
            if world.pod.metadata.deletion_timestamp.is_none() {
                world.delete(*grace);
            }
        }
        Event::Obey => world.obey_stops(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_life_is_sound_and_ends(spec in specs(), events in events()) {
        let mut world = World::new(spec);
        let mut terminal: Option<String> = None;
        for event in &events {
            happen(&mut world, event);
            if world.finished {
                break;
            }
            world.settle();
            if let Some(phase) = &terminal {
                prop_assert_eq!(phase, world.phase(), "a terminal phase changed");
            }
            if matches!(world.phase(), "Failed" | "Succeeded") {
                terminal = Some(world.phase().to_owned());
            }
            for status in world.status.container_statuses.iter().flatten() {
                let runs = running(&world).iter().any(|(name, _)| *name == status.name);
                let says = status.state.as_ref().is_some_and(|state| state.running.is_some());
                prop_assert_eq!(runs, says, "{} after {:?}", status.name, event);
                prop_assert!(!status.ready || runs);
            }
        }
        if world.pod.metadata.deletion_timestamp.is_none() {
            world.delete(5);
        }
        for _ in 0..12 {
            if world.finished {
                break;
            }
            world.settle();
            world.pass(5);
            world.obey_stops();
        }
        prop_assert!(world.finished, "{:?}", world.observed);
        prop_assert!(matches!(world.phase(), "Failed" | "Succeeded"), "{}", world.phase());
    }

    #[test]
    fn forgetting_restarts_nothing(spec in specs(), events in events()) {
        let mut world = World::new(spec);
        for event in events.iter().filter(|event| !matches!(event, Event::Delete { .. } | Event::LoseSandbox)) {
            happen(&mut world, event);
            world.settle();
        }
        world.obey_stops();
        world.settle();
        let before = running(&world);
        world.memory = Default::default();
        world.started.clear();
        world.settle();
        let after = running(&world);
        for container in &before {
            prop_assert!(after.contains(container), "{:?} of {:?} was replaced", container, after);
        }
    }
}
