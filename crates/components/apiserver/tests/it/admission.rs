//! Which plugins are on, and what the file of `--admission-control-config-file` tells them.

use http::{Method, StatusCode};
use minato_apiserver::{AdmissionOptions, Config};
use serde_json::{Value, json};

use crate::server::{Client, Server};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A server with these plugins on, and what they are told; as the administrator.
async fn start(enabled: &[&str], told: &str) -> (Server, Client) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admission.yaml");
    std::fs::write(&path, format!("apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n{told}"))
        .unwrap();
    let admission =
        AdmissionOptions { enabled: names(enabled), configuration_file: Some(path), ..AdmissionOptions::default() };
    let server = Server::start_with(Config { admission, ..Config::default() }).await;
    let admin = server.admin();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    admin.create("/api/v1/namespaces/default/serviceaccounts", &account).await;
    (server, admin)
}

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "x:1"}]}});
    spec.as_object().unwrap().iter().for_each(|(key, value)| pod["spec"][key] = value.clone());
    pod
}

async fn refused(client: &Client, path: &str, body: &Value, expected: &str) {
    let (code, answer) = client.post(path, body).await;
    assert_eq!((code, &answer["message"]), (StatusCode::FORBIDDEN, &json!(expected)), "{answer}");
}

#[tokio::test]
async fn plugins_that_are_off_by_default() {
    let on = [
        "AlwaysPullImages",
        "PodNodeSelector",
        "PodTolerationRestriction",
        "ExtendedResourceToleration",
        "DenyServiceExternalIPs",
        "LimitPodHardAntiAffinityTopology",
    ];
    let told = "plugins:\n- name: PodNodeSelector\n  configuration:\n    podNodeSelectorPluginConfig:\n      clusterDefaultNodeSelector: kubernetes.io/os=linux\n      default: kubernetes.io/os=linux,zone=a\n";
    let (_server, admin) = start(&on, told).await;
    let gpu = json!({"requests": {"example.com/gpu": "1", "cpu": "1"}, "limits": {"example.com/gpu": "1"}});
    let spec = json!({"containers": [{"name": "c", "image": "x:1", "resources": gpu}], "nodeSelector": {"zone": "a"}});
    let made = admin.create(PODS, &pod("all", spec)).await;
    assert_eq!(made["spec"]["containers"][0]["imagePullPolicy"], "Always");
    assert_eq!(made["spec"]["nodeSelector"], json!({"kubernetes.io/os": "linux", "zone": "a"}));
    for key in ["example.com/gpu", "node.kubernetes.io/memory-pressure"] {
        let wanted = json!({"key": key, "operator": "Exists", "effect": "NoSchedule"});
        assert!(made["spec"]["tolerations"].as_array().unwrap().contains(&wanted), "{made}");
    }
    for (spec, why) in [
        (
            json!({"nodeSelector": {"kubernetes.io/os": "windows"}}),
            "pod node label selector conflicts with its namespace node label selector",
        ),
        (
            json!({"nodeSelector": {"zone": "b"}}),
            "pod node label selector labels conflict with its namespace whitelist",
        ),
        (
            json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}}}),
            "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only key kubernetes.io/hostname is allowed",
        ),
    ] {
        refused(&admin, PODS, &pod("bad", spec), &format!("pods \"bad\" is forbidden: {why}")).await;
    }
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "externalIPs": ["192.0.2.7"]}});
    let why = "services \"s\" is forbidden: Use of external IPs is denied by admission control.";
    refused(&admin, "/api/v1/namespaces/default/services", &service, why).await;

    let namespace = |tolerations: &str| {
        let annotation = json!({"scheduler.alpha.kubernetes.io/tolerationsWhitelist": tolerations});
        json!({"metadata": {"annotations": annotation}})
    };
    let merge = admin.clone().with("content-type", "application/merge-patch+json");
    let allowed = r#"[{"key":"node.kubernetes.io/memory-pressure","operator":"Exists"},{"operator":"Exists","effect":"NoExecute"}]"#;
    merge.send_for_warnings(Method::PATCH, "/api/v1/namespaces/default", Some(&namespace(allowed))).await;
    admin.create(PODS, &pod("allowed", json!({}))).await;
    let other = json!({"tolerations": [{"key": "x", "operator": "Exists", "effect": "NoSchedule"}]});
    let why = "pods \"other\" is forbidden: pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist";
    refused(&admin, PODS, &pod("other", other), why).await;
}

