//! The named groups, `/apis/<group>`.

use super::kind;
use crate::declaration::{Declaration, NameRule, Subresource, Verbs};
use crate::{
    admission, apps, batch, certificate, custom, devices, endpoints, event, flow, hpa, lease, networking, policy, rbac,
    review, runtime_class, storage,
};

const EXTENSIONS: &[&str] = &["api-extensions"];

pub(super) const ADMISSION_REGISTRATION: &[Declaration] = &[
    kind!(
        "admissionregistration.k8s.io",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicy",
        "MutatingAdmissionPolicy"
    )
    .rules(&admission::Policy { mutating: true })
    .cluster()
    .categories(EXTENSIONS),
    kind!(
        "admissionregistration.k8s.io",
        "mutatingadmissionpolicybindings",
        "mutatingadmissionpolicybinding",
        "MutatingAdmissionPolicyBinding"
    )
    .rules(&admission::PolicyBinding { mutating: true })
    .cluster()
    .categories(EXTENSIONS),
    kind!(
        "admissionregistration.k8s.io",
        "mutatingwebhookconfigurations",
        "mutatingwebhookconfiguration",
        "MutatingWebhookConfiguration"
    )
    .rules(&admission::WebhookConfiguration { mutating: true })
    .cluster()
    .categories(EXTENSIONS),
    kind!(
        "admissionregistration.k8s.io",
        "validatingadmissionpolicies",
        "validatingadmissionpolicy",
        "ValidatingAdmissionPolicy"
    )
    .rules(&admission::Policy { mutating: false })
    .cluster()
    .categories(EXTENSIONS)
    .subresources(&[Subresource::Status]),
    kind!(
        "admissionregistration.k8s.io",
        "validatingadmissionpolicybindings",
        "validatingadmissionpolicybinding",
        "ValidatingAdmissionPolicyBinding"
    )
    .rules(&admission::PolicyBinding { mutating: false })
    .cluster()
    .categories(EXTENSIONS),
    kind!(
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
        "validatingwebhookconfiguration",
        "ValidatingWebhookConfiguration"
    )
    .rules(&admission::WebhookConfiguration { mutating: false })
    .cluster()
    .categories(EXTENSIONS),
];

pub(super) const API_EXTENSIONS: &[Declaration] = &[kind!(
    "apiextensions.k8s.io",
    "customresourcedefinitions",
    "customresourcedefinition",
    "CustomResourceDefinition"
)
.rules(&custom::CustomResourceDefinition)
.cluster()
.short(&["crd", "crds"])
.categories(EXTENSIONS)
.subresources(&[Subresource::Status])];

pub(super) const API_REGISTRATION: &[Declaration] =
    &[kind!("apiregistration.k8s.io", "apiservices", "apiservice", "APIService")
        .rules(&custom::ApiService)
        .cluster()
        .categories(EXTENSIONS)
        .named(NameRule::PathSegment)
        .subresources(&[Subresource::Status])];

pub(super) const APPS: &[Declaration] = &[
    kind!("apps", "controllerrevisions", "controllerrevision", "ControllerRevision").rules(&apps::ControllerRevision),
    kind!("apps", "daemonsets", "daemonset", "DaemonSet")
        .rules(&apps::DaemonSet)
        .short(&["ds"])
        .in_all()
        .subresources(&[Subresource::Status]),
    kind!("apps", "deployments", "deployment", "Deployment")
        .rules(&apps::Deployment)
        .short(&["deploy"])
        .in_all()
        .subresources(&[Subresource::Scale, Subresource::Status]),
    kind!("apps", "replicasets", "replicaset", "ReplicaSet")
        .rules(&apps::ReplicaSet)
        .short(&["rs"])
        .in_all()
        .subresources(&[Subresource::Scale, Subresource::Status])
        .selectable(&[("status.replicas", "status.replicas")]),
    kind!("apps", "statefulsets", "statefulset", "StatefulSet")
        .named(NameRule::DnsLabel)
        .rules(&apps::StatefulSet)
        .short(&["sts"])
        .in_all()
        .subresources(&[Subresource::Scale, Subresource::Status]),
];

pub(super) const AUTHENTICATION: &[Declaration] = &[
    kind!("authentication.k8s.io", "selfsubjectreviews", "selfsubjectreview", "SelfSubjectReview")
        .cluster()
        .named(NameRule::Any)
        .verbs(Verbs::CreateOnly),
    kind!("authentication.k8s.io", "tokenreviews", "tokenreview", "TokenReview")
        .cluster()
        .named(NameRule::Any)
        .verbs(Verbs::CreateOnly),
];

