use std::collections::HashMap;

use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn set(update: serde_json::Value) -> DaemonSet {
    serde_json::from_value(json!({
        "metadata": {"name": "agent", "namespace": "n", "uid": "set"},
        "spec": {"selector": {}, "updateStrategy": update,
            "template": {"spec": {"containers": [], "nodeSelector": {"os": "linux"}}}}}))
    .unwrap()
}

/// `name [os=…] [taint=effect]`
fn node(text: &str) -> Arc<Node> {
    let mut words = text.split(' ');
    let name = words.next().unwrap();
    let flags: HashMap<&str, &str> = words.map(|word| word.split_once('=').unwrap_or((word, ""))).collect();
    let taints: Vec<_> = flags.get("taint").iter().map(|effect| json!({"key": "k", "effect": effect})).collect();
    let os = flags.get("os").unwrap_or(&"linux");
    let node = json!({"metadata": {"name": name, "labels": {"os": os}}, "spec": {"taints": taints}});
    Arc::new(serde_json::from_value(node).unwrap())
}

/// `name node hash phase [ready=since] [created=at] [going] [unbound]`
fn pod(text: &str) -> Arc<Pod> {
    let words: Vec<&str> = text.split(' ').collect();
    let [name, node, hash, phase, rest @ ..] = words.as_slice() else { panic!("{text}") };
    let flags: HashMap<&str, &str> = rest.iter().map(|word| word.split_once('=').unwrap_or((word, ""))).collect();
    let time = |key: &str| flags.get(key).map(|second| Time(at(second.parse().unwrap())));
    let ready = time("ready").map(|since| json!([{"type": "Ready", "status": "True", "lastTransitionTime": since}]));
    let mut pod = pod_for(&set(json!({})), node, hash);
    pod.metadata.name = Some((*name).to_owned());
    pod.metadata.creation_timestamp = time("created");
    pod.metadata.deletion_timestamp = flags.contains_key("going").then(|| Time(at(0)));
    if !flags.contains_key("unbound") {
        pod.spec.as_mut().unwrap().node_name = Some((*node).to_owned());
    }
    pod.status = serde_json::from_value(json!({"phase": phase, "conditions": ready.unwrap_or_default()})).unwrap();
    Arc::new(pod)
}

fn observe<T>(set: &DaemonSet, nodes: &[&str], pods: &[&str], look: impl Fn(&Observed<'_>) -> T) -> T {
    let nodes: Vec<_> = nodes.iter().map(|text| node(text)).collect();
    let pods: Vec<_> = pods.iter().map(|text| pod(text)).collect();
    look(&Observed { set, nodes: &nodes, pods: &pods, hash: "new", now: at(100) })
}

/// `+node` makes a pod, `-pod` deletes one, `!pod` deletes a finished one.
fn steps(set: &DaemonSet, nodes: &[&str], pods: &[&str]) -> String {
    observe(set, nodes, pods, |observed| {
        let plan = plan(observed);
        let name = |sign, pod: &Arc<Pod>| format!("{sign}{}", pod.metadata.name.as_deref().unwrap());
        let create = plan.create.iter().map(|node| format!("+{node}"));
        let delete = plan.delete.iter().map(|pod| name('-', pod));
        let finished = plan.finished.iter().map(|pod| name('!', pod));
        create.chain(delete).chain(finished).collect::<Vec<_>>().join(" ")
    })
}

#[test]
fn every_node_has_its_pod() {
    let set = set(json!({}));
    #[rustfmt::skip]
    let cases: &[(&[&str], &[&str], &str)] = &[
        (&["a", "b"], &[], "+a +b"),
        (&["a", "b os=other"], &["p b new Running"], "+a -p"),
        (&["a taint=NoSchedule"], &[], ""),
        (&["a taint=NoSchedule"], &["p a new Running"], ""),
        (&["a taint=NoExecute"], &["p a new Running"], "-p"),
        (&["a taint=PreferNoSchedule"], &[], "+a"),
        (&["a"], &["p a new Pending unbound"], ""),
        (&["a"], &["p a new Running going"], ""),
        (&["a"], &["p a new Failed"], "!p"),
        (&["a"], &["p a new Running created=5", "q a new Running created=1"], "-p"),
        (&["a"], &["p a new Running created=5", "q a new Running created=1 unbound"], "-q"),
        // On a node that is gone: never started ones go, the others are the pod collector's.
        (&[], &["p a new Running", "q b new Pending unbound"], "-q"),
    ];
    for (nodes, pods, expected) in cases {
        assert_eq!(steps(&set, nodes, pods), *expected, "{nodes:?} {pods:?}");
    }
}

#[test]
fn rollouts_node_by_node() {
    let one_away = set(json!({"type": "RollingUpdate"}));
    let half_away = set(json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}}));
    let one_more = set(json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}));
    let by_hand = set(json!({"type": "OnDelete"}));
    let nodes = &["a", "b", "c"];
    let old = &["p a old Running ready=0", "q b old Running ready=0", "r c old Running ready=0"];
    #[rustfmt::skip]
    let cases: &[(&DaemonSet, &[&str], &str)] = &[
        (&one_away,  old, "-p"),
        (&one_away,  &["p a old Running ready=0 going", old[1], old[2]], ""),
        (&one_away,  &[old[1], old[2]], "+a"),
        (&one_away,  &["p a new Running", old[1], old[2]], ""),
        (&one_away,  &["p a new Running ready=0", old[1], old[2]], "-q"),
        (&one_away,  &[old[0], "q b old Running", old[2]], "-q"),
        (&half_away, old, "-p -q"),
        (&by_hand,   old, ""),
        (&one_more,  old, "+a"),
        (&one_more,  &[old[0], "s a new Running", old[1], old[2]], ""),
        (&one_more,  &[old[0], "s a new Running ready=0", old[1], old[2]], "-p"),
        (&one_more,  &["p a old Running", "s a new Running", old[1], old[2]], "-p"),
    ];
    for (set, pods, expected) in cases {
        assert_eq!(steps(set, nodes, pods), *expected, "{pods:?}");
    }
}

#[test]
fn statuses() {
    let set = set(json!({}));
    let nodes = &["a", "b", "c", "d os=other"];
    let pods = &["p a new Running ready=0", "q b old Running", "r d new Running ready=0"];
    let (status, recheck) = observe(&set, nodes, pods, |observed| status(observed, None));
    let counts = (status.desired_number_scheduled, status.current_number_scheduled, status.number_misscheduled);
    assert_eq!(counts, (3, 2, 1));
    let counts = (status.number_ready, status.number_available, status.number_unavailable);
    assert_eq!(counts, (1, Some(1), Some(2)));
    assert_eq!((status.updated_number_scheduled, recheck), (Some(1), None));
}
