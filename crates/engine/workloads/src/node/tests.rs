use k8s_openapi::api::core::v1::{NodeSpec, NodeStatus, PodSpec};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

/// `Ready=True MemoryPressure=False …`
fn node(conditions: &str, taints: &[(&str, &str)]) -> Node {
    let conditions = conditions.split_whitespace().map(|text| {
        let (kind, status) = text.split_once('=').unwrap();
        NodeCondition { type_: kind.to_owned(), status: status.to_owned(), ..NodeCondition::default() }
    });
    let taints = taints.iter().map(|(key, effect)| Taint {
        key: (*key).to_owned(),
        effect: (*effect).to_owned(),
        time_added: (*effect == NO_EXECUTE).then(|| Time(at(0))),
        value: None,
    });
    Node {
        spec: Some(NodeSpec { taints: Some(taints.collect()), ..NodeSpec::default() }),
        status: Some(NodeStatus { conditions: Some(conditions.collect()), ..NodeStatus::default() }),
        ..Node::default()
    }
}

#[test]
fn silence_is_measured_by_our_own_clock() {
    let grace = Duration::from_secs(40);
    let quiet = node("Ready=True", &[]);
    let first = hear(None, &quiet, Some(at(-5000)), at(0));
    assert_eq!(first.patience_left(grace, at(0)), grace, "however old the lease is: it may have been us who slept");
    let second = hear(Some(first), &quiet, Some(at(-5000)), at(30));
    assert_eq!(second.patience_left(grace, at(30)), Duration::from_secs(10));
    assert_eq!(second.patience_left(grace, at(41)), Duration::ZERO);
    let renewed = hear(Some(second), &quiet, Some(at(-4990)), at(39));
    assert_eq!(renewed.patience_left(grace, at(39)), grace);
    let mut beating = quiet;
    beating.status.as_mut().unwrap().conditions.as_mut().unwrap()[0].last_heartbeat_time = Some(Time(at(1)));
    assert_eq!(hear(Some(renewed), &beating, Some(at(-4990)), at(60)).patience_left(grace, at(60)), grace);
}

#[test]
fn a_silent_node_is_unknown() {
    let mut silent = node("Ready=True MemoryPressure=False", &[]);
    let conditions = silenced(&silent, at(50)).unwrap();
    let texts: Vec<_> = conditions
        .iter()
        .map(|condition| format!("{}={} {}", condition.type_, condition.status, condition.reason.as_deref().unwrap()))
        .collect();
    assert_eq!(
        texts,
        [
            "Ready=Unknown NodeStatusUnknown",
            "MemoryPressure=Unknown NodeStatusUnknown",
            "DiskPressure=Unknown NodeStatusNeverUpdated",
            "PIDPressure=Unknown NodeStatusNeverUpdated",
        ]
    );
    silent.status.as_mut().unwrap().conditions = Some(conditions);
    assert_eq!(silenced(&silent, at(60)), None);
}