#[tokio::test]
async fn pod_security_by_default_and_its_exemptions() {
    let told = "plugins:\n- name: PodSecurity\n  configuration:\n    apiVersion: pod-security.admission.config.k8s.io/v1\n    kind: PodSecurityConfiguration\n    defaults: {enforce: baseline, enforce-version: latest, warn: restricted}\n    exemptions: {usernames: [trusted], namespaces: [kube-system], runtimeClasses: [sandbox]}\n";
    let (server, admin) = start(&[], told).await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let _ = admin.post("/api/v1/namespaces/kube-system/serviceaccounts", &account).await;
    let class = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "sandbox"}, "handler": "x"});
    admin.create("/apis/node.k8s.io/v1/runtimeclasses", &class).await;
    let host = |more: Value| {
        let mut pod = pod("", json!({"hostNetwork": true}));
        pod["metadata"] = json!({"generateName": "p-"});
        more.as_object().unwrap().iter().for_each(|(key, value)| pod["spec"][key] = value.clone());
        pod
    };
    let (code, answer) = admin.post(PODS, &host(json!({}))).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert!(answer["message"].as_str().unwrap().contains("violates PodSecurity \"baseline:latest\": host namespaces"));
    let (_, _, warnings) = admin.send_for_warnings(Method::POST, PODS, Some(&pod("plain", json!({})))).await;
    assert!(warnings[0].contains(r#"would violate PodSecurity \"restricted:latest\""#), "{warnings:?}");
    admin.create("/api/v1/namespaces/kube-system/pods", &host(json!({}))).await;
    server.user("trusted", &["system:masters"]).create(PODS, &host(json!({}))).await;
    admin.create(PODS, &host(json!({"runtimeClassName": "sandbox"}))).await;
}

#[tokio::test]
async fn owners_are_for_those_who_may_delete() {
    let (server, admin) = start(&["OwnerReferencesPermissionEnforcement"], "").await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = |name: &str, owners: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": owners}});
    let role = |verbs: &[&str], resources: &[&str]| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"generateName": "r-"},
            "rules": [{"apiGroups": [""], "resources": resources, "verbs": verbs}]})
    };
    let (alice, owner) = (server.user("alice", &[]), admin.create(maps, &map("owner", json!([]))).await);
    let owned = |blocks: bool| json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"], "blockOwnerDeletion": blocks}]);
    let allow = async |verbs: &[&str], resources: &[&str]| {
        let group = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
        let role = admin.create(&format!("{group}/roles"), &role(verbs, resources)).await;
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"generateName": "b-"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}]});
        admin.create(&format!("{group}/rolebindings"), &binding).await;
    };
    allow(&["create"], &["configmaps"]).await;
    alice.create(maps, &map("a", json!([]))).await;
    let why = "configmaps \"b\" is forbidden: cannot set an ownerRef on a resource you can't delete: , <nil>";
    refused(&alice, maps, &map("b", owned(false)), why).await;
    allow(&["delete"], &["configmaps"]).await;
    alice.create(maps, &map("b", owned(false))).await;
    let why = "configmaps \"c\" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>";
    refused(&alice, maps, &map("c", owned(true)), why).await;
    allow(&["update"], &["configmaps/finalizers"]).await;
    alice.create(maps, &map("c", owned(true))).await;
}

#[tokio::test]
async fn what_is_limited_needs_a_quota() {
    let told = "plugins:\n- name: ResourceQuota\n  configuration:\n    apiVersion: apiserver.config.k8s.io/v1\n    kind: ResourceQuotaConfiguration\n    limitedResources:\n    - {resource: pods, matchScopes: [{scopeName: PriorityClass, operator: In, values: [high]}]}\n    - {resource: persistentvolumeclaims, matchContains: [gold.storageclass.storage.k8s.io/requests.storage]}\n";
    let (_server, admin) = start(&[], told).await;
    for (path, api_version, kind, name, more) in [
        (
            "/apis/scheduling.k8s.io/v1/priorityclasses",
            "scheduling.k8s.io/v1",
            "PriorityClass",
            "high",
            json!({"value": 9}),
        ),
        (
            "/apis/storage.k8s.io/v1/storageclasses",
            "storage.k8s.io/v1",
            "StorageClass",
            "gold",
            json!({"provisioner": "x"}),
        ),
    ] {
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
        more.as_object().unwrap().iter().for_each(|(key, value)| object[key] = value.clone());
        admin.create(path, &object).await;
    }
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"},
        "spec": {"storageClassName": "gold", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let high = pod("p", json!({"priorityClassName": "high"}));
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    admin.create(PODS, &pod("plain", json!({}))).await;
    let why = "pods \"p\" is forbidden: insufficient quota to match these scopes: [{PriorityClass In [high]}]";
    refused(&admin, PODS, &high, why).await;
    let why = "persistentvolumeclaims \"c\" is forbidden: insufficient quota to consume: gold.storageclass.storage.k8s.io/requests.storage";
    refused(&admin, claims, &claim, why).await;
    let selector = json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]});
    for spec in [
        json!({"hard": {"pods": "5"}, "scopeSelector": selector}),
        json!({"hard": {"gold.storageclass.storage.k8s.io/requests.storage": "5Gi"}}),
    ] {
        let quota =
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"generateName": "q-"}, "spec": spec});
        admin.create("/api/v1/namespaces/default/resourcequotas", &quota).await;
    }
    crate::serving::eventually(async || admin.post(PODS, &high).await.0 == StatusCode::CREATED).await;
    crate::serving::eventually(async || admin.post(claims, &claim).await.0 == StatusCode::CREATED).await;
}

