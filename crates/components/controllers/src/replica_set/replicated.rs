//! Kinds that keep a number of equal pods, seen as ReplicaSets.

use std::borrow::Cow;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use minato_select::LabelSelector as Selector;
use serde::Serialize;

use crate::pods::Controlling;

/// A kind that can be seen as a ReplicaSet.
pub(crate) trait Replicated: Controlling + Serialize {
    /// The source of its events.
    const COMPONENT: &'static str;

    /// The object as a ReplicaSet.
    fn as_replica_set(&self) -> Cow<'_, ReplicaSet>;

    /// The object with this status; none if it has it already.
    fn with_status(&self, status: ReplicaSetStatus) -> Option<Self>;
}

impl Controlling for ReplicaSet {
    fn selector(&self) -> Option<Selector> {
        Selector::try_from(&self.spec.as_ref()?.selector).ok()
    }
}

impl Controlling for ReplicationController {
    fn selector(&self) -> Option<Selector> {
        Selector::try_from(&self.as_replica_set().spec.as_ref()?.selector).ok()
    }
}

impl Replicated for ReplicaSet {
    const COMPONENT: &'static str = "replicaset-controller";

    fn as_replica_set(&self) -> Cow<'_, ReplicaSet> {
        Cow::Borrowed(self)
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Option<Self> {
        let status = Some(status);
        (self.status != status).then(|| Self { status, ..self.clone() })
    }
}

impl Replicated for ReplicationController {
    const COMPONENT: &'static str = "replication-controller";

    fn as_replica_set(&self) -> Cow<'_, ReplicaSet> {
        let spec = self.spec.as_ref().map(|spec| ReplicaSetSpec {
            min_ready_seconds: spec.min_ready_seconds,
            replicas: spec.replicas,
            selector: LabelSelector { match_labels: spec.selector.clone(), match_expressions: None },
            template: spec.template.clone(),
        });
        let condition = |found: &ReplicationControllerCondition| ReplicaSetCondition {
            last_transition_time: found.last_transition_time.clone(),
            message: found.message.clone(),
            reason: found.reason.clone(),
            status: found.status.clone(),
            type_: found.type_.clone(),
        };
        let status = self.status.as_ref().map(|status| ReplicaSetStatus {
            available_replicas: status.available_replicas,
            conditions: status.conditions.as_ref().map(|conditions| conditions.iter().map(condition).collect()),
            fully_labeled_replicas: status.fully_labeled_replicas,
            observed_generation: status.observed_generation,
            ready_replicas: status.ready_replicas,
            replicas: status.replicas,
            terminating_replicas: None,
        });
        Cow::Owned(ReplicaSet { metadata: self.metadata.clone(), spec, status })
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Option<Self> {
        let condition = |found: ReplicaSetCondition| ReplicationControllerCondition {
            last_transition_time: found.last_transition_time,
            message: found.message,
            reason: found.reason,
            status: found.status,
            type_: found.type_,
        };
        let status = Some(ReplicationControllerStatus {
            available_replicas: status.available_replicas,
            conditions: status.conditions.map(|conditions| conditions.into_iter().map(condition).collect()),
            fully_labeled_replicas: status.fully_labeled_replicas,
            observed_generation: status.observed_generation,
            ready_replicas: status.ready_replicas,
            replicas: status.replicas,
        });
        (self.status != status).then(|| Self { status, ..self.clone() })
    }
}
