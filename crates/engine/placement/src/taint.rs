//! Taints repel pods; tolerations let them stay.

use k8s_openapi::api::core::v1 as core;

/// A taint of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taint {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) effect: String,
}

impl Taint {
    pub(crate) fn read(taint: &core::Taint) -> Self {
        Self { key: taint.key.clone(), value: taint.value.clone().unwrap_or_default(), effect: taint.effect.clone() }
    }

    /// Whether the taint keeps new pods away, rather than merely being unwelcoming.
    pub(crate) fn is_hard(&self) -> bool {
        matches!(self.effect.as_str(), "NoSchedule" | "NoExecute")
    }
}

/// A toleration of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Toleration {
    key: String,
    /// Absent: any value.
    value: Option<String>,
    effect: String,
}

impl Toleration {
    pub(crate) fn read(toleration: &core::Toleration) -> Self {
        let any_value = toleration.operator.as_deref() == Some("Exists");
        Self {
            key: toleration.key.clone().unwrap_or_default(),
            value: (!any_value).then(|| toleration.value.clone().unwrap_or_default()),
            effect: toleration.effect.clone().unwrap_or_default(),
        }
    }

    pub(crate) fn tolerates(&self, taint: &Taint) -> bool {
        (self.effect.is_empty() || self.effect == taint.effect)
            && (self.key == taint.key || (self.key.is_empty() && self.value.is_none()))
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
    }
}
