//! What the node says of itself and its pods, asked through the API server's proxy.

use http::Request;
use serde_json::{Value, json};

use crate::cluster::Cluster;

async fn get(cluster: &Cluster, path: &str) -> String {
    let request = Request::get(format!("/api/v1/nodes/n1/proxy/{path}")).body(Vec::new()).unwrap();
    cluster.client.request_text(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_tells_what_it_and_its_pods_use() {
    let cluster = Cluster::start().await;
    let probe = json!({"exec": {"command": ["true"]}, "periodSeconds": 1});
    cluster.create_pod("p", json!({}), json!({"readinessProbe": probe})).await;
    let ready = |pod: &k8s_openapi::api::core::v1::Pod| {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    cluster.until_pod("p", "a ready pod", ready).await;

    // The fake's clock of processor time stands still between the two readings that make a rate.
    cluster.runtime.spend(1_500_000_000);
    let summary: Value = serde_json::from_str(&get(&cluster, "stats/summary").await).unwrap();
    assert_eq!(summary["node"]["nodeName"], "n1");
    assert!(summary["node"]["memory"]["workingSetBytes"].as_u64().is_some_and(|bytes| bytes > 0), "{summary:#}");
    assert!(summary["node"]["fs"]["capacityBytes"].as_u64().is_some_and(|bytes| bytes > 0), "{summary:#}");
    let pod = &summary["pods"][0];
    assert_eq!(pod["podRef"]["name"], "p");
    let container = &pod["containers"][0];
    assert_eq!(container["name"], "c");
    assert_eq!(container["cpu"]["usageCoreNanoSeconds"], 1_500_000_000_u64);
    assert_eq!(container["cpu"]["usageNanoCores"], 0);
    assert_eq!(container["memory"]["workingSetBytes"], 2 << 20);
    assert_eq!(container["rootfs"]["usedBytes"], 4096);
    let short: Value = serde_json::from_str(&get(&cluster, "stats/summary?only_cpu_and_memory=true").await).unwrap();
    assert!(short["pods"][0]["ephemeral-storage"].is_null() && short["node"]["fs"].is_null(), "{short:#}");

    let labels = r#"container="c",namespace="default",pod="p""#;
    let resource = get(&cluster, "metrics/resource").await;
    for line in [
        format!("container_cpu_usage_seconds_total{{{labels}}} 1.5 "),
        format!("container_memory_working_set_bytes{{{labels}}} 2097152 "),
        r#"pod_cpu_usage_seconds_total{namespace="default",pod="p"} 1.5 "#.to_owned(),
        "resource_scrape_error 0".to_owned(),
    ] {
        assert!(resource.lines().any(|known| known.starts_with(&line)), "no {line} in\n{resource}");
    }
    let cadvisor = get(&cluster, "metrics/cadvisor").await;
    assert!(cadvisor.contains("container_memory_usage_bytes{container=\"c\",id=\"/pod/"), "{cadvisor}");
    let probes = get(&cluster, "metrics/probes").await;
    assert!(probes.contains(r#"probe_type="Readiness",result="successful""#), "{probes}");
    assert!(get(&cluster, "metrics").await.contains("kubelet_running_pods 1"));
    let configuration: Value = serde_json::from_str(&get(&cluster, "configz").await).unwrap();
    assert_eq!(configuration["kubeletconfig"]["maxPods"], 110);
    assert!(get(&cluster, "runningpods/").await.contains(r#""name":"p""#));
}
