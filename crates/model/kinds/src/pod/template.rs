//! Pod templates: what Deployments, Jobs and the like stamp pods from.

use serde_json::Value;

use super::{Context, spec};
use crate::error::Errors;
use crate::metadata;
use crate::path::At;
use crate::read::Read;

/// Checks `{metadata, spec}` of a template.
pub(crate) fn validate(template: &Value, at: &At<'_>, errors: &mut Errors) {
    let metadata = template.or_null("metadata");
    // The reference leaves `metadata` out of these two paths.
    metadata::labels(metadata, &at.field("labels"), errors);
    metadata::annotations(metadata, &at.field("annotations"), errors);
    super::annotations(metadata, template.or_null("spec"), &at.field("annotations"), errors);
    let at = at.field("spec");
    let pod_spec = template.or_null("spec");
    spec::validate(pod_spec, &Context { is_pod: false, name: "" }, &at, errors);
    if !pod_spec.list("ephemeralContainers").is_empty() {
        errors.forbidden(&at.field("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// Who stamps the pods: what its template must satisfy besides.
pub(crate) struct Owner<'a> {
    /// Named in messages: `ReplicaSet`.
    pub(crate) kind: &'a str,
    /// Whether the selector accepts the template's labels.
    pub(crate) selects: bool,
}

/// Checks the template of a controller that keeps its pods running for ever.
pub(crate) fn validate_running(template: &Value, owner: &Owner<'_>, at: &At<'_>, errors: &mut Errors) {
    let metadata_at = at.field("metadata");
    if !owner.selects {
        let labels = template.or_null("metadata").or_null("labels").clone();
        errors.invalid(&metadata_at.field("labels"), labels, "`selector` does not match template `labels`");
    }
    validate(template, at, errors);
    let spec = template.or_null("spec");
    let at = at.field("spec");
    let policy = spec.text("restartPolicy");
    if policy != "Always" {
        errors.not_supported(&at.field("restartPolicy"), policy, &["Always"]);
    }
    if spec.has("activeDeadlineSeconds") {
        let detail = format!("activeDeadlineSeconds in {} is not Supported", owner.kind);
        errors.forbidden(&at.field("activeDeadlineSeconds"), detail);
    }
}
