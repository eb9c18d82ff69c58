//! The roles that every cluster has for its users and parts (upstream's bootstrap policy, v1.36), as a table.
//!
//! A rule is `verbs groups resources [names]` or `verbs paths`, lists with commas; `-` is the core group, `read`, `write`
//! and `all` are sets of verbs.

use super::{Binding, Role};

/// Rules that several roles have.
const EVENTS: &str = "create,patch,update -,events.k8s.io events";
const REVIEWS: [&str; 2] =
    ["create authentication.k8s.io tokenreviews", "create authorization.k8s.io subjectaccessreviews"];

/// Labels by which a role's rules go into another role.
const TO_ADMIN: Option<&str> = Some("rbac.authorization.k8s.io/aggregate-to-admin");
const TO_EDIT: Option<&str> = Some("rbac.authorization.k8s.io/aggregate-to-edit");
const TO_VIEW: Option<&str> = Some("rbac.authorization.k8s.io/aggregate-to-view");

const fn role(name: &'static str, rules: &'static [&'static str]) -> Role {
    Role { name, rules, label: None, aggregates: None }
}

/// Every ClusterRole but those of the controllers.
pub(super) const CLUSTER_ROLES: &[Role] = &[
    role("cluster-admin", &["* * *", "* *"]),
    Role { name: "admin", rules: &[], label: None, aggregates: TO_ADMIN },
    Role { name: "edit", rules: &[], label: TO_ADMIN, aggregates: TO_EDIT },
    Role { name: "view", rules: &[], label: TO_EDIT, aggregates: TO_VIEW },
    Role {
        name: "system:aggregate-to-admin",
        label: TO_ADMIN,
        aggregates: None,
        rules: &[
            "create authorization.k8s.io localsubjectaccessreviews",
            "all rbac.authorization.k8s.io rolebindings,roles",
        ],
    },
    Role {
        name: "system:aggregate-to-edit",
        label: TO_EDIT,
        aggregates: None,
        rules: &[
            "read - pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy",
            "impersonate - serviceaccounts",
            "write - pods,pods/attach,pods/exec,pods/portforward,pods/proxy",
            "create - pods/eviction",
            "write - configmaps,events,persistentvolumeclaims,replicationcontrollers,replicationcontrollers/scale,secrets,serviceaccounts,services,services/proxy",
            "create - serviceaccounts/token",
            "write apps daemonsets,deployments,deployments/rollback,deployments/scale,replicasets,replicasets/scale,statefulsets,statefulsets/scale",
            "write autoscaling horizontalpodautoscalers",
            "write batch cronjobs,jobs",
            "write extensions daemonsets,deployments,deployments/rollback,deployments/scale,ingresses,networkpolicies,replicasets,replicasets/scale,replicationcontrollers/scale",
            "write policy poddisruptionbudgets",
            "write networking.k8s.io ingresses,networkpolicies",
            "all coordination.k8s.io leases",
            "write resource.k8s.io resourceclaims,resourceclaimtemplates",
        ],
    },
    // What metrics-server's manifest adds; here it is built in.
    Role {
        name: "system:aggregated-metrics-reader",
        label: TO_VIEW,
        aggregates: None,
        rules: &["get,list,watch metrics.k8s.io pods,nodes"],
    },
    Role {
        name: "system:aggregate-to-view",
        label: TO_VIEW,
        aggregates: None,
        rules: &[
            "read - configmaps,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,pods,replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status",
            "read - bindings,events,limitranges,namespaces/status,pods/log,pods/status,replicationcontrollers/status,resourcequotas,resourcequotas/status",
            "read - namespaces",
            "read discovery.k8s.io endpointslices",
            "read apps controllerrevisions,daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,replicasets,replicasets/scale,replicasets/status,statefulsets,statefulsets/scale,statefulsets/status",
            "read autoscaling horizontalpodautoscalers,horizontalpodautoscalers/status",
            "read batch cronjobs,cronjobs/status,jobs,jobs/status",
            "read extensions daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,ingresses,ingresses/status,networkpolicies,replicasets,replicasets/scale,replicasets/status,replicationcontrollers/scale",
            "read policy poddisruptionbudgets,poddisruptionbudgets/status",
            "read networking.k8s.io ingresses,ingresses/status,networkpolicies",
            "read resource.k8s.io resourceclaims,resourceclaims/status,resourceclaimtemplates",
        ],
    },
    role(
        "system:discovery",
        &["get /api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,/readyz,/version,/version/"],
    ),
    role("system:public-info-viewer", &["get /healthz,/livez,/readyz,/version,/version/"]),
    role("system:monitoring", &["get /healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/*"]),
    role(
        "system:basic-user",
        &[
            "create authorization.k8s.io selfsubjectaccessreviews,selfsubjectrulesreviews",
            "create authentication.k8s.io selfsubjectreviews",
        ],
    ),
    role("system:heapster", &["read - events,namespaces,nodes,pods", "read extensions deployments"]),
    role("system:auth-delegator", &REVIEWS),
    role("system:kube-aggregator", &["read - endpoints,services"]),
    role(
        "system:node",
        &[
            "create authentication.k8s.io tokenreviews",
            "create authorization.k8s.io localsubjectaccessreviews,subjectaccessreviews",
            "read - services",
            "create,get,list,watch - nodes",
            "patch,update - nodes/status",
            "patch,update - nodes",
            EVENTS,
            "read - pods",
            "create,delete - pods",
            "patch,update - pods/status",
            "create - pods/eviction",
            "read - configmaps,secrets",
            "get - persistentvolumeclaims,persistentvolumes",
            "get - endpoints",
            "create,get,list,watch certificates.k8s.io certificatesigningrequests",
            "create,delete,get,patch,update coordination.k8s.io leases",
            "get storage.k8s.io volumeattachments",
            "create - serviceaccounts/token",
            "get,patch,update - persistentvolumeclaims/status",
            "read storage.k8s.io csidrivers",
            "create,delete,get,patch,update storage.k8s.io csinodes",
            "read node.k8s.io runtimeclasses",
            "get resource.k8s.io resourceclaims",
            "deletecollection,list,watch resource.k8s.io resourceslices",
            "create,delete,get,patch,update resource.k8s.io resourceslices",
            "list,watch certificates.k8s.io clustertrustbundles",
        ],
    ),
    role("system:node-problem-detector", &["get - nodes", "patch - nodes/status", EVENTS]),
    role(
        "system:node-proxier",
        &[
            "list,watch - endpoints,services",
            "read - nodes",
            EVENTS,
            "list,watch discovery.k8s.io endpointslices",
            "list,watch networking.k8s.io servicecidrs",
        ],
    ),
    role(
        "system:kubelet-api-admin",
        &[
            "read - nodes",
            "proxy - nodes",
            "* - nodes/configz,nodes/healthz,nodes/log,nodes/metrics,nodes/pods,nodes/proxy,nodes/stats",
        ],
    ),
    role("system:node-bootstrapper", &["create,get,list,watch certificates.k8s.io certificatesigningrequests"]),
    role(
        "system:kube-controller-manager",
        &[
            EVENTS,
            "create coordination.k8s.io leases",
            "get,update coordination.k8s.io leases kube-controller-manager",
            "create - secrets,serviceaccounts",
            "delete - secrets",
            "get - configmaps,namespaces,secrets,serviceaccounts",
            "update - secrets,serviceaccounts",
            REVIEWS[0],
            REVIEWS[1],
            "list,watch * *",
            "create - serviceaccounts/token",
        ],
    ),
    role(
        "system:kube-scheduler",
        &[
            EVENTS,
            "create coordination.k8s.io leases",
            "get,update coordination.k8s.io leases kube-scheduler",
            "read - nodes",
            "delete,get,list,watch - pods",
            "create - bindings,pods/binding",
            "patch,update - pods/status",
            "read - replicationcontrollers,services",
            "read apps,extensions replicasets",
            "read apps statefulsets",
            "read policy poddisruptionbudgets",
            "read - persistentvolumeclaims,persistentvolumes",
            REVIEWS[0],
            REVIEWS[1],
            "read storage.k8s.io csinodes",
            "read - namespaces",
            "read storage.k8s.io csidrivers",
            "read storage.k8s.io csistoragecapacities",
            "read storage.k8s.io volumeattachments",
            "read resource.k8s.io deviceclasses",
            "get,list,patch,update,watch resource.k8s.io resourceclaims",
            "patch,update resource.k8s.io resourceclaims/status",
            "read resource.k8s.io resourceslices",
        ],
    ),
    role(
        "system:volume-scheduler",
        &[
            "get,list,patch,update,watch - persistentvolumes",
            "read storage.k8s.io storageclasses",
            "get,list,patch,update,watch - persistentvolumeclaims",
        ],
    ),
    role("system:kube-dns", &["list,watch - endpoints,services"]),
    role(
        "system:persistent-volume-provisioner",
        &[
            "create,delete,get,list,watch - persistentvolumes",
            "get,list,update,watch - persistentvolumeclaims",
            "read storage.k8s.io storageclasses",
            "watch - events",
            EVENTS,
        ],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &["create certificates.k8s.io certificatesigningrequests/nodeclient"],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &["create certificates.k8s.io certificatesigningrequests/selfnodeclient"],
    ),
    role(
        "system:certificates.k8s.io:legacy-unknown-approver",
        &["approve certificates.k8s.io signers kubernetes.io/legacy-unknown"],
    ),
    role(
        "system:certificates.k8s.io:kubelet-serving-approver",
        &["approve certificates.k8s.io signers kubernetes.io/kubelet-serving"],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &["approve certificates.k8s.io signers kubernetes.io/kube-apiserver-client"],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &["approve certificates.k8s.io signers kubernetes.io/kube-apiserver-client-kubelet"],
    ),
    role(
        "system:service-account-issuer-discovery",
        &["get /.well-known/openid-configuration,/.well-known/openid-configuration/,/openid/v1/jwks,/openid/v1/jwks/"],
    ),
    // Not upstream's: the parts of this program. Its controllers act as one user and delete objects of any kind; its
    // DNS publishes itself as a service.
    role("minato:controllers", &["* * *", "* *"]),
    role(
        "minato:dns",
        &[
            "read - endpoints,namespaces,pods,services",
            "read discovery.k8s.io endpointslices",
            "create,delete,patch,update - services",
            "create,delete,patch,update discovery.k8s.io endpointslices",
        ],
    ),
    role("minato:proxy", &["list,watch - pods"]),
    role(
        "minato:local-path-provisioner",
        &[
            "patch - persistentvolumes",
            "patch - persistentvolumeclaims/status",
            "create storage.k8s.io storageclasses",
            "read - nodes",
        ],
    ),
];

/// Who has which ClusterRole. Subjects are `User:…`, `Group:…` or `ServiceAccount:<namespace>/<name>`.
pub(super) const CLUSTER_ROLE_BINDINGS: &[Binding] = &[
    Binding::same("cluster-admin", &["Group:system:masters"]),
    Binding::same("system:monitoring", &["Group:system:monitoring"]),
    Binding::same("system:discovery", &["Group:system:authenticated"]),
    Binding::same("system:basic-user", &["Group:system:authenticated"]),
    Binding::same("system:public-info-viewer", &["Group:system:authenticated", "Group:system:unauthenticated"]),
    Binding::same("system:node-proxier", &["User:system:kube-proxy"]),
    Binding::same("system:kube-controller-manager", &["User:system:kube-controller-manager"]),
    Binding::same("system:kube-dns", &["ServiceAccount:kube-system/kube-dns"]),
    Binding::same("system:kube-scheduler", &["User:system:kube-scheduler"]),
    Binding::same("system:volume-scheduler", &["User:system:kube-scheduler"]),
    Binding::same("system:node", &[]),
    Binding::same("system:service-account-issuer-discovery", &["Group:system:serviceaccounts"]),
    Binding::same("minato:controllers", &["User:system:kube-controller-manager"]),
    Binding::same("minato:dns", &["User:system:kube-dns"]),
    Binding::same("minato:proxy", &["User:system:kube-proxy"]),
    Binding::same("minato:local-path-provisioner", &["User:system:local-path-provisioner"]),
    Binding::same("system:persistent-volume-provisioner", &["User:system:local-path-provisioner"]),
];

/// Roles in namespaces.
pub(super) const ROLES: &[(&str, Role)] = &[
    (
        "kube-system",
        role("extension-apiserver-authentication-reader", &["read - configmaps extension-apiserver-authentication"]),
    ),
    ("kube-system", role("system:controller:bootstrap-signer", &["read - secrets"])),
    ("kube-system", role("system:controller:cloud-provider", &["create,get,list,watch - configmaps"])),
    ("kube-system", role("system:controller:token-cleaner", &["delete,get,list,watch - secrets", EVENTS])),
    (
        "kube-system",
        role(
            "system::leader-locking-kube-controller-manager",
            &["watch - configmaps", "get,update - configmaps kube-controller-manager"],
        ),
    ),
    (
        "kube-system",
        role(
            "system::leader-locking-kube-scheduler",
            &["watch - configmaps", "get,update - configmaps kube-scheduler"],
        ),
    ),
    (
        "kube-public",
        role("system:controller:bootstrap-signer", &["read - configmaps", "update - configmaps cluster-info", EVENTS]),
    ),
];

/// Who has which role in a namespace.
pub(super) const ROLE_BINDINGS: &[(&str, Binding)] = &[
    (
        "kube-system",
        Binding {
            name: "system::extension-apiserver-authentication-reader",
            role: "extension-apiserver-authentication-reader",
            subjects: &["User:system:kube-controller-manager", "User:system:kube-scheduler"],
        },
    ),
    (
        "kube-system",
        Binding::same("system:controller:bootstrap-signer", &["ServiceAccount:kube-system/bootstrap-signer"]),
    ),
    ("kube-system", Binding::same("system:controller:cloud-provider", &["ServiceAccount:kube-system/cloud-provider"])),
    ("kube-system", Binding::same("system:controller:token-cleaner", &["ServiceAccount:kube-system/token-cleaner"])),
    (
        "kube-system",
        Binding::same(
            "system::leader-locking-kube-controller-manager",
            &["User:system:kube-controller-manager", "ServiceAccount:kube-system/kube-controller-manager"],
        ),
    ),
    (
        "kube-system",
        Binding::same(
            "system::leader-locking-kube-scheduler",
            &["User:system:kube-scheduler", "ServiceAccount:kube-system/kube-scheduler"],
        ),
    ),
    (
        "kube-public",
        Binding::same("system:controller:bootstrap-signer", &["ServiceAccount:kube-system/bootstrap-signer"]),
    ),
];
