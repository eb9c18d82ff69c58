//! CustomResourceDefinitions and their objects, as kubectl users and operators meet them.

use anyhow::ensure;
use minato_testkit::{Cluster, Options, eventually};
use serde_json::Value;

use crate::PATIENCE;

const DEFINITION: &str = include_str!("custom/scrapers.yaml");

const SCRAPER: &str = "
apiVersion: monitoring.example.com/v1
kind: Scraper
metadata: {name: one}
spec: {replicas: 2, endpoints: [{name: web}], labels: {a: b}, extra: {any: {thing: 1}}}
";

/// Asserts that a text has these parts, in any order.
fn has(text: &str, parts: &[&str]) -> anyhow::Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part:?} is not in {text}");
    }
    Ok(())
}

fn cluster() -> anyhow::Result<Cluster> {
    let cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    has(&kubectl.feed("apply -f -", DEFINITION)?, &["customresourcedefinition.apiextensions.k8s.io/scrapers"])?;
    kubectl.run("wait --for=condition=Established crd/scrapers.monitoring.example.com --timeout=30s")?;
    Ok(cluster)
}

#[test]
fn schema_columns_subresources_and_selectors() -> anyhow::Result<()> {
    let cluster = cluster()?;
    let kubectl = cluster.kubectl();
    let run = |line: &str| kubectl.run(line);
    let json = |line: &str| -> anyhow::Result<Value> { Ok(serde_json::from_str(&run(line)?)?) };
    has(&run("api-resources --api-group=monitoring.example.com")?, &["scrapers", "scr", "monitoring.example.com/v1"])?;
    has(&run("explain scraper.spec.replicas")?, &["How many scrapers run.", "integer"])?;
    has(&kubectl.feed("create -f -", SCRAPER)?, &["scraper.monitoring.example.com/one created"])?;
    let object = json("get scr one -o json")?;
    assert_eq!(object["spec"]["endpoints"][0]["path"], "/metrics");
    assert_eq!((&object["spec"]["policy"], &object["spec"]["extra"]["any"]["thing"]), (&"Always".into(), &1.into()));
    assert_eq!(object["metadata"]["generation"], 1);
    has(&run("get scrapers")?, &["NAME", "REPLICAS", "READY", "AGE", "one"])?;
    has(&run("get monitoring -o wide")?, &["POLICY", "Always"])?;
    // What the schema does not know is dropped, and told.
    let strict = SCRAPER.replace("name: one", "name: two").replace("replicas: 2", "replicaz: 2");
    let refused = kubectl.feed_fails("create -f -", &strict)?;
    has(&refused, &[r#"strict decoding error: unknown field "spec.replicaz""#])?;
    kubectl.feed("create --validate=false -f -", &strict)?;
    ensure!(json("get scr two -o json")?["spec"]["replicaz"].is_null());
    // Refusals in upstream's words.
    for (from, to, expected) in [
        (
            "replicas: 2",
            "replicas: lots",
            r#"spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string""#,
        ),
        (
            "replicas: 2",
            "policy: Maybe",
            r#"spec.policy: Unsupported value: "Maybe": supported values: "Always", "Never""#,
        ),
        ("endpoints: [{name: web}]", "interval: 1s", "spec.endpoints: Required value"),
        ("replicas: 2", "interval: soon", r#"spec.interval in body should match '^[0-9]+[smh]$'"#),
        ("[{name: web}]", "[{name: web}, {name: web}]", r#"spec.endpoints[1]: Duplicate value: {"name":"web"}"#),
        ("replicas: 2", "replicas: 11", r#"spec: Invalid value: "object": replicas must not be above maxReplicas"#),
    ] {
        let wrong = SCRAPER.replace("name: one", "name: wrong").replace(from, to);
        has(&kubectl.feed_fails("create --validate=ignore -f -", &wrong)?, &[expected])?;
    }
    // A transition rule compares with what was before.
    let refused = kubectl.fails(r#"patch scr one --type=merge -p {"spec":{"policy":"Never"}}"#)?;
    has(&refused, &[r#"spec.policy: Invalid value: "object": policy is immutable"#])?;
    has(
        &kubectl.fails(r#"patch scr one --type=strategic -p {"spec":{"replicas":3}}"#)?,
        &["application/strategic-merge-patch+json is not supported by"],
    )?;
    // Spec and status apart; generation counts the spec alone.
    run(r#"patch scr one --type=merge -p {"spec":{"replicas":3},"status":{"replicas":9}}"#)?;
    run(
        r#"patch scr one --type=merge --subresource=status -p {"spec":{"replicas":8},"status":{"replicas":3,"selector":"app=x","conditions":[{"type":"Ready","status":"True"}]}}"#,
    )?;
    let object = json("get scr one -o json")?;
    assert_eq!((&object["spec"]["replicas"], &object["status"]["replicas"]), (&3.into(), &3.into()));
    assert_eq!(object["metadata"]["generation"], 2);
    has(&run("get scrapers one")?, &["True"])?;
    run("scale scr one --replicas=4")?;
    let scale = json("get --raw /apis/monitoring.example.com/v1/namespaces/default/scrapers/one/scale")?;
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["selector"]), (&4.into(), &"app=x".into()));
    has(&run("get scr --field-selector spec.policy=Always -o name")?, &["/one"])?;
    ensure!(run("get scr --field-selector spec.policy=Never -o name")?.is_empty());
    has(&kubectl.fails("get scr --field-selector spec.interval=1s")?, &["field label not supported: spec.interval"])?;
    // The other version shows the same object, and warns.
    let old = json("get --raw /apis/monitoring.example.com/v1beta1/namespaces/default/scrapers/one")?;
    assert_eq!((&old["apiVersion"], &old["spec"]["replicas"]), (&"monitoring.example.com/v1beta1".into(), &4.into()));
    cluster.finish()
}

#[test]
fn definitions_are_checked_named_and_end_with_their_objects() -> anyhow::Result<()> {
    let cluster = cluster()?;
    let kubectl = cluster.kubectl();
    for (from, to, expected) in [
        (
            "replicas: {type: integer,",
            "replicas: {",
            "properties[replicas].type: Required value: must not be empty for specified object fields",
        ),
        ("storage: true", "storage: false", "must have exactly one version marked as storage version"),
        ("jsonPath: .spec.replicas}", "jsonPath: '.spec['}", "additionalPrinterColumns[0].jsonPath: Invalid value"),
        ("self.replicas <= self.maxReplicas", "self.replica <= 1", "undefined field 'replica'"),
        ("default: Always", "default: Sometimes", "Unsupported value: \"Sometimes\""),
    ] {
        let wrong = DEFINITION.replace("scrapers", "wrongs").replace(from, to);
        has(&kubectl.feed_fails("create -f -", &wrong)?, &[expected])?;
    }
    // Names are for one definition of a group.
    let other = DEFINITION.replace("plural: scrapers", "plural: others").replace("scrapers.mon", "others.mon");
    kubectl.feed("create -f -", &other)?;
    eventually(PATIENCE, || {
        let status = kubectl.run("get crd others.monitoring.example.com -o jsonpath={.status.conditions}")?;
        has(&status, &["SingularConflict", r#"\"scraper\" is already in use"#, "NotAccepted"])
    })?;
    kubectl.feed("create -f -", SCRAPER)?;
    kubectl.run(r#"patch scr one --type=merge -p {"metadata":{"finalizers":["example.com/hold"]}}"#)?;
    kubectl.run("delete crd scrapers.monitoring.example.com --wait=false")?;
    eventually(PATIENCE, || {
        let status = kubectl.run("get crd scrapers.monitoring.example.com -o jsonpath={.status.conditions}")?;
        has(&status, &["InstanceDeletionInProgress"])
    })?;
    let late = SCRAPER.replace("name: one", "name: late");
    has(&kubectl.feed_fails("create --validate=ignore -f -", &late)?, &["create is not supported"])?;
    kubectl.run(r#"patch scr one --type=merge -p {"metadata":{"finalizers":null}}"#)?;
    kubectl.run("wait --for=delete crd/scrapers.monitoring.example.com --timeout=30s")?;
    // The names are free: the other definition gets them.
    kubectl.run("wait --for=condition=Established crd/others.monitoring.example.com --timeout=30s")?;
    has(&kubectl.run("get others")?, &["No resources found"]).or_else(|_| anyhow::Ok(()))?;
    cluster.finish()
}
