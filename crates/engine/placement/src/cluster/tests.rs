use k8s_openapi::serde_json::{Value, from_value, json};
use minato_select::LabelSelector;

use super::*;

fn node(name: &str, extra: Value) -> Node {
    let mut node = json!({"metadata": {"name": name}, "spec": {}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}});
    for (path, value) in extra.as_object().into_iter().flatten() {
        match path.as_str() {
            "labels" => node["metadata"]["labels"] = value.clone(),
            "allocatable" => node["status"]["allocatable"] = value.clone(),
            other => node["spec"][other] = value.clone(),
        }
    }
    from_value(node).unwrap()
}

fn demand(spec: Value) -> Demand {
    Demand::of(&from_value(json!({"metadata": {"namespace": "default"}, "spec": spec})).unwrap())
}

fn labelled(labels: Value, spec: Value) -> Demand {
    Demand::of(&from_value(json!({"metadata": {"namespace": "default", "labels": labels}, "spec": spec})).unwrap())
}

fn uid(name: impl ToString) -> Uid {
    Uid(name.to_string().into())
}

fn put(cluster: &mut Cluster, name: impl ToString, demand: &Demand, priority: i32, node: &str) {
    let pod = Pod {
        name: name.to_string().into(),
        demand: demand.clone(),
        priority,
        started: Some(i64::from(priority)),
        is_giving_way: false,
    };
    cluster.put(&uid(name), pod, node);
}

fn ask<'a>(uid: &'a Uid, demand: &'a Demand, priority: i32) -> Ask<'a> {
    Ask { uid, demand, priority, profile: 0 }
}

/// The place of a new pod, or why there is none.
fn place(cluster: &mut Cluster, demand: &Demand) -> String {
    match cluster.place(&ask(&uid("new"), demand, 0)) {
        Ok(node) => node.to_string(),
        Err(reason) => reason.to_string(),
    }
}

fn cpu(cpu: &str) -> Value {
    json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]})
}

fn with(mut spec: Value, field: &str, value: Value) -> Value {
    spec[field] = value;
    spec
}

/// Where the pod goes in a cluster of these nodes, or why it goes nowhere.
fn check(nodes: &[(&str, Value)], spec: Value, expected: &str) {
    let mut cluster = Cluster::default();
    for (name, extra) in nodes {
        cluster.set_node(&node(name, extra.clone()));
    }
    let found = place(&mut cluster, &demand(spec.clone()));
    assert_eq!(found, expected, "{spec} on {nodes:?}");
}

