//! `status.conditions` in the form that newer kinds share (`meta.k8s.io/v1 Condition`).

use serde_json::Value;

use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::read::Read;
use crate::seen::Seen;

const REASON_BYTES_MAX: usize = 1024;
const MESSAGE_BYTES_MAX: usize = 32 * 1024;
const REASON: &str = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";

/// Checks `holder.conditions`.
pub(crate) fn validate(holder: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("conditions");
    let conditions = holder.list("conditions");
    let mut seen = Seen::new();
    for (index, condition) in conditions.iter().enumerate() {
        let at = at.index(index);
        let kind = condition.text("type");
        if seen.again(kind) {
            errors.duplicate(&at.field("type"), kind);
        }
        errors.each_invalid(&at.field("type"), kind, names::qualified_name(kind));
        let status = condition.text("status");
        if !matches!(status, "False" | "True" | "Unknown") {
            errors.not_supported(&at.field("status"), status, &["False", "True", "Unknown"]);
        }
        if let Some(generation) = condition.int("observedGeneration").filter(|generation| *generation < 0) {
            let detail = "must be greater than or equal to zero";
            errors.invalid(&at.field("observedGeneration"), generation, detail);
        }
        if !condition.has("lastTransitionTime") {
            errors.required(&at.field("lastTransitionTime"), "must be set");
        }
        let reason = condition.text("reason");
        if reason.is_empty() {
            errors.required(&at.field("reason"), "must be set");
        } else if !is_reason(reason) {
            errors.invalid(&at.field("reason"), reason, REASON);
        }
        if reason.len() > REASON_BYTES_MAX {
            errors.too_long(&at.field("reason"), REASON_BYTES_MAX);
        }
        if condition.text("message").len() > MESSAGE_BYTES_MAX {
            errors.too_long(&at.field("message"), MESSAGE_BYTES_MAX);
        }
    }
}

fn is_reason(reason: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = reason.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if first.is_ascii_alphabetic() && word(*last))
        && bytes.iter().all(|byte| word(*byte) || matches!(byte, b',' | b':'))
}
