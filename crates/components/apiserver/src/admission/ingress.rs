//! DefaultIngressClass: an ingress that names no class gets the default one, if there is one.

use serde_json::Value;

use super::{Context, default_class};
use crate::status::ApiError;

pub(super) fn fill_class(context: &Context<'_>, ingress: &mut Value) -> Result<(), ApiError> {
    let names_one = |ingress: &Value| {
        !ingress["metadata"]["annotations"]["kubernetes.io/ingress.class"].is_null()
            || !ingress["spec"]["ingressClassName"].is_null()
    };
    if !context.creates("networking.k8s.io/ingresses") || names_one(ingress) {
        return Ok(());
    }
    let marks = &["ingressclass.kubernetes.io/is-default-class"];
    if let Some(class) = default_class(context.memory, "networking.k8s.io/ingressclasses", marks)? {
        ingress["spec"]["ingressClassName"] = class.into();
    }
    Ok(())
}
