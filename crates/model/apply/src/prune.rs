//! Taking away what a manager applied last time and leaves out now.

use crate::{
    field_set::FieldSet,
    path::{Division, PathElement},
    topology::Topology,
};
use serde_json::{Map, Value};

/// The value without these fields; `None` when nothing is left of it.
pub(crate) fn remove(schema: Option<&dyn Topology>, value: Value, fields: &FieldSet) -> Option<Value> {
    let mut kept = match Division::of(schema, &value) {
        Division::Leaf => return (!value.is_object() && !value.is_array()).then_some(value),
        Division::Object(_) | Division::List { .. } => value,
    };
    match &mut kept {
        Value::Object(object) => {
            let old = std::mem::take(object);
            let rest = old.into_iter().filter_map(|(name, value)| {
                let inner = schema.and_then(|schema| schema.field(&name));
                let value = remove_at(inner, value, fields, &PathElement::field(&name))?;
                Some((name, value))
            });
            *object = rest.collect::<Map<_, _>>();
            (!object.is_empty()).then_some(kept)
        }
        Value::Array(items) => {
            let list_type = schema.and_then(|schema| schema.list_type())?;
            let inner = schema.and_then(|schema| schema.items());
            let old = std::mem::take(items);
            let rest = old.into_iter().filter_map(|item| match PathElement::item(list_type, inner, &item) {
                Ok(element) => remove_at(inner, item, fields, &element),
                Err(_) => Some(item),
            });
            *items = rest.collect();
            (!items.is_empty()).then_some(kept)
        }
        _ => Some(kept),
    }
}

fn remove_at(schema: Option<&dyn Topology>, value: Value, fields: &FieldSet, element: &PathElement) -> Option<Value> {
    if fields.has(element) {
        return None;
    }
    match fields.below(element) {
        Some(below) => remove(schema, value, below),
        None => Some(value),
    }
}

/// Removes from `merged` what the manager owned by `last` and nobody in `owned` owns now.
pub(crate) fn prune(schema: &dyn Topology, merged: Value, last: &FieldSet, owned: &FieldSet) -> Value {
    let schema = Some(schema);
    let last = last.with_named_fields(schema);
    let named = |value: &Value| FieldSet::of(schema, value).with_named_fields(schema);
    let empty = || Value::Object(Map::new());
    let all = named(&merged);

    let pruned = remove(schema, merged.clone(), &last).unwrap_or_else(empty);
    // What others own comes back.
    let kept = named(&pruned).union(&owned.with_named_fields(schema));
    let pruned = remove(schema, merged.clone(), &all.difference(&kept)).unwrap_or_else(empty);
    // What went with it and was not the manager's comes back, too.
    let gone = all.difference(&named(&pruned)).intersection(&last);
    remove(schema, merged, &gone).unwrap_or_else(empty)
}
