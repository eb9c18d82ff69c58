//! What a pod may know about itself: field references and resource field references.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use minato_quantity::Quantity;

/// A reference that cannot be resolved.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DownwardError {
    /// The path is none of those that the API documents.
    #[error("unsupported fieldPath: {0}")]
    UnsupportedField(String),
    /// The resource is none of those that the API documents.
    #[error("unsupported container resource : {0}")]
    UnsupportedResource(String),
    /// The container named in the reference is not in the pod.
    #[error("container {0} not found")]
    ContainerNotFound(String),
    /// The divisor is not a quantity.
    #[error("invalid divisor \"{0}\"")]
    Divisor(String),
}

/// What the references are resolved against besides the pod.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The pod's addresses.
    pub pod_ips: Vec<String>,
    /// The node's addresses.
    pub host_ips: Vec<String>,
    /// The node's allocatable resources: the limit of a container that has none.
    pub allocatable: BTreeMap<String, Quantity>,
}

/// The value at a field path such as `metadata.labels['app']` or `status.podIP`.
pub fn field(pod: &Pod, surroundings: &Surroundings, path: &str) -> Result<String, DownwardError> {
    let metadata = &pod.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    if let Some(key) = subscript(path, "metadata.labels") {
        return Ok(metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned().unwrap_or_default());
    }
    if let Some(key) = subscript(path, "metadata.annotations") {
        return Ok(metadata.annotations.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    let spec = pod.spec.as_ref();
    Ok(match path {
        "metadata.name" => text(&metadata.name),
        "metadata.namespace" => text(&metadata.namespace),
        "metadata.uid" => text(&metadata.uid),
        "metadata.labels" => format_map(metadata.labels.as_ref()),
        "metadata.annotations" => format_map(metadata.annotations.as_ref()),
        "spec.nodeName" => spec.map(|spec| text(&spec.node_name)).unwrap_or_default(),
        "spec.serviceAccountName" => spec.map(|spec| text(&spec.service_account_name)).unwrap_or_default(),
        "spec.restartPolicy" => spec.map(|spec| text(&spec.restart_policy)).unwrap_or_default(),
        "status.hostIP" => surroundings.host_ips.first().cloned().unwrap_or_default(),
        "status.hostIPs" => surroundings.host_ips.join(","),
        "status.podIP" => surroundings.pod_ips.first().cloned().unwrap_or_default(),
        "status.podIPs" => surroundings.pod_ips.join(","),
        _ => return Err(DownwardError::UnsupportedField(path.to_owned())),
    })
}

fn subscript<'a>(path: &'a str, base: &str) -> Option<&'a str> {
    path.strip_prefix(base)?.strip_prefix("['")?.strip_suffix("']")
}

/// One `key="value"` a line, sorted, values quoted as Go quotes them.
fn format_map(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

/// The value of a resource reference, divided and rounded up.
pub fn resource(
    container: &Container,
    surroundings: &Surroundings,
    selector: &ResourceFieldSelector,
) -> Result<String, DownwardError> {
    let divisor = match selector.divisor.as_ref().map(|divisor| divisor.0.as_str()) {
        None | Some("" | "0") => Quantity::from_milli(1000),
        Some(text) => Quantity::parse(text).map_err(|_| DownwardError::Divisor(text.to_owned()))?,
    };
    let unsupported = || DownwardError::UnsupportedResource(selector.resource.clone());
    let (list, name) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    let known = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    let resources = container.resources.as_ref();
    let limit = crate::qos::amount(resources.and_then(|resources| resources.limits.as_ref()), name);
    let amount = match list {
        "limits" if known => limit.or_else(|| surroundings.allocatable.get(name).copied()),
        "requests" if known => {
            crate::qos::amount(resources.and_then(|resources| resources.requests.as_ref()), name).or(limit)
        }
        _ => return Err(unsupported()),
    };
    let (amount, divisor) = (amount.unwrap_or_default().nanos(), divisor.nanos().max(1));
    Ok(amount.div_euclid(divisor).saturating_add(i128::from(amount.rem_euclid(divisor) != 0)).to_string())
}

/// The container a volume's resource reference names.
pub fn named_container<'a>(pod: &'a Pod, name: &str) -> Result<&'a Container, DownwardError> {
    let spec = pod.spec.iter();
    let mut containers = spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    containers.find(|container| container.name == name).ok_or_else(|| DownwardError::ContainerNotFound(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"b": "2", "a": "one \"x\""}, "annotations": {"k/z": "v"}},
            "spec": {"nodeName": "node", "serviceAccountName": "sa", "containers": []},
        }))
        .unwrap();
        let surroundings = Surroundings {
            pod_ips: vec!["10.0.0.1".into(), "fd::1".into()],
            host_ips: vec!["192.168.0.1".into()],
            ..Surroundings::default()
        };
        for (path, expected) in [
            ("metadata.name", "p"),
            ("metadata.namespace", "n"),
            ("metadata.uid", "u"),
            ("metadata.labels", "a=\"one \\\"x\\\"\"\nb=\"2\""),
            ("metadata.labels['b']", "2"),
            ("metadata.labels['none']", ""),
            ("metadata.annotations['k/z']", "v"),
            ("spec.nodeName", "node"),
            ("spec.serviceAccountName", "sa"),
            ("status.podIP", "10.0.0.1"),
            ("status.podIPs", "10.0.0.1,fd::1"),
            ("status.hostIP", "192.168.0.1"),
        ] {
            assert_eq!(field(&pod, &surroundings, path).as_deref(), Ok(expected), "{path}");
        }
        assert!(field(&pod, &surroundings, "spec.containers").is_err());
    }

    #[test]
    fn resources() {
        let container: Container = serde_json::from_value(serde_json::json!({
            "name": "c", "resources": {"limits": {"cpu": "1500m", "memory": "100Mi"}, "requests": {"cpu": "250m"}},
        }))
        .unwrap();
        let surroundings = Surroundings {
            allocatable: [("ephemeral-storage".to_owned(), Quantity::parse("10Gi").unwrap())].into(),
            ..Surroundings::default()
        };
        for (name, divisor, expected) in [
            ("limits.cpu", "", "2"),
            ("limits.cpu", "1m", "1500"),
            ("requests.cpu", "1m", "250"),
            ("requests.cpu", "0", "1"),
            ("limits.memory", "1", "104857600"),
            ("limits.memory", "1Mi", "100"),
            ("requests.memory", "1Mi", "100"),
            ("limits.ephemeral-storage", "1Gi", "10"),
        ] {
            let selector: ResourceFieldSelector =
                serde_json::from_value(serde_json::json!({"resource": name, "divisor": divisor})).unwrap();
            assert_eq!(resource(&container, &surroundings, &selector).as_deref(), Ok(expected), "{name} / {divisor}");
        }
    }
}
