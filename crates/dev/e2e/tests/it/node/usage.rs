//! What nodes and pods use: at the kubelet, through `metrics.k8s.io`, for `kubectl top` and for autoscalers.

use anyhow::ensure;
use minato_testkit::eventually;
use serde_json::Value;

use super::{becomes, cluster, deployment, rolled_out};
use crate::PATIENCE;

/// Every pod uses more than a byte of memory: the autoscaler asks for as many as it may.
const AUTOSCALER: &str = r#"
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 3
  metrics:
  - type: Resource
    resource: {name: memory, target: {type: AverageValue, averageValue: "1"}}
"#;

#[test]
fn usage_is_told_and_scales() -> anyhow::Result<()> {
    let Some(cluster) = cluster(18)? else { return Ok(()) };
    let kubectl = cluster.kubectl();
    kubectl.feed("apply -f -", &deployment("web", 1))?;
    rolled_out(&kubectl, "web")?;
    let node = kubectl.run("get nodes -o jsonpath={.items[0].metadata.name}")?;
    let proxied = |path: &str| kubectl.run(&format!("get --raw /api/v1/nodes/{node}/proxy/{path}"));

    let summary: Value = serde_json::from_str(&proxied("stats/summary")?)?;
    let pods = summary["pods"].as_array().into_iter().flatten();
    let pod = pods.into_iter().find(|pod| pod["podRef"]["name"].as_str().is_some_and(|name| name.starts_with("web-")));
    let pod = pod.cloned().unwrap_or_default();
    for number in [
        &summary["node"]["cpu"]["usageCoreNanoSeconds"],
        &summary["node"]["memory"]["availableBytes"],
        &pod["cpu"]["usageCoreNanoSeconds"],
        &pod["network"]["rxBytes"],
        &pod["containers"][0]["memory"]["workingSetBytes"],
        &pod["containers"][0]["rootfs"]["capacityBytes"],
    ] {
        assert!(number.as_u64().is_some_and(|number| number > 0), "{summary:#}");
    }
    let labels = "container=\"server\",namespace=\"default\",pod=\"web-";
    assert!(proxied("metrics/resource")?.contains(&format!("container_memory_working_set_bytes{{{labels}")));
    assert!(
        proxied("metrics/cadvisor")?.contains("container_network_receive_bytes_total{container=\"\",id=\"/minato-")
    );

    // The APIService is there, and what it stands for can be asked for.
    let available = "-o jsonpath={.status.conditions[0].reason}";
    assert_eq!(kubectl.run(&format!("get apiservice v1beta1.metrics.k8s.io {available}"))?, "Local");
    let top = kubectl.run("top pod --containers --no-headers -l app=web")?;
    assert!(top.starts_with("web-") && top.contains("server") && top.contains("Mi"), "{top}");
    assert!(kubectl.run("top node --no-headers")?.starts_with(&node));
    assert!(kubectl.run("top pod -A --sort-by=cpu")?.contains("web-"));
    let table = kubectl.run("get pods.metrics.k8s.io")?;
    assert!(table.starts_with("NAME") && table.contains("WINDOW"), "{table}");
    assert!(
        kubectl.fails("get nodes.metrics.k8s.io nobody")?.contains("nodemetrics.metrics.k8s.io \"nobody\" not found")
    );

    kubectl.feed("apply -f -", AUTOSCALER)?;
    becomes(&kubectl, "deployment/web", ".spec.replicas", "3")?;
    becomes(&kubectl, "hpa/web", ".status.desiredReplicas", "3")?;
    eventually(PATIENCE, || {
        let told = kubectl.run("describe hpa web")?;
        for words in [
            "SucceededRescale",
            "ValidMetricFound  the HPA was able to successfully calculate a replica count from memory resource",
            "New size: 3; reason: memory resource above target",
            "TooManyReplicas",
        ] {
            ensure!(told.contains(words), "no {words:?} in {told}");
        }
        anyhow::Ok(())
    })?;
    cluster.finish()
}
