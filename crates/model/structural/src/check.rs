//! What is wrong with a schema itself (`apiextensions/validation`, `apiserver/schema`).

mod keywords;
mod structure;

use minato_kinds::{At, Errors, FieldError, FieldErrorKind, FieldPath};
use serde_json::Value;

use crate::default::{self, has_defaults};
use crate::rules::Rules;
use crate::schema::Schema;
use crate::{prune, validate};

/// Complaints about the `openAPIV3Schema` that is at `at`: keywords that are not allowed, places where it is not
/// structural, defaults that it would itself refuse.
pub fn check(schema: &Value, at: &At<'_>) -> Vec<FieldError> {
    let mut errors = Errors::new();
    keywords::check(schema, at, true, &mut errors);
    structure::check(schema, at, &mut errors);
    let mut errors = errors.into_vec();
    // The order must not depend on where a walk began: clients compare messages.
    errors.sort_by_cached_key(ToString::to_string);
    errors.dedup();
    if errors.is_empty() {
        let compiled = Schema::compile(schema);
        let rules = Rules::complaints(&compiled, &at.to_string());
        errors.extend(rules.into_iter().map(|complaint| FieldError {
            path: FieldPath::new(complaint.path),
            kind: complaint.kind,
            value: complaint.value,
            detail: complaint.detail,
        }));
        if has_defaults(&compiled) {
            defaults(&compiled, &at.to_string(), true, &mut errors);
        }
    }
    errors
}

/// Defaults must be what pruning, defaulting and validation would leave alone.
fn defaults(schema: &Schema, at: &str, root: bool, errors: &mut Vec<FieldError>) {
    if let Some(value) = &schema.default {
        let path = format!("{at}.default");
        let mut pruned = value.clone();
        let complain = |errors: &mut Vec<FieldError>, detail: String| {
            let path = FieldPath::new(path.clone());
            errors.push(FieldError { path, kind: FieldErrorKind::Invalid, value: value.clone(), detail });
        };
        if root {
            let path = FieldPath::new(path);
            let detail = "must not be set at the root".to_owned();
            errors.push(FieldError { path, kind: FieldErrorKind::Forbidden, value: Value::Null, detail });
            return;
        }
        let unknown = prune(schema, &mut pruned);
        if !unknown.is_empty() && !schema.embedded {
            complain(errors, format!("must not have unknown fields: {}", unknown.join(", ")));
        }
        default::default(schema, &mut pruned);
        for error in validate(schema, &pruned) {
            let below = error.path.as_str();
            let below = if below.is_empty() || below == "<nil>" { String::new() } else { format!(".{below}") };
            errors.push(FieldError { path: FieldPath::new(format!("{path}{below}")), ..error });
        }
    }
    for (name, property) in &schema.properties {
        defaults(property, &format!("{at}.properties[{name}]"), false, errors);
    }
    if let Some(items) = &schema.items {
        defaults(items, &format!("{at}.items"), false, errors);
    }
    if let Some(crate::schema::Additional::Schema(additional)) = &schema.additional {
        defaults(additional, &format!("{at}.additionalProperties"), false, errors);
    }
}
