//! Lists that merge: objects by their key, scalars as a set.

use super::{
    directive::{self, DELETE, DIRECTIVE, MERGE, REPLACE, SET_ELEMENT_ORDER},
    is_set_element_order, merge_objects,
    order::{self, Identity},
    patch_of,
};
use crate::error::{PatchError, type_name};
use minato_schema::Schema;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// Merges the fields of a patch that have a `$setElementOrder` beside them, and takes both out of the patch.
pub(super) fn merge_ordered(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    schema: Option<&Schema>,
) -> Result<(), PatchError> {
    let directives: Vec<String> = patch.keys().filter(|key| is_set_element_order(key)).cloned().collect();
    for key in directives {
        let Some(wanted_order) = patch.remove(&key) else { continue };
        let wanted_order = array(wanted_order)?;
        let Some(name) = directive::target(&key, SET_ELEMENT_ORDER, PatchError::SetElementOrder)? else { continue };
        let field = schema.and_then(|schema| schema.field(name));
        let before = original.get(name).cloned().map(array).transpose()?;
        let patched = patch.remove(name).filter(|value| !value.is_null()).map(array).transpose()?;
        let identity = Identity::of(field);
        if let Some(patched) = &patched {
            order::check(patched, &wanted_order, &identity)?;
        }
        let merged = match (&before, patched) {
            (Some(before), None) => before.clone(),
            (Some(before), Some(patched)) if merges(field) => merge(before.clone(), patched, field)?,
            (_, Some(patched)) => directive::items_without_directives(patched, field),
            (None, None) => continue,
        };
        let merged = order::enforce(merged, &wanted_order, before.as_deref().unwrap_or(&[]), &identity)?;
        original.insert(name.to_owned(), Value::Array(merged));
    }
    Ok(())
}

/// Whether a list under this field merges; else it is replaced.
pub(super) fn merges(field: Option<&Schema>) -> bool {
    patch_of(field).is_some_and(|facts| facts.merge)
}

/// Merges a list into the list that the document has under the same field.
pub(super) fn merge(before: Vec<Value>, patch: Vec<Value>, field: Option<&Schema>) -> Result<Vec<Value>, PatchError> {
    if before.is_empty() && patch.is_empty() {
        return Ok(before);
    }
    let identity = Identity::of(field);
    if let Items::Scalars = items_of(before.iter().chain(&patch))? {
        let identity = Identity::Itself;
        let mut seen = HashSet::new();
        let all: Vec<Value> = before.iter().chain(&patch).filter(|item| seen.insert(*item)).cloned().collect();
        return order::enforce(all, &patch, &before, &identity);
    }
    let Identity::Key(key) = &identity else {
        let name = field.and_then(Schema::items).and_then(Schema::definition).unwrap_or("an unknown type");
        return Err(PatchError::ListWithoutMergeKey(name.to_owned()));
    };
    let (kept, changes) = carry_out_directives(before, patch, key)?;
    let merged = merge_items(kept.clone(), changes.clone(), key, field.and_then(Schema::items))?;
    order::enforce(merged, &changes, &kept, &identity)
}

enum Items {
    Scalars,
    Objects,
}

/// The one sort of items that a merged list has.
fn items_of<'a>(items: impl Iterator<Item = &'a Value> + Clone) -> Result<Items, PatchError> {
    let mut sorts = items.clone().map(std::mem::discriminant);
    let first = sorts.next();
    if sorts.any(|sort| Some(sort) != first) {
        return Err(PatchError::MixedItems(items.cloned().collect()));
    }
    match items.clone().next() {
        Some(Value::Object(_)) => Ok(Items::Objects),
        Some(Value::Array(_) | Value::Null) => Err(PatchError::ListOfLists),
        _ => Ok(Items::Scalars),
    }
}

/// Splits a patch into what its `$patch` items do to the list at once and the items to merge.
fn carry_out_directives(
    before: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let (mut changes, mut deleted, mut replaced) = (Vec::new(), HashSet::new(), false);
    for mut item in patch {
        let Some(directive) = item.get(DIRECTIVE) else {
            changes.push(item);
            continue;
        };
        match directive.as_str() {
            Some(DELETE) => match item.get_mut(key).map(Value::take) {
                Some(value) => drop(deleted.insert(value)),
                None => return Err(PatchError::NoMergeKey { map: item, key: key.to_owned() }),
            },
            Some(REPLACE) => replaced = true,
            Some(MERGE) => return Err(PatchError::MergeDirectiveInList),
            _ => return Err(PatchError::UnknownDirective { directive: directive.clone(), map: item }),
        }
    }
    if replaced {
        return Ok((changes, Vec::new()));
    }
    let mut kept = before;
    if !deleted.is_empty() {
        for item in &kept {
            order::key_of(item, key)?;
        }
        kept.retain(|item| item.get(key).is_none_or(|value| !deleted.contains(value)));
    }
    Ok((kept, changes))
}

/// Merges each item of the patch into the item of the same key, or appends it.
fn merge_items(
    mut merged: Vec<Value>,
    changes: Vec<Value>,
    key: &str,
    schema: Option<&Schema>,
) -> Result<Vec<Value>, PatchError> {
    let mut places: HashMap<Value, usize> = HashMap::with_capacity(merged.len());
    for (place, item) in merged.iter().enumerate() {
        places.entry(order::key_of(item, key)?.clone()).or_insert(place);
    }
    for change in changes {
        let value = order::key_of(&change, key)?.clone();
        match places.get(&value).and_then(|place| merged.get_mut(*place)) {
            Some(item) => {
                if let (Value::Object(before), Value::Object(change)) = (item.take(), change) {
                    *item = Value::Object(merge_objects(before, change, schema)?);
                }
            }
            None => {
                if let Some(item) = directive::without_directives(change, schema) {
                    places.insert(value, merged.len());
                    merged.push(item);
                }
            }
        }
    }
    Ok(merged)
}

/// Carries `$deleteFromPrimitiveList` out.
pub(super) fn delete_scalars(original: &mut Map<String, Value>, name: &str, deleted: Value) -> Result<(), PatchError> {
    let Value::Array(deleted) = deleted else { return Err(PatchError::PrimitiveList) };
    if deleted.iter().any(|item| item.is_object() || item.is_array()) {
        return Err(PatchError::PrimitiveList);
    }
    let deleted: HashSet<Value> = deleted.into_iter().collect();
    if let Some(Value::Array(items)) = original.get_mut(name) {
        items.retain(|item| !deleted.contains(item));
    }
    Ok(())
}

fn array(value: Value) -> Result<Vec<Value>, PatchError> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(PatchError::Argument { wanted: "array", found: type_name(&other) }),
    }
}
