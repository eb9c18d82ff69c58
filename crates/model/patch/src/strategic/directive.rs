//! The directives that a patch carries among its fields.

use crate::error::PatchError;
use minato_schema::Schema;
use serde_json::{Map, Value};
use std::collections::HashSet;

pub(super) const DIRECTIVE: &str = "$patch";
pub(super) const DELETE: &str = "delete";
pub(super) const REPLACE: &str = "replace";
pub(super) const MERGE: &str = "merge";
pub(super) const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList";
pub(super) const SET_ELEMENT_ORDER: &str = "$setElementOrder";
const RETAIN_KEYS: &str = "$retainKeys";

/// The field that a directive like `$setElementOrder/ports` is about; `None` if `key` is another key.
pub(super) fn target<'a>(key: &'a str, prefix: &str, malformed: PatchError) -> Result<Option<&'a str>, PatchError> {
    let Some(rest) = key.strip_prefix(prefix) else { return Ok(None) };
    match rest.strip_prefix('/') {
        Some(name) if !name.contains('/') => Ok(Some(name)),
        _ => Err(malformed),
    }
}

/// Carries `$retainKeys` out: what it does not name goes.
pub(super) fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), PatchError> {
    let Some(retained) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(retained) = retained else { return Err(PatchError::RetainKeys) };
    let retained: HashSet<&str> = retained.iter().filter_map(Value::as_str).collect();
    let unnamed = |(key, value): (&String, &Value)| {
        let directive = key.starts_with(DELETE_FROM_PRIMITIVE_LIST) || key.starts_with(SET_ELEMENT_ORDER);
        !value.is_null() && !directive && !retained.contains(key.as_str())
    };
    if patch.iter().any(unnamed) {
        return Err(PatchError::RetainKeys);
    }
    original.retain(|key, _| retained.contains(key.as_str()));
    Ok(())
}

/// A value of the patch that has nothing to merge with: it is taken as it is, without nulls and directives. `None` if
/// a directive says that it is to go. Values of free form keep everything: they may hold patches themselves.
pub(super) fn without_directives(value: Value, schema: Option<&Schema>) -> Option<Value> {
    match value {
        Value::Object(mut fields) => {
            let schema = schema.filter(|schema| schema.properties().is_some() || schema.additional().is_some());
            if schema.is_none() {
                return Some(Value::Object(fields));
            }
            if fields.remove(DIRECTIVE).is_some_and(|directive| directive == DELETE) {
                return None;
            }
            let kept = fields.into_iter().filter(|(key, value)| !value.is_null() && !is_directive(key));
            let kept = kept.filter_map(|(key, value)| {
                let value = without_directives(value, schema.and_then(|schema| schema.field(&key)))?;
                Some((key, value))
            });
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => {
            let schema = schema.and_then(Schema::items);
            let whole_list = |item: &Value| schema.is_some() && item.get(DIRECTIVE).is_some_and(|it| it == REPLACE);
            let kept = items.into_iter().filter(|item| !whole_list(item));
            Some(kept.filter_map(|item| without_directives(item, schema)).collect())
        }
        scalar => Some(scalar),
    }
}

fn is_directive(key: &str) -> bool {
    key == RETAIN_KEYS || key.starts_with(DELETE_FROM_PRIMITIVE_LIST) || key.starts_with(SET_ELEMENT_ORDER)
}
