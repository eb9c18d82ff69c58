//! When a single container runs again, whatever its pod says (KEP-5307).

use serde_json::Value;

use crate::error::Errors;
use crate::path::At;
use crate::read::Read as _;

const RULES_MAX: usize = 20;
const CODES_MAX: usize = 255;

/// `restartPolicy` and `restartPolicyRules` of a container.
pub(super) fn validate(container: &Value, at: &At<'_>, errors: &mut Errors) {
    let policy_at = at.field("restartPolicy");
    let rules = container.list("restartPolicyRules");
    match container.text_if("restartPolicy") {
        Some("Always" | "Never" | "OnFailure") => {}
        Some(policy) => errors.not_supported(&policy_at, policy, &["Always", "Never", "OnFailure"]),
        None if rules.is_empty() => {}
        None => errors.required(&policy_at, "must specify restartPolicy when restart rules are used"),
    }
    let at = at.field("restartPolicyRules");
    if rules.len() > RULES_MAX {
        errors.too_many(&at, rules.len(), RULES_MAX);
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = at.index(index);
        match rule.text("action") {
            "Restart" => {}
            action => errors.not_supported(&at.field("action"), action, &["Restart"]),
        }
        let at = at.field("exitCodes");
        let Some(codes) = rule.at("exitCodes") else {
            errors.required(&at, "must be specified");
            continue;
        };
        match codes.text("operator") {
            "In" | "NotIn" => {}
            operator => errors.not_supported(&at.field("operator"), operator, &["In", "NotIn"]),
        }
        let values = codes.list("values");
        if values.len() > CODES_MAX {
            errors.too_many(&at.field("values"), values.len(), CODES_MAX);
        }
    }
}

/// Whether a container that ended with `exit_code` may run again: by its rules, else by its policy, else by the pod's.
pub(super) fn runs_again(container: &Value, pod_policy: &str, exit_code: i64) -> bool {
    let by_rule = container.list("restartPolicyRules").iter().any(|rule| {
        let codes = rule.or_null("exitCodes");
        let listed = codes.list("values").iter().any(|code| code.as_i64() == Some(exit_code));
        match codes.text("operator") {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
    });
    by_rule
        || match container.text_if("restartPolicy").unwrap_or(pod_policy) {
            "Always" => true,
            "OnFailure" => exit_code != 0,
            _ => false,
        }
}