#[test]
fn filters_and_their_words() {
    let plain = || ("a", json!({}));
    let taint = |effect: &str| json!({"taints": [{"key": "k", "value": "v", "effect": effect}]});
    let affinity = |terms: Value| json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
    let expression = |key: &str, operator: &str, values: Value| json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]);
    let not_affine = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.";

    check(&[], cpu("1"), "no nodes available to schedule pods");
    check(&[plain()], cpu("1"), "a");
    check(&[plain()], cpu("5"), "0/1 nodes are available: 1 Insufficient cpu.");
    let greedy = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "5", "memory": "9Gi", "example.com/gpu": "1", "ephemeral-storage": "1Gi"}}}]});
    check(
        &[plain()],
        greedy,
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient ephemeral-storage, 1 Insufficient example.com/gpu, 1 Insufficient memory.",
    );
    check(
        &[plain(), ("b", taint("NoSchedule")), ("c", taint("NoExecute"))],
        cpu("5"),
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {k: v}.",
    );
    check(&[("a", json!({"unschedulable": true}))], cpu("1"), "0/1 nodes are available: 1 node(s) were unschedulable.");
    check(
        &[("a", json!({"unschedulable": true}))],
        with(cpu("1"), "tolerations", json!([{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}])),
        "a",
    );
    check(
        &[("a", json!({"allocatable": {"cpu": "4", "pods": "0"}}))],
        cpu("1"),
        "0/1 nodes are available: 1 Too many pods.",
    );
    for (tolerations, fits) in [
        (json!([{"operator": "Exists"}]), true),
        (json!([{"key": "k", "operator": "Exists"}]), true),
        (json!([{"key": "k", "value": "v"}]), true),
        (json!([{"key": "k", "value": "v", "effect": "NoSchedule"}]), true),
        (json!([{"key": "k", "value": "v", "effect": "NoExecute"}]), false),
        (json!([{"key": "k", "value": "w"}]), false),
        (json!([{"key": "l", "operator": "Exists"}]), false),
    ] {
        let expected = if fits { "a" } else { "0/1 nodes are available: 1 node(s) had untolerated taint {k: v}." };
        check(&[("a", taint("NoSchedule"))], with(cpu("1"), "tolerations", tolerations), expected);
    }
    check(&[plain(), ("b", json!({"labels": {"x": "y"}}))], with(cpu("1"), "nodeSelector", json!({"x": "y"})), "b");
    check(&[plain()], with(cpu("1"), "nodeSelector", json!({"x": "y"})), not_affine);
    let labelled = || [("a", json!({"labels": {"n": "3"}}))];
    let not_named = "0/1 nodes are available: 1 node(s) didn't satisfy plugin(s) [NodeAffinity].";
    for (terms, fits) in [
        (expression("n", "In", json!(["3", "4"])), true),
        (expression("n", "NotIn", json!(["3", "4"])), false),
        (expression("m", "NotIn", json!(["3", "4"])), true),
        (expression("n", "Exists", json!([])), true),
        (expression("n", "DoesNotExist", json!([])), false),
        (expression("n", "Gt", json!(["2"])), true),
        (expression("n", "Lt", json!(["2"])), false),
        (json!([{}]), false),
        (json!([]), false),
        (json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}]), true),
        (json!([{"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["b"]}]}]), true),
    ] {
        let expected = if fits { "a" } else { not_affine };
        check(&labelled(), with(cpu("1"), "affinity", affinity(terms)), expected);
    }
    let other = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}]);
    check(&labelled(), with(cpu("1"), "affinity", affinity(other)), not_named);
    check(
        &[plain()],
        with(cpu("1"), "nodeName", json!("b")),
        "0/1 nodes are available: 1 node(s) didn't match the requested node name.",
    );
}

#[test]
fn ports_are_taken_once() {
    let mut cluster = Cluster::default();
    cluster.set_node(&node("a", json!({})));
    let demand = demand(json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]}));
    assert_eq!(place(&mut cluster, &demand), "a");
    put(&mut cluster, 1, &demand, 0, "a");
    let refused = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.";
    assert_eq!(place(&mut cluster, &demand), refused);
    assert_eq!(cluster.take(&uid(1)).unwrap().1.as_ref(), "a");
    assert_eq!(place(&mut cluster, &demand), "a");
}

#[test]
fn preferences() {
    check(&[("a", json!({"taints": [{"key": "k", "effect": "PreferNoSchedule"}]})), ("b", json!({}))], cpu("1"), "b");
    check(
        &[("a", json!({"allocatable": {"cpu": "2", "memory": "8Gi", "pods": "10"}})), ("b", json!({}))],
        cpu("1"),
        "b",
    );
    let preferred = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 10, "preference": {"matchExpressions": [{"key": "x", "operator": "Exists"}]}}]}});
    check(&[("a", json!({})), ("b", json!({"labels": {"x": ""}}))], with(cpu("1"), "affinity", preferred), "b");
}

/// Nodes a and b in zone 1, c and d in zone 2.
fn zones() -> Cluster {
    let mut cluster = Cluster::default();
    for (name, zone) in [("a", "1"), ("b", "1"), ("c", "2"), ("d", "2")] {
        let labels = json!({"topology.kubernetes.io/zone": zone, "kubernetes.io/hostname": name});
        cluster.set_node(&node(name, json!({"labels": labels})));
    }
    cluster
}

#[test]
fn pods_of_a_controller_spread_over_nodes_and_zones() {
    let mut cluster = zones();
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": true}]);
    let pod = json!({"metadata": {"namespace": "default", "ownerReferences": owner}, "spec": cpu("10m")});
    let demand = Demand::of(&from_value(pod).unwrap());
    let mut order = Vec::new();
    for number in 0..4 {
        let found = place(&mut cluster, &demand);
        put(&mut cluster, number, &demand, 0, &found);
        order.push(found);
    }
    assert_eq!(order, ["a", "c", "b", "d"]);
}

fn term(key: &str, labels: Value) -> Value {
    json!({"topologyKey": key, "labelSelector": {"matchLabels": labels}})
}

fn pod_affinity(kind: &str, terms: Value) -> Value {
    json!({kind: {"requiredDuringSchedulingIgnoredDuringExecution": terms}})
}

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";

