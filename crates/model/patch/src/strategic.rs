//! Strategic merge patch: `k8s.io/apimachinery/pkg/util/strategicpatch`, as a function over a schema.
//!
//! Objects merge field by field, `null` removes. A list is replaced unless its field has the patch strategy `merge`:
//! then objects in it are matched by the merge key, and scalars form a set. Directives:
//!
//! | where | directive | effect |
//! |---|---|---|
//! | object | `$patch: replace` | the rest of the patch's object takes the place of the document's |
//! | object | `$patch: delete` | the object becomes empty |
//! | object | `$retainKeys: [a, b]` | all other keys of the document's object go |
//! | item of a merged list | `$patch: delete` with the merge key | the item goes |
//! | item of a merged list | `$patch: replace` | the other items of the patch are the new list |
//! | beside a list `x` | `$setElementOrder/x` | the order of the merged list |
//! | beside a list `x` | `$deleteFromPrimitiveList/x` | these scalars go |

mod directive;
mod list;
mod order;

use crate::error::{PatchError, type_name};
use directive::{DELETE, DELETE_FROM_PRIMITIVE_LIST, DIRECTIVE, REPLACE, SET_ELEMENT_ORDER};
use minato_schema::{Patch, Schema};
use serde_json::{Map, Value};

/// Applies a strategic merge patch to an object of the given schema, wholly or not at all.
pub fn strategic_merge_patch(document: &mut Value, patch: Value, schema: &Schema) -> Result<(), PatchError> {
    let Value::Object(patch) = patch else {
        return Err(PatchError::Shape { found: type_name(&patch), wanted: "map[string]interface {}" });
    };
    let original = match document {
        Value::Object(original) => original.clone(),
        other => return Err(PatchError::Argument { wanted: "object", found: type_name(other) }),
    };
    *document = Value::Object(merge_objects(original, patch, Some(schema))?);
    Ok(())
}

/// Merges a patch into an object. Below values of free form (`RawExtension`) there is no schema.
fn merge_objects(
    mut original: Map<String, Value>,
    mut patch: Map<String, Value>,
    schema: Option<&Schema>,
) -> Result<Map<String, Value>, PatchError> {
    if let Some(directive) = patch.remove(DIRECTIVE) {
        return match directive.as_str() {
            Some(REPLACE) => Ok(directive::fields_without_directives(patch, schema)),
            Some(DELETE) => Ok(Map::new()),
            _ => Err(PatchError::UnknownDirective { directive, map: Value::Object(patch) }),
        };
    }
    directive::retain_keys(&mut original, &mut patch)?;
    list::merge_ordered(&mut original, &mut patch, schema)?;
    for (key, value) in patch {
        if let Some(name) = directive::target(&key, DELETE_FROM_PRIMITIVE_LIST, PatchError::PrimitiveList)? {
            list::delete_scalars(&mut original, name, value)?;
            continue;
        }
        let field = schema.and_then(|schema| schema.field(&key));
        match original.remove(&key) {
            _ if value.is_null() => {}
            Some(Value::Object(before)) if value.is_object() && merges_as_object(field) => {
                if let Value::Object(value) = value {
                    original.insert(key, Value::Object(merge_objects(before, value, field)?));
                }
            }
            Some(Value::Array(before)) if value.is_array() && list::merges(field) => {
                if let Value::Array(value) = value {
                    original.insert(key, list::merge(before, value, field)?.into());
                }
            }
            _ => {
                if let Some(value) = directive::without_directives(value, field) {
                    original.insert(key, value);
                }
            }
        }
    }
    Ok(original)
}

/// Whether an object under this field merges; else it is replaced.
fn merges_as_object(field: Option<&Schema>) -> bool {
    !patch_of(field).is_some_and(|facts| facts.replace)
}

fn patch_of(field: Option<&Schema>) -> Option<&Patch> {
    field.map(Schema::patch)
}

fn is_set_element_order(key: &str) -> bool {
    key.starts_with(SET_ELEMENT_ORDER)
}

#[cfg(test)]
mod tests;
