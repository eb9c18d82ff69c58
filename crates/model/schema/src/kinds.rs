//! The one table of built-in kinds: (group, version, kind) → the `k8s-openapi` type its schema comes from.

use crate::{Schema, compile};
use k8s_openapi::{
    Resource,
    api::{
        admissionregistration, apiserverinternal, apps, authentication, authorization, autoscaling, batch,
        certificates, coordination, core, discovery, events, flowcontrol, networking, node, policy, rbac, resource,
        scheduling, storage, storagemigration,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions,
    apimachinery::pkg::apis::meta::v1 as meta,
    kube_aggregator::pkg::apis::apiregistration::v1 as apiregistration,
};
use schemars::{JsonSchema, SchemaGenerator};
use std::{borrow::Cow, sync::OnceLock};

/// A built-in kind and, once somebody asked for it, its compiled schema.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    /// `io.k8s.api.core.v1.Pod`
    pub(crate) definition: fn() -> Cow<'static, str>,
    /// Adds the kind's definition, and all it refers to, to the generator.
    pub(crate) generate: fn(&mut SchemaGenerator) -> schemars::Schema,
    schema: OnceLock<Option<Schema>>,
}

const fn kind<T: Resource + JsonSchema>() -> Kind {
    Kind {
        group: T::GROUP,
        version: T::VERSION,
        kind: T::KIND,
        definition: T::schema_name,
        generate: SchemaGenerator::subschema_for::<T>,
        schema: OnceLock::new(),
    }
}

/// A kind that every group has; its home is the core group.
const fn meta<T: JsonSchema>(kind: &'static str) -> Kind {
    Kind {
        group: "",
        version: "v1",
        kind,
        definition: T::schema_name,
        generate: SchemaGenerator::subschema_for::<T>,
        schema: OnceLock::new(),
    }
}

