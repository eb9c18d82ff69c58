//! The table against the published OpenAPI document.

use super::{Definition, Field, TABLES, Topology};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The published document, read where a checkout keeps it beside the project; absent elsewhere.
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

fn extensions(field: &Field) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut put = |key: &str, value: Value| drop(found.insert(format!("x-kubernetes-{key}"), value));
    match field.topology {
        Some(Topology::ListMap(keys)) => {
            put("list-type", json!("map"));
            put("list-map-keys", json!(keys));
        }
        Some(Topology::ListSet) => put("list-type", json!("set")),
        Some(Topology::ListAtomic) => put("list-type", json!("atomic")),
        Some(Topology::MapAtomic) => put("map-type", json!("atomic")),
        Some(Topology::MapGranular) => put("map-type", json!("granular")),
        None => {}
    }
    if let Some(strategy) = field.patch.strategy() {
        put("patch-strategy", json!(strategy));
    }
    if let Some(key) = field.patch.merge_key {
        put("patch-merge-key", json!(key));
    }
    found
}

fn published_extensions(property: &Value) -> BTreeMap<String, Value> {
    let object = property.as_object().expect("a property is an object");
    object
        .iter()
        .filter(|(key, _)| key.starts_with("x-kubernetes-"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn union_of(row: &Definition) -> Option<Value> {
    let union = row.union?;
    let fields: BTreeMap<_, _> = union.fields.iter().copied().collect();
    Some(match union.discriminator {
        Some(name) => json!([{"discriminator": name, "fields-to-discriminateBy": fields}]),
        None => json!([{"fields-to-discriminateBy": fields}]),
    })
}

#[test]
fn every_fact_is_the_published_one() {
    let Some(document) = published() else { return };
    let definitions = document["definitions"].as_object().expect("definitions");
    for row in TABLES.iter().flat_map(|table| table.iter()) {
        assert!(definitions.contains_key(row.name), "{} is not published", row.name);
    }
    for (name, definition) in definitions {
        let row = super::of(name);
        assert_eq!(row.is_some_and(|row| row.atomic), definition["x-kubernetes-map-type"] == json!("atomic"), "{name}");
        assert_eq!(row.and_then(union_of).as_ref(), definition.get("x-kubernetes-unions"), "{name}");
        let empty = serde_json::Map::new();
        let properties = definition["properties"].as_object().unwrap_or(&empty);
        let mut known: BTreeSet<&str> = row.iter().flat_map(|row| row.fields.iter().map(|field| field.name)).collect();
        for (field, property) in properties {
            known.remove(field.as_str());
            let ours = row.and_then(|row| row.field(field)).map(extensions).unwrap_or_default();
            assert_eq!(ours, published_extensions(property), "{name}.{field}");
        }
        assert!(known.is_empty(), "{name} lacks {known:?}");
    }
}

#[test]
fn tables_are_sorted() {
    for table in TABLES {
        assert!(table.is_sorted_by(|a, b| a.name < b.name));
    }
}
