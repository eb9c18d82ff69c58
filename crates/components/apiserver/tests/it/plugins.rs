//! Admission plugins, as users meet them.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Client, Server};

const PODS: &str = "/api/v1/namespaces/default/pods";

/// What comes in an object of `kind`, besides its name.
fn object(api_version: &str, kind: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    for (key, value) in rest.as_object().unwrap() {
        if key == "metadata" {
            value.as_object().unwrap().iter().for_each(|(key, value)| object["metadata"][key] = value.clone());
        } else {
            object[key] = value.clone();
        }
    }
    object
}

fn pod(name: &str, change: Value) -> Value {
    let mut spec = json!({"containers": [{"name": "c", "image": "x"}]});
    change.as_object().unwrap().iter().for_each(|(key, value)| spec[key] = value.clone());
    object("v1", "Pod", name, json!({"spec": spec}))
}

async fn start() -> (Server, Client) {
    let server = Server::start().await;
    let admin = server.admin();
    // No controllers run here.
    for namespace in ["default", "kube-node-lease"] {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        let _ = admin.post(&path, &object("v1", "ServiceAccount", "default", json!({}))).await;
    }
    (server, admin)
}

async fn refused(client: &Client, path: &str, body: &Value, expected: &str) {
    let (code, answer) = client.post(path, body).await;
    assert_eq!((code, &answer["message"]), (StatusCode::FORBIDDEN, &json!(expected)), "{path}: {answer}");
}

#[tokio::test]
async fn limits_are_filled_in_and_kept() {
    let (_server, admin) = start().await;
    let range = json!({"spec": {"limits": [
        {"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "50m"}, "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "2Gi"}}]}});
    admin.create("/api/v1/namespaces/default/limitranges", &object("v1", "LimitRange", "limits", range)).await;
    let made = admin.create(PODS, &pod("a", json!({}))).await;
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}})
    );
    assert_eq!(
        made["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
    let greedy = json!({"containers": [{"name": "c", "image": "x", "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "10m"}}}]});
    refused(&admin, PODS, &pod("b", greedy),
        "pods \"b\" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, maximum cpu usage per Container is 1, but limit is 2]").await;
    let claim = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "3Gi"}}}});
    refused(&admin, "/api/v1/namespaces/default/persistentvolumeclaims", &object("v1", "PersistentVolumeClaim", "big", claim),
        "persistentvolumeclaims \"big\" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi").await;
}

