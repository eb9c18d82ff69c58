//! Writes that are no apply, and whose the fields are afterwards.

use super::{Track, track};
use minato_schema::{Schema, builtin};
use serde_json::{Value, json};

fn deployments() -> &'static Schema {
    builtin("apps", "v1", "Deployment").expect("a built-in kind")
}

fn by<'a>(manager: &'a str, now: &'a str) -> Track<'a> {
    Track { manager, api_version: "apps/v1", subresource: "", now, reset: &["status"] }
}

fn written(live: Option<&Value>, mut new: Value, write: &Track<'_>) -> Value {
    track(deployments(), live, &mut new, write);
    new
}

/// Manager, operation, fields.
fn owners(object: &Value) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    entries.into_iter().map(|entry| json!([entry["manager"], entry["time"], entry["fieldsV1"]])).collect()
}

fn deployment(replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "uid": "u", "labels": {"app": "d"}},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"a": "b"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
        "status": {"replicas": 3},
    })
}

#[test]
fn who_creates_owns_what_is_there() {
    let fields = json!({
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {
            "f:replicas": {}, "f:selector": {},
            "f:strategy": {"f:type": {}, "f:rollingUpdate": {".": {}, "f:maxSurge": {}}},
            "f:template": {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {
                "f:containers": {".": {}, "k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:image": {}}}}}},
    });
    let mut expected = json!([["kubectl-create", "T1", fields]]);
    // `containers` is no pointer, but a list that every pod template has.
    let created = written(None, deployment(1), &by("kubectl-create", "T1"));
    let containers = expected.pointer_mut("/0/2/f:spec/f:template/f:spec/f:containers").expect("there");
    containers.as_object_mut().expect("an object").remove(".");
    let mut found = owners(&created);
    let containers = found.pointer_mut("/0/2/f:spec/f:template/f:spec/f:containers").expect("there");
    containers.as_object_mut().expect("an object").remove(".");
    assert_eq!(found, expected);
    let entry = &created["metadata"]["managedFields"][0];
    assert_eq!((&entry["operation"], &entry["fieldsType"]), (&json!("Update"), &json!("FieldsV1")));
}

#[test]
fn who_changes_a_field_owns_it() {
    let created = written(None, deployment(1), &by("a", "T1"));
    let mut scaled = created.clone();
    scaled["spec"]["replicas"] = json!(5);
    let scaled = written(Some(&created), scaled, &by("b", "T2"));
    let found = owners(&scaled);
    assert_eq!(found[0][0], "a");
    assert_eq!(found[0][2]["f:spec"].get("f:replicas"), None);
    assert_eq!(found[1], json!(["b", "T2", {"f:spec": {"f:replicas": {}}}]));
}

#[test]
fn who_changes_nothing_is_not_noted() {
    let created = written(None, deployment(1), &by("a", "T1"));
    assert_eq!(written(Some(&created), created.clone(), &by("b", "T2")), created);
    assert_eq!(written(Some(&created), created.clone(), &by("a", "T2")), created);
}

#[test]
fn removed_fields_are_nobodys() {
    let created = written(None, deployment(1), &by("a", "T1"));
    let mut less = created.clone();
    less["metadata"].as_object_mut().expect("an object").remove("labels");
    let less = written(Some(&created), less, &by("b", "T2"));
    let found = owners(&less);
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    assert_eq!(found[0][2].get("f:metadata"), None);
}

#[test]
fn status_is_nobodys_but_its_writers() {
    let created = written(None, deployment(1), &by("a", "T1"));
    assert_eq!(owners(&created)[0][2].get("f:status"), None);
    let mut reported = created.clone();
    reported["status"]["replicas"] = json!(1);
    let write = Track { subresource: "status", reset: &["spec"], ..by("controller", "T2") };
    let reported = written(Some(&created), reported, &write);
    let entry = &reported["metadata"]["managedFields"][1];
    assert_eq!(
        (&entry["subresource"], &entry["fieldsV1"]),
        (&json!("status"), &json!({"f:status": {"f:replicas": {}}}))
    );
}

#[test]
fn clients_that_know_nothing_of_managers_do_not_lose_them() {
    let created = written(None, deployment(1), &by("a", "T1"));
    let mut plain = created.clone();
    plain["metadata"].as_object_mut().expect("an object").remove("managedFields");
    assert_eq!(written(Some(&created), plain, &by("b", "T2")), created);
    let mut odd = created.clone();
    odd["metadata"]["managedFields"] = json!([{"operation": "Jump"}]);
    assert_eq!(written(Some(&created), odd, &by("b", "T2")), created);
}

#[test]
fn a_single_empty_entry_resets_managers() {
    let created = written(None, deployment(1), &by("a", "T1"));
    let mut reset = created.clone();
    reset["metadata"]["managedFields"] = json!([{}]);
    assert_eq!(owners(&written(Some(&created), reset, &by("b", "T2"))), json!([]));
}

#[test]
fn many_writers_become_ancient() {
    let mut object = written(None, deployment(0), &by("m00", "T00"));
    for n in 1..=14 {
        let (manager, now) = (format!("m{n:02}"), format!("T{n:02}"));
        let mut next = object.clone();
        next["metadata"]["annotations"][&manager] = json!("x");
        object = written(Some(&object), next, &by(&manager, &now));
    }
    let found = owners(&object);
    let names: Vec<&str> = found.as_array().expect("entries").iter().filter_map(|entry| entry[0].as_str()).collect();
    assert_eq!(names.len(), 10);
    assert_eq!((names[0], names[9]), ("ancient-changes", "m14"));
    assert!(found[0][2]["f:metadata"]["f:annotations"].get("f:m03").is_some());
}

/// The creation as the general comparison has it: against an object with nothing but what is always there.
#[test]
fn creating_is_changing_an_empty_object() {
    let skeleton = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {},
        "spec": {"selector": {}, "strategy": {}, "template": {"metadata": {}, "spec": {"containers": []}}},
        "status": {},
    });
    let created = written(None, deployment(1), &by("a", "T1"));
    let changed = written(Some(&skeleton), deployment(1), &by("a", "T1"));
    assert_eq!(owners(&created), owners(&changed));
}
