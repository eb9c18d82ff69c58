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
            if has_fields(schema) && fields.remove(DIRECTIVE).is_some_and(|directive| directive == DELETE) {
                return None;
            }
            Some(Value::Object(fields_without_directives(fields, schema)))
        }
        Value::Array(items) => Some(Value::Array(items_without_directives(items, schema))),
        scalar => Some(scalar),
    }
}

/// The fields of an object, without nulls and directives.
pub(super) fn fields_without_directives(fields: Map<String, Value>, schema: Option<&Schema>) -> Map<String, Value> {
    if !has_fields(schema) {
        return fields;
    }
    let kept = fields.into_iter().filter(|(key, value)| !value.is_null() && !is_directive(key));
    let clean = |(key, value): (String, Value)| {
        let value = without_directives(value, schema.and_then(|schema| schema.field(&key)))?;
        Some((key, value))
    };
    kept.filter_map(clean).collect()
}

/// The items of a list, without those that are directives, and without directives inside.
pub(super) fn items_without_directives(items: Vec<Value>, schema: Option<&Schema>) -> Vec<Value> {
    let schema = schema.and_then(Schema::items);
    let about_the_list = |item: &Value| has_fields(schema) && item.get(DIRECTIVE).is_some_and(|it| it == REPLACE);
    let kept = items.into_iter().filter(|item| !about_the_list(item));
    kept.filter_map(|item| without_directives(item, schema)).collect()
}

fn has_fields(schema: Option<&Schema>) -> bool {
    schema.is_some_and(|schema| schema.properties().is_some() || schema.additional().is_some())
}

fn is_directive(key: &str) -> bool {
    key == RETAIN_KEYS || key.starts_with(DELETE_FROM_PRIMITIVE_LIST) || key.starts_with(SET_ELEMENT_ORDER)
}
