//! Expressions with their results, as cel-go and Kubernetes have them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod cost;
mod errors;
mod kubernetes;
mod language;
mod properties;

use minato_cel::{Budget, Environment, Type, Value, compile};
use serde_json::{Value as Json, json};

/// What most expressions here look at.
pub(crate) fn object() -> Json {
    json!({
        "metadata": {"name": "web-1", "namespace": "prod", "labels": {"app": "web", "tier": "front"}},
        "spec": {
            "replicas": 3, "ratio": 0.5, "paused": false, "nothing": null,
            "containers": [
                {"name": "a", "image": "nginx:1.25", "ports": [80, 443]},
                {"name": "b", "image": "redis", "ports": []},
            ],
        },
    })
}

/// The value of `source` over [`object`] as JSON, or the error's text.
pub(crate) fn run(source: &str) -> Result<Json, String> {
    let environment = Environment::new().with("object", Type::Dyn).with("variables.limit", Type::Int);
    let program = compile(&environment, source).map_err(|error| error.to_string())?;
    let object = object();
    let mut budget = Budget::new(10_000_000);
    let value =
        program.evaluate(&[Value::of(&object), Value::Int(5)], &mut budget).map_err(|error| error.to_string())?;
    value.to_json().map_err(|error| error.to_string())
}

/// Every expression is true.
pub(crate) fn check_true(sources: &[&str]) {
    let wrong: Vec<String> = sources
        .iter()
        .filter_map(|source| match run(source) {
            Ok(Json::Bool(true)) => None,
            other => Some(format!("{source}\n    gives {other:?}")),
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every expression has this value.
pub(crate) fn check(cases: &[(&str, Json)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(source, expected)| match run(source) {
            Ok(found) if found == *expected => None,
            other => Some(format!("{source}\n    gives {other:?}, not {expected}")),
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every expression fails, with a text that contains this.
pub(crate) fn check_fails(cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(source, expected)| match run(source) {
            Err(error) if error.contains(expected) => None,
            other => Some(format!("{source}\n    gives {other:?}, not {expected:?}")),
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
