//! The documents against the published one.

use super::{Form, Part, Resource, Subresource, v3, v3_index};
use crate::kinds;
use serde_json::{Map, Value, json};

const ALL: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

fn published() -> Option<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/spec/openapi-v1.36.json");
    match std::fs::read(path) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).expect("the published document is JSON")),
        Err(_) => {
            eprintln!("skipped: no openapi-v1.36.json beside the project");
            None
        }
    }
}

fn v2(resources: &[Resource<'_>]) -> Value {
    serde_json::from_slice(&super::v2(resources, &[], Form::Json)).expect("a document")
}

fn resource(group: &'static str, version: &'static str, plural: &'static str, kind: &'static str) -> Resource<'static> {
    let schema = None;
    Resource {
        group,
        version,
        plural,
        kind,
        namespaced: true,
        verbs: ALL,
        subresources: Vec::new(),
        schema,
        edition: 0,
    }
}

fn subresource(name: &'static str, body: Option<(&'static str, &'static str, &'static str)>) -> Subresource<'static> {
    let verbs: &[&str] = match name {
        "eviction" | "binding" | "token" => &["create"],
        "log" => &["get"],
        "exec" | "attach" | "portforward" => &["create", "get"],
        "proxy" => &["create", "delete", "get", "patch", "update"],
        "finalize" => &["update"],
        _ => &["get", "patch", "update"],
    };
    Subresource { name, verbs, body }
}