#[tokio::test]
async fn events_are_limited() {
    let told = "plugins:\n- name: EventRateLimit\n  configuration:\n    apiVersion: eventratelimit.admission.k8s.io/v1alpha1\n    kind: Configuration\n    limits: [{type: Namespace, qps: 1, burst: 2}]\n";
    let (_server, admin) = start(&["EventRateLimit"], told).await;
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"generateName": "e-"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}});
    let mut codes = Vec::new();
    let mut told = Value::Null;
    for _ in 0..4 {
        let (code, answer) = admin.post("/api/v1/namespaces/default/events", &event).await;
        codes.push(code.as_u16());
        told = answer["message"].clone();
    }
    assert_eq!(codes[..2], [201, 201]);
    assert!(codes.contains(&429), "{codes:?}");
    if codes[3] == 429 {
        assert_eq!(told, "limit reached on type Namespace for key default");
    }
}

#[tokio::test]
async fn plugins_can_be_switched_off() {
    let admission = AdmissionOptions { disabled: names(&["DefaultTolerationSeconds"]), ..AdmissionOptions::default() };
    let server = Server::start_with(Config { admission, ..Config::default() }).await;
    let admin = server.admin();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    admin.create("/api/v1/namespaces/default/serviceaccounts", &account).await;
    let made = admin.create(PODS, &pod("a", json!({}))).await;
    assert_eq!(made["spec"]["tolerations"], Value::Null);

    let wrong = |enabled: &[&str], disabled: &[&str]| {
        let admission =
            AdmissionOptions { enabled: names(enabled), disabled: names(disabled), ..AdmissionOptions::default() };
        Server::fails(Config { admission, ..Config::default() })
    };
    assert_eq!(wrong(&["Nonsense"], &[]), "enable-admission-plugins: plugin \"Nonsense\" is unknown");
    assert_eq!(
        wrong(&["Priority"], &["Priority"]),
        "\"Priority\" in enable-admission-plugins and disable-admission-plugins overlapped"
    );
}

/// PKCS #10 in PEM in base64: common name `x`, organisation `system:masters`.
const REQUEST_OF_MASTERS: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIaE1JR0hBZ0VBTUNVeENqQUlCZ05WQkFNTUFYZ3hGekFWQmdOVkJBb01Ebk41YzNSbGJUcHRZWE4wWlhKegpNRmt3RXdZSEtvWkl6ajBDQVFZSUtvWkl6ajBEQVFjRFFnQUVkWE14ODA5R01kcVVyRnlTeXBFcDhQYjRqTXNHCmkvT3lXdUlNVzFINkk5a0pFVWdzTzV1aG5aSk9pZlFBQzZTNTY2OEQvc1BUdkFGb2ZMZ1RNSURiZWFBQU1Bb0cKQ0NxR1NNNDlCQU1DQTBrQU1FWUNJUUR5THdFZ2xhbkJZc0o4VmF6cXNrVDNMT1VCSWxtdzJ6VkJKSzd0WjZkYQorQUloQU83L3QvV1ZKQVYwcDhhY1NtVUlSckM2N05jTHhwc3duTHlRSXRnZ3gwTW0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==";
/// The same with the organisation `developers`.
const REQUEST_OF_DEVELOPERS: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIY01JR0RBZ0VBTUNFeENqQUlCZ05WQkFNTUFYZ3hFekFSQmdOVkJBb01DbVJsZG1Wc2IzQmxjbk13V1RBVApCZ2NxaGtqT1BRSUJCZ2dxaGtqT1BRTUJCd05DQUFRUFFWN3JWdEJkRFBLdGM4UG5SS25RTE8wREc5MDc4NmRYCjZnTjlHNW5wTjFVa1c0Z0ZFM3NYMmM1bTFQUG9BajhkdkNRc0hZSHhhL3dDVEk3QXVLenFvQUF3Q2dZSUtvWkkKemowRUF3SURTQUF3UlFJaEFNUlg4UXloVlhVZFpmQWNuWHhpa0dPdUw0S2RIMTZlVUxsMzBFOFVLZm43QWlCLwo3QUdxaTh4SUhlenNRWWFkWTBaM0x3ZUN3c2NtNjhCaCs4czEyOE50RFE9PQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K";

#[tokio::test]
async fn no_certificate_makes_an_irrevocable_administrator() {
    let (_server, admin) = start(&[], "").await;
    for (request, code) in [(REQUEST_OF_MASTERS, 403), (REQUEST_OF_DEVELOPERS, 201)] {
        let body = json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"generateName": "r-"},
            "spec": {"request": request, "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]}});
        let (found, answer) = admin.post("/apis/certificates.k8s.io/v1/certificatesigningrequests", &body).await;
        assert_eq!(found.as_u16(), code, "{answer}");
        if code == 403 {
            let why = "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
            assert!(answer["message"].as_str().unwrap().ends_with(why), "{answer}");
        }
    }
}
