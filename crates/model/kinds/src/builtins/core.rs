//! The core group, `/api/v1`.

use super::kind;
use crate::declaration::{Declaration, NameRule, Subresource, Verbs};
use crate::{
    apps, config, endpoints, event, namespace, node, pod, pod_template, quota, service, service_account, storage,
    volume_claim,
};

pub(super) const CORE: &[Declaration] = &[
    kind!("", "bindings", "binding", "Binding").verbs(Verbs::CreateOnly),
    kind!("", "configmaps", "configmap", "ConfigMap").rules(&config::ConfigMap).short(&["cm"]),
    kind!("", "endpoints", "endpoints", "Endpoints")
        .rules(&endpoints::Endpoints)
        .short(&["ep"])
        .deprecated("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
    kind!("", "events", "event", "Event").rules(&event::CoreEvent).short(&["ev"]).selectable(EVENT_FIELDS),
    kind!("", "limitranges", "limitrange", "LimitRange").rules(&quota::LimitRange).short(&["limits"]),
    kind!("", "namespaces", "namespace", "Namespace")
        .rules(&namespace::Namespace)
        .cluster()
        .short(&["ns"])
        .named(NameRule::DnsLabel)
        .verbs(Verbs::NoDeleteCollection)
        .subresources(&[Subresource::Finalize, Subresource::Status])
        .selectable(&[("status.phase", "status.phase"), ("name", "metadata.name")]),
    kind!("", "nodes", "node", "Node")
        .rules(&node::Node)
        .cluster()
        .short(&["no"])
        .subresources(&[Subresource::Proxy, Subresource::Status])
        .selectable(&[("spec.unschedulable", "spec.unschedulable")]),
    kind!("", "persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim")
        .rules(&volume_claim::PersistentVolumeClaim)
        .short(&["pvc"])
        .subresources(&[Subresource::Status]),
    kind!("", "persistentvolumes", "persistentvolume", "PersistentVolume")
        .rules(&storage::PersistentVolume)
        .cluster()
        .short(&["pv"])
        .subresources(&[Subresource::Status]),
    kind!("", "pods", "pod", "Pod")
        .short(&["po"])
        .in_all()
        .subresources(POD_SUBRESOURCES)
        .selectable(POD_FIELDS)
        .rules(&pod::Pod),
    kind!("", "podtemplates", "podtemplate", "PodTemplate").rules(&pod_template::PodTemplate),
    kind!("", "replicationcontrollers", "replicationcontroller", "ReplicationController")
        .rules(&apps::ReplicationController)
        .short(&["rc"])
        .in_all()
        .subresources(&[Subresource::Scale, Subresource::Status])
        .selectable(&[("status.replicas", "status.replicas")]),
    kind!("", "resourcequotas", "resourcequota", "ResourceQuota")
        .rules(&quota::ResourceQuota)
        .short(&["quota"])
        .subresources(&[Subresource::Status]),
    kind!("", "secrets", "secret", "Secret").rules(&config::Secret).selectable(&[("type", "type")]),
    kind!("", "serviceaccounts", "serviceaccount", "ServiceAccount")
        .rules(&service_account::ServiceAccount)
        .short(&["sa"])
        .subresources(&[Subresource::Token]),
    kind!("", "services", "service", "Service")
        .rules(&service::Service)
        .short(&["svc"])
        .in_all()
        .named(NameRule::DnsLabel)
        .subresources(&[Subresource::Proxy, Subresource::Status])
        .selectable(&[("spec.clusterIP", "spec.clusterIP"), ("spec.type", "spec.type")]),
];

const POD_SUBRESOURCES: &[Subresource] = &[
    Subresource::Attach,
    Subresource::Binding,
    Subresource::EphemeralContainers,
    Subresource::Eviction,
    Subresource::Exec,
    Subresource::Log,
    Subresource::PortForward,
    Subresource::Proxy,
    Subresource::Resize,
    Subresource::Status,
];

const POD_FIELDS: &[(&str, &str)] = &[
    ("spec.nodeName", "spec.nodeName"),
    ("spec.restartPolicy", "spec.restartPolicy"),
    ("spec.schedulerName", "spec.schedulerName"),
    ("spec.serviceAccountName", "spec.serviceAccountName"),
    ("spec.hostNetwork", "spec.hostNetwork"),
    ("status.phase", "status.phase"),
    ("status.podIP", "status.podIP"),
    ("status.podIPs", "status.podIP"),
    ("status.nominatedNodeName", "status.nominatedNodeName"),
];

const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject.kind", "involvedObject.kind"),
    ("involvedObject.namespace", "involvedObject.namespace"),
    ("involvedObject.name", "involvedObject.name"),
    ("involvedObject.uid", "involvedObject.uid"),
    ("involvedObject.apiVersion", "involvedObject.apiVersion"),
    ("involvedObject.resourceVersion", "involvedObject.resourceVersion"),
    ("involvedObject.fieldPath", "involvedObject.fieldPath"),
    ("reason", "reason"),
    ("reportingComponent", "reportingComponent"),
    ("source", "source"),
    ("type", "type"),
];