pub(super) const AUTHORIZATION: &[Declaration] = &[
    kind!("authorization.k8s.io", "localsubjectaccessreviews", "localsubjectaccessreview", "LocalSubjectAccessReview")
        .rules(&review::AccessReview { own: false, local: true })
        .named(NameRule::Any)
        .verbs(Verbs::CreateOnly),
    kind!("authorization.k8s.io", "selfsubjectaccessreviews", "selfsubjectaccessreview", "SelfSubjectAccessReview")
        .rules(&review::AccessReview { own: true, local: false })
        .cluster()
        .named(NameRule::Any)
        .verbs(Verbs::CreateOnly),
    kind!("authorization.k8s.io", "selfsubjectrulesreviews", "selfsubjectrulesreview", "SelfSubjectRulesReview")
        .cluster()
        .named(NameRule::Any)
        .verbs(Verbs::CreateOnly),
    kind!("authorization.k8s.io", "subjectaccessreviews", "subjectaccessreview", "SubjectAccessReview")
        .rules(&review::AccessReview { own: false, local: false })
        .cluster()
        .named(NameRule::Any)
        .verbs(Verbs::CreateOnly),
];

pub(super) const AUTOSCALING: &[Declaration] =
    &[kind!("autoscaling", "horizontalpodautoscalers", "horizontalpodautoscaler", "HorizontalPodAutoscaler")
        .rules(&hpa::HorizontalPodAutoscaler)
        .short(&["hpa"])
        .in_all()
        .versions(&["v2", "v1"], hpa::convert)
        .stored_as("autoscaling/horizontalpodautoscalers", "autoscaling/v2", hpa::convert)
        .subresources(&[Subresource::Status])];

pub(super) const BATCH: &[Declaration] = &[
    kind!("batch", "cronjobs", "cronjob", "CronJob")
        .rules(&batch::CronJob)
        .short(&["cj"])
        .in_all()
        .subresources(&[Subresource::Status]),
    kind!("batch", "jobs", "job", "Job")
        .rules(&batch::Job)
        .in_all()
        .subresources(&[Subresource::Status])
        .selectable(&[("status.successful", "status.successful")]),
];

pub(super) const CERTIFICATES: &[Declaration] = &[kind!(
    "certificates.k8s.io",
    "certificatesigningrequests",
    "certificatesigningrequest",
    "CertificateSigningRequest"
)
.rules(&certificate::CertificateSigningRequest)
.cluster()
.short(&["csr"])
.subresources(&[Subresource::Approval, Subresource::Status])
.selectable(&[("spec.signerName", "spec.signerName")])];

pub(super) const COORDINATION: &[Declaration] =
    &[kind!("coordination.k8s.io", "leases", "lease", "Lease").rules(&lease::Lease)];

pub(super) const DISCOVERY: &[Declaration] =
    &[kind!("discovery.k8s.io", "endpointslices", "endpointslice", "EndpointSlice").rules(&endpoints::EndpointSlice)];

pub(super) const EVENTS: &[Declaration] = &[kind!("events.k8s.io", "events", "event", "Event")
    .rules(&event::NewEvent)
    .short(&["ev"])
    .stored_as("core/events", "v1", event::convert)
    .selectable(&[
        ("regarding.kind", "involvedObject.kind"),
        ("regarding.namespace", "involvedObject.namespace"),
        ("regarding.name", "involvedObject.name"),
        ("regarding.uid", "involvedObject.uid"),
        ("regarding.apiVersion", "involvedObject.apiVersion"),
        ("regarding.resourceVersion", "involvedObject.resourceVersion"),
        ("regarding.fieldPath", "involvedObject.fieldPath"),
        ("reason", "reason"),
        ("reportingController", "reportingComponent"),
        ("type", "type"),
    ])];

pub(super) const FLOW_CONTROL: &[Declaration] = &[
    kind!("flowcontrol.apiserver.k8s.io", "flowschemas", "flowschema", "FlowSchema")
        .rules(&flow::FlowSchema)
        .cluster()
        .subresources(&[Subresource::Status]),
    kind!(
        "flowcontrol.apiserver.k8s.io",
        "prioritylevelconfigurations",
        "prioritylevelconfiguration",
        "PriorityLevelConfiguration"
    )
    .rules(&flow::PriorityLevelConfiguration)
    .cluster()
    .subresources(&[Subresource::Status]),
];

