//! Facts of apps, batch, autoscaling, certificates, authentication, authorization.

use super::{Definition, definition, field};

pub(super) const DEFINITIONS: &[Definition] = &[
    definition(
        "io.k8s.api.apiserverinternal.v1alpha1.ServerStorageVersion",
        &[field("decodableVersions").set(), field("servedVersions").set()],
    ),
    definition(
        "io.k8s.api.apiserverinternal.v1alpha1.StorageVersionStatus",
        &[field("conditions").map(&["type"]), field("storageVersions").map(&["apiServerID"])],
    ),
    definition("io.k8s.api.apps.v1.DaemonSetStatus", &[field("conditions").map(&["type"]).merge("type")]),
    definition("io.k8s.api.apps.v1.DeploymentSpec", &[field("strategy").retain_keys()]),
    definition("io.k8s.api.apps.v1.DeploymentStatus", &[field("conditions").map(&["type"]).merge("type")]),
    definition("io.k8s.api.apps.v1.ReplicaSetStatus", &[field("conditions").map(&["type"]).merge("type")]),
    definition("io.k8s.api.apps.v1.StatefulSetSpec", &[field("volumeClaimTemplates").atomic()]),
    definition("io.k8s.api.apps.v1.StatefulSetStatus", &[field("conditions").map(&["type"]).merge("type")]),
    definition("io.k8s.api.authentication.v1.TokenRequestSpec", &[field("audiences").atomic()]),
    definition("io.k8s.api.authentication.v1.TokenReviewSpec", &[field("audiences").atomic()]),
    definition("io.k8s.api.authentication.v1.TokenReviewStatus", &[field("audiences").atomic()]),
    definition("io.k8s.api.authentication.v1.UserInfo", &[field("groups").atomic()]),
    definition("io.k8s.api.authorization.v1.FieldSelectorAttributes", &[field("requirements").atomic()]),
    definition("io.k8s.api.authorization.v1.LabelSelectorAttributes", &[field("requirements").atomic()]),
    definition(
        "io.k8s.api.authorization.v1.NonResourceRule",
        &[field("nonResourceURLs").atomic(), field("verbs").atomic()],
    ),
    definition(
        "io.k8s.api.authorization.v1.ResourceRule",
        &[
            field("apiGroups").atomic(),
            field("resourceNames").atomic(),
            field("resources").atomic(),
            field("verbs").atomic(),
        ],
    ),
    definition("io.k8s.api.authorization.v1.SubjectAccessReviewSpec", &[field("groups").atomic()]),
    definition(
        "io.k8s.api.authorization.v1.SubjectRulesReviewStatus",
        &[field("nonResourceRules").atomic(), field("resourceRules").atomic()],
    ),
    definition("io.k8s.api.autoscaling.v1.CrossVersionObjectReference", &[]).atomic(),
    definition("io.k8s.api.autoscaling.v2.HPAScalingRules", &[field("policies").atomic()]),
    definition("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec", &[field("metrics").atomic()]),
    definition(
        "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus",
        &[field("conditions").map(&["type"]).merge("type"), field("currentMetrics").atomic()],
    ),
    definition("io.k8s.api.batch.v1.CronJobStatus", &[field("active").atomic()]),
    definition("io.k8s.api.batch.v1.JobStatus", &[field("conditions").atomic().merge("type")]),
    definition("io.k8s.api.batch.v1.PodFailurePolicy", &[field("rules").atomic()]),
    definition("io.k8s.api.batch.v1.PodFailurePolicyOnExitCodesRequirement", &[field("values").set()]),
    definition("io.k8s.api.batch.v1.PodFailurePolicyRule", &[field("onPodConditions").atomic()]),
    definition("io.k8s.api.batch.v1.SuccessPolicy", &[field("rules").atomic()]),
    definition("io.k8s.api.batch.v1.UncountedTerminatedPods", &[field("failed").set(), field("succeeded").set()]),
    definition(
        "io.k8s.api.certificates.v1.CertificateSigningRequestSpec",
        &[field("groups").atomic(), field("usages").atomic()],
    ),
    definition("io.k8s.api.certificates.v1.CertificateSigningRequestStatus", &[field("conditions").map(&["type"])]),
    definition(
        "io.k8s.api.certificates.v1beta1.PodCertificateRequestStatus",
        &[field("conditions").map(&["type"]).merge("type")],
    ),
];
