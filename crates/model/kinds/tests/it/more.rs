//! The rest of the kinds: one valid object of each, and what may be wrong with it.

use serde_json::{Value, json};

use crate::case::{Table, created, edited, kind};

/// A valid object of each kind that can be stored.
pub(crate) fn valid() -> Vec<(&'static str, Value)> {
    let named = |rest: Value| {
        let mut object = rest;
        object["metadata"] = json!({"name": "a", "namespace": "b", "uid": "u"});
        object
    };
    let global = |rest: Value| {
        let mut object = rest;
        object["metadata"] = json!({"name": "a", "uid": "u"});
        object
    };
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let running = json!({"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    let once = json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    let rules = json!([{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]);
    let webhook = json!({"webhooks": [{"name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://x/y"}, "rules": rules}]});
    vec![
        ("pods", named(json!({"spec": {"containers": [{"name": "c", "image": "i"}]}}))),
        ("services", named(json!({"spec": {"ports": [{"port": 80}]}}))),
        ("configmaps", named(json!({"data": {"a": "b"}}))),
        ("secrets", named(json!({"data": {"a": "YQ=="}}))),
        ("serviceaccounts", named(json!({}))),
        ("endpoints", named(json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}]}))),
        ("events", named(json!({"involvedObject": {"namespace": "b"}}))),
        ("namespaces", global(json!({}))),
        ("nodes", global(json!({"status": {"capacity": {"cpu": "2"}}}))),
        (
            "limitranges",
            named(json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}, "min": {"memory": "1Mi"}}]}})),
        ),
        (
            "resourcequotas",
            named(json!({"spec": {"hard": {"pods": "10", "requests.cpu": "1000m", "count/pods": "1"}}})),
        ),
        (
            "persistentvolumeclaims",
            named(json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})),
        ),
        (
            "persistentvolumes",
            global(
                json!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}}}),
            ),
        ),
        ("podtemplates", named(json!({"template": template}))),
        ("replicationcontrollers", named(json!({"spec": {"template": template}}))),
        ("apps/deployments", named(running.clone())),
        ("apps/replicasets", named(running.clone())),
        ("apps/daemonsets", named(running.clone())),
        ("apps/statefulsets", named(running)),
        ("apps/controllerrevisions", named(json!({"data": {}, "revision": 1}))),
        ("batch/jobs", named(once.clone())),
        ("batch/cronjobs", named(json!({"spec": {"schedule": "@daily", "jobTemplate": once}}))),
        (
            "autoscaling/horizontalpodautoscalers",
            named(
                json!({"apiVersion": "autoscaling/v2", "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "a"}, "behavior": {"scaleUp": {}}}}),
            ),
        ),
        ("policy/poddisruptionbudgets", named(json!({"spec": {"minAvailable": 1, "selector": {}}}))),
        (
            "networking.k8s.io/ingresses",
            named(
                json!({"spec": {"rules": [{"host": "a.b", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]}}),
            ),
        ),
        (
            "networking.k8s.io/ingressclasses",
            global(json!({"spec": {"controller": "example.com/c", "parameters": {"kind": "K", "name": "n"}}})),
        ),
        (
            "networking.k8s.io/networkpolicies",
            named(
                json!({"spec": {"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 53}]}]}}),
            ),
        ),
        ("networking.k8s.io/servicecidrs", global(json!({"spec": {"cidrs": ["10.0.0.0/16"]}}))),
        (
            "discovery.k8s.io/endpointslices",
            named(json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 1}]})),
        ),
        ("coordination.k8s.io/leases", named(json!({"spec": {"leaseDurationSeconds": 1}}))),
        (
            "rbac.authorization.k8s.io/roles",
            named(json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]})),
        ),
        (
            "rbac.authorization.k8s.io/clusterroles",
            global(json!({"rules": [{"nonResourceURLs": ["/x"], "verbs": ["get"]}]})),
        ),
        (
            "rbac.authorization.k8s.io/rolebindings",
            named(
                json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}]}),
            ),
        ),
        (
            "rbac.authorization.k8s.io/clusterrolebindings",
            global(
                json!({"roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "s", "namespace": "n"}]}),
            ),
        ),
        ("scheduling.k8s.io/priorityclasses", global(json!({"value": 1}))),
        ("storage.k8s.io/storageclasses", global(json!({"provisioner": "example.com/p"}))),
        ("storage.k8s.io/csidrivers", global(json!({"spec": {}}))),
        ("storage.k8s.io/csinodes", global(json!({"spec": {"drivers": [{"name": "d", "nodeID": "n"}]}}))),
        ("storage.k8s.io/csistoragecapacities", named(json!({"storageClassName": "c", "capacity": "1024Mi"}))),
        (
            "storage.k8s.io/volumeattachments",
            global(json!({"spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "v"}}})),
        ),
        ("storage.k8s.io/volumeattributesclasses", global(json!({"driverName": "d", "parameters": {"a": "b"}}))),
        (
            "certificates.k8s.io/certificatesigningrequests",
            global(
                json!({"spec": {"request": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlISE1HNENBUUF3RERFS01BZ0dBMVVFQXd3QllUQlpNQk1HQnlxR1NNNDlBZ0VHQ0NxR1NNNDlBd0VIQTBJQQpCQ05JN1p1SEZkUmFiQWF0NXh2SGUrWVZ4YVJuZHdEZC9rTVZFdTNPamN2Rm9PcDM4OTlLSTRSdFJqWnBYbE5QCmpzZzd6MDZaLzJWRmNDaTZwVjRweUtPZ0FEQUtCZ2dxaGtqT1BRUURBZ05KQURCR0FpRUFtczlnZ1lHSFhyUkUKU2tsMDc1bm5tZ2h1Y3VnQytFem9KMUs3bTZOUVRMNENJUUNLbzIyZkZ4NW5rcmJPZW1VVDUvQU1tbjFBMC9JegpGc2RwMXBkVVlmWVordz09Ci0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=", "signerName": "a.b/c", "usages": ["client auth"]}}),
            ),
        ),
        ("node.k8s.io/runtimeclasses", global(json!({"handler": "h"}))),
        (
            "flowcontrol.apiserver.k8s.io/flowschemas",
            global(json!({"spec": {"priorityLevelConfiguration": {"name": "p"}}})),
        ),
        (
            "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations",
            global(json!({"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue"}}}})),
        ),
        ("admissionregistration.k8s.io/validatingwebhookconfigurations", global(webhook.clone())),
        ("admissionregistration.k8s.io/mutatingwebhookconfigurations", global(webhook)),
        (
            "admissionregistration.k8s.io/validatingadmissionpolicies",
            global(
                json!({"spec": {"matchConstraints": {"resourceRules": rules}, "validations": [{"expression": "true"}]}}),
            ),
        ),
        (
            "admissionregistration.k8s.io/validatingadmissionpolicybindings",
            global(json!({"spec": {"policyName": "p", "validationActions": ["Deny"]}})),
        ),
        ("apiextensions.k8s.io/customresourcedefinitions", {
            let mut object = json!({"spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "tests", "kind": "Test"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
            object["metadata"] = json!({"name": "tests.example.com"});
            object
        }),
        ("resource.k8s.io/deviceclasses", global(json!({"spec": {}}))),
        ("resource.k8s.io/resourceclaims", named(json!({"spec": {}}))),
    ]
}

fn base(name: &'static str) -> Table {
    let (kind, base) = valid().into_iter().find(|(kind, _)| *kind == name).unwrap();
    Table { kind, base }
}

#[test]
fn roles() {
    let roles = base("rbac.authorization.k8s.io/roles");
    roles.create(&[("/metadata/name", json!("system:node:a"))], &[]);
    roles.create(&[("/metadata/name", json!("a/b"))], &["metadata.name: Invalid value: \"a/b\": may not contain '/'"]);
    roles.create(
        &[("/rules/0/verbs", json!([]))],
        &["rules[0].verbs: Required value: verbs must contain at least one value"],
    );
    roles.create(
        &[("/rules/0", json!({"verbs": ["get"]}))],
        &[
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
            "rules[0].resources: Required value: resource rules must supply at least one resource",
        ],
    );
    roles.create(
        &[("/rules/0", json!({"verbs": ["get"], "nonResourceURLs": ["/x"]}))],
        &["rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs"],
    );
    let bindings = base("rbac.authorization.k8s.io/rolebindings");
    bindings.defaults(
        &[],
        &[("/roleRef/apiGroup", json!("rbac.authorization.k8s.io")), ("/subjects/1/apiGroup", json!(null))],
    );
    bindings.create(
        &[("/subjects/0/kind", json!("Robot"))],
        &["subjects[0].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\""],
    );
    bindings.update(
        &[("/roleRef/name", json!("x"))],
        &["roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"Role\",\"name\":\"x\"}: cannot change roleRef"],
    );
    base("rbac.authorization.k8s.io/clusterrolebindings")
        .create(&[("/subjects/0/namespace", json!(null))], &["subjects[0].namespace: Required value"]);
}

#[test]
fn claims_and_volumes() {
    let claims = base("persistentvolumeclaims");
    claims.defaults(&[], &[("/spec/volumeMode", json!("Filesystem")), ("/status/phase", json!("Pending"))]);
    claims.create(
        &[("/spec/accessModes", json!([]))],
        &["spec.accessModes: Required value: at least 1 access mode is required"],
    );
    claims.create(
        &[("/spec/accessModes", json!(["Sometimes"]))],
        &["spec.accessModes: Unsupported value: \"Sometimes\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\""],
    );
    claims.create(&[("/spec/resources", json!({}))], &["spec.resources[storage]: Required value"]);
    claims.create(
        &[("/spec/resources/requests/storage", json!("0"))],
        &["spec.resources[storage]: Invalid value: \"0\": must be greater than zero"],
    );
    claims.update(&[("/spec/volumeName", json!("v"))], &[]);
    claims.update(
        &[("/spec/accessModes", json!(["ReadWriteMany"]))],
        &["spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n-spec.accessModes[0]: \"ReadWriteOnce\"\n+spec.accessModes[0]: \"ReadWriteMany\"\n"],
    );
    let volumes = base("persistentvolumes");
    volumes.defaults(
        &[],
        &[("/spec/persistentVolumeReclaimPolicy", json!("Retain")), ("/status/phase", json!("Pending"))],
    );
    volumes.create(&[("/spec/hostPath", json!(null))], &["spec: Required value: must specify a volume type"]);
    volumes.create(&[("/spec/capacity", json!(null))], &["spec.capacity: Required value"]);
    volumes.update(
        &[("/spec/hostPath/path", json!("/y"))],
        &["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n-spec.hostPath.path: \"/x\"\n+spec.hostPath.path: \"/y\"\n"],
    );
    let classes = base("storage.k8s.io/storageclasses");
    classes.defaults(&[], &[("/reclaimPolicy", json!("Delete")), ("/volumeBindingMode", json!("Immediate"))]);
    classes.create(&[("/provisioner", json!(null))], &["provisioner: Required value"]);
    classes.update(
        &[("/parameters", json!({"a": "b"}))],
        &["parameters: Forbidden: updates to parameters are forbidden."],
    );
}

#[test]
fn quotas_and_ranges() {
    let quotas = base("resourcequotas");
    quotas.defaults(&[], &[("/spec/hard/requests.cpu", json!("1"))]);
    quotas.create(
        &[("/spec/hard", json!({"gpus": "1"}))],
        &[
            "spec.hard[gpus]: Invalid value: \"gpus\": must be a standard resource type or fully qualified",
            "spec.hard[gpus]: Invalid value: \"gpus\": must be a standard resource for quota",
        ],
    );
    quotas.create(
        &[("/spec/hard", json!({"pods": "1500m"}))],
        &["spec.hard[pods]: Invalid value: \"1500m\": must be an integer"],
    );
    quotas.create(
        &[("/spec/scopes", json!(["BestEffort", "NotBestEffort"])), ("/spec/hard", json!({"pods": "1"}))],
        &["spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\"]: conflicting scopes"],
    );
    let ranges = base("limitranges");
    ranges.defaults(
        &[],
        &[
            ("/spec/limits/0/default", json!({"cpu": "1"})),
            ("/spec/limits/0/defaultRequest", json!({"cpu": "1", "memory": "1Mi"})),
        ],
    );
    ranges.create(
        &[("/spec/limits/0/min", json!({"cpu": "2"}))],
        &[
            "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
            "spec.limits[0].defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than default request value 1",
            "spec.limits[0].default[cpu]: Invalid value: \"2\": min value 2 is greater than default value 1",
        ],
    );
}

#[test]
fn network() {
    let ingresses = base("networking.k8s.io/ingresses");
    let path = "/spec/rules/0/http/paths/0";
    ingresses.create(
        &[(&format!("{path}/pathType"), json!(null))],
        &["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"],
    );
    ingresses.create(
        &[(&format!("{path}/path"), json!("x"))],
        &["spec.rules[0].http.paths[0].path: Invalid value: \"x\": must be an absolute path"],
    );
    ingresses.create(
        &[(&format!("{path}/backend"), json!({}))],
        &["spec.rules[0].http.paths[0].backend: Invalid value: \"\": resource or service backend is required"],
    );
    ingresses.create(
        &[("/spec/rules/0/host", json!("1.2.3.4"))],
        &["spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address"],
    );
    ingresses.create(
        &[("/spec", json!({}))],
        &["spec: Invalid value: []: either `defaultBackend` or `rules` must be specified"],
    );
    let policies = base("networking.k8s.io/networkpolicies");
    policies.defaults(
        &[],
        &[("/spec/policyTypes", json!(["Ingress", "Egress"])), ("/spec/egress/0/ports/0/protocol", json!("TCP"))],
    );
    policies
        .create(&[("/spec/egress/0/to/0", json!({}))], &["spec.egress[0].to[0]: Required value: must specify a peer"]);
    policies.create(
        &[("/spec/egress/0/to/0/ipBlock/except", json!(["11.0.0.0/16"]))],
        &["spec.egress[0].to[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`"],
    );
    base("networking.k8s.io/ingressclasses").create(
        &[("/spec/controller", json!("x"))],
        &["spec.controller: Invalid value: \"x\": must be a domain-prefixed path (such as \"acme.io/foo\")"],
    );
}

#[test]
fn autoscalers_and_budgets() {
    let hpa = base("autoscaling/horizontalpodautoscalers");
    hpa.defaults(
        &[],
        &[
            ("/spec/minReplicas", json!(1)),
            ("/spec/metrics/0/resource/target/averageUtilization", json!(80)),
            ("/spec/behavior/scaleUp/policies/0", json!({"type": "Pods", "value": 4, "periodSeconds": 15})),
            ("/spec/behavior/scaleDown/selectPolicy", json!("Max")),
        ],
    );
    hpa.create(
        &[("/spec/maxReplicas", json!(0))],
        &[
            "spec.maxReplicas: Invalid value: 0: must be greater than 0",
            "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
        ],
    );
    let budgets = base("policy/poddisruptionbudgets");
    budgets.create(
        &[("/spec", json!({"minAvailable": 1, "maxUnavailable": 1}))],
        &["spec: Invalid value: {\"maxUnavailable\":1,\"minAvailable\":1}: minAvailable and maxUnavailable cannot be both set"],
    );
    let classes = base("scheduling.k8s.io/priorityclasses");
    classes.create(
        &[("/value", json!(2_000_000_000))],
        &["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
    );
    classes.update(&[("/value", json!(2))], &["value: Forbidden: may not be changed in an update."]);
}

#[test]
fn definitions() {
    let definitions = base("apiextensions.k8s.io/customresourcedefinitions");
    definitions.defaults(
        &[],
        &[
            ("/spec/names/singular", json!("test")),
            ("/spec/names/listKind", json!("TestList")),
            ("/spec/conversion/strategy", json!("None")),
            ("/status/storedVersions", json!(["v1"])),
        ],
    );
    definitions.create(
        &[("/metadata/name", json!("x.example.com"))],
        &["metadata.name: Invalid value: \"x.example.com\": must be spec.names.plural+\".\"+spec.group"],
    );
    definitions.create(
        &[("/spec/versions/0/schema", json!(null))],
        &["spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"],
    );
    definitions.create(
        &[("/spec/scope", json!("Galaxy"))],
        &["spec.scope: Unsupported value: \"Galaxy\": supported values: \"Cluster\", \"Namespaced\""],
    );
}

#[test]
fn webhooks() {
    let hooks = base("admissionregistration.k8s.io/mutatingwebhookconfigurations");
    hooks.defaults(
        &[],
        &[
            ("/webhooks/0/failurePolicy", json!("Fail")),
            ("/webhooks/0/reinvocationPolicy", json!("Never")),
            ("/webhooks/0/timeoutSeconds", json!(10)),
            ("/webhooks/0/rules/0/scope", json!("*")),
        ],
    );
    hooks.create(
        &[("/webhooks/0/name", json!("short"))],
        &["webhooks[0].name: Invalid value: \"short\": should be a domain with at least three segments separated by dots"],
    );
    hooks.create(
        &[("/webhooks/0/sideEffects", json!(null))],
        &["webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun"],
    );
    hooks.create(
        &[("/webhooks/0/timeoutSeconds", json!(31))],
        &["webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"],
    );
}

#[test]
fn approvals() {
    let kind = kind("certificates.k8s.io/certificatesigningrequests");
    let old = created(kind, &base("certificates.k8s.io/certificatesigningrequests").base);
    let approve = edited(
        &old,
        &[
            ("/status/conditions", json!([{"type": "Approved", "status": "True"}])),
            ("/status/certificate", json!("x")),
            ("/spec/signerName", json!("other.x/y")),
        ],
    );
    let mut new = approve.clone();
    kind.prepare_for_subresource_update(minato_kinds::Subresource::Approval, &mut new, &old);
    assert_eq!(new["status"], json!({"conditions": [{"type": "Approved", "status": "True"}]}));
    assert_eq!(new["spec"], old["spec"]);
    let mut sneaky = approve;
    kind.prepare_for_status_update(&mut sneaky, &old);
    assert_eq!(sneaky["status"].pointer("/conditions/0"), None);
}