/// A cross-section of what an API server serves.
fn served() -> Vec<Resource<'static>> {
    let status = || subresource("status", None);
    let scale = || subresource("scale", Some(("autoscaling", "v1", "Scale")));
    let cluster = |resource: Resource<'static>| Resource { namespaced: false, ..resource };
    let with = |resource: Resource<'static>, subresources| Resource { subresources, ..resource };
    let review = "subjectaccessreviews";
    vec![
        with(
            resource("", "v1", "pods", "Pod"),
            vec![
                status(),
                subresource("log", None),
                subresource("resize", None),
                subresource("ephemeralcontainers", None),
                subresource("exec", None),
                subresource("attach", None),
                subresource("portforward", None),
                subresource("proxy", None),
                subresource("eviction", Some(("policy", "v1", "Eviction"))),
                subresource("binding", Some(("", "v1", "Binding"))),
            ],
        ),
        resource("", "v1", "configmaps", "ConfigMap"),
        resource("", "v1", "secrets", "Secret"),
        with(resource("", "v1", "services", "Service"), vec![status()]),
        with(
            resource("", "v1", "serviceaccounts", "ServiceAccount"),
            vec![subresource("token", Some(("authentication.k8s.io", "v1", "TokenRequest")))],
        ),
        with(cluster(resource("", "v1", "nodes", "Node")), vec![status()]),
        with(cluster(resource("", "v1", "persistentvolumes", "PersistentVolume")), vec![status()]),
        with(resource("apps", "v1", "deployments", "Deployment"), vec![status(), scale()]),
        with(resource("apps", "v1", "daemonsets", "DaemonSet"), vec![status()]),
        with(resource("batch", "v1", "jobs", "Job"), vec![status()]),
        cluster(resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole")),
        with(cluster(resource("flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "FlowSchema")), vec![status()]),
        with(
            cluster(resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")),
            vec![status()],
        ),
        with(resource("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim"), vec![status()]),
        Resource {
            verbs: &["create"],
            ..cluster(resource("authorization.k8s.io", "v1", review, "SubjectAccessReview"))
        },
    ]
}

/// Takes the prose out, which `k8s-openapi` words differently here and there, and the order of required fields.
fn without_prose(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(key, value)| *key != "description" || !value.is_string());
            let mut kept: Map<String, Value> = kept.map(|(key, value)| (key.clone(), without_prose(value))).collect();
            if let Some(Value::Array(required)) = kept.get_mut("required") {
                required.sort_by_key(Value::to_string);
            }
            Value::Object(kept)
        }
        Value::Array(items) => items.iter().map(without_prose).collect(),
        scalar => scalar.clone(),
    }
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}

#[test]
fn definitions_are_the_published_ones() {
    let Some(published) = published() else { return };
    let every_kind = kinds::all().filter(|row| row.kind != "DeleteOptions");
    let every_kind: Vec<_> = every_kind.map(|row| resource(row.group, row.version, "x", row.kind)).collect();
    let document = v2(&every_kind);
    let definitions = object(&document["definitions"]);
    assert!(definitions.len() > 700, "{} definitions", definitions.len());
    let mut differences = Vec::new();
    for (name, definition) in definitions {
        let unlisted = (name.ends_with("List") && definition["properties"].get("items").is_some())
            && published["definitions"].get(name).is_none();
        if name.ends_with(".DeleteOptions") || unlisted {
            continue; // the first names the group versions of this document only; the others have no lists
        }
        let theirs = published["definitions"].get(name).unwrap_or_else(|| panic!("{name} is not published"));
        let (ours, theirs) = (without_prose(definition), without_prose(theirs));
        if ours != theirs {
            let both = object(&ours).keys().chain(object(&theirs).keys());
            let keys: std::collections::BTreeSet<_> = both.filter(|key| ours.get(key) != theirs.get(key)).collect();
            differences
                .extend(keys.into_iter().map(|key| format!("{name} {key}: {:?} {:?}", ours.get(key), theirs.get(key))));
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn operations_are_the_published_ones() {
    let Some(published) = published() else { return };
    let document = v2(&served());
    for (path, operations) in object(&document["paths"]) {
        let theirs = published["paths"].get(path).unwrap_or_else(|| panic!("{path} is not published"));
        let methods = |operations: &Value| object(operations).keys().cloned().collect::<Vec<_>>();
        assert_eq!(methods(operations), methods(theirs), "{path}");
        for (method, operation) in object(operations).iter().filter(|(method, _)| *method != "parameters") {
            let same = ["operationId", "tags", "x-kubernetes-action", "x-kubernetes-group-version-kind"];
            for key in same {
                assert_eq!(operation.get(key), theirs[method].get(key), "{method} {path} {key}");
            }
            let codes = |operation: &Value| without_prose(&operation["responses"]);
            assert_eq!(codes(operation), codes(&theirs[method]), "{method} {path}");
        }
    }
}

#[test]
fn every_reference_resolves() {
    fn check(value: &Value, document: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let pointer = reference.strip_prefix('#').expect("a local reference");
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                fields.values().for_each(|field| check(field, document));
            }
            Value::Array(items) => items.iter().for_each(|item| check(item, document)),
            _ => {}
        }
    }
    for document in [v2(&served()), v3(&served()), v3(&[custom()])] {
        check(&document, &document);
    }
}

#[test]
fn v3_says_what_kubectl_looks_for() {
    let document = v3(&served());
    let pod = "#/components/schemas/io.k8s.api.core.v1.Pod";
    let patch = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"], json!({"group": "", "version": "v1", "kind": "Pod"}));
    assert!(patch["requestBody"]["content"].get("application/strategic-merge-patch+json").is_some());
    assert!(patch["parameters"].as_array().expect("parameters").iter().any(|it| it["name"] == "fieldValidation"));
    assert_eq!(patch["responses"]["200"]["content"]["application/json"]["schema"]["$ref"], pod);
    let schemas = &document["components"]["schemas"];
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    let spec = &schemas["io.k8s.api.core.v1.Pod"]["properties"]["spec"];
    assert_eq!(spec["allOf"], json!([{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}]));
    assert!(spec["description"].is_string());
    assert_eq!(schemas["io.k8s.api.core.v1.ContainerPort"]["properties"]["protocol"]["default"], "TCP");
}

const SCHEMA: &str = r#"{"type": "object", "description": "CronTab is a custom resource.", "properties": {
    "spec": {"type": "object", "required": ["cronSpec"], "properties": {
        "cronSpec": {"type": "string", "pattern": "^a$"},
        "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}},
        "rules": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}}}}}}"#;

