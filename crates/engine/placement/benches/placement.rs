//! `cargo bench -p minato-placement [-- NAME…]`: upstream's `scheduler_perf` workloads, by their names, on the engine alone.
//!
//! Each has 5,000 nodes in three zones and pods that are there before; measured is how many more find their place in
//! a second, counting that each is then put there.
#![allow(clippy::unwrap_used, reason = "a benchmark may stop")]

use std::time::Instant;

use k8s_openapi::serde_json::{Value, from_value, json};
use minato_placement::{Ask, Cluster, Demands, Pod, Uid};

const NODES: usize = 5_000;
const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// A workload: pods that are there, and pods that are measured.
struct Workload {
    name: &'static str,
    before: Vec<(Value, usize)>,
    measured: (Value, usize),
}

fn pod(extra: Value) -> Value {
    let requests = json!({"cpu": "100m", "memory": "500Mi"});
    let mut spec = json!({"containers": [{"name": "pause", "resources": {"requests": requests}}]});
    for (field, value) in extra.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    let labels = json!({"color": "green"});
    json!({"metadata": {"namespace": "default", "labels": labels}, "spec": spec})
}

fn with_affinity(kind: &str, when: &str, key: &str) -> Value {
    let term = json!({"topologyKey": key, "labelSelector": {"matchLabels": {"color": "green"}}});
    let terms = if when == PREFERRED { json!([{"weight": 1, "podAffinityTerm": term}]) } else { json!([term]) };
    pod(json!({"affinity": {kind: {when: terms}}}))
}

fn with_spread(when: &str) -> Value {
    let constraint = json!({"topologyKey": ZONE, "maxSkew": 5, "whenUnsatisfiable": when, "labelSelector": {"matchLabels": {"color": "green"}}});
    pod(json!({"topologySpreadConstraints": [constraint]}))
}

fn workloads() -> Vec<Workload> {
    let plain = || pod(json!({}));
    let large = |priority: i32| {
        let requests = json!({"cpu": if priority > 0 { "3" } else { "900m" }, "memory": "500Mi"});
        pod(json!({"priority": priority, "containers": [{"name": "pause", "resources": {"requests": requests}}]}))
    };
    let in_zone = json!([{"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["0", "1"]}]}]);
    let node_affinity = pod(json!({"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": in_zone}}}}));
    let impossible =
        pod(json!({"containers": [{"name": "pause", "resources": {"requests": {"cpu": "9", "memory": "500Mi"}}}]}));
    let (near, far) = ("podAffinity", "podAntiAffinity");
    let workload = |name, before, measured| Workload { name, before, measured };
    vec![
        workload("SchedulingBasic", vec![(plain(), 1_000)], (plain(), 10_000)),
        workload(
            "SchedulingPodAntiAffinity",
            vec![(with_affinity(far, REQUIRED, HOST), 1_000)],
            (with_affinity(far, REQUIRED, HOST), 2_000),
        ),
        workload(
            "SchedulingPodAffinity",
            vec![(with_affinity(near, REQUIRED, ZONE), 5_000)],
            (with_affinity(near, REQUIRED, ZONE), 5_000),
        ),
        workload(
            "SchedulingPreferredPodAffinity",
            vec![(plain(), 5_000)],
            (with_affinity(near, PREFERRED, HOST), 5_000),
        ),
        workload("SchedulingNodeAffinity", vec![(node_affinity.clone(), 5_000)], (node_affinity.clone(), 10_000)),
        workload("TopologySpreading", vec![(plain(), 5_000)], (with_spread("DoNotSchedule"), 5_000)),
        workload("PreferredTopologySpreading", vec![(plain(), 5_000)], (with_spread("ScheduleAnyway"), 5_000)),
        workload(
            "MixedSchedulingBasePod",
            vec![
                (plain(), 2_000),
                (with_affinity(near, REQUIRED, ZONE), 2_000),
                (with_affinity(far, REQUIRED, HOST), 1_000),
                (with_affinity(near, PREFERRED, HOST), 2_000),
                (with_affinity(far, PREFERRED, HOST), 2_000),
            ],
            (plain(), 10_000),
        ),
        workload("Preemption", vec![(large(0), 20_000)], (large(10), 2_000)),
        workload("Unschedulable", vec![(impossible, 200)], (plain(), 10_000)),
    ]
}

fn main() {
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    println!("{:32} {:>8} {:>12} {:>12}", "workload", "pods", "pods/s", "us per pod");
    for workload in workloads() {
        if only.is_empty() || only.iter().any(|name| name == workload.name) {
            measure(&workload);
        }
    }
}

fn measure(workload: &Workload) {
    let mut cluster = Cluster::default();
    for number in 0..NODES {
        let name = format!("node-{number}");
        let labels = json!({ZONE: (number % 3).to_string(), HOST: name});
        let node = json!({
            "metadata": {"name": name, "labels": labels},
            "status": {"allocatable": {"cpu": "4", "memory": "32Gi", "pods": "110"}},
        });
        cluster.set_node(&from_value(node).unwrap());
    }
    let mut demands = Demands::default();
    let mut number = 0;
    let mut place_all = |cluster: &mut Cluster, pod: &Value, count: usize| {
        let pod: k8s_openapi::api::core::v1::Pod = from_value(pod.clone()).unwrap();
        let priority = pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or_default();
        for _ in 0..count {
            number += 1;
            let (uid, demand) = (Uid(number.to_string().into()), demands.of(&pod));
            let ask = Ask { uid: &uid, demand: &demand, priority, profile: 0 };
            let mut place = cluster.place(&ask).ok();
            if place.is_none()
                && let Ok(preemption) = cluster.preempt(&ask, false, &[])
            {
                cluster.nominate(&ask, &preemption.node);
                preemption.victims.iter().for_each(|victim| drop(cluster.take(&victim.uid)));
                place = cluster.place(&ask).ok();
            }
            if let Some(node) = place {
                let name = number.to_string().into();
                let placed = Pod { name, demand: demand.clone(), priority, started: None, is_giving_way: false };
                cluster.put(&uid, placed, &node);
            }
        }
    };
    for (pod, count) in &workload.before {
        place_all(&mut cluster, pod, *count);
    }
    let (pod, count) = &workload.measured;
    let start = Instant::now();
    place_all(&mut cluster, pod, *count);
    let seconds = start.elapsed().as_secs_f64();
    let (rate, micros) = (*count as f64 / seconds, seconds * 1e6 / *count as f64);
    println!("{:32} {count:>8} {rate:>12.0} {micros:>12.1}", workload.name);
}
