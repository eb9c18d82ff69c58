//! The verbs of kubectl against a control plane without a node.

use std::path::Path;

use anyhow::ensure;
use minato_testkit::{Cluster, Options, eventually};
use serde_json::Value;

use crate::PATIENCE;

const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: example.com/web:1
        ports: [{containerPort: 8080}]
"#;

fn cluster() -> anyhow::Result<Cluster> {
    Cluster::start(Options::control_plane())
}

/// Asserts that a text has these parts, in any order.
fn has(text: &str, parts: &[&str]) -> anyhow::Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part:?} is not in {text}");
    }
    Ok(())
}

#[test]
fn config_maps_from_create_to_delete() -> anyhow::Result<()> {
    let cluster = cluster()?;
    let kubectl = cluster.kubectl();
    let run = |line: &str| kubectl.run(line);
    has(&run("create configmap one --from-literal=key=value")?, &["configmap/one created"])?;
    has(&kubectl.fails("create configmap one")?, &[r#"configmaps "one" already exists"#])?;
    has(&run("get configmaps")?, &["NAME", "DATA", "AGE", "one", "kube-root-ca.crt"])?;
    has(&run("get cm one -o yaml")?, &["key: value", "resourceVersion:", "uid:"])?;
    has(&run("describe configmap one")?, &["Name:", "one", "key:", "value"])?;
    run("label configmap one tier=front")?;
    run("annotate configmap one note=yes")?;
    has(&run("get configmaps -l tier=front -o name")?, &["configmap/one"])?;
    ensure!(!run("get configmaps -l tier!=front -o name")?.contains("one"));
    ensure!(run("get configmaps --field-selector metadata.name=one -o name")?.trim() == "configmap/one");
    run(r#"patch configmap one -p {"data":{"key":"strategic"}}"#)?;
    run(r#"patch configmap one --type=merge -p {"data":{"more":"merge"}}"#)?;
    run(r#"patch configmap one --type=json -p [{"op":"add","path":"/data/third","value":"json"}]"#)?;
    let object: Value = serde_json::from_str(&run("get configmap one -o json")?)?;
    assert_eq!(object["data"], serde_json::json!({"key": "strategic", "more": "merge", "third": "json"}));
    has(&kubectl.fails("get configmap two")?, &[r#"Error from server (NotFound): configmaps "two" not found"#])?;
    has(&run("delete configmap one")?, &[r#"configmap "one" deleted"#])?;
    kubectl.fails("get configmap one")?;
    cluster.finish()
}

#[test]
fn apply_diff_edit_and_replace() -> anyhow::Result<()> {
    let cluster = cluster()?;
    let kubectl = cluster.kubectl();
    let config_map = |value: &str| {
        format!("---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: one}}, data: {{k: {value}}}}}")
    };
    has(&kubectl.feed("apply -f -", &config_map("a"))?, &["configmap/one created"])?;
    has(&kubectl.feed("apply -f -", &config_map("a"))?, &["configmap/one unchanged"])?;
    has(&kubectl.feed_fails("diff -f -", &config_map("b"))?, &["-  k: a", "+  k: b"])?;
    kubectl.feed("diff -f -", &config_map("a"))?;
    has(&kubectl.feed("apply -f -", &config_map("b"))?, &["configmap/one configured"])?;
    has(&kubectl.feed("apply --dry-run=server -f -", &config_map("c"))?, &["configured (server dry run)"])?;
    has(&kubectl.run("get configmap one -o yaml")?, &["k: b"])?;
    kubectl.feed("replace -f -", &config_map("d"))?;
    let editor = cluster.scratch().join("editor");
    std::fs::write(&editor, "#!/bin/sh\nsed -i 's/k: d/k: edited/' \"$1\"\n")?;
    make_executable(&editor)?;
    let output = kubectl.command(["edit", "configmap", "one"]).env("KUBE_EDITOR", &editor).output()?;
    ensure!(output.status.success(), "{output:?}");
    has(&kubectl.run("get configmap one -o yaml")?, &["k: edited"])?;
    cluster.finish()
}

fn make_executable(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
}

#[test]
fn deployments_make_replica_sets_and_pods() -> anyhow::Result<()> {
    let cluster = cluster()?;
    let kubectl = cluster.kubectl();
    let run = |line: &str| kubectl.run(line);
    let pods = |count: usize| {
        eventually(PATIENCE, || {
            let pods = run("get pods -l app=web -o name")?;
            ensure!(pods.lines().count() == count, "{pods}");
            anyhow::Ok(())
        })
    };
    kubectl.feed("apply -f -", DEPLOYMENT)?;
    pods(2)?;
    has(&run("get deployments")?, &["READY", "UP-TO-DATE", "AVAILABLE", "0/2"])?;
    has(&run("describe deployment web")?, &["example.com/web:1", "ScalingReplicaSet", "RollingUpdate"])?;
    run("scale deployment web --replicas=3")?;
    pods(3)?;
    has(&run("get pods")?, &["Pending"])?;
    // A pod that goes is replaced.
    let pod = run("get pods -o jsonpath={.items[0].metadata.name}")?;
    run(&format!("delete pod {pod}"))?;
    pods(3)?;

    run("set image deployment/web web=example.com/web:2")?;
    let history = |revisions: &[&str]| eventually(PATIENCE, || has(&run("rollout history deployment/web")?, revisions));
    history(&["1 ", "2 "])?;
    run("rollout undo deployment/web")?;
    history(&["2 ", "3 "])?;
    let image = run("get deployment web -o jsonpath={.spec.template.spec.containers[0].image}")?;
    assert_eq!(image, "example.com/web:1");
    run("rollout pause deployment/web")?;
    run("rollout resume deployment/web")?;
    run("rollout restart deployment/web")?;
    has(&run("get deployment web -o yaml")?, &["kubectl.kubernetes.io/restartedAt"])?;
    run("expose deployment web --port=80 --target-port=8080")?;
    has(&run("get service web -o wide")?, &["ClusterIP", "10.43.", "80/TCP", "app=web"])?;
    run("autoscale deployment web --min=1 --max=2")?;
    has(&run("get all")?, &["deployment.apps/web", "replicaset.apps/web-", "pod/web-", "service/web"])?;
    run("delete deployment web")?;
    pods(0)?;
    cluster.finish()
}

#[test]
fn what_the_server_says_about_itself() -> anyhow::Result<()> {
    let cluster = cluster()?;
    let kubectl = cluster.kubectl();
    let run = |line: &str| kubectl.run(line);
    has(&run("api-resources")?, &["configmaps", "cm", "deployments", "deploy", "apps/v1", "leases", "true", "false"])?;
    has(
        &run("api-resources --namespaced=false -o name")?,
        &["nodes", "namespaces", "clusterroles.rbac.authorization.k8s.io"],
    )?;
    has(&run("api-versions")?, &["v1", "apps/v1", "batch/v1", "networking.k8s.io/v1"])?;
    has(&run("explain pods.spec.containers.livenessProbe")?, &["KIND:", "Pod", "httpGet", "periodSeconds"])?;
    has(&run("version -o json")?, &["serverVersion", "v1.36"])?;
    has(&run("cluster-info")?, &["control plane", "127.0.0.1"])?;
    has(&run("get --raw /healthz")?, &["ok"])?;
    has(&run("get namespaces")?, &["default", "kube-system", "kube-public", "kube-node-lease", "Active"])?;
    has(&run("get service kubernetes")?, &["10.43.0.1", "443/TCP"])?;
    cluster.finish()
}

#[test]
fn who_may_do_what() -> anyhow::Result<()> {
    let cluster = cluster()?;
    let kubectl = cluster.kubectl();
    let run = |line: &str| kubectl.run(line);
    assert_eq!(run("auth can-i create pods")?.trim(), "yes");
    run("create serviceaccount robot")?;
    let robot = "--as=system:serviceaccount:default:robot";
    has(&kubectl.fails(&format!("auth can-i list pods {robot}"))?, &["no"])?;
    let forbidden = kubectl.fails(&format!("get pods {robot}"))?;
    has(&forbidden, &["(Forbidden)", r#"cannot list resource "pods" in API group "" in the namespace "default""#])?;
    run("create role reader --verb=get,list --resource=pods")?;
    run("create rolebinding robot-reads --role=reader --serviceaccount=default:robot")?;
    eventually(PATIENCE, || run(&format!("get pods {robot}")))?;
    kubectl.fails(&format!("delete pod x {robot}"))?;
    kubectl.fails(&format!("get pods {robot} -n kube-system"))?;
    // A stranger is nobody.
    let address = cluster.address()?;
    let stranger = kubectl
        .command(["get", "pods", "--kubeconfig=/dev/null", "--insecure-skip-tls-verify"])
        .arg(format!("--server=https://{address}"))
        .arg("--token=nonsense")
        .output()?;
    ensure!(!stranger.status.success());
    has(&String::from_utf8_lossy(&stranger.stderr), &["Unauthorized"])?;
    cluster.finish()
}

#[test]
fn wait_for_a_condition_and_for_deletion() -> anyhow::Result<()> {
    let cluster = cluster()?;
    let kubectl = cluster.kubectl();
    kubectl.feed("apply -f -", DEPLOYMENT)?;
    kubectl.run("wait --for=condition=Progressing deployment/web --timeout=60s")?;
    kubectl.run("create configmap gone")?;
    let mut waiting = kubectl.command(["wait", "--for=delete", "configmap/gone", "--timeout=60s"]).spawn()?;
    kubectl.run("delete configmap gone")?;
    ensure!(waiting.wait()?.success());
    has(&kubectl.fails("wait --for=condition=Available deployment/web --timeout=1s")?, &["timed out waiting"])?;
    cluster.finish()
}

#[test]
fn lists_in_pieces_and_by_selector() -> anyhow::Result<()> {
    let cluster = cluster()?;
    let kubectl = cluster.kubectl();
    let mut manifest = String::new();
    for number in 0..30 {
        let (name, parity) = (format!("item-{number:02}"), number % 2);
        manifest += &format!(
            "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, labels: {{parity: p{parity}}}}}}}\n"
        );
    }
    kubectl.feed("create -f -", &manifest)?;
    let count = |line: &str| anyhow::Ok(kubectl.run(line)?.lines().filter(|line| line.contains("item-")).count());
    assert_eq!(count("get configmaps --chunk-size=7 -o name")?, 30);
    assert_eq!(count("get configmaps -l parity=p1 -o name")?, 15);
    assert_eq!(count("get configmaps -l parity --no-headers")?, 30);
    let page: Value = serde_json::from_str(&kubectl.run("get --raw /api/v1/namespaces/default/configmaps?limit=10")?)?;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(10));
    ensure!(page["metadata"]["continue"].is_string() && page["metadata"]["remainingItemCount"].is_number(), "{page}");
    kubectl.run("delete configmaps -l parity=p0")?;
    assert_eq!(count("get configmaps -o name")?, 15);
    cluster.finish()
}