fn custom() -> Resource<'static> {
    let schema: &'static Value = Box::leak(Box::new(serde_json::from_str(SCHEMA).expect("JSON")));
    let scale = subresource("scale", Some(("autoscaling", "v1", "Scale")));
    let subresources = vec![subresource("status", None), scale];
    Resource { schema: Some(schema), subresources, ..resource("stable.example.com", "v1", "crontabs", "CronTab") }
}

#[test]
fn custom_resources_are_published() {
    let document = v3(&[custom()]);
    let definition = &document["components"]["schemas"]["com.example.stable.v1.CronTab"];
    let gvk = json!([{"group": "stable.example.com", "version": "v1", "kind": "CronTab"}]);
    assert_eq!(definition["x-kubernetes-group-version-kind"], gvk);
    assert_eq!(definition["properties"]["spec"]["properties"]["rules"]["x-kubernetes-list-type"], "map");
    assert_eq!(definition["properties"]["spec"]["properties"]["port"]["anyOf"][0]["type"], "integer");
    let path = "/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}";
    let patch = &document["paths"][path]["patch"];
    assert_eq!(patch["operationId"], "patchStableExampleComV1NamespacedCronTab");
    assert!(patch["requestBody"]["content"].get("application/strategic-merge-patch+json").is_none());

    let document = v2(&[custom()]);
    let spec = &document["definitions"]["com.example.stable.v1.CronTab"]["properties"]["spec"];
    assert_eq!(spec["properties"]["cronSpec"], json!({"type": "string", "pattern": "^a$"}));
    assert_eq!(spec["properties"]["port"], json!({"x-kubernetes-int-or-string": true}));
    assert_eq!(spec["properties"]["free"], json!({"x-kubernetes-preserve-unknown-fields": true}));
}

#[test]
fn parts_of_other_servers_are_added() {
    let part = json!({
        "paths": {"/apis/g/v1/things": {"get": {}}, "/api/v1/namespaces/{namespace}/configmaps": "theirs"},
        "definitions": {"Thing": {"type": "object"}, "io.k8s.api.core.v1.ConfigMap": "theirs"},
        "parameters": {"limit-abc": {"in": "query", "name": "limit"}},
    });
    let part = Part {
        paths: object(&part["paths"]),
        definitions: object(&part["definitions"]),
        parameters: object(&part["parameters"]),
    };
    let ours = [resource("", "v1", "configmaps", "ConfigMap")];
    let document: Value = serde_json::from_slice(&super::v2(&ours, &[part], Form::Json)).expect("a document");
    assert!(document["paths"]["/apis/g/v1/things"]["get"].is_object());
    assert!(document["paths"]["/api/v1/namespaces/{namespace}/configmaps"].is_object());
    assert_eq!(document["definitions"]["Thing"]["type"], "object");
    assert_eq!(document["definitions"]["io.k8s.api.core.v1.ConfigMap"]["type"], "object");
    assert_eq!(document["parameters"]["limit-abc"]["name"], "limit");
}

#[test]
fn the_index_changes_with_what_is_served() {
    let hash = |resources: &[Resource<'_>], path: &str| {
        let index = v3_index(resources);
        index["paths"][path]["serverRelativeURL"].as_str().expect("a URL").to_owned()
    };
    let all = served();
    let url = hash(&all, "apis/apps/v1");
    assert!(url.starts_with("/openapi/v3/apis/apps/v1?hash="));
    assert_eq!(url, hash(&all, "apis/apps/v1"));
    let fewer: Vec<_> = all.into_iter().filter(|resource| resource.kind != "DaemonSet").collect();
    assert_ne!(url, hash(&fewer, "apis/apps/v1"));
    assert_eq!(hash(&served(), "api/v1"), hash(&fewer, "api/v1"));
}
