//! Where `k8s-openapi` and the API differ in what they demand.

use serde_json::Value;

/// The fields that the API demands, given those that `k8s-openapi` states.
pub(crate) fn required_of(definition: &str, stated: Option<&Value>) -> Vec<Value> {
    let stated = stated.and_then(Value::as_array).into_iter().flatten();
    let demanded = |field: &&Value| match field.as_str() {
        Some("metadata") => METADATA_REQUIRED.contains(&definition),
        Some("name") => !NAME_OPTIONAL.contains(&definition),
        _ => true,
    };
    let also = (definition == "io.k8s.api.events.v1.Event").then(|| Value::from("eventTime"));
    stated.filter(demanded).cloned().chain(also).collect()
}

/// Kinds whose metadata is not optional.
const METADATA_REQUIRED: [&str; 3] = [
    "io.k8s.api.apiserverinternal.v1alpha1.StorageVersion",
    "io.k8s.api.core.v1.Event",
    "io.k8s.api.resource.v1alpha3.ResourcePoolStatusRequest",
];

/// References that old clients sent without a name.
const NAME_OPTIONAL: [&str; 8] = [
    "io.k8s.api.core.v1.ConfigMapEnvSource",
    "io.k8s.api.core.v1.ConfigMapKeySelector",
    "io.k8s.api.core.v1.ConfigMapProjection",
    "io.k8s.api.core.v1.ConfigMapVolumeSource",
    "io.k8s.api.core.v1.LocalObjectReference",
    "io.k8s.api.core.v1.SecretEnvSource",
    "io.k8s.api.core.v1.SecretKeySelector",
    "io.k8s.api.core.v1.SecretProjection",
];
