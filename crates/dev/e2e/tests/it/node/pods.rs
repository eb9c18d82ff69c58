//! What runs in a pod, how it ends, and how one looks inside.

use anyhow::ensure;

use super::{IMAGE, becomes, cluster, get, request};

#[test]
fn pods_run_and_end() -> anyhow::Result<()> {
    let Some(cluster) = cluster(0)? else { return Ok(()) };
    let kubectl = cluster.kubectl();
    let run = |line: &str| kubectl.run(line);
    run("create configmap settings --from-literal=COLOUR=green --from-literal=file.txt=content")?;
    run("create secret generic keys --from-literal=KEY=hush")?;
    kubectl.feed(
        "apply -f -",
        &format!(
            r#"
apiVersion: v1
kind: Pod
metadata: {{name: server, labels: {{app: server}}}}
spec:
  containers:
  - name: server
    image: {IMAGE}
    imagePullPolicy: IfNotPresent
    env:
    - {{name: COLOUR, valueFrom: {{configMapKeyRef: {{name: settings, key: COLOUR}}}}}}
    - {{name: KEY, valueFrom: {{secretKeyRef: {{name: keys, key: KEY}}}}}}
    - {{name: POD, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}
    ports: [{{containerPort: 8080}}]
    readinessProbe: {{httpGet: {{path: /readyz, port: 8080}}, periodSeconds: 1}}
    resources: {{limits: {{memory: 64Mi}}}}
    volumeMounts: [{{name: settings, mountPath: /settings}}]
  volumes: [{{name: settings, configMap: {{name: settings}}}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: wrong}}
spec:
  restartPolicy: Never
  containers: [{{name: c, image: {IMAGE}, imagePullPolicy: IfNotPresent, args: [--no-such-option]}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: missing}}
spec:
  containers: [{{name: c, image: "example.com/nowhere:1"}}]
"#
        ),
    )?;
    becomes(&kubectl, "pod/server", ".status.containerStatuses[0].ready", "true")?;
    let ip = run("get pod server -o jsonpath={.status.podIP}")?;
    let address = format!("{ip}:8080");
    let told: serde_json::Value = serde_json::from_str(&get(&address, "/")?)?;
    assert_eq!(told["hostname"], "server");
    for (name, value) in [("COLOUR", "green"), ("KEY", "hush"), ("POD", "server")] {
        assert_eq!(told["environment"][name], value);
    }
    get(&address, "/log?line=harbour&count=3")?;
    minato_testkit::eventually(crate::PATIENCE, || {
        let logs = run("logs server --tail=2")?;
        ensure!(logs == "harbour\nharbour\n", "{logs:?}");
        anyhow::Ok(())
    })?;

    becomes(&kubectl, "pod/wrong", ".status.phase", "Failed")?;
    becomes(&kubectl, "pod/wrong", ".status.containerStatuses[0].state.terminated.reason", "Error")?;
    becomes(&kubectl, "pod/wrong", ".status.containerStatuses[0].state.terminated.exitCode", "1")?;
    let logs = run("logs wrong")?;
    ensure!(logs.contains("unknown option --no-such-option"), "{logs}");
    minato_testkit::eventually(crate::PATIENCE, || {
        let reason = run("get pod missing -o jsonpath={.status.containerStatuses[0].state.waiting.reason}")?;
        ensure!(["ErrImagePull", "ImagePullBackOff"].contains(&reason.as_str()), "{reason:?}");
        anyhow::Ok(())
    })?;

    super::streams::commands_and_connections(&kubectl, "server")?;
    super::streams::debugger(&kubectl, "server", &ip)?;
    crate::python::run_program("exec.py", &[cluster.kubeconfig().as_ref(), "server".as_ref()])?;

    // Not ready by its own word, and ready again.
    request(&address, "POST", "/readyz?ok=false")?;
    becomes(&kubectl, "pod/server", ".status.containerStatuses[0].ready", "false")?;
    request(&address, "POST", "/readyz?ok=true")?;
    becomes(&kubectl, "pod/server", ".status.containerStatuses[0].ready", "true")?;
    // Ended with a code: started again, and the former life is told.
    get(&address, "/exit?code=3")?;
    becomes(&kubectl, "pod/server", ".status.containerStatuses[0].restartCount", "1")?;
    becomes(&kubectl, "pod/server", ".status.containerStatuses[0].lastState.terminated.exitCode", "3")?;
    ensure!(run("logs server --previous")?.contains("harbour"));
    becomes(&kubectl, "pod/server", ".status.containerStatuses[0].ready", "true")?;
    // Too hungry.
    let _ = get(&address, "/memory?bytes=200000000");
    becomes(&kubectl, "pod/server", ".status.containerStatuses[0].lastState.terminated.reason", "OOMKilled")?;
    let node = run("get nodes -o jsonpath={.items[0].metadata.name}")?;
    super::admission::what_does_not_fit_is_refused(&kubectl, &node)?;
    run("delete pod server wrong missing --timeout=60s")?;
    cluster.finish()
}
