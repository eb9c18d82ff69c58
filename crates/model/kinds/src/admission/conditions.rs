//! `matchConditions` of webhooks and policies.

use serde_json::Value;

use crate::check;
use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::read::Read;
use crate::seen::Seen;

const CONDITIONS_MAX: usize = 64;

/// Checks `holder.matchConditions`.
pub(super) fn validate(holder: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("matchConditions");
    let conditions = holder.list("matchConditions");
    if conditions.len() > CONDITIONS_MAX {
        errors.too_many(&at, conditions.len(), CONDITIONS_MAX);
    }
    let mut seen = Seen::new();
    for (index, condition) in conditions.iter().enumerate() {
        let at = at.index(index);
        if condition.text("expression").trim().is_empty() {
            errors.required(&at.field("expression"), "");
        }
        check::required_named(condition, "name", names::qualified_name, &at, errors);
        let name = condition.text("name");
        if !name.is_empty() && seen.again(name) {
            errors.duplicate(&at.field("name"), name);
        }
    }
}
