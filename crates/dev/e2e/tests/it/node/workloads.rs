//! StatefulSets and DaemonSets, as kubectl sees them.

use super::{IMAGE, becomes, cluster};

const WORKLOADS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: server
        image: IMAGE
        imagePullPolicy: IfNotPresent
        env: [{name: COLOUR, value: blue}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: server, image: IMAGE, imagePullPolicy: IfNotPresent}]
"#;

#[test]
fn sets_roll_and_roll_back() -> anyhow::Result<()> {
    let Some(cluster) = cluster(7)? else { return Ok(()) };
    let kubectl = cluster.kubectl();
    kubectl.feed("apply -f -", &WORKLOADS.replace("IMAGE", IMAGE))?;
    let rolled_out = |set: &str| kubectl.run(&format!("rollout status {set} --timeout=60s"));
    rolled_out("statefulset/db")?;
    rolled_out("daemonset/agent")?;
    assert_eq!(kubectl.run("get pods -l app=db -o jsonpath={.items[*].metadata.name}")?, "db-0 db-1");

    let colours = r"{range .items[*]}{.spec.containers[0].env[0].value} {end}";
    let colours = || kubectl.args(&["get", "pods", "-l", "app=db", "-o", &format!("jsonpath={colours}")]);
    kubectl.run("set env statefulset/db COLOUR=green")?;
    rolled_out("statefulset/db")?;
    assert_eq!(colours()?, "green green ");
    kubectl.run("rollout undo statefulset/db")?;
    rolled_out("statefulset/db")?;
    assert_eq!(colours()?, "blue blue ");
    let history = kubectl.run("rollout history statefulset/db")?;
    assert!(history.contains("\n2 ") && history.contains("\n3 "), "{history}");

    kubectl.run("scale statefulset/db --replicas=1")?;
    becomes(&kubectl, "pods -l app=db", ".items[*].metadata.name", "db-0")?;
    becomes(&kubectl, "statefulset/db", ".status.readyReplicas", "1")?;

    // A daemon that is deleted comes back; on a node that it does not belong on it does not stay.
    let agent = || kubectl.run("get pods -l app=agent -o jsonpath={.items[*].metadata.uid}");
    let first = agent()?;
    kubectl.run("delete pod -l app=agent --timeout=60s")?;
    rolled_out("daemonset/agent")?;
    assert_ne!(agent()?, first);
    kubectl.run("taint node --all maintenance=now:NoExecute")?;
    becomes(&kubectl, "daemonset/agent", ".status.desiredNumberScheduled", "0")?;
    becomes(&kubectl, "pods -l app=agent", ".items[*].metadata.name", "")?;
    kubectl.run("taint node --all maintenance-")?;
    becomes(&kubectl, "daemonset/agent", ".status.numberReady", "1")?;
    cluster.finish()
}