#[test]
fn affinity_to_other_pods() {
    let red = || json!({"color": "red"});
    let to_red =
        labelled(json!({}), with(cpu("1"), "affinity", pod_affinity("podAffinity", json!([term(ZONE, red())]))));
    let mut cluster = zones();
    let nobody = "0/4 nodes are available: 4 node(s) didn't match pod affinity rules.";
    assert_eq!(place(&mut cluster, &to_red), nobody);
    put(&mut cluster, "red", &labelled(red(), cpu("1")), 0, "c");
    assert_eq!(place(&mut cluster, &to_red), "d", "in the zone, and on the emptier node");

    let itself = labelled(red(), with(cpu("1"), "affinity", pod_affinity("podAffinity", json!([term(ZONE, red())]))));
    assert_eq!(place(&mut zones(), &itself), "a", "the first of its kind may come");

    let alone = pod_affinity("podAntiAffinity", json!([term(ZONE, red())]));
    let not_red = labelled(red(), with(cpu("1"), "affinity", alone));
    assert_eq!(place(&mut cluster, &not_red), "a");
    put(&mut cluster, "not red", &not_red, 0, "a");
    let both = "0/4 nodes are available: 4 node(s) didn't match pod anti-affinity rules.";
    assert_eq!(place(&mut cluster, &not_red), both);
    let refused = "0/4 nodes are available: 2 node(s) didn't match pod affinity rules, \
                   2 node(s) didn't satisfy existing pods anti-affinity rules.";
    let blue = term(ZONE, json!({"color": "blue"}));
    let far = labelled(red(), with(cpu("1"), "affinity", pod_affinity("podAffinity", json!([blue]))));
    put(&mut cluster, "blue", &labelled(json!({"color": "blue"}), cpu("0")), 0, "a");
    assert_eq!(place(&mut cluster, &far), refused);
    cluster.take(&uid("not red"));
    assert_eq!(place(&mut cluster, &far), "b", "in the zone, and on the emptier node");
}

#[test]
fn affinity_over_namespaces() {
    let term = json!([{"topologyKey": HOST, "labelSelector": {}, "namespaceSelector": {"matchLabels": {"team": "x"}}}]);
    let wants = demand(with(cpu("1"), "affinity", pod_affinity("podAffinity", term)));
    let mut cluster = zones();
    let other = json!({"metadata": {"namespace": "other"}, "spec": cpu("1")});
    put(&mut cluster, "other", &Demand::of(&from_value(other).unwrap()), 0, "b");
    assert!(place(&mut cluster, &wants).contains("affinity rules"));
    let labels = std::collections::BTreeMap::from([("team".to_owned(), "x".to_owned())]);
    assert!(cluster.set_namespace("other", Some(labels.clone())));
    assert!(!cluster.set_namespace("other", Some(labels)));
    assert_eq!(place(&mut cluster, &wants), "b");
    assert!(cluster.set_namespace("other", None));
    assert!(place(&mut cluster, &wants).contains("affinity rules"));
}

#[test]
fn spread_constraints() {
    let spread = |key: &str, max_skew: i32, more: Value| {
        let mut constraint = json!({"topologyKey": key, "maxSkew": max_skew, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "x"}}});
        for (field, value) in more.as_object().into_iter().flatten() {
            constraint[field] = value.clone();
        }
        labelled(json!({"app": "x"}), with(cpu("1"), "topologySpreadConstraints", json!([constraint])))
    };
    let zonal = spread(ZONE, 1, json!({}));
    let mut cluster = zones();
    for (number, expected) in ["a", "c", "b", "d", "a"].into_iter().enumerate() {
        let found = place(&mut cluster, &zonal);
        assert_eq!(found, expected, "pod {number}");
        put(&mut cluster, number, &zonal, 0, &found);
    }
    // Zone 1 has three, zone 2 has two.
    cluster.remove_node("d");
    cluster.set_node(&node(
        "c",
        json!({"labels": {ZONE: "2"}, "allocatable": {"cpu": "1", "memory": "8Gi", "pods": "10"}}),
    ));
    let skewed = "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match pod topology spread constraints.";
    assert_eq!(place(&mut cluster, &zonal), skewed);
    let no_label = "0/3 nodes are available: 1 Insufficient cpu, \
                    2 node(s) didn't match pod topology spread constraints (missing required label).";
    assert_eq!(place(&mut cluster, &spread("rack", 1, json!({}))), no_label);
    let domains = spread(ZONE, 1, json!({"minDomains": 3}));
    assert!(place(&mut zones(), &domains) == "a");
    let mut cluster = zones();
    put(&mut cluster, 1, &domains, 0, "a");
    put(&mut cluster, 2, &domains, 0, "c");
    assert_eq!(
        place(&mut cluster, &domains),
        "0/4 nodes are available: 4 node(s) didn't match pod topology spread constraints."
    );
    let other_hash = labelled(json!({"app": "x", "hash": "new"}), cpu("0"));
    let by_hash = spread(ZONE, 1, json!({"matchLabelKeys": ["app"]}));
    put(&mut cluster, 3, &other_hash, 0, "a");
    assert_eq!(place(&mut cluster, &by_hash), "d", "the third of app x is in zone 1");
}

