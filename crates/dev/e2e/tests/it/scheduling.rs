//! Where pods go: affinity, spread, taints, gates, preemption. The nodes exist as objects alone.

use anyhow::ensure;
use minato_testkit::{Cluster, Kubectl, Options, eventually};
use serde_json::json;

use crate::PATIENCE;

/// Nodes of two CPUs, one in each zone.
fn add_nodes(kubectl: &Kubectl, names: &[&str]) -> anyhow::Result<()> {
    for name in names {
        let labels = json!({"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": format!("zone-{name}")});
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
        kubectl.feed("create -f -", &node.to_string())?;
        let condition = json!([{"type": "Ready", "status": "True", "reason": "KubeletReady"}]);
        let amounts = json!({"cpu": "2", "memory": "4Gi", "pods": "20"});
        let status = json!({"status": {"conditions": condition, "capacity": amounts, "allocatable": amounts}});
        kubectl.args(&["patch", "node", name, "--subresource=status", "--type=merge", "-p", &status.to_string()])?;
    }
    for name in names {
        eventually(PATIENCE, || {
            let taints = kubectl.run(&format!("get node {name} -o jsonpath={{.spec.taints}}"))?;
            ensure!(taints.is_empty(), "{name}: {taints}");
            anyhow::Ok(())
        })?;
    }
    Ok(())
}

fn pod(name: &str, spec: &serde_json::Value) -> String {
    let mut spec = spec.clone();
    if spec["containers"].is_null() {
        spec["containers"] =
            json!([{"name": "c", "image": "example.com/c:1", "resources": {"requests": {"cpu": "100m"}}}]);
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "x", "pod": name}}, "spec": spec})
        .to_string()
}

fn create(kubectl: &Kubectl, name: &str, spec: &serde_json::Value) -> anyhow::Result<()> {
    kubectl.feed("create -f -", &pod(name, spec)).map(drop)
}

fn field(kubectl: &Kubectl, pod: &str, path: &str) -> anyhow::Result<String> {
    kubectl.args(&["get", "pod", pod, "-o", &format!("jsonpath={{{path}}}")])
}

fn lands(kubectl: &Kubectl, pod: &str) -> anyhow::Result<String> {
    eventually(PATIENCE, || {
        let node = field(kubectl, pod, ".spec.nodeName")?;
        ensure!(!node.is_empty(), "{pod}: {}", field(kubectl, pod, ".status.conditions")?);
        anyhow::Ok(node)
    })
}

fn refused(kubectl: &Kubectl, pod: &str, expected: &str) -> anyhow::Result<()> {
    eventually(PATIENCE, || {
        let message = field(kubectl, pod, ".status.conditions[?(@.type==\"PodScheduled\")].message")?;
        ensure!(message == expected, "{pod}: {message}");
        anyhow::Ok(())
    })
}

#[test]
fn other_pods_decide() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    add_nodes(&kubectl, &["a", "b", "c"])?;
    let zone = "topology.kubernetes.io/zone";
    let near = |pod: &str| {
        let term = json!([{"topologyKey": zone, "labelSelector": {"matchLabels": {"pod": pod}}}]);
        json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}})
    };
    create(&kubectl, "follower", &near("leader"))?;
    refused(
        &kubectl,
        "follower",
        "0/3 nodes are available: 3 node(s) didn't match pod affinity rules. \
         preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
    )?;
    create(&kubectl, "leader", &json!({"nodeSelector": {"kubernetes.io/hostname": "b"}}))?;
    ensure!(lands(&kubectl, "leader")? == "b");
    ensure!(lands(&kubectl, "follower")? == "b", "it comes after the leader");

    let constraint = json!([{"topologyKey": zone, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "x"}}}]);
    let spread = json!({"topologySpreadConstraints": constraint});
    let mut nodes = Vec::new();
    for name in ["one", "two", "three", "four"] {
        create(&kubectl, name, &spread)?;
        nodes.push(lands(&kubectl, name)?);
    }
    nodes.sort();
    ensure!(nodes == ["a", "a", "c", "c"], "b has two: {nodes:?}");

    let gated = json!({"schedulingGates": [{"name": "example.com/wait"}]});
    create(&kubectl, "gated", &gated)?;
    kubectl.run("taint node a b c k=v:NoSchedule")?;
    create(&kubectl, "tainted", &json!({}))?;
    refused(
        &kubectl,
        "tainted",
        "0/3 nodes are available: 3 node(s) had untolerated taint {k: v}. \
         preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
    )?;
    ensure!(field(&kubectl, "gated", ".spec.nodeName")?.is_empty());
    kubectl.run("taint node a k-")?;
    ensure!(lands(&kubectl, "tainted")? == "a");
    kubectl.args(&["patch", "pod", "gated", "--type=merge", "-p", r#"{"spec":{"schedulingGates":null}}"#])?;
    ensure!(lands(&kubectl, "gated")? == "a");
    cluster.finish()
}

#[test]
fn lower_priorities_give_way() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    add_nodes(&kubectl, &["a"])?;
    for (name, value) in [("low", 1), ("high", 1000)] {
        kubectl.run(&format!("create priorityclass {name} --value={value}"))?;
    }
    let spec = |class: &str| {
        let requests = json!({"requests": {"cpu": "1500m"}});
        let containers = json!([{"name": "c", "image": "example.com/c:1", "resources": requests}]);
        json!({"priorityClassName": class, "terminationGracePeriodSeconds": 0, "containers": containers})
    };
    create(&kubectl, "low", &spec("low"))?;
    lands(&kubectl, "low")?;
    create(&kubectl, "second", &spec("low"))?;
    refused(
        &kubectl,
        "second",
        "0/1 nodes are available: 1 Insufficient cpu. \
         preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
    )?;
    create(&kubectl, "high", &spec("high"))?;
    ensure!(lands(&kubectl, "high")? == "a");
    kubectl.fails("get pod low")?;
    ensure!(field(&kubectl, "second", ".spec.nodeName")?.is_empty());
    eventually(PATIENCE, || {
        let events = kubectl.run("get events --field-selector reason=Preempted -o jsonpath={.items[*].message}")?;
        let uid = field(&kubectl, "high", ".metadata.uid")?;
        ensure!(events == format!("Preempted by pod {uid} on node a"), "{events}");
        anyhow::Ok(())
    })?;
    cluster.finish()
}