pub(super) const NETWORKING: &[Declaration] = &[
    kind!("networking.k8s.io", "ingressclasses", "ingressclass", "IngressClass")
        .rules(&networking::IngressClass)
        .cluster(),
    kind!("networking.k8s.io", "ingresses", "ingress", "Ingress")
        .rules(&networking::Ingress)
        .short(&["ing"])
        .subresources(&[Subresource::Status]),
    kind!("networking.k8s.io", "ipaddresses", "ipaddress", "IPAddress")
        .rules(&networking::IpAddress)
        .cluster()
        .short(&["ip"])
        .named(NameRule::IpAddress),
    kind!("networking.k8s.io", "networkpolicies", "networkpolicy", "NetworkPolicy")
        .rules(&networking::NetworkPolicy)
        .short(&["netpol"]),
    kind!("networking.k8s.io", "servicecidrs", "servicecidr", "ServiceCIDR")
        .rules(&networking::ServiceCidr)
        .cluster()
        .subresources(&[Subresource::Status]),
];

pub(super) const NODE: &[Declaration] = &[kind!("node.k8s.io", "runtimeclasses", "runtimeclass", "RuntimeClass")
    .rules(&runtime_class::RuntimeClass)
    .cluster()];

pub(super) const POLICY: &[Declaration] =
    &[kind!("policy", "poddisruptionbudgets", "poddisruptionbudget", "PodDisruptionBudget")
        .rules(&policy::PodDisruptionBudget)
        .short(&["pdb"])
        .subresources(&[Subresource::Status])];

pub(super) const RBAC: &[Declaration] = &[
    kind!("rbac.authorization.k8s.io", "clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding")
        .rules(&rbac::RoleBinding { namespaced: false })
        .cluster()
        .named(NameRule::PathSegment),
    kind!("rbac.authorization.k8s.io", "clusterroles", "clusterrole", "ClusterRole")
        .rules(&rbac::Role { namespaced: false })
        .cluster()
        .named(NameRule::PathSegment),
    kind!("rbac.authorization.k8s.io", "rolebindings", "rolebinding", "RoleBinding")
        .rules(&rbac::RoleBinding { namespaced: true })
        .named(NameRule::PathSegment),
    kind!("rbac.authorization.k8s.io", "roles", "role", "Role")
        .rules(&rbac::Role { namespaced: true })
        .named(NameRule::PathSegment),
];

pub(super) const RESOURCE: &[Declaration] = &[
    kind!("resource.k8s.io", "deviceclasses", "deviceclass", "DeviceClass").rules(&devices::DeviceClass).cluster(),
    kind!("resource.k8s.io", "resourceclaims", "resourceclaim", "ResourceClaim")
        .rules(&devices::ResourceClaim)
        .subresources(&[Subresource::Status]),
    kind!("resource.k8s.io", "resourceclaimtemplates", "resourceclaimtemplate", "ResourceClaimTemplate")
        .rules(&devices::ResourceClaimTemplate),
    kind!("resource.k8s.io", "resourceslices", "resourceslice", "ResourceSlice")
        .rules(&devices::ResourceSlice)
        .cluster()
        .selectable(&[("spec.nodeName", "spec.nodeName"), ("spec.driver", "spec.driver")]),
];

pub(super) const SCHEDULING: &[Declaration] =
    &[kind!("scheduling.k8s.io", "priorityclasses", "priorityclass", "PriorityClass")
        .rules(&policy::PriorityClass)
        .cluster()
        .short(&["pc"])];

pub(super) const STORAGE: &[Declaration] = &[
    kind!("storage.k8s.io", "csidrivers", "csidriver", "CSIDriver").rules(&storage::CsiDriver).cluster(),
    kind!("storage.k8s.io", "csinodes", "csinode", "CSINode").rules(&storage::CsiNode).cluster(),
    kind!("storage.k8s.io", "csistoragecapacities", "csistoragecapacity", "CSIStorageCapacity")
        .rules(&storage::CsiStorageCapacity),
    kind!("storage.k8s.io", "storageclasses", "storageclass", "StorageClass")
        .rules(&storage::StorageClass)
        .cluster()
        .short(&["sc"]),
    kind!("storage.k8s.io", "volumeattachments", "volumeattachment", "VolumeAttachment")
        .rules(&storage::VolumeAttachment)
        .cluster()
        .subresources(&[Subresource::Status]),
    kind!("storage.k8s.io", "volumeattributesclasses", "volumeattributesclass", "VolumeAttributesClass")
        .rules(&storage::VolumeAttributesClass)
        .cluster()
        .short(&["vac"]),
];
