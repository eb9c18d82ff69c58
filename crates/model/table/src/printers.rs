//! The printers by area, and the list of them all.

mod access;
mod cluster;
mod extension;
mod network;
mod node;
mod pod;
mod storage;
mod workload;

use crate::cells::{age, name, text};
use crate::column::{AGE, CREATED_AT, NAME, Printer};

/// What kinds without a printer of their own show.
pub(crate) static NAME_AND_AGE: Printer =
    Printer { columns: &[NAME, AGE], cells: |object, now| vec![name(object), age(object, now)] };

/// What upstream's generic table shows: the time of creation instead of the age.
const NAME_AND_CREATION: Printer = Printer {
    columns: &[NAME, CREATED_AT],
    cells: |object, _| vec![name(object), text(object, "metadata.creationTimestamp").into()],
};

/// Group, kind, printer.
pub(crate) static ALL: &[(&str, &str, Printer)] = &[
    ("", "ComponentStatus", cluster::COMPONENT_STATUS),
    ("", "ConfigMap", cluster::CONFIG_MAP),
    ("", "Endpoints", network::ENDPOINTS),
    ("", "Event", cluster::EVENT),
    ("", "LimitRange", NAME_AND_CREATION),
    ("", "Namespace", cluster::NAMESPACE),
    ("", "Node", node::NODE),
    ("", "PersistentVolume", storage::PERSISTENT_VOLUME),
    ("", "PersistentVolumeClaim", storage::PERSISTENT_VOLUME_CLAIM),
    ("", "Pod", pod::POD),
    ("", "PodTemplate", pod::POD_TEMPLATE),
    ("", "ReplicationController", workload::REPLICATION_CONTROLLER),
    ("", "ResourceQuota", cluster::RESOURCE_QUOTA),
    ("", "Secret", cluster::SECRET),
    ("", "Service", network::SERVICE),
    ("", "ServiceAccount", access::SERVICE_ACCOUNT),
    ("", "Status", cluster::STATUS),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy", extension::MUTATING_POLICY),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding", extension::POLICY_BINDING),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", extension::WEBHOOKS),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", extension::VALIDATING_POLICY),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", extension::POLICY_BINDING),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", extension::WEBHOOKS),
    ("apiextensions.k8s.io", "CustomResourceDefinition", NAME_AND_CREATION),
    ("apiregistration.k8s.io", "APIService", extension::API_SERVICE),
    ("apps", "ControllerRevision", workload::CONTROLLER_REVISION),
    ("apps", "DaemonSet", workload::DAEMON_SET),
    ("apps", "Deployment", workload::DEPLOYMENT),
    ("apps", "ReplicaSet", workload::REPLICA_SET),
    ("apps", "StatefulSet", workload::STATEFUL_SET),
    ("autoscaling", "HorizontalPodAutoscaler", workload::HORIZONTAL_POD_AUTOSCALER),
    ("autoscaling", "Scale", workload::SCALE),
    ("batch", "CronJob", workload::CRON_JOB),
    ("batch", "Job", workload::JOB),
    ("certificates.k8s.io", "CertificateSigningRequest", access::CERTIFICATE_SIGNING_REQUEST),
    ("coordination.k8s.io", "Lease", cluster::LEASE),
    ("discovery.k8s.io", "EndpointSlice", network::ENDPOINT_SLICE),
    ("events.k8s.io", "Event", cluster::EVENT),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema", extension::FLOW_SCHEMA),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", extension::PRIORITY_LEVEL),
    ("networking.k8s.io", "IPAddress", network::IP_ADDRESS),
    ("networking.k8s.io", "Ingress", network::INGRESS),
    ("networking.k8s.io", "IngressClass", network::INGRESS_CLASS),
    ("networking.k8s.io", "NetworkPolicy", network::NETWORK_POLICY),
    ("networking.k8s.io", "ServiceCIDR", network::SERVICE_CIDR),
    ("node.k8s.io", "RuntimeClass", node::RUNTIME_CLASS),
    ("policy", "PodDisruptionBudget", workload::POD_DISRUPTION_BUDGET),
    ("rbac.authorization.k8s.io", "ClusterRole", NAME_AND_CREATION),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", access::ROLE_BINDING),
    ("rbac.authorization.k8s.io", "Role", NAME_AND_CREATION),
    ("rbac.authorization.k8s.io", "RoleBinding", access::ROLE_BINDING),
    ("resource.k8s.io", "ResourceClaim", node::RESOURCE_CLAIM),
    ("resource.k8s.io", "ResourceSlice", node::RESOURCE_SLICE),
    ("scheduling.k8s.io", "PriorityClass", node::PRIORITY_CLASS),
    ("storage.k8s.io", "CSIDriver", storage::CSI_DRIVER),
    ("storage.k8s.io", "CSINode", storage::CSI_NODE),
    ("storage.k8s.io", "CSIStorageCapacity", storage::CSI_STORAGE_CAPACITY),
    ("storage.k8s.io", "StorageClass", storage::STORAGE_CLASS),
    ("storage.k8s.io", "VolumeAttachment", storage::VOLUME_ATTACHMENT),
    ("storage.k8s.io", "VolumeAttributesClass", storage::VOLUME_ATTRIBUTES_CLASS),
];
