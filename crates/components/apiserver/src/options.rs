//! The parameters that every write takes: `dryRun`, `fieldManager`, `force`.

use http::{HeaderMap, header};
use minato_kinds::{FieldError, FieldErrorKind, FieldPath};
use serde_json::Value;

use crate::negotiate;
use crate::route::Query;
use crate::status::{ApiError, Subject};

/// The media type of configurations to apply.
pub(crate) const APPLY: &str = "application/apply-patch+yaml";
/// The longest name of a field manager, in bytes.
const MANAGER_BYTES_MAX: usize = 128;
/// The field manager of clients that do not say who they are.
const UNKNOWN: &str = "unknown";

/// Checks the parameters of a write, as `ValidateCreateOptions` and its like do.
pub(crate) fn check(verb: &str, query: &Query, headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = match verb {
        "create" => "CreateOptions",
        "update" => "UpdateOptions",
        "patch" => "PatchOptions",
        "delete" | "deletecollection" => "DeleteOptions",
        _ => return Ok(()),
    };
    let mut errors = Vec::new();
    let mut wrong = |field: &str, kind: FieldErrorKind, value: Value, detail: String| {
        errors.push(FieldError { path: FieldPath::new(field), kind, value, detail });
    };
    let manager = query.get("fieldManager");
    if kind == "PatchOptions" {
        let applies = negotiate::media_type(headers) == APPLY;
        if applies && manager.is_none() {
            wrong("fieldManager", FieldErrorKind::Required, Value::Null, "is required for apply patch".to_owned());
        }
        if !applies && query.get("force").is_some() {
            let why = "may not be specified for non-apply patch";
            wrong("force", FieldErrorKind::Forbidden, Value::Null, why.to_owned());
        }
    }
    if let Some(manager) = manager {
        if manager.len() > MANAGER_BYTES_MAX {
            let why = format!("may not be more than {MANAGER_BYTES_MAX} bytes");
            wrong("fieldManager", FieldErrorKind::TooLong, Value::from("<value omitted>"), why);
        }
        let unprintable = manager.char_indices().filter(|(_, letter)| letter.is_control());
        for (at, letter) in unprintable {
            let why = format!("invalid character U+{:04X} (at position {at})", u32::from(letter));
            wrong("fieldManager", FieldErrorKind::Invalid, manager.into(), why);
        }
    }
    for asked in query.all("dryRun").filter(|asked| !matches!(*asked, "" | "All")) {
        wrong("dryRun", FieldErrorKind::NotSupported, asked.into(), "supported values: \"All\"".to_owned());
    }
    if let Some(asked) = query.get("fieldValidation").filter(|asked| !matches!(*asked, "Ignore" | "Warn" | "Strict")) {
        let supported = "supported values: \"Ignore\", \"Strict\", \"Warn\"".to_owned();
        wrong("fieldValidation", FieldErrorKind::NotSupported, asked.into(), supported);
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(&Subject { group: "meta.k8s.io", resource: kind, name: "" }, &errors))
}

