use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use minato_controllers::Config;
use minato_workloads::node::ready_status;
use serde_json::json;

use crate::cluster::{Cluster, deployment, until};

/// `key:effect` of a node's taints, sorted.
fn taints(node: &Node) -> Vec<String> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    let mut texts: Vec<_> =
        taints.into_iter().flatten().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect();
    texts.sort();
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_get_ranges_of_their_own() {
    let cluster = Cluster::start().await;
    for number in 0..5 {
        cluster.create_node(&format!("node-{number}")).await;
    }
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let ranges = || async {
        let nodes = nodes.list(&ListParams::default()).await?.items;
        let mut ranges: Vec<_> = nodes.into_iter().filter_map(|node| node.spec?.pod_cidr).collect();
        ranges.sort();
        Ok(ranges)
    };
    let expected: Vec<_> = (0..5).map(|number| format!("10.42.{number}.0/24")).collect();
    until("all ranges", ranges, |ranges| *ranges == expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_loses_its_pods() {
    let cluster = Cluster::start_with(Config { node_monitor_grace_period_seconds: 2, ..Config::default() }).await;
    cluster.create_node("node-1").await;
    cluster.play_kubelet();
    let mut web = deployment("web", 2, "image:1");
    web["spec"]["template"]["spec"]["tolerations"] = json!([
        { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1 },
    ]);
    cluster.create::<k8s_openapi::api::apps::v1::Deployment>(web).await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let pods = cluster.api::<Pod>();
    let first = || async { Ok(pods.list(&ListParams::default()).await?.items) };
    let first = until("two pods", first, |pods: &Vec<Pod>| pods.len() == 2).await;

    let silent = until("silence", || nodes.get("node-1"), |node| taints(node).len() == 2).await;
    assert_eq!(ready_status(&silent), "Unknown");
    assert_eq!(
        taints(&silent),
        ["node.kubernetes.io/unreachable:NoExecute", "node.kubernetes.io/unreachable:NoSchedule"]
    );
    let gone = || async {
        let left = pods.list(&ListParams::default()).await?.items;
        Ok(first.iter().all(|old| left.iter().all(|pod| pod.metadata.uid != old.metadata.uid)))
    };
    until("the eviction", gone, |gone| *gone).await;

    let beat = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z" }] } });
    nodes.patch_status("node-1", &PatchParams::default(), &Patch::Merge(beat)).await.unwrap();
    until("no taints", || nodes.get("node-1"), |node| taints(node).is_empty()).await;
}
