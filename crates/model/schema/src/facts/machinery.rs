//! Facts of the API machinery itself: metadata, admission, custom resources, aggregation.

use super::{Definition, definition, field};

pub(super) const DEFINITIONS: &[Definition] = &[
    definition(
        "io.k8s.api.admissionregistration.v1.MatchResources",
        &[field("excludeResourceRules").atomic(), field("resourceRules").atomic()],
    )
    .atomic(),
    definition(
        "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicySpec",
        &[
            field("matchConditions").map(&["name"]).merge("name"),
            field("mutations").atomic(),
            field("variables").atomic(),
        ],
    ),
    definition(
        "io.k8s.api.admissionregistration.v1.MutatingWebhook",
        &[
            field("admissionReviewVersions").atomic(),
            field("matchConditions").map(&["name"]).merge("name"),
            field("rules").atomic(),
        ],
    ),
    definition(
        "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
        &[field("webhooks").map(&["name"]).merge("name")],
    ),
    definition(
        "io.k8s.api.admissionregistration.v1.NamedRuleWithOperations",
        &[
            field("apiGroups").atomic(),
            field("apiVersions").atomic(),
            field("operations").atomic(),
            field("resourceNames").atomic(),
            field("resources").atomic(),
        ],
    )
    .atomic(),
    definition("io.k8s.api.admissionregistration.v1.ParamKind", &[]).atomic(),
    definition("io.k8s.api.admissionregistration.v1.ParamRef", &[]).atomic(),
    definition(
        "io.k8s.api.admissionregistration.v1.RuleWithOperations",
        &[
            field("apiGroups").atomic(),
            field("apiVersions").atomic(),
            field("operations").atomic(),
            field("resources").atomic(),
        ],
    ),
    definition("io.k8s.api.admissionregistration.v1.TypeChecking", &[field("expressionWarnings").atomic()]),
    definition(
        "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec",
        &[field("validationActions").set()],
    ),
    definition(
        "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicySpec",
        &[
            field("auditAnnotations").atomic(),
            field("matchConditions").map(&["name"]).merge("name"),
            field("validations").atomic(),
            field("variables").map(&["name"]).merge("name"),
        ],
    ),
    definition(
        "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyStatus",
        &[field("conditions").map(&["type"])],
    ),
    definition(
        "io.k8s.api.admissionregistration.v1.ValidatingWebhook",
        &[
            field("admissionReviewVersions").atomic(),
            field("matchConditions").map(&["name"]).merge("name"),
            field("rules").atomic(),
        ],
    ),
    definition(
        "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
        &[field("webhooks").map(&["name"]).merge("name")],
    ),
    definition("io.k8s.api.admissionregistration.v1.Variable", &[]).atomic(),
    definition(
        "io.k8s.api.admissionregistration.v1alpha1.MatchResources",
        &[field("excludeResourceRules").atomic(), field("resourceRules").atomic()],
    )
    .atomic(),
    definition(
        "io.k8s.api.admissionregistration.v1alpha1.MutatingAdmissionPolicySpec",
        &[
            field("matchConditions").map(&["name"]).merge("name"),
            field("mutations").atomic(),
            field("variables").atomic(),
        ],
    ),
    definition(
        "io.k8s.api.admissionregistration.v1alpha1.NamedRuleWithOperations",
        &[
            field("apiGroups").atomic(),
            field("apiVersions").atomic(),
            field("operations").atomic(),
            field("resourceNames").atomic(),
            field("resources").atomic(),
        ],
    )
    .atomic(),
    definition("io.k8s.api.admissionregistration.v1alpha1.ParamKind", &[]).atomic(),
    definition("io.k8s.api.admissionregistration.v1alpha1.ParamRef", &[]).atomic(),
    definition(
        "io.k8s.api.admissionregistration.v1beta1.MatchResources",
        &[field("excludeResourceRules").atomic(), field("resourceRules").atomic()],
    )
    .atomic(),
    definition(
        "io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicySpec",
        &[
            field("matchConditions").map(&["name"]).merge("name"),
            field("mutations").atomic(),
            field("variables").atomic(),
        ],
    ),
    definition(
        "io.k8s.api.admissionregistration.v1beta1.NamedRuleWithOperations",
        &[
            field("apiGroups").atomic(),
            field("apiVersions").atomic(),
            field("operations").atomic(),
            field("resourceNames").atomic(),
            field("resources").atomic(),
        ],
    )
    .atomic(),
    definition("io.k8s.api.admissionregistration.v1beta1.ParamKind", &[]).atomic(),
    definition("io.k8s.api.admissionregistration.v1beta1.ParamRef", &[]).atomic(),
    definition("io.k8s.api.admissionregistration.v1beta1.Variable", &[]).atomic(),
    definition(
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionNames",
        &[field("categories").atomic(), field("shortNames").atomic()],
    ),
    definition(
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec",
        &[field("versions").atomic()],
    ),
    definition(
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus",
        &[field("conditions").map(&["type"]), field("storedVersions").atomic()],
    ),
    definition(
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionVersion",
        &[field("additionalPrinterColumns").atomic(), field("selectableFields").atomic()],
    ),
    definition(
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
        &[
            field("allOf").atomic(),
            field("anyOf").atomic(),
            field("enum").atomic(),
            field("oneOf").atomic(),
            field("required").atomic(),
            field("x-kubernetes-list-map-keys").atomic(),
            field("x-kubernetes-validations").map(&["rule"]).merge("rule"),
        ],
    ),
    definition(
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.WebhookConversion",
        &[field("conversionReviewVersions").atomic()],
    ),
    definition(
        "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup",
        &[field("serverAddressByClientCIDRs").atomic(), field("versions").atomic()],
    ),
    definition("io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList", &[field("groups").atomic()]),
    definition(
        "io.k8s.apimachinery.pkg.apis.meta.v1.APIResource",
        &[field("categories").atomic(), field("shortNames").atomic()],
    ),
    definition("io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList", &[field("resources").atomic()]),
    definition(
        "io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions",
        &[field("serverAddressByClientCIDRs").atomic(), field("versions").atomic()],
    ),
    definition("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", &[field("dryRun").atomic()]),
    definition("io.k8s.apimachinery.pkg.apis.meta.v1.FieldSelectorRequirement", &[field("values").atomic()]),
    definition("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector", &[field("matchExpressions").atomic()]).atomic(),
    definition("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement", &[field("values").atomic()]),
    definition(
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
        &[
            field("finalizers").set().merge_primitives(),
            field("managedFields").atomic(),
            field("ownerReferences").map(&["uid"]).merge("uid"),
        ],
    ),
    definition("io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference", &[]).atomic(),
    definition("io.k8s.apimachinery.pkg.apis.meta.v1.StatusDetails", &[field("causes").atomic()]),
    definition("io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceSpec", &[field("caBundle").atomic()]),
    definition(
        "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceStatus",
        &[field("conditions").map(&["type"]).merge("type")],
    ),
];