/// Checks the parameters of a list or a watch, as `ValidateListOptions` does.
pub(crate) fn check_list(query: &Query, watch: bool) -> Result<(), ApiError> {
    let matching = query.get("resourceVersionMatch");
    let initial = query.get("sendInitialEvents");
    let mut errors = Vec::new();
    let mut wrong = |field: &str, kind: FieldErrorKind, value: &str, detail: &str| {
        let detail = detail.to_owned();
        errors.push(FieldError { path: FieldPath::new(field), kind, value: value.into(), detail });
    };
    let mut forbidden = |field: &str, detail: &str| wrong(field, FieldErrorKind::Forbidden, "", detail);
    const MATCH: &str = "resourceVersionMatch";
    if watch && initial.is_some() && matching != Some("NotOlderThan") {
        forbidden(MATCH, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    }
    if !watch && initial.is_some() {
        forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list");
    }
    if let Some(matching) = matching {
        if watch && initial.is_none() {
            forbidden(MATCH, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
        }
        let version = query.get("resourceVersion");
        if !watch && version.is_none() {
            forbidden(MATCH, "resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if query.get("continue").is_some() {
            forbidden(MATCH, "resourceVersionMatch is forbidden when continue is provided");
        }
        if !watch && matching == "Exact" && version == Some("0") {
            forbidden(MATCH, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        }
        let supported = match (watch, matching) {
            (true, "NotOlderThan") | (false, "NotOlderThan" | "Exact") => None,
            (true, _) => Some("supported values: \"NotOlderThan\""),
            (false, _) => Some("supported values: \"Exact\", \"NotOlderThan\", \"\""),
        };
        if let Some(supported) = supported {
            wrong(MATCH, FieldErrorKind::NotSupported, matching, supported);
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(&Subject { group: "meta.k8s.io", resource: "ListOptions", name: "" }, &errors))
}

/// Who is noted for what a request writes: the parameter `fieldManager`, or how the client's user agent begins.
pub(crate) fn field_manager<'a>(query: &'a Query, headers: &'a HeaderMap) -> &'a str {
    if let Some(manager) = query.get("fieldManager") {
        return manager;
    }
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    // A header that is text at all has ASCII characters alone.
    match agent.split('/').next().unwrap_or_default() {
        "" => UNKNOWN,
        name => name.get(..MANAGER_BYTES_MAX).unwrap_or(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managers() {
        let check = |query: &str, agent: &str, expected: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::USER_AGENT, agent.parse().unwrap());
            assert_eq!(field_manager(&Query::parse(query), &headers), expected, "{query} {agent}");
        };
        check("fieldManager=me", "kubectl/v1.32", "me");
        check("", "kubectl/v1.32", "kubectl");
        check("fieldManager=", "curl", "curl");
        check("", "/x", "unknown");
        check("", &"a".repeat(200), &"a".repeat(128));
        assert_eq!(field_manager(&Query::default(), &HeaderMap::new()), "unknown");
    }

    #[test]
    fn lists_and_watches() {
        let check = |watch: bool, query: &str, expected: Option<&str>| {
            let found = check_list(&Query::parse(query), watch).err().map(|error| error.message);
            let expected = expected.map(|why| format!("ListOptions.meta.k8s.io \"\" is invalid: {why}"));
            assert_eq!(found, expected, "{watch} {query}");
        };
        const MATCH: &str = "resourceVersionMatch=NotOlderThan";
        check(false, "limit=5&continue=x", None);
        check(false, &format!("resourceVersion=5&{MATCH}"), None);
        check(true, &format!("sendInitialEvents=true&{MATCH}"), None);
        check(true, &format!("sendInitialEvents=false&resourceVersion=4&{MATCH}"), None);
        check(
            false,
            "sendInitialEvents=true",
            Some("sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
        );
        check(
            false,
            MATCH,
            Some(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            ),
        );
        check(
            false,
            "resourceVersion=0&resourceVersionMatch=Exact",
            Some(
                "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ),
        );
        check(
            false,
            "resourceVersion=1&resourceVersionMatch=Perhaps",
            Some(
                "resourceVersionMatch: Unsupported value: \"Perhaps\": supported values: \"Exact\", \"NotOlderThan\", \"\"",
            ),
        );
        check(
            true,
            "sendInitialEvents=true",
            Some(
                "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ),
        );
        check(
            true,
            MATCH,
            Some(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ),
        );
    }

    #[test]
    fn wrong_parameters() {
        let check = |verb: &str, media: &'static str, query: &str, expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, media.parse().unwrap());
            let found = super::check(verb, &Query::parse(query), &headers).err().map(|error| error.message);
            assert_eq!(found.as_deref(), expected, "{verb} {query}");
        };
        check("create", "", "dryRun=All&fieldManager=a", None);
        check("get", "", "dryRun=no", None);
        check(
            "create",
            "",
            "dryRun=no",
            Some(
                "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: \"no\": supported values: \"All\"",
            ),
        );
        check(
            "patch",
            APPLY,
            "",
            Some("PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"),
        );
        check(
            "patch",
            "application/merge-patch+json",
            "force=true",
            Some(
                "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch",
            ),
        );
    }
}