#[tokio::test]
async fn pods_keep_to_their_namespaces_standard() {
    let (_server, admin) = start().await;
    let namespace = "/api/v1/namespaces/default";
    admin.create(PODS, &pod("old", json!({"hostPID": true}))).await;
    let label = |labels: Value| json!({"metadata": {"labels": labels}});
    let patch = |body: Value| {
        let client = admin.clone().with("content-type", "application/merge-patch+json");
        async move { client.send_for_warnings(Method::PATCH, namespace, Some(&body)).await }
    };
    let (code, answer, _) = patch(label(json!({"pod-security.kubernetes.io/enforce": "strict"}))).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        answer["message"],
        "Namespace \"default\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted"
    );
    let (code, _, warnings) = patch(label(json!({
        "pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "restricted",
        "pod-security.kubernetes.io/warn-version": "v1.21"})))
    .await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(
        warnings,
        [
            "existing pods in namespace \\\"default\\\" violate the new PodSecurity enforce level \\\"baseline:latest\\\"",
            "old: host namespaces"
        ]
    );
    refused(
        &admin,
        PODS,
        &pod("p", json!({"hostNetwork": true})),
        "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)",
    )
    .await;
    let (code, _, warnings) = admin.send_for_warnings(Method::POST, PODS, Some(&pod("p", json!({})))).await;
    assert_eq!(code, StatusCode::CREATED);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("would violate PodSecurity \\\"restricted:v1.21\\\": allowPrivilegeEscalation != false (container \\\"c\\\" must"));
    // A pod from before can still be labelled; a Deployment is warned of, never refused.
    let client = admin.clone().with("content-type", "application/merge-patch+json");
    assert_eq!(
        client.send(Method::PATCH, &format!("{PODS}/old"), Some(&label(json!({"a": "b"})))).await.0,
        StatusCode::OK
    );
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"hostPID": true, "containers": [{"name": "c", "image": "x"}]}});
    let deployment = object(
        "apps/v1",
        "Deployment",
        "d",
        json!({"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}),
    );
    let (code, _, warnings) =
        admin.send_for_warnings(Method::POST, "/apis/apps/v1/namespaces/default/deployments", Some(&deployment)).await;
    assert_eq!(code, StatusCode::CREATED);
    assert!(warnings.iter().any(|warning| warning.contains("host namespaces (hostPID=true)")), "{warnings:?}");
}

#[tokio::test]
async fn default_classes_and_finalizers() {
    let (_server, admin) = start().await;
    let class = |name: &str, default: &str| {
        let metadata = json!({"annotations": {"storageclass.kubernetes.io/is-default-class": default}});
        object(
            "storage.k8s.io/v1",
            "StorageClass",
            name,
            json!({"provisioner": "x", "metadata": metadata, "allowVolumeExpansion": true}),
        )
    };
    let classes = "/apis/storage.k8s.io/v1/storageclasses";
    admin.create(classes, &class("other", "false")).await;
    admin.create(classes, &class("usual", "true")).await;
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = |name: &str, class: Value| {
        let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": class});
        object("v1", "PersistentVolumeClaim", name, json!({"spec": spec}))
    };
    let made = admin.create(claims, &claim("a", Value::Null)).await;
    assert_eq!(
        (&made["spec"]["storageClassName"], &made["metadata"]["finalizers"]),
        (&json!("usual"), &json!(["kubernetes.io/pvc-protection"]))
    );
    let mut made = admin.create(claims, &claim("b", json!(""))).await;
    assert_eq!(made["spec"]["storageClassName"], "");
    made["status"]["phase"] = "Bound".into();
    let (_, mut made) = admin.put(&format!("{claims}/b/status"), &made).await;
    made["spec"]["resources"]["requests"]["storage"] = "2Gi".into();
    let (code, answer) = admin.put(&format!("{claims}/b"), &made).await;
    assert_eq!(code, StatusCode::FORBIDDEN, "{answer}");
    assert_eq!(
        answer["message"],
        "persistentvolumeclaims \"b\" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
    );
    let metadata = json!({"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}});
    let networking = "networking.k8s.io/v1";
    admin
        .create(
            "/apis/networking.k8s.io/v1/ingressclasses",
            &object(
                networking,
                "IngressClass",
                "front",
                json!({"metadata": metadata, "spec": {"controller": "x.y/z"}}),
            ),
        )
        .await;
    let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
    let made = admin
        .create(
            "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
            &object(networking, "Ingress", "i", json!({"spec": {"defaultBackend": backend}})),
        )
        .await;
    assert_eq!(made["spec"]["ingressClassName"], "front");
}

#[tokio::test]
async fn runtime_and_priority_classes() {
    let (_server, admin) = start().await;
    refused(
        &admin,
        PODS,
        &pod("p", json!({"runtimeClassName": "sandbox"})),
        "pods \"p\" is forbidden: pod rejected: RuntimeClass \"sandbox\" not found",
    )
    .await;
    let class = json!({"handler": "runc", "overhead": {"podFixed": {"cpu": "250m"}}, "scheduling": {
        "nodeSelector": {"sandbox": "yes"}, "tolerations": [{"key": "sandbox", "operator": "Exists"}]}});
    admin
        .create("/apis/node.k8s.io/v1/runtimeclasses", &object("node.k8s.io/v1", "RuntimeClass", "sandbox", class))
        .await;
    let made = admin.create(PODS, &pod("p", json!({"runtimeClassName": "sandbox", "nodeSelector": {"a": "b"}}))).await;
    assert_eq!(made["spec"]["overhead"], json!({"cpu": "250m"}));
    assert_eq!(made["spec"]["nodeSelector"], json!({"a": "b", "sandbox": "yes"}));
    assert!(made["spec"]["tolerations"].as_array().unwrap().contains(&json!({"key": "sandbox", "operator": "Exists"})));
    refused(&admin, PODS, &pod("q", json!({"runtimeClassName": "sandbox", "nodeSelector": {"sandbox": "no"}})),
        "pods \"q\" is forbidden: conflict: runtimeClass.scheduling.nodeSelector[sandbox] = yes, pod.spec.nodeSelector[sandbox] = no; pod rejected").await;
    refused(
        &admin,
        PODS,
        &pod("q", json!({"overhead": {"cpu": "1"}})),
        "pods \"q\" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
    )
    .await;

    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    let class = |name: &str, default: bool| {
        object(
            "scheduling.k8s.io/v1",
            "PriorityClass",
            name,
            json!({"value": 7, "globalDefault": default, "preemptionPolicy": "Never"}),
        )
    };
    admin.create(classes, &class("usual", true)).await;
    refused(&admin, classes, &class("second", true),
        "priorityclasses.scheduling.k8s.io \"second\" is forbidden: PriorityClass usual is already marked as default. Only one default can exist").await;
    let made = admin.create(PODS, &pod("r", json!({}))).await;
    assert_eq!(
        (&made["spec"]["priority"], &made["spec"]["priorityClassName"], &made["spec"]["preemptionPolicy"]),
        (&json!(7), &json!("usual"), &json!("Never"))
    );
    refused(&admin, PODS, &pod("s", json!({"preemptionPolicy": "PreemptLowerPriority"})),
        "pods \"s\" is forbidden: the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority admission controller computed Never from the given PriorityClass name").await;
}

#[tokio::test]
async fn secrets_of_an_account_that_insists() {
    let (_server, admin) = start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = json!({"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}, "secrets": [{"name": "own"}]});
    admin.create(accounts, &object("v1", "ServiceAccount", "strict", account)).await;
    let with = |secret: &str| {
        pod("p", json!({"serviceAccountName": "strict", "volumes": [{"name": "v", "secret": {"secretName": secret}}]}))
    };
    refused(&admin, PODS, &with("other"),
        "pods \"p\" is forbidden: volume with secret.secretName=\"other\" is not allowed because service account strict does not reference that secret").await;
    admin.create(PODS, &with("own")).await;
}

#[tokio::test]
async fn a_node_sees_and_writes_its_own() {
    let (server, admin) = start().await;
    let node = server.user("system:node:one", &["system:nodes"]);
    let secrets = "/api/v1/namespaces/default/secrets";
    for name in ["used", "pulled", "other"] {
        admin.create(secrets, &object("v1", "Secret", name, json!({}))).await;
    }
    let run_on = |name: &str, node: &str| {
        pod(
            name,
            json!({"nodeName": node, "imagePullSecrets": [{"name": "pulled"}],
            "volumes": [{"name": "v", "secret": {"secretName": "used"}}]}),
        )
    };
    admin.create(PODS, &run_on("elsewhere", "two")).await;
    assert_eq!(node.get(&format!("{secrets}/used")).await.0, StatusCode::FORBIDDEN);
    let own = admin.create(PODS, &run_on("own", "one")).await;
    for (path, expected) in [
        (format!("{secrets}/used"), StatusCode::OK),
        (format!("{secrets}/pulled"), StatusCode::OK),
        (format!("{secrets}?fieldSelector=metadata.name%3Dused"), StatusCode::OK),
        (format!("{secrets}/other"), StatusCode::FORBIDDEN),
        (secrets.to_owned(), StatusCode::FORBIDDEN),
        (format!("{PODS}/own"), StatusCode::OK),
        (format!("{PODS}/elsewhere"), StatusCode::FORBIDDEN),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Done".to_owned(), StatusCode::OK),
        ("/api/v1/pods".to_owned(), StatusCode::FORBIDDEN),
        ("/api/v1/services".to_owned(), StatusCode::OK),
        ("/api/v1/nodes".to_owned(), StatusCode::FORBIDDEN),
    ] {
        let (code, answer) = node.get(&path).await;
        assert_eq!(code, expected, "{path}: {answer}");
    }
    let (_, answer) = node.get(&format!("{secrets}/other")).await;
    assert_eq!(
        answer["message"],
        "secrets \"other\" is forbidden: User \"system:node:one\" cannot get resource \"secrets\" in API group \"\" in the namespace \"default\": no relationship found between node 'one' and this object"
    );
    assert_eq!(admin.send(Method::DELETE, &format!("{PODS}/own?gracePeriodSeconds=0"), None).await.0, StatusCode::OK);
    assert_eq!(node.get(&format!("{secrets}/used")).await.0, StatusCode::FORBIDDEN);

    let nodes = "/api/v1/nodes";
    let labelled = |name: &str, label: &str| object("v1", "Node", name, json!({"metadata": {"labels": {label: "x"}}}));
    refused(
        &node,
        nodes,
        &labelled("two", "a"),
        "nodes \"two\" is forbidden: node \"one\" is not allowed to modify node \"two\"",
    )
    .await;
    refused(
        &node,
        nodes,
        &labelled("one", "node-restriction.kubernetes.io/a"),
        "nodes \"one\" is forbidden: is not allowed to set the following labels: node-restriction.kubernetes.io/a",
    )
    .await;
    let mut made = node.create(nodes, &labelled("one", "a")).await;
    assert_eq!(made["spec"]["taints"], json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]));
    made["spec"]["taints"] = json!([]);
    let (_, answer) = node.put(&format!("{nodes}/one"), &made).await;
    assert_eq!(answer["message"], "nodes \"one\" is forbidden: node \"one\" is not allowed to modify taints");
    refused(&node, PODS, &run_on("mine", "one"),
        "pods \"mine\" is forbidden: pod does not have \"kubernetes.io/config.mirror\" annotation, node \"one\" can only create mirror pods").await;
    let (code, _) = node.send(Method::DELETE, &format!("{PODS}/elsewhere"), None).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    let lease = object("coordination.k8s.io/v1", "Lease", "two", json!({"spec": {}}));
    refused(&node, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", &lease,
        "leases.coordination.k8s.io \"two\" is forbidden: can only access node lease with the same name as the requesting node").await;
    let token = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "own", "uid": own["metadata"]["uid"]}}});
    let (code, answer) = node.post("/api/v1/namespaces/default/serviceaccounts/default/token", &token).await;
    assert_eq!(code, StatusCode::FORBIDDEN, "{answer}");
    admin.create(PODS, &run_on("third", "one")).await;
    let (_, third) = admin.get(&format!("{PODS}/third")).await;
    let mut token = token;
    token["spec"]["boundObjectRef"] =
        json!({"apiVersion": "v1", "kind": "Pod", "name": "third", "uid": third["metadata"]["uid"]});
    node.create("/api/v1/namespaces/default/serviceaccounts/default/token", &token).await;
}
