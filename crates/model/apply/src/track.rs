//! Noting who changed what by a write that is no apply.
//!
//! This runs for every write, so it works on the JSON of the entries: a creation is one walk over the object, an update
//! one comparison, of which only what differs touches the entries.

use crate::{
    compare::Comparison,
    identity::Ignored,
    managers::{self, Managers, Operation},
    path::{Division, PathElement},
    topology::Topology,
};
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
pub fn track(schema: &dyn Topology, live: Option<&Value>, new: &mut Value, write: &Track<'_>) {
    let mut entries = entries_of(live, new, write.subresource);
    managers::strip(new);
    let ignored = Ignored { reset: write.reset };
    match live {
        None => {
            let created = Created { ignored }.object(schema, new);
            entries.iter_mut().for_each(|entry| edit(entry, |fields| subtract(&created, fields)));
            entries.retain(owns_something);
            if !created.is_empty() {
                entries.retain(|entry| !is_by(entry, write));
                entries.push(managers::entry_of(write, Value::Object(created)));
            }
        }
        Some(live) => update(schema, ignored, live, new, write, &mut entries),
    }
    put(entries, new);
}

fn update(
    schema: &dyn Topology,
    ignored: Ignored<'_>,
    live: &Value,
    new: &Value,
    write: &Track<'_>,
    entries: &mut Vec<Value>,
) {
    let comparison = Comparison::of(schema, ignored, live, new);
    let changed = comparison.changed();
    let own = entries.iter().position(|entry| is_by(entry, write));
    for (index, entry) in entries.iter_mut().enumerate() {
        edit(entry, |fields| {
            comparison.removed.subtract_from(fields);
            if Some(index) != own {
                changed.subtract_from(fields);
            }
        });
    }
    if !changed.is_empty() {
        let index = own.unwrap_or_else(|| {
            entries.push(managers::entry_of(write, Value::Object(Map::new())));
            entries.len() - 1
        });
        if let Some(Value::Object(entry)) = entries.get_mut(index) {
            entry.insert("time".to_owned(), write.now.into());
            if let Value::Object(fields) = entry.entry("fieldsV1").or_insert_with(|| Value::Object(Map::new())) {
                changed.add_to(fields);
            }
        }
    }
    entries.retain(owns_something);
}

/// Writes the entries to the object: those that apply first, then by age, and not too many of them.
fn put(mut entries: Vec<Value>, object: &mut Value) {
    if entries.is_empty() {
        return;
    }
    entries.sort_by(|a, b| managers::order(a).cmp(&managers::order(b)));
    let updaters = entries.iter().filter(|entry| entry["operation"] == Operation::Update.as_str()).count();
    let Value::Object(fields) = &mut *object else { return };
    if let Value::Object(metadata) = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new())) {
        metadata.insert("managedFields".to_owned(), entries.into());
    }
    if updaters > managers::UPDATERS_MAX
        && let Some(mut managers) = Managers::of(object)
    {
        managers.cap();
        managers.write(object);
    }
}

/// The entries before the write.
fn entries_of(live: Option<&Value>, new: &mut Value, subresource: &str) -> Vec<Value> {
    const POINTER: &str = "/metadata/managedFields";
    let of_live = || live.and_then(|live| live.pointer(POINTER)).and_then(Value::as_array);
    let given = new.pointer_mut(POINTER).and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    // A subresource is no place to set managers, and clients that know nothing of them leave them out.
    if given.is_empty() || !subresource.is_empty() {
        return of_live().cloned().unwrap_or_default();
    }
    if of_live().is_some_and(|of_live| *of_live == given) {
        return given;
    }
    if matches!(given.as_slice(), [Value::Object(only)] if only.is_empty()) {
        return Vec::new();
    }
    match Managers::read(&given) {
        Some(managers) if !managers.0.is_empty() => managers.entries(),
        _ => of_live().cloned().unwrap_or_default(),
    }
}

