//! Certificate requests: who asks is written down by the cluster; who approves and signs must have the signer's leave.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Context, Operation, text};
use crate::authorize::{Action, ResourceAction};
use crate::identity::MASTERS;
use crate::status::ApiError;

const REQUESTS: &str = "certificates.k8s.io/certificatesigningrequests";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// Writes the asker into a new request; whatever the request says of that itself does not count.
pub(super) fn requester(context: &Context<'_>, request: &mut Value) -> Result<(), ApiError> {
    if !context.creates(REQUESTS) {
        return Ok(());
    }
    let user = context.target.user;
    let Some(Value::Object(spec)) = request.get_mut("spec") else { return Ok(()) };
    for field in ["uid", "extra"] {
        spec.remove(field);
    }
    spec.insert("username".to_owned(), user.name.as_str().into());
    spec.insert("groups".to_owned(), json!(user.groups));
    if !user.uid.is_empty() {
        spec.insert("uid".to_owned(), user.uid.as_str().into());
    }
    if !user.extra.is_empty() {
        spec.insert("extra".to_owned(), json!(user.extra));
    }
    Ok(())
}

/// CertificateSubjectRestriction: no certificate of the API's clients makes an administrator who cannot be stripped of it.
pub(super) fn check_subject(context: &Context<'_>, request: &Value) -> Result<(), ApiError> {
    if !context.creates(REQUESTS) || request["spec"]["signerName"] != CLIENT_SIGNER {
        return Ok(());
    }
    let pem = STANDARD.decode(text(&request["spec"]["request"])).unwrap_or_default();
    let organizations = minato_pki::organizations(&pem)
        .map_err(|error| context.forbidden(request, &format!("unable to parse csr: {error}")))?;
    if organizations.iter().any(|organization| organization == MASTERS) {
        let why = format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed");
        return Err(context.forbidden(request, &why));
    }
    Ok(())
}

/// Dates the conditions of a request that say no time themselves.
pub(super) fn date(context: &Context<'_>, request: &mut Value) -> Result<(), ApiError> {
    let Some(old) = context.old.filter(|_| {
        &*context.target.resource.storage == REQUESTS && matches!(context.target.subresource, "approval" | "status")
    }) else {
        return Ok(());
    };
    let now = crate::object::time(Timestamp::now());
    let before = old["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    for condition in request.pointer_mut("/status/conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        let known = before.iter().find(|old| old["type"] == condition["type"] && old["status"] == condition["status"]);
        let Value::Object(fields) = condition else { continue };
        let missing = |fields: &Map<String, Value>, name: &str| fields.get(name).is_none_or(Value::is_null);
        if missing(fields, "lastUpdateTime") {
            fields.insert("lastUpdateTime".to_owned(), now.clone());
        }
        if missing(fields, "lastTransitionTime") {
            let since = known.map(|known| &known["lastTransitionTime"]).filter(|since| !since.is_null());
            fields.insert("lastTransitionTime".to_owned(), since.unwrap_or(&now).clone());
        }
    }
    Ok(())
}

/// The request that is updated through `subresource`.
fn updated<'a>(context: &Context<'a>, subresource: &str) -> Option<&'a Value> {
    let target = context.target;
    let is_meant = &*target.resource.storage == REQUESTS
        && target.subresource == subresource
        && context.operation == Operation::Update;
    context.old.filter(|_| is_meant)
}

/// CertificateApproval: who approves must have the signer's leave.
pub(super) fn check_approval(context: &Context<'_>, request: &Value) -> Result<(), ApiError> {
    match updated(context, "approval") {
        Some(old) => check_leave(context, request, old, "approve"),
        None => Ok(()),
    }
}

/// CertificateSigning: who signs must have the signer's leave.
pub(super) fn check_signing(context: &Context<'_>, request: &Value) -> Result<(), ApiError> {
    let signed = |old: &&Value| ["certificate", "conditions"].iter().any(|f| request["status"][f] != old["status"][f]);
    match updated(context, "status").filter(signed) {
        Some(old) => check_leave(context, request, old, "sign"),
        None => Ok(()),
    }
}

/// One signer's leave says nothing of another's requests.
fn check_leave(context: &Context<'_>, request: &Value, old: &Value, verb: &str) -> Result<(), ApiError> {
    let signer = text(&old["spec"]["signerName"]);
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    let all_of_domain = format!("{domain}/*");
    let may = |name: &str| {
        let action = ResourceAction {
            verb,
            group: "certificates.k8s.io",
            version: "*",
            resource: "signers",
            name,
            ..ResourceAction::default()
        };
        context.core.authorizer.allows(context.target.user, &Action::Resource(action))
    };
    if may(signer) || may(&all_of_domain) {
        return Ok(());
    }
    Err(context.forbidden(request, &format!("user not permitted to {verb} requests with signerName {signer:?}")))
}