#[test]
fn preemption_takes_the_least() {
    let mut cluster = zones();
    let all = demand(cpu("3"));
    for (number, node) in ["a", "b", "c", "d"].into_iter().enumerate() {
        put(&mut cluster, node, &all, 10 + i32::try_from(number).unwrap(), node);
    }
    put(&mut cluster, "small", &demand(cpu("1")), 1, "a");
    let (new, wants) = (uid("preemptor"), demand(cpu("2")));
    let full = "0/4 nodes are available: 4 Insufficient cpu.";
    let asks = ask(&new, &wants, 100);
    let reason = cluster.place(&asks).unwrap_err();
    assert_eq!(reason.to_string(), full);
    assert!(matches!(cluster.preempt(&asks, true, &[]), Err(NoPreemption::Never)));
    let preemption = cluster.preempt(&asks, false, &[]).unwrap();
    let names = |preemption: &Preemption| preemption.victims.iter().map(|one| one.name.to_string()).collect::<Vec<_>>();
    assert_eq!((&*preemption.node, names(&preemption)), ("a", vec!["a".to_owned()]), "the small one can stay");

    // A budget protects the cheapest victim.
    let budget = Budget {
        namespace: "default".to_owned(),
        selector: LabelSelector::parse("!app").unwrap(),
        allowed: 0,
        disrupted: std::collections::HashSet::from(["b".to_owned()]),
    };
    let preemption = cluster.preempt(&asks, false, &[budget]).unwrap();
    assert_eq!(&*preemption.node, "b", "its disruption is counted already");

    // The place is kept from others of no higher priority.
    cluster.nominate(&asks, "b");
    cluster.take(&uid("b"));
    assert_eq!(place(&mut cluster, &demand(cpu("3"))), full);
    assert_eq!(place(&mut cluster, &demand(cpu("2"))), "b");
    assert_eq!(cluster.place(&asks).unwrap().as_ref(), "b");

    let low = ask(&new, &wants, 0);
    cluster.denominate(&new);
    put(&mut cluster, "b", &all, 10, "b");
    let reason = cluster.place(&low).unwrap_err();
    let outcome = cluster.preempt(&low, false, &[]).unwrap_err();
    assert_eq!(
        reason.with_preemption(&outcome).to_string(),
        "0/4 nodes are available: 4 Insufficient cpu. preemption: 0/4 nodes are available: \
         4 No preemption victims found for incoming pod."
    );
}

#[test]
fn what_is_on_a_node_survives_the_node() {
    let mut cluster = Cluster::default();
    let demand = demand(cpu("3"));
    put(&mut cluster, 1, &demand, 0, "a");
    assert!(cluster.set_node(&node("a", json!({}))));
    assert!(!cluster.set_node(&node("a", json!({}))), "a heartbeat changes nothing");
    assert_eq!(place(&mut cluster, &demand), "0/1 nodes are available: 1 Insufficient cpu.");
    cluster.remove_node("a");
    assert_eq!(place(&mut cluster, &demand), "no nodes available to schedule pods");
    cluster.set_node(&node("a", json!({})));
    assert!(place(&mut cluster, &demand).contains("Insufficient"));
    cluster.take(&uid(1));
    assert_eq!(place(&mut cluster, &demand), "a");
    cluster.remove_node("a");
    assert!(cluster.by_name.is_empty() && cluster.images.is_empty() && cluster.placed.is_empty());
    assert!(cluster.census.is_empty());
}

mod oracle;
