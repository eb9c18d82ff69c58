//! `kubectl apply --server-side`: managers of fields, conflicts, removal, and the way there from client-side apply.

use anyhow::ensure;
use minato_testkit::{Cluster, Kubectl, Options};
use serde_json::{Value, json};

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  REPLICAS
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: 'example.com/web:IMAGE'}
";

fn deployment(replicas: &str, image: &str) -> String {
    DEPLOYMENT.replace("REPLICAS", replicas).replace("IMAGE", image)
}

fn get(kubectl: &Kubectl, object: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&kubectl.run(&format!("get {object} -o json --show-managed-fields"))?)?)
}

/// Manager, operation, subresource of each entry.
fn managers(object: &Value) -> Vec<(&str, &str, &str)> {
    let entries = object["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
    entries
        .iter()
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default();
            (text("manager"), text("operation"), text("subresource"))
        })
        .collect()
}

fn fields<'a>(object: &'a Value, manager: &str) -> &'a Value {
    let entries = object["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
    entries.iter().find(|entry| entry["manager"] == manager).map_or(&Value::Null, |entry| &entry["fieldsV1"])
}

fn has(text: &str, parts: &[&str]) -> anyhow::Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part:?} is not in {text}");
    }
    Ok(())
}

#[test]
fn two_managers_of_one_object() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    let apply = "apply --server-side -f -";
    has(&kubectl.feed(apply, &deployment("replicas: 1", "1"))?, &["deployment.apps/web serverside-applied"])?;
    let made = get(&kubectl, "deployment web")?;
    assert_eq!(managers(&made).first(), Some(&("kubectl", "Apply", "")));
    assert_eq!(
        fields(&made, "kubectl")["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"web\"}"],
        json!({".": {}, "f:image": {}, "f:name": {}})
    );
    ensure!(kubectl.run("get deployment web -o yaml")?.find("managedFields").is_none());

    // The same again is no write.
    kubectl.feed(apply, &deployment("replicas: 1", "1"))?;
    let again = get(&kubectl, "deployment web")?;
    assert_eq!(fields(&again, "kubectl"), fields(&made, "kubectl"));
    assert_eq!(again["metadata"]["generation"], made["metadata"]["generation"]);

    // Another manager: the same value is shared, another one a conflict.
    let other = "apply --server-side --field-manager=other -f -";
    kubectl.feed(other, &deployment("replicas: 1", "1"))?;
    let refused = kubectl.feed_fails(other, &deployment("replicas: 1", "2"))?;
    has(
        &refused,
        &[
            "Apply failed with 1 conflict: conflict with \"kubectl\": .spec.template.spec.containers[name=\"web\"].image",
        ],
    )?;
    has(
        &kubectl.feed_fails(
            "diff --server-side --field-manager=other --force-conflicts -f -",
            &deployment("replicas: 1", "2"),
        )?,
        &["- image: example.com/web:1", "- image: example.com/web:2"],
    )?;
    kubectl.feed(&format!("{other} --force-conflicts"), &deployment("replicas: 1", "2"))?;
    let forced = get(&kubectl, "deployment web")?;
    ensure!(forced["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/web:2");
    let container =
        &fields(&forced, "kubectl")["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"web\"}"];
    assert_eq!(*container, json!({".": {}, "f:name": {}}));

    // `scale` takes the number; who leaves it out gives it up.
    kubectl.run("scale deployment web --replicas=3")?;
    let scaled = get(&kubectl, "deployment web")?;
    ensure!(managers(&scaled).contains(&("kubectl", "Update", "scale")), "{:?}", managers(&scaled));
    has(
        &kubectl.feed_fails(other, &deployment("replicas: 1", "2"))?,
        &["conflict with \"kubectl\" with subresource \"scale\" using apps/v1: .spec.replicas"],
    )?;
    kubectl.feed(other, &deployment("", "2"))?;
    ensure!(get(&kubectl, "deployment web")?["spec"]["replicas"] == 3);
    cluster.finish()
}

#[test]
fn fields_left_out_go() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    let config_map = |data: &str, labels: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: one, labels: {{{labels}}}}}\ndata: {{{data}}}\n")
    };
    let apply = "apply --server-side -f -";
    kubectl.feed(apply, &config_map("a: '1', b: '2'", "tier: web"))?;
    kubectl.run(r#"patch configmap one --type=merge -p {"data":{"c":"3"}}"#)?;
    kubectl.feed(apply, &config_map("a: '1'", "tier: web"))?;
    let object = get(&kubectl, "configmap one")?;
    assert_eq!(object["data"], json!({"a": "1", "c": "3"}));
    assert_eq!(managers(&object), [("kubectl", "Apply", ""), ("kubectl-patch", "Update", "")]);
    // A dry run writes nothing.
    kubectl.feed("apply --server-side --dry-run=server -f -", &config_map("a: '9'", "tier: web"))?;
    assert_eq!(get(&kubectl, "configmap one")?["metadata"], object["metadata"]);
    // Nor does what the kind does not have, or a wrong request.
    has(
        &kubectl.feed_fails(apply, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndate: {}\n")?,
        &[
            "failed to create typed patch object (default/one; /v1, Kind=ConfigMap): .date: field not declared in schema",
        ],
    )?;
    cluster.finish()
}

#[test]
fn from_client_side_apply() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    kubectl.feed("apply -f -", &deployment("replicas: 2", "1"))?;
    let before = get(&kubectl, "deployment web")?;
    ensure!(managers(&before).contains(&("kubectl-client-side-apply", "Update", "")), "{:?}", managers(&before));
    kubectl.feed("apply --server-side -f -", &deployment("", "2"))?;
    let after = get(&kubectl, "deployment web")?;
    ensure!(!managers(&after).iter().any(|(name, ..)| *name == "kubectl-client-side-apply"), "{:?}", managers(&after));
    ensure!(after["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/web:2");
    // The number was the client's own: left out, it is what the kind takes by itself.
    ensure!(after["spec"]["replicas"] == 1, "{}", after["spec"]["replicas"]);
    cluster.finish()
}
