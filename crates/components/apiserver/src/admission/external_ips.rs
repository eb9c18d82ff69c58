//! DenyServiceExternalIPs: no Service gets external addresses that it did not have (CVE-2020-8554).

use serde_json::Value;

use super::{Context, Operation, items};
use crate::status::ApiError;

pub(super) fn check(context: &Context<'_>, service: &Value) -> Result<(), ApiError> {
    if !context.is("core/services") || !matches!(context.operation, Operation::Create | Operation::Update) {
        return Ok(());
    }
    let known =
        |address: &Value| context.old.is_some_and(|old| items(&old["spec"]["externalIPs"]).any(|o| o == address));
    if items(&service["spec"]["externalIPs"]).all(known) {
        return Ok(());
    }
    Err(context.forbidden(service, "Use of external IPs is denied by admission control."))
}
