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

/// Lists and maps that are optional to say, but that Go writes even when they are empty.
const ALWAYS_WRITTEN: [(&str, &str); 7] = [
    ("io.k8s.api.core.v1.ContainerImage", "names"),
    ("io.k8s.api.discovery.v1.EndpointSlice", "ports"),
    ("io.k8s.api.rbac.v1.ClusterRole", "rules"),
    ("io.k8s.api.rbac.v1.Role", "rules"),
    ("io.k8s.api.storage.v1.CSINodeDriver", "topologyKeys"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus", "conditions"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus", "storedVersions"),
];

/// Whether an optional list or map is written even when it is empty.
pub(crate) fn is_always_written(definition: &str, field: &str) -> bool {
    ALWAYS_WRITTEN.contains(&(definition, field))
}
