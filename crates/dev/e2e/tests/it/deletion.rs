//! Deletion: propagation, finalizers, namespaces.

use anyhow::ensure;
use minato_testkit::{Cluster, Kubectl, Options, eventually};

use crate::PATIENCE;

const DEPLOYMENT: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: example.com/web:1}]}
";

fn count(kubectl: &Kubectl, resource: &str, expected: usize) -> anyhow::Result<()> {
    eventually(PATIENCE, || {
        let names = kubectl.run(&format!("get {resource} -o name"))?;
        ensure!(names.lines().count() == expected, "{expected} {resource} expected: {names}");
        anyhow::Ok(())
    })
}

fn deploy(kubectl: &Kubectl) -> anyhow::Result<()> {
    kubectl.feed("apply -f -", DEPLOYMENT)?;
    count(kubectl, "pods", 2)
}

#[test]
fn background_foreground_and_orphan() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    for propagation in ["background", "foreground"] {
        deploy(&kubectl)?;
        kubectl.run(&format!("delete deployment web --cascade={propagation} --timeout=60s"))?;
        count(&kubectl, "replicasets", 0)?;
        count(&kubectl, "pods", 0)?;
    }
    deploy(&kubectl)?;
    kubectl.run("delete deployment web --cascade=orphan")?;
    eventually(PATIENCE, || {
        let owners = kubectl.run("get replicasets -o jsonpath={.items[*].metadata.ownerReferences}")?;
        ensure!(["", "[]"].contains(&owners.as_str()), "{owners}");
        anyhow::Ok(())
    })?;
    count(&kubectl, "replicasets", 1)?;
    count(&kubectl, "pods", 2)?;
    // The same deployment again adopts what was left.
    deploy(&kubectl)?;
    count(&kubectl, "replicasets", 1)?;
    cluster.finish()
}

#[test]
fn a_finalizer_holds_what_is_deleted() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    kubectl.feed(
        "create -f -",
        "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: held, finalizers: [example.com/hold]}}",
    )?;
    kubectl.run("delete configmap held --wait=false")?;
    ensure!(!kubectl.run("get configmap held -o jsonpath={.metadata.deletionTimestamp}")?.is_empty());
    kubectl.run(r#"patch configmap held --type=merge -p {"metadata":{"finalizers":null}}"#)?;
    kubectl.fails("get configmap held")?;
    cluster.finish()
}

#[test]
fn a_namespace_takes_everything_with_it() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    kubectl.run("create namespace team")?;
    kubectl.feed("apply -n team -f -", DEPLOYMENT)?;
    kubectl.run("create configmap one -n team")?;
    kubectl.run("create secret generic two -n team --from-literal=k=v")?;
    kubectl.run("delete namespace team --timeout=60s")?;
    kubectl.fails("get namespace team")?;
    count(&kubectl, "configmaps,secrets,deployments,replicasets,pods -n team", 0)?;
    let refused = kubectl.fails("delete namespace default")?;
    ensure!(refused.contains("Forbidden"), "{refused}");
    cluster.finish()
}