/// Sorted by group, version, kind.
static KINDS: [Kind; 100] = [
    kind::<core::v1::Binding>(),
    kind::<core::v1::ComponentStatus>(),
    kind::<core::v1::ConfigMap>(),
    meta::<meta::DeleteOptions>("DeleteOptions"),
    kind::<core::v1::Endpoints>(),
    kind::<core::v1::Event>(),
    kind::<core::v1::LimitRange>(),
    kind::<core::v1::Namespace>(),
    kind::<core::v1::Node>(),
    kind::<core::v1::PersistentVolume>(),
    kind::<core::v1::PersistentVolumeClaim>(),
    kind::<core::v1::Pod>(),
    kind::<core::v1::PodTemplate>(),
    kind::<core::v1::ReplicationController>(),
    kind::<core::v1::ResourceQuota>(),
    kind::<core::v1::Secret>(),
    kind::<core::v1::Service>(),
    kind::<core::v1::ServiceAccount>(),
    kind::<meta::Status>(),
    kind::<admissionregistration::v1::MutatingAdmissionPolicy>(),
    kind::<admissionregistration::v1::MutatingAdmissionPolicyBinding>(),
    kind::<admissionregistration::v1::MutatingWebhookConfiguration>(),
    kind::<admissionregistration::v1::ValidatingAdmissionPolicy>(),
    kind::<admissionregistration::v1::ValidatingAdmissionPolicyBinding>(),
    kind::<admissionregistration::v1::ValidatingWebhookConfiguration>(),
    kind::<admissionregistration::v1alpha1::MutatingAdmissionPolicy>(),
    kind::<admissionregistration::v1alpha1::MutatingAdmissionPolicyBinding>(),
    kind::<admissionregistration::v1beta1::MutatingAdmissionPolicy>(),
    kind::<admissionregistration::v1beta1::MutatingAdmissionPolicyBinding>(),
    kind::<apiextensions::CustomResourceDefinition>(),
    kind::<apiregistration::APIService>(),
    kind::<apps::v1::ControllerRevision>(),
    kind::<apps::v1::DaemonSet>(),
    kind::<apps::v1::Deployment>(),
    kind::<apps::v1::ReplicaSet>(),
    kind::<apps::v1::StatefulSet>(),
    kind::<authentication::v1::SelfSubjectReview>(),
    kind::<authentication::v1::TokenRequest>(),
    kind::<authentication::v1::TokenReview>(),
    kind::<authorization::v1::LocalSubjectAccessReview>(),
    kind::<authorization::v1::SelfSubjectAccessReview>(),
    kind::<authorization::v1::SelfSubjectRulesReview>(),
    kind::<authorization::v1::SubjectAccessReview>(),
    kind::<autoscaling::v1::HorizontalPodAutoscaler>(),
    kind::<autoscaling::v1::Scale>(),
    kind::<autoscaling::v2::HorizontalPodAutoscaler>(),
    kind::<batch::v1::CronJob>(),
    kind::<batch::v1::Job>(),
    kind::<certificates::v1::CertificateSigningRequest>(),
    kind::<certificates::v1alpha1::ClusterTrustBundle>(),
    kind::<certificates::v1beta1::ClusterTrustBundle>(),
    kind::<certificates::v1beta1::PodCertificateRequest>(),
    kind::<coordination::v1::Lease>(),
    kind::<coordination::v1alpha2::LeaseCandidate>(),
    kind::<coordination::v1beta1::LeaseCandidate>(),
    kind::<discovery::v1::EndpointSlice>(),
    kind::<events::v1::Event>(),
    kind::<flowcontrol::v1::FlowSchema>(),
    kind::<flowcontrol::v1::PriorityLevelConfiguration>(),
    kind::<apiserverinternal::v1alpha1::StorageVersion>(),
    kind::<networking::v1::IPAddress>(),
    kind::<networking::v1::Ingress>(),
    kind::<networking::v1::IngressClass>(),
    kind::<networking::v1::NetworkPolicy>(),
    kind::<networking::v1::ServiceCIDR>(),
    kind::<networking::v1beta1::IPAddress>(),
    kind::<networking::v1beta1::ServiceCIDR>(),
    kind::<node::v1::RuntimeClass>(),
    kind::<policy::v1::Eviction>(),
    kind::<policy::v1::PodDisruptionBudget>(),
    kind::<rbac::v1::ClusterRole>(),
    kind::<rbac::v1::ClusterRoleBinding>(),
    kind::<rbac::v1::Role>(),
    kind::<rbac::v1::RoleBinding>(),
    kind::<resource::v1::DeviceClass>(),
    kind::<resource::v1::ResourceClaim>(),
    kind::<resource::v1::ResourceClaimTemplate>(),
    kind::<resource::v1::ResourceSlice>(),
    kind::<resource::v1alpha3::DeviceTaintRule>(),
    kind::<resource::v1alpha3::ResourcePoolStatusRequest>(),
    kind::<resource::v1beta1::DeviceClass>(),
    kind::<resource::v1beta1::ResourceClaim>(),
    kind::<resource::v1beta1::ResourceClaimTemplate>(),
    kind::<resource::v1beta1::ResourceSlice>(),
    kind::<resource::v1beta2::DeviceClass>(),
    kind::<resource::v1beta2::DeviceTaintRule>(),
    kind::<resource::v1beta2::ResourceClaim>(),
    kind::<resource::v1beta2::ResourceClaimTemplate>(),
    kind::<resource::v1beta2::ResourceSlice>(),
    kind::<scheduling::v1::PriorityClass>(),
    kind::<scheduling::v1alpha2::PodGroup>(),
    kind::<scheduling::v1alpha2::Workload>(),
    kind::<storage::v1::CSIDriver>(),
    kind::<storage::v1::CSINode>(),
    kind::<storage::v1::CSIStorageCapacity>(),
    kind::<storage::v1::StorageClass>(),
    kind::<storage::v1::VolumeAttachment>(),
    kind::<storage::v1::VolumeAttributesClass>(),
    kind::<storage::v1beta1::VolumeAttributesClass>(),
    kind::<storagemigration::v1beta1::StorageVersionMigration>(),
];

/// The row of a kind.
pub(crate) fn find(group: &str, version: &str, kind: &str) -> Option<&'static Kind> {
    let index = KINDS.binary_search_by(|row| (row.group, row.version, row.kind).cmp(&(group, version, kind))).ok()?;
    KINDS.get(index)
}

/// Every row.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter()
}

/// The schema of a built-in kind, compiled on first use and shared from then on.
pub fn builtin(group: &str, version: &str, kind: &str) -> Option<&'static Schema> {
    let row = find(group, version, kind)?;
    row.schema.get_or_init(|| compile::definition(row)).as_ref()
}

#[cfg(test)]
mod tests {
    use super::{KINDS, builtin};

    #[test]
    fn the_table_is_sorted_and_every_kind_compiles() {
        assert!(KINDS.is_sorted_by(|a, b| (a.group, a.version, a.kind) < (b.group, b.version, b.kind)));
        for row in &KINDS {
            let schema = builtin(row.group, row.version, row.kind);
            assert!(schema.is_some_and(|schema| schema.properties().is_some()), "{}", row.kind);
        }
        assert!(builtin("", "v1", "Unheard").is_none());
    }
}
