//! Noting who changed what by a write that is no apply.

use crate::{
    compare::Comparison,
    field_set::FieldSet,
    managers::{self, Manager, Managers, Operation, Ownership},
    path::PathElement,
};
use minato_schema::Schema;
use serde_json::{Map, Value};

/// A write that is no apply.
#[derive(Debug, Clone, Copy)]
pub struct Track<'a> {
    /// The `fieldManager` of the request, or what stands in for it.
    pub manager: &'a str,
    /// The `apiVersion` of the request.
    pub api_version: &'a str,
    /// The subresource written to; empty for the object itself.
    pub subresource: &'a str,
    /// When, RFC 3339.
    pub now: &'a str,
    /// Top-level fields that such a write cannot change, `status` for the object itself.
    pub reset: &'a [&'a str],
}

/// Writes to `new` who owns its fields after it took the place of `live` (none when it is created). What `new` says
/// itself about managers counts if it is well-formed; a single empty entry resets them.
pub fn track(schema: &Schema, live: Option<&Value>, new: &mut Value, write: &Track<'_>) {
    let mut managers = managers_of(live, new, write.subresource);
    managers::strip(new);
    let before = match live {
        Some(live) => {
            let mut live = live.clone();
            managers::strip(&mut live);
            live
        }
        None => skeleton(Some(schema), new),
    };
    let ignored = ignored_fields(write.reset);
    let comparison = Comparison::of(schema, &before, new).without(&ignored);
    let changed = comparison.changed();
    let manager = Manager {
        name: write.manager.to_owned(),
        operation: Operation::Update,
        api_version: Some(write.api_version.to_owned()),
        subresource: write.subresource.to_owned(),
    };
    let previous = managers.0.get(&manager).map(|ownership| ownership.fields.clone());
    for ownership in managers.0.values_mut() {
        ownership.fields = ownership.fields.difference(&changed).difference(&comparison.removed);
    }
    if !changed.is_empty() {
        let owned = managers.0.entry(manager.clone()).or_insert_with(|| Ownership {
            fields: FieldSet::default(),
            api_version: write.api_version.to_owned(),
            time: None,
        });
        owned.fields = owned.fields.union(&changed);
        if previous.as_ref() != Some(&owned.fields) {
            owned.time = Some(write.now.to_owned());
        }
    }
    managers.drop_empty();
    managers.cap();
    managers.write(new);
}

fn managers_of(live: Option<&Value>, new: &Value, subresource: &str) -> Managers {
    let of_live = || live.and_then(Managers::of).unwrap_or_default();
    // A subresource is no place to set managers.
    if !subresource.is_empty() {
        return of_live();
    }
    let entries = new.pointer("/metadata/managedFields").and_then(Value::as_array);
    if entries.is_some_and(|entries| matches!(entries.as_slice(), [Value::Object(only)] if only.is_empty())) {
        return Managers::default();
    }
    match Managers::of(new) {
        Some(managers) if !managers.0.is_empty() => managers,
        _ => of_live(),
    }
}

/// What nobody owns: identity and what the server keeps, and what the write cannot change.
pub(crate) fn ignored_fields(reset: &[&str]) -> FieldSet {
    const METADATA: [&str; 9] = [
        "clusterName",
        "creationTimestamp",
        "generation",
        "managedFields",
        "name",
        "namespace",
        "resourceVersion",
        "selfLink",
        "uid",
    ];
    let mut ignored = FieldSet::default();
    for name in ["apiVersion", "kind"].iter().chain(reset) {
        ignored.insert(&[PathElement::field(name)]);
    }
    for name in METADATA {
        ignored.insert(&[PathElement::field("metadata"), PathElement::field(name)]);
    }
    ignored
}

/// What an object is before it is anything: in Go, structs that are no pointers are there even then, so nobody comes to
/// own them by creating the object.
fn skeleton(schema: Option<&Schema>, new: &Value) -> Value {
    let Value::Object(fields) = new else { return Value::Object(Map::new()) };
    let present = fields.iter().filter_map(|(name, value)| {
        let inner = schema.and_then(|schema| schema.field(name))?;
        let plain = inner.definition().is_some_and(is_plain_struct) && !inner.is_atomic();
        plain.then(|| (name.clone(), skeleton(Some(inner), value)))
    });
    Value::Object(present.collect())
}

/// Structs that Go's types of the API embed by value wherever they are fields.
fn is_plain_struct(definition: &str) -> bool {
    let name = definition.rsplit('.').next().unwrap_or(definition);
    let strategies = ["DeploymentStrategy", "DaemonSetUpdateStrategy", "StatefulSetUpdateStrategy"];
    let templates = ["ObjectMeta", "PodTemplateSpec", "JobTemplateSpec", "PersistentVolumeClaimSpec"];
    strategies.contains(&name)
        || templates.contains(&name)
        || ((name.ends_with("Spec") || name.ends_with("Status")) && !name.ends_with("TemplateSpec"))
}

#[cfg(test)]
mod tests;
