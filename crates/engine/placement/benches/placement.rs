//! `cargo bench -p minato-placement`: how many pods per second find their place, by nodes and classes of pods.
#![allow(clippy::unwrap_used, reason = "a benchmark may stop")]

use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::serde_json::{from_value, json};
use minato_placement::{Cluster, Demand, Uid};

fn main() {
    println!("{:>8} {:>8} {:>8} {:>12} {:>14}", "nodes", "pods", "classes", "pods/s", "us per pod");
    for (nodes, pods, classes) in [(100, 5_000, 1), (1_000, 20_000, 10), (5_000, 50_000, 1), (5_000, 50_000, 50)] {
        measure(nodes, pods, classes);
    }
}

fn measure(nodes: usize, pods: usize, classes: usize) {
    let mut cluster = Cluster::default();
    for number in 0..nodes {
        let node = json!({
            "metadata": {"name": format!("node-{number}"), "labels": {"topology.kubernetes.io/zone": (number % 3).to_string()}},
            "status": {"allocatable": {"cpu": "32", "memory": "128Gi", "pods": "110"}},
        });
        cluster.set_node(&from_value(node).unwrap());
    }
    let demands: Vec<Arc<Demand>> = (0..classes)
        .map(|class| {
            let requests = json!({"cpu": format!("{}m", 10 + class), "memory": "64Mi"});
            let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": class.to_string(), "controller": true}]);
            let pod = json!({"metadata": {"ownerReferences": owner}, "spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}});
            Arc::new(Demand::of(&from_value(pod).unwrap()))
        })
        .collect();
    let start = Instant::now();
    for number in 0..pods {
        let demand = &demands[number % classes];
        let node = cluster.place(demand).unwrap();
        cluster.put(&Uid(number.to_string().into()), demand, &node);
    }
    let seconds = start.elapsed().as_secs_f64();
    let (rate, micros) = (pods as f64 / seconds, seconds * 1e6 / pods as f64);
    println!("{nodes:>8} {pods:>8} {classes:>8} {rate:>12.0} {micros:>14.1}");
}