#[test]
fn taints_follow_conditions() {
    let check = |conditions: &str, before: &[(&str, &str)], expected: &[(&str, &str)]| {
        let mut node = node(conditions, before);
        if let Some(taints) = taints(&node, at(9)) {
            node.spec.as_mut().unwrap().taints = Some(taints);
        }
        let found = node.spec.as_ref().unwrap().taints.as_ref().unwrap();
        let mut texts: Vec<_> = found.iter().map(|taint| (taint.key.as_str(), taint.effect.as_str())).collect();
        texts.sort_unstable();
        assert_eq!(texts, expected, "{conditions} {before:?}");
        assert_eq!(taints(&node, at(10)), None, "planned again, nothing is to do");
        assert!(found.iter().all(|taint| (taint.effect == NO_EXECUTE) == taint.time_added.is_some()));
    };
    check("Ready=True", &[], &[]);
    check("", &[], &[(NOT_READY, NO_SCHEDULE)]);
    check("Ready=False", &[], &[(NOT_READY, NO_EXECUTE), (NOT_READY, NO_SCHEDULE)]);
    check("Ready=Unknown", &[], &[(UNREACHABLE, NO_EXECUTE), (UNREACHABLE, NO_SCHEDULE)]);
    check(
        "Ready=Unknown",
        &[(NOT_READY, NO_EXECUTE), (NOT_READY, NO_SCHEDULE)],
        &[(UNREACHABLE, NO_EXECUTE), (UNREACHABLE, NO_SCHEDULE)],
    );
    check(
        "Ready=True",
        &[(UNREACHABLE, NO_EXECUTE), (NOT_READY, NO_SCHEDULE), ("mine", NO_EXECUTE)],
        &[("mine", NO_EXECUTE)],
    );
    check("Ready=True DiskPressure=True", &[], &[("node.kubernetes.io/disk-pressure", NO_SCHEDULE)]);
    check("Ready=True", &[("node.kubernetes.io/disk-pressure", NO_SCHEDULE)], &[]);
    check("Ready=True", &[("node.kubernetes.io/unschedulable", NO_SCHEDULE)], &[]);
    let mut cordoned = node("Ready=True", &[]);
    cordoned.spec.as_mut().unwrap().unschedulable = Some(true);
    assert_eq!(taints(&cordoned, at(0)).unwrap()[0].key, UNSCHEDULABLE);
}

#[test]
fn evictions() {
    let toleration = |key: &str, operator: &str, value: &str, effect: &str, seconds: Option<i64>| Toleration {
        key: (!key.is_empty()).then(|| key.to_owned()),
        operator: (!operator.is_empty()).then(|| operator.to_owned()),
        value: (!value.is_empty()).then(|| value.to_owned()),
        effect: (!effect.is_empty()).then(|| effect.to_owned()),
        toleration_seconds: seconds,
    };
    let tainted = node("", &[(UNREACHABLE, NO_EXECUTE), ("full", NO_SCHEDULE)]);
    let two = node("", &[(UNREACHABLE, NO_EXECUTE), ("mine", NO_EXECUTE)]);
    let check = |node: &Node, tolerations: Vec<Toleration>, second: i64, expected: Eviction| {
        let pod = Pod {
            spec: Some(PodSpec { tolerations: Some(tolerations.clone()), ..PodSpec::default() }),
            ..Pod::default()
        };
        assert_eq!(eviction(&pod, &evicting_taints(node), at(second)), expected, "{tolerations:?}");
    };
    let usual = || toleration(UNREACHABLE, "Exists", "", NO_EXECUTE, Some(300));
    check(&node("", &[]), vec![], 0, Eviction::Never);
    check(&tainted, vec![], 0, Eviction::Now);
    check(&tainted, vec![usual()], 10, Eviction::After(Duration::from_secs(290)));
    check(&tainted, vec![usual()], 300, Eviction::Now);
    check(&tainted, vec![toleration("", "Exists", "", "", None)], 10_000, Eviction::Never);
    check(&tainted, vec![toleration("", "Exists", "", NO_SCHEDULE, None)], 0, Eviction::Now);
    check(&tainted, vec![toleration(UNREACHABLE, "", "", NO_EXECUTE, Some(0))], 0, Eviction::Now);
    check(&tainted, vec![toleration(UNREACHABLE, "Equal", "x", NO_EXECUTE, None)], 0, Eviction::Now);
    check(&tainted, vec![toleration(NOT_READY, "Exists", "", NO_EXECUTE, None)], 0, Eviction::Now);
    check(
        &tainted,
        vec![usual(), toleration(UNREACHABLE, "Exists", "", "", Some(20))],
        10,
        Eviction::After(Duration::from_secs(10)),
    );
    check(&two, vec![usual()], 0, Eviction::Now);
    check(
        &two,
        vec![usual(), toleration("mine", "Exists", "", "", None)],
        0,
        Eviction::After(Duration::from_secs(300)),
    );
    let mut going = Pod::default();
    going.metadata.deletion_timestamp = Some(Time(at(0)));
    assert_eq!(eviction(&going, &evicting_taints(&tainted), at(0)), Eviction::Never);
}
