//! Configurations, objects, owners.

mod conflicts;
mod lists;
mod ownership;
mod properties;
mod refusals;

use super::{Apply, apply};
use crate::{ApplyError, Track, track};
use minato_schema::{Schema, builtin};
use serde_json::{Value, json};

fn deployments() -> &'static Schema {
    builtin("apps", "v1", "Deployment").expect("a built-in kind")
}

fn request<'a>(manager: &'a str, now: &'a str) -> Apply<'a> {
    Apply { manager, api_version: "apps/v1", subresource: "", now, reset: &["status"], force: false }
}

fn update<'a>(manager: &'a str, now: &'a str) -> Track<'a> {
    Track { manager, api_version: "apps/v1", subresource: "", now, reset: &["status"] }
}

/// A configuration with this spec.
fn config(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "default"}, "spec": spec})
}

fn run(live: Option<&Value>, spec: Value, request: &Apply<'_>) -> Result<Value, ApplyError> {
    apply(deployments(), live, config(spec), request)
}

fn created(spec: Value, manager: &str) -> Value {
    run(None, spec, &request(manager, "T1")).expect("it applies")
}

/// What `manager` owns.
fn owned(object: &Value, manager: &str) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let entry = entries.into_iter().find(|entry| entry["manager"] == manager);
    entry.map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

fn updated(live: &Value, manager: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut new = live.clone();
    change(&mut new);
    track(deployments(), Some(live), &mut new, &update(manager, "T2"));
    new
}
