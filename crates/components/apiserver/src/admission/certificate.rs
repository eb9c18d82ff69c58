//! What the cluster adds to certificate requests: who asks.

use serde_json::{Value, json};

use super::Context;
use crate::status::ApiError;

/// Writes the asker into a new request; whatever the request says of that itself does not count.
pub(super) fn requester(context: &Context<'_>, request: &mut Value) -> Result<(), ApiError> {
    if !context.creates("certificates.k8s.io/certificatesigningrequests") {
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
