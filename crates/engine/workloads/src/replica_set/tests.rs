use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::apps::v1::ReplicaSetSpec;
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodSpec, PodStatus};
use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn set(replicas: i32) -> ReplicaSet {
    ReplicaSet { spec: Some(ReplicaSetSpec { replicas: Some(replicas), ..Default::default() }), ..Default::default() }
}

/// `name phase [node=n] [ready=since] [cost=c] [restarts=r] [created=s] [going]`
fn pod(text: &str) -> Arc<Pod> {
    let mut words = text.split(' ');
    let name = words.next().unwrap().to_owned();
    let phase = words.next().unwrap().to_owned();
    let flags: HashMap<&str, &str> = words.map(|word| word.split_once('=').unwrap_or((word, ""))).collect();
    let number = |key: &str| flags.get(key).map(|value| value.parse::<i64>().unwrap());
    Arc::new(Pod {
        metadata: ObjectMeta {
            uid: Some(name.clone()),
            name: Some(name),
            creation_timestamp: Some(Time(at(number("created").unwrap_or(-1000)))),
            deletion_timestamp: flags.contains_key("going").then(|| Time(at(0))),
            annotations: flags.get("cost").map(|cost| {
                BTreeMap::from([("controller.kubernetes.io/pod-deletion-cost".to_owned(), (*cost).to_owned())])
            }),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec { node_name: flags.get("node").map(|node| (*node).to_owned()), ..PodSpec::default() }),
        status: Some(PodStatus {
            phase: Some(phase),
            conditions: number("ready").map(|since| {
                vec![PodCondition {
                    type_: "Ready".to_owned(),
                    status: "True".to_owned(),
                    last_transition_time: Some(Time(at(since))),
                    ..PodCondition::default()
                }]
            }),
            container_statuses: number("restarts").map(|count| {
                vec![ContainerStatus { restart_count: i32::try_from(count).unwrap(), ..ContainerStatus::default() }]
            }),
            ..PodStatus::default()
        }),
    })
}

fn names(pods: &[Arc<Pod>]) -> Vec<&str> {
    pods.iter().map(|pod| pod.metadata.name.as_deref().unwrap()).collect()
}

#[test]
fn refusals_are_followed_by_ever_longer_rests() {
    let refused = |seconds_ago: i64| {
        let mut pod = Pod::clone(&pod("refused Failed"));
        let status = pod.status.as_mut().unwrap();
        status.reason = Some("NodePorts".to_owned());
        status.start_time = Some(Time(at(-seconds_ago)));
        Arc::new(pod)
    };
    // How many pods are wanted, how long ago which were refused; how many are made, or how many seconds to wait.
    let cases: &[(i32, &[i64], Result<usize, u64>)] = &[
        (2, &[], Ok(2)),
        (2, &[0], Ok(2)),
        (2, &[0, 0], Err(1)),
        (2, &[1, 1], Ok(2)),
        (2, &[1, 1, 3, 3], Err(1)),
        (1, &[2, 5, 9], Err(2)),
        (1, &[61, 70, 80], Ok(1)),
        (1, &[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], Err(29)),
    ];
    for (desired, ages, expected) in cases {
        let pods: Vec<_> = ages.iter().map(|ago| refused(*ago)).collect();
        let plan = plan(&Observed { replica_set: &set(*desired), pods: &pods, related: &[], now: at(0) });
        let outcome = plan.wait.map_or(Ok(plan.create), |wait| Err(wait.as_secs()));
        assert_eq!(outcome, *expected, "{ages:?}");
    }
    // One that ran and failed is no refusal.
    let ended = [pod("a Failed restarts=1"), pod("b Failed")];
    assert_eq!(plan(&Observed { replica_set: &set(1), pods: &ended, related: &[], now: at(0) }).create, 1);
}

#[test]
fn victims_in_order() {
    let cases: &[(&str, &[&str])] = &[
        ("unassigned first", &["b Pending", "a Pending node=n"]),
        ("pending, unknown, running", &["c Pending node=n", "b Unknown node=n", "a Running node=n"]),
        ("not ready first", &["b Running node=n", "a Running node=n ready=-10"]),
        (
            "cheap first",
            &["c Running node=n ready=-10 cost=-5", "b Running node=n ready=-10", "a Running node=n ready=-10 cost=7"],
        ),
        ("a bad cost is zero", &["b Running node=n ready=-10 cost=x", "a Running node=n ready=-10 cost=1"]),
        ("cost cannot beat readiness", &["b Running node=n cost=9", "a Running node=n ready=-10 cost=1"]),
        ("ready for a short time first", &["b Running node=n ready=-10", "a Running node=n ready=-900"]),
        ("the same power of two goes by uid", &["a Running node=n ready=-1000", "b Running node=n ready=-900"]),
        ("more restarts first", &["b Running node=n ready=-10 restarts=3", "a Running node=n ready=-10 restarts=1"]),
        ("young first", &["b Running node=n ready=-10 created=-11", "a Running node=n ready=-10 created=-500"]),
    ];
    for (what, expected) in cases {
        let mut pods: Vec<_> = expected.iter().map(|text| pod(text)).collect();
        let sorted = names(&pods).into_iter().map(str::to_owned).collect::<Vec<_>>();
        pods.reverse();
        assert_eq!(names(&rank_victims(pods, &[], at(0))), sorted, "{what}");
    }
}

