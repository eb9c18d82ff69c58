//! The quality-of-service class of a pod.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use minato_quantity::Quantity;

/// How the node treats the pod when resources run short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QosClass {
    /// Every container has CPU and memory limits equal to its requests.
    Guaranteed,
    /// Something is requested.
    Burstable,
    /// Nothing is.
    BestEffort,
}

impl fmt::Display for QosClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        })
    }
}

/// An entry of a resource list; absent, unreadable and zero are all "none".
pub(crate) fn amount(list: Option<&BTreeMap<String, ApiQuantity>>, resource: &str) -> Option<Quantity> {
    let quantity = Quantity::parse(&list?.get(resource)?.0).ok()?;
    (!quantity.is_zero()).then_some(quantity)
}

/// The class, by CPU and memory of all containers and init containers, or of the pod where it sets resources itself.
pub fn qos_class(pod: &Pod) -> QosClass {
    let Some(spec) = &pod.spec else { return QosClass::BestEffort };
    let empty = ResourceRequirements::default();
    let resources: Vec<&ResourceRequirements> = match &spec.resources {
        Some(resources) => vec![resources],
        None => {
            let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            containers.map(|container| container.resources.as_ref().unwrap_or(&empty)).collect()
        }
    };
    let mut anything = false;
    let mut guaranteed = true;
    for resources in resources {
        for name in ["cpu", "memory"] {
            let limit = amount(resources.limits.as_ref(), name);
            let request = amount(resources.requests.as_ref(), name);
            anything |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request.or(limit) == limit;
        }
    }
    match (anything, guaranteed) {
        (false, _) => QosClass::BestEffort,
        (true, true) => QosClass::Guaranteed,
        (true, false) => QosClass::Burstable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(containers: serde_json::Value, expected: QosClass) {
        let pod = serde_json::json!({"metadata": {}, "spec": {"containers": containers}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(qos_class(&pod), expected, "{pod:?}");
    }

    #[test]
    fn classes() {
        use QosClass::*;
        let json = |text: &str| serde_json::from_str(text).unwrap();
        for (containers, expected) in [
            (r#"[{"name":"a"}]"#, BestEffort),
            (r#"[{"name":"a","resources":{"requests":{"cpu":"0"}}}]"#, BestEffort),
            (r#"[{"name":"a","resources":{"requests":{"example.com/gpu":"1"}}}]"#, BestEffort),
            (r#"[{"name":"a","resources":{"requests":{"cpu":"1m"}}}]"#, Burstable),
            (r#"[{"name":"a","resources":{"limits":{"cpu":"1"},"requests":{"cpu":"1"}}}]"#, Burstable),
            (r#"[{"name":"a","resources":{"limits":{"cpu":"1","memory":"1Gi"}}}]"#, Guaranteed),
            (
                r#"[{"name":"a","resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1000m","memory":"1024Mi"}}}]"#,
                Guaranteed,
            ),
            (
                r#"[{"name":"a","resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"500m","memory":"1Gi"}}}]"#,
                Burstable,
            ),
            (r#"[{"name":"a","resources":{"limits":{"cpu":"1","memory":"1Gi"}}},{"name":"b"}]"#, Burstable),
        ] {
            check(json(containers), expected);
        }
    }
}
