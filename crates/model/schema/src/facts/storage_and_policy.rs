//! Facts of storage, policy, networking, node, discovery, RBAC, scheduling, flow control, coordination.

use super::{Definition, definition, field};

pub(super) const DEFINITIONS: &[Definition] = &[
    definition("io.k8s.api.discovery.v1.Endpoint", &[field("addresses").set()]),
    definition("io.k8s.api.discovery.v1.EndpointHints", &[field("forNodes").atomic(), field("forZones").atomic()]),
    definition("io.k8s.api.discovery.v1.EndpointPort", &[]).atomic(),
    definition("io.k8s.api.discovery.v1.EndpointSlice", &[field("endpoints").atomic(), field("ports").atomic()]),
    definition("io.k8s.api.flowcontrol.v1.FlowSchemaSpec", &[field("rules").atomic()]),
    definition("io.k8s.api.flowcontrol.v1.FlowSchemaStatus", &[field("conditions").map(&["type"]).merge("type")]),
    definition("io.k8s.api.flowcontrol.v1.LimitResponse", &[]).union(Some("type"), &[("queuing", "Queuing")]),
    definition(
        "io.k8s.api.flowcontrol.v1.NonResourcePolicyRule",
        &[field("nonResourceURLs").set(), field("verbs").set()],
    ),
    definition(
        "io.k8s.api.flowcontrol.v1.PolicyRulesWithSubjects",
        &[field("nonResourceRules").atomic(), field("resourceRules").atomic(), field("subjects").atomic()],
    ),
    definition("io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationSpec", &[])
        .union(Some("type"), &[("exempt", "Exempt"), ("limited", "Limited")]),
    definition(
        "io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationStatus",
        &[field("conditions").map(&["type"]).merge("type")],
    ),
    definition(
        "io.k8s.api.flowcontrol.v1.ResourcePolicyRule",
        &[field("apiGroups").set(), field("namespaces").set(), field("resources").set(), field("verbs").set()],
    ),
    definition("io.k8s.api.flowcontrol.v1.Subject", &[])
        .union(Some("kind"), &[("group", "Group"), ("serviceAccount", "ServiceAccount"), ("user", "User")]),
    definition("io.k8s.api.networking.v1.HTTPIngressRuleValue", &[field("paths").atomic()]),
    definition("io.k8s.api.networking.v1.IPBlock", &[field("except").atomic()]),
    definition("io.k8s.api.networking.v1.IngressLoadBalancerIngress", &[field("ports").atomic()]),
    definition("io.k8s.api.networking.v1.IngressLoadBalancerStatus", &[field("ingress").atomic()]),
    definition("io.k8s.api.networking.v1.IngressSpec", &[field("rules").atomic(), field("tls").atomic()]),
    definition("io.k8s.api.networking.v1.IngressTLS", &[field("hosts").atomic()]),
    definition("io.k8s.api.networking.v1.NetworkPolicyEgressRule", &[field("ports").atomic(), field("to").atomic()]),
    definition("io.k8s.api.networking.v1.NetworkPolicyIngressRule", &[field("from").atomic(), field("ports").atomic()]),
    definition(
        "io.k8s.api.networking.v1.NetworkPolicySpec",
        &[field("egress").atomic(), field("ingress").atomic(), field("policyTypes").atomic()],
    ),
    definition("io.k8s.api.networking.v1.ServiceBackendPort", &[]).atomic(),
    definition("io.k8s.api.networking.v1.ServiceCIDRSpec", &[field("cidrs").atomic()]),
    definition("io.k8s.api.networking.v1.ServiceCIDRStatus", &[field("conditions").map(&["type"]).merge("type")]),
    definition("io.k8s.api.networking.v1beta1.ServiceCIDRSpec", &[field("cidrs").atomic()]),
    definition("io.k8s.api.networking.v1beta1.ServiceCIDRStatus", &[field("conditions").map(&["type"]).merge("type")]),
    definition("io.k8s.api.node.v1.Scheduling", &[field("nodeSelector").atomic_map(), field("tolerations").atomic()]),
    definition("io.k8s.api.policy.v1.PodDisruptionBudgetSpec", &[field("selector").replace()]),
    definition("io.k8s.api.policy.v1.PodDisruptionBudgetStatus", &[field("conditions").map(&["type"]).merge("type")]),
    definition("io.k8s.api.rbac.v1.AggregationRule", &[field("clusterRoleSelectors").atomic()]),
    definition("io.k8s.api.rbac.v1.ClusterRole", &[field("rules").atomic()]),
    definition("io.k8s.api.rbac.v1.ClusterRoleBinding", &[field("subjects").atomic()]),
    definition(
        "io.k8s.api.rbac.v1.PolicyRule",
        &[
            field("apiGroups").atomic(),
            field("nonResourceURLs").atomic(),
            field("resourceNames").atomic(),
            field("resources").atomic(),
            field("verbs").atomic(),
        ],
    ),
    definition("io.k8s.api.rbac.v1.Role", &[field("rules").atomic()]),
    definition("io.k8s.api.rbac.v1.RoleBinding", &[field("subjects").atomic()]),
    definition("io.k8s.api.rbac.v1.RoleRef", &[]).atomic(),
    definition("io.k8s.api.rbac.v1.Subject", &[]).atomic(),
    definition("io.k8s.api.scheduling.v1alpha2.PodGroupSchedulingConstraints", &[field("topology").atomic()]),
    definition("io.k8s.api.scheduling.v1alpha2.PodGroupSchedulingPolicy", &[])
        .union(None, &[("basic", "Basic"), ("gang", "Gang")]),
    definition(
        "io.k8s.api.scheduling.v1alpha2.PodGroupSpec",
        &[field("resourceClaims").map(&["name"]).merge("name").retain_keys()],
    ),
    definition(
        "io.k8s.api.scheduling.v1alpha2.PodGroupStatus",
        &[
            field("conditions").map(&["type"]).merge("type"),
            field("resourceClaimStatuses").map(&["name"]).merge("name").retain_keys(),
        ],
    ),
    definition(
        "io.k8s.api.scheduling.v1alpha2.PodGroupTemplate",
        &[field("resourceClaims").map(&["name"]).merge("name").retain_keys()],
    ),
    definition("io.k8s.api.scheduling.v1alpha2.PodGroupTemplateReference", &[])
        .union(None, &[("workload", "Workload")]),
    definition("io.k8s.api.scheduling.v1alpha2.WorkloadSpec", &[field("podGroupTemplates").map(&["name"])]),
    definition(
        "io.k8s.api.storage.v1.CSIDriverSpec",
        &[field("tokenRequests").atomic(), field("volumeLifecycleModes").set()],
    ),
    definition("io.k8s.api.storage.v1.CSINodeDriver", &[field("topologyKeys").atomic()]),
    definition("io.k8s.api.storage.v1.CSINodeSpec", &[field("drivers").map(&["name"]).merge("name")]),
    definition(
        "io.k8s.api.storage.v1.StorageClass",
        &[field("allowedTopologies").atomic(), field("mountOptions").atomic()],
    ),
    definition(
        "io.k8s.api.storagemigration.v1beta1.StorageVersionMigrationStatus",
        &[field("conditions").map(&["type"]).merge("type")],
    ),
];