fn is_by(entry: &Value, write: &Track<'_>) -> bool {
    let is = |key: &str, wanted: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default() == wanted;
    is("manager", write.manager)
        && is("operation", Operation::Update.as_str())
        && is("apiVersion", write.api_version)
        && is("subresource", write.subresource)
}

fn edit(entry: &mut Value, change: impl FnOnce(&mut Map<String, Value>)) {
    if let Some(Value::Object(fields)) = entry.get_mut("fieldsV1") {
        change(fields);
    }
}

fn owns_something(entry: &Value) -> bool {
    entry.get("fieldsV1").and_then(Value::as_object).is_some_and(|fields| !fields.is_empty())
}

/// Takes the fields in `gone` out of `fields`, both in `FieldsV1`'s form.
fn subtract(gone: &Map<String, Value>, fields: &mut Map<String, Value>) {
    if let Some(gone) = crate::FieldSet::from_fields_v1(&Value::Object(gone.clone())) {
        gone.subtract_from(fields);
    }
}

/// The walk over a created object: what its creator owns, in `FieldsV1`'s form.
struct Created<'a> {
    ignored: Ignored<'a>,
}

impl Created<'_> {
    fn object(&self, schema: &dyn Topology, object: &Value) -> Map<String, Value> {
        let mut owned = Map::new();
        for (name, value) in object.as_object().into_iter().flatten().filter(|(name, _)| !self.ignored.at_top(name)) {
            if name == "metadata" {
                let metadata = schema.field(name);
                let mut inner = Map::new();
                for (name, value) in value.as_object().into_iter().flatten() {
                    if !Ignored::in_metadata(name) {
                        field(metadata, name, value, &mut inner);
                    }
                }
                if !inner.is_empty() {
                    owned.insert("f:metadata".to_owned(), inner.into());
                }
            } else {
                field(Some(schema), name, value, &mut owned);
            }
        }
        owned
    }
}

/// Adds the field `name` of a struct or map to what is owned.
fn field(parent: Option<&dyn Topology>, name: &str, value: &Value, owned: &mut Map<String, Value>) {
    let inner = parent.and_then(|parent| parent.field(name));
    let empty = value.as_array().is_none_or(Vec::is_empty) && value.as_object().is_none_or(Map::is_empty);
    // A value that does not divide is new even where there was an empty one.
    let divides = empty || !matches!(Division::of(inner, value), Division::Leaf);
    let always_there = divides && parent.is_some_and(|parent| parent.is_always_there(name));
    let below = whole(inner, value, !always_there);
    if !always_there || !below.is_empty() {
        owned.insert(PathElement::field(name).into(), below.into());
    }
}

/// What is owned below a value, and, with `itself` and where something is, the value itself.
fn whole(schema: Option<&dyn Topology>, value: &Value, itself: bool) -> Map<String, Value> {
    let mut owned = Map::new();
    match Division::of(schema, value) {
        Division::Leaf => {}
        Division::Object(fields) => fields.iter().for_each(|(name, value)| {
            // What is always there is so only where its parent is.
            if itself {
                owned.insert(PathElement::field(name).into(), whole_of(schema, name, value).into());
            } else {
                field(schema, name, value, &mut owned);
            }
        }),
        Division::List { items, list_type, schema } => {
            for item in items {
                let Ok(element) = PathElement::item(list_type, schema, item) else { continue };
                let element = String::from(element);
                // Duplicates are one field together.
                let below = if owned.contains_key(&element) { Map::new() } else { whole(schema, item, true) };
                owned.insert(element, below.into());
            }
        }
    }
    if itself && !owned.is_empty() {
        owned.insert(".".to_owned(), Value::Object(Map::new()));
    }
    owned
}

fn whole_of(parent: Option<&dyn Topology>, name: &str, value: &Value) -> Map<String, Value> {
    whole(parent.and_then(|parent| parent.field(name)), value, true)
}

#[cfg(test)]
mod tests;