#[test]
fn crowded_nodes_lose_first() {
    let pods = vec![pod("a Running node=x ready=-10"), pod("b Running node=y ready=-10")];
    let related =
        [pods.clone(), vec![pod("other Running node=y"), pod("dead Failed node=x"), pod("gone Running node=x going")]]
            .concat();
    assert_eq!(names(&rank_victims(pods, &related, at(0))), ["b", "a"]);
}

#[test]
fn plans() {
    let check = |replicas: i32, pods: &[&str], create: usize, delete: &[&str]| {
        let (set, pods) = (set(replicas), pods.iter().map(|text| pod(text)).collect::<Vec<_>>());
        let plan = plan(&Observed { replica_set: &set, pods: &pods, related: &pods, now: at(0) });
        assert_eq!((plan.create, names(&plan.delete)), (create, delete.to_vec()), "{replicas} {pods:?}");
    };
    check(3, &[], 3, &[]);
    check(0, &[], 0, &[]);
    check(-1, &[], 0, &[]);
    check(1, &["a Running"], 0, &[]);
    check(2, &["a Running", "b Failed", "c Succeeded", "d Running going"], 1, &[]);
    check(1, &["a Running node=n ready=-9", "b Pending node=n"], 0, &["b"]);
    check(0, &["a Running", "b Failed"], 0, &["a"]);
    check(2000, &[], BURST_REPLICAS, &[]);
}

#[test]
fn a_set_that_goes_does_nothing() {
    let mut set = set(3);
    set.metadata.deletion_timestamp = Some(Time(at(0)));
    let observed = Observed { replica_set: &set, pods: &[], related: &[], now: at(0) };
    assert!(plan(&observed).is_empty());
}

#[test]
fn status_counts() {
    let mut set = set(3);
    set.metadata.generation = Some(7);
    set.spec.as_mut().unwrap().min_ready_seconds = Some(30);
    let pods =
        ["a Running ready=-30", "b Running ready=-20", "c Running", "d Running going", "e Failed", "f Failed going"]
            .map(pod);
    let observed = Observed { replica_set: &set, pods: &pods, related: &[], now: at(0) };
    let (found, recheck) = status(&observed, None);
    let expected = ReplicaSetStatus {
        replicas: 3,
        fully_labeled_replicas: Some(3),
        ready_replicas: Some(2),
        available_replicas: Some(1),
        terminating_replicas: Some(1),
        observed_generation: Some(7),
        conditions: None,
    };
    assert_eq!((found, recheck), (expected, Some(Duration::from_secs(10))));
}

#[test]
fn a_failure_is_a_condition_until_it_is_over() {
    let mut set = set(3);
    let look = |set: &ReplicaSet, failure: Option<&Failure>, second: i64| {
        status(&Observed { replica_set: set, pods: &[], related: &[], now: at(second) }, failure).0
    };
    set.status = Some(look(&set, Some(&Failure::Create("exceeded quota".to_owned())), 1));
    let first = set.status.as_ref().unwrap().conditions.as_ref().unwrap()[0].clone();
    assert_eq!(
        (first.type_.as_str(), first.reason.as_deref(), first.message.as_deref()),
        ("ReplicaFailure", Some("FailedCreate"), Some("exceeded quota"))
    );
    let again = look(&set, Some(&Failure::Create("exceeded quota again".to_owned())), 5);
    assert_eq!(again.conditions.unwrap(), [first], "as upstream, the first failure's words stay: no write per retry");
    assert_eq!(look(&set, None, 9).conditions, None);
}

#[test]
fn slow_start_doubles() {
    let check = |count: usize, expected: &[usize]| assert_eq!(slow_start(count).collect::<Vec<_>>(), expected);
    check(0, &[]);
    check(1, &[1]);
    check(2, &[1, 1]);
    check(10, &[1, 2, 4, 3]);
    check(500, &[1, 2, 4, 8, 16, 32, 64, 128, 245]);
}

proptest! {
    /// Whatever the pods are: applying the plan leads to the desired count, planning again does nothing, and a ready
    /// pod is never deleted while one that is not stays.
    #[test]
    fn the_plan_of_the_applied_state_is_empty(replicas in 0..20_i32, kinds in proptest::collection::vec(0..6_u8, 0..30)) {
        let texts = ["Pending", "Pending node=n", "Running node=n", "Running node=n ready=-5", "Failed node=n", "Running node=n going"];
        let mut pods: Vec<Arc<Pod>> =
            kinds.iter().enumerate().map(|(number, kind)| pod(&format!("p{number} {}", texts[usize::from(*kind)]))).collect();
        let set = set(replicas);
        let first = plan(&Observed { replica_set: &set, pods: &pods, related: &pods, now: at(0) });
        prop_assert!(first.create == 0 || first.delete.is_empty());
        pods.retain(|pod| !first.delete.contains(pod));
        let kept_worse = pods.iter().any(|pod| is_active(pod) && !crate::pod::is_ready(pod));
        prop_assert!(!(kept_worse && first.delete.iter().any(|pod| crate::pod::is_ready(pod))));
        pods.extend((0..first.create).map(|number| pod(&format!("new{number} Pending"))));
        prop_assert_eq!(pods.iter().filter(|pod| is_active(pod)).count(), usize::try_from(replicas).unwrap());
        let again = plan(&Observed { replica_set: &set, pods: &pods, related: &pods, now: at(0) });
        prop_assert!(again.is_empty());
    }
}
