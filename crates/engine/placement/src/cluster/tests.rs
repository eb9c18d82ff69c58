use k8s_openapi::serde_json::{Value, from_value, json};
use proptest::prelude::*;

use super::*;
use crate::refusal::Refusal;
use crate::score::local_score;

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

fn pod(spec: Value) -> Arc<Demand> {
    Arc::new(Demand::of(&from_value(json!({"spec": spec})).unwrap()))
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
    let found = match cluster.place(&pod(spec.clone())) {
        Ok(name) => name.to_string(),
        Err(error) => error.to_string(),
    };
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
        (json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}]), false),
        (json!([{"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["b"]}]}]), true),
    ] {
        let expected = if fits { "a" } else { not_affine };
        check(&labelled(), with(cpu("1"), "affinity", affinity(terms)), expected);
    }
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
    let demand = pod(json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]}));
    assert!(cluster.place(&demand).is_ok());
    cluster.put(&Uid("1".into()), &demand, "a");
    assert_eq!(
        cluster.place(&demand).unwrap_err().to_string(),
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
    );
    assert_eq!(cluster.take(&Uid("1".into())).as_deref(), Some("a"));
    assert!(cluster.place(&demand).is_ok());
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

#[test]
fn groups_spread_over_nodes_and_zones() {
    let mut cluster = Cluster::default();
    for (name, zone) in [("a", "1"), ("b", "1"), ("c", "2"), ("d", "2")] {
        cluster.set_node(&node(name, json!({"labels": {"topology.kubernetes.io/zone": zone}})));
    }
    let demand = Arc::new(Demand { group: Some("rs".to_owned()), ..(*pod(cpu("10m"))).clone() });
    let mut order = Vec::new();
    for number in 0..4 {
        let place = cluster.place(&demand).unwrap();
        cluster.put(&Uid(number.to_string().into()), &demand, &place);
        order.push(place.to_string());
    }
    assert_eq!(order, ["a", "c", "b", "d"]);
}

#[test]
fn what_is_on_a_node_survives_the_node() {
    let mut cluster = Cluster::default();
    let (uid, demand) = (Uid("1".into()), pod(cpu("3")));
    cluster.put(&uid, &demand, "a");
    assert!(cluster.set_node(&node("a", json!({}))));
    assert!(!cluster.set_node(&node("a", json!({}))), "a heartbeat changes nothing");
    assert!(cluster.place(&demand).is_err());
    cluster.remove_node("a");
    assert_eq!(cluster.place(&demand).unwrap_err().to_string(), "no nodes available to schedule pods");
    cluster.set_node(&node("a", json!({})));
    assert!(cluster.place(&demand).is_err());
    cluster.take(&uid);
    assert_eq!(cluster.place(&demand).as_deref(), Ok("a"));
    cluster.remove_node("a");
    assert!(cluster.by_name.is_empty() && cluster.zone_nodes.is_empty() && cluster.placed.is_empty());
}

/// The obvious way: look at every node, every time.
fn place_slowly(cluster: &Cluster, demand: &Demand) -> Result<Arc<str>, Unschedulable> {
    let judged: Vec<(&Slot, &Offer, Vec<Refusal>)> = cluster
        .slots
        .iter()
        .filter_map(|slot| {
            slot.offer.as_ref().map(|offer| (slot, offer, refusals(demand, &slot.name, offer, &slot.load)))
        })
        .collect();
    let in_zone = |zone: &str| judged.iter().filter(move |(_, offer, _)| offer.zone() == zone).count();
    let group_in_zone = |zone: &str| -> u32 {
        let group = |slot: &Slot| demand.group.as_ref().and_then(|group| slot.load.groups.get(group)).copied();
        judged.iter().filter(|(_, offer, _)| offer.zone() == zone).filter_map(|(slot, ..)| group(slot)).sum()
    };
    let score = |slot: &Slot, offer: &Offer| {
        local_score(demand, &slot.name, offer, &slot.load)
            + zone_score(group_in_zone(offer.zone()), in_zone(offer.zone()))
    };
    let fitting = judged.iter().filter(|(_, _, refusals)| refusals.is_empty());
    let best = fitting.rev().max_by_key(|(slot, offer, _)| score(slot, offer));
    best.map(|(slot, ..)| Arc::clone(&slot.name))
        .ok_or_else(|| Unschedulable::count(judged.iter().map(|(_, _, refusals)| refusals.as_slice())))
}

#[derive(Clone, Debug)]
enum Step {
    SetNode { name: u8, cpus: u8, zone: u8, tainted: bool },
    RemoveNode { name: u8 },
    Place { pod: u8, class: u8 },
    Take { pod: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..12_u8, 1..6_u8, 0..3_u8, any::<bool>()).prop_map(|(name, cpus, zone, tainted)| Step::SetNode {
            name,
            cpus,
            zone,
            tainted
        }),
        (0..12_u8).prop_map(|name| Step::RemoveNode { name }),
        (0..40_u8, 0..4_u8).prop_map(|(pod, class)| Step::Place { pod, class }),
        (0..40_u8, 0..4_u8).prop_map(|(pod, class)| Step::Place { pod, class }),
        (0..40_u8).prop_map(|pod| Step::Take { pod }),
    ]
}

fn class(number: u8) -> Arc<Demand> {
    let spec = match number {
        0 => cpu("500m"),
        1 => with(cpu("1"), "tolerations", json!([{"operator": "Exists"}])),
        2 => with(cpu("250m"), "nodeSelector", json!({"topology.kubernetes.io/zone": "1"})),
        _ => json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]}),
    };
    Arc::new(Demand { group: Some((number % 2).to_string()), ..(*pod(spec)).clone() })
}

proptest! {
    /// The fast way always agrees with the slow one, about places and about words.
    #[test]
    fn agrees_with_the_obvious_way(steps in proptest::collection::vec(step(), 1..120)) {
        let mut cluster = Cluster::default();
        for step in steps {
            match step {
                Step::SetNode { name, cpus, zone, tainted } => {
                    let taints = if tainted { json!([{"key": "k", "effect": "NoSchedule"}]) } else { json!([]) };
                    let allocatable = json!({"cpu": cpus.to_string(), "memory": "8Gi", "pods": "6"});
                    let labels = json!({"topology.kubernetes.io/zone": zone.to_string()});
                    cluster.set_node(&node(&name.to_string(), json!({"labels": labels, "taints": taints, "allocatable": allocatable})));
                }
                Step::RemoveNode { name } => cluster.remove_node(&name.to_string()),
                Step::Place { pod, class: number } => {
                    let (uid, demand) = (Uid(pod.to_string().into()), class(number));
                    cluster.take(&uid);
                    let slow = place_slowly(&cluster, &demand);
                    let fast = cluster.place(&demand);
                    prop_assert_eq!(&fast, &slow);
                    if let Ok(place) = fast {
                        cluster.put(&uid, &demand, &place);
                    }
                }
                Step::Take { pod } => drop(cluster.take(&Uid(pod.to_string().into()))),
            }
        }
        let uids: Vec<Uid> = cluster.placed().cloned().collect();
        for uid in uids {
            cluster.take(&uid);
        }
        prop_assert!(cluster.slots.iter().all(|slot| slot.load == Load::default()));
        prop_assert!(cluster.zone_pods.is_empty());
    }
}
