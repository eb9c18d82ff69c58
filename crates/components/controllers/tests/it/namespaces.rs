use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::cluster::{Cluster, deployment, until};

async fn create(cluster: &Cluster, name: &str) -> Api<Namespace> {
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let namespace = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    namespaces
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_has_an_account_and_the_ca() {
    let cluster = Cluster::start().await;
    create(&cluster, "team").await;
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), "team");
    until("the account", || accounts.get_opt("default"), Option::is_some).await;
    accounts.delete("default", &DeleteParams::default()).await.unwrap();
    until("the account again", || accounts.get_opt("default"), Option::is_some).await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "team");
    let ca = || async { Ok(maps.get_opt("kube-root-ca.crt").await?.and_then(|map| map.data?.remove("ca.crt"))) };
    until("the CA", ca, |ca| ca.as_deref() == Some("the CA")).await;
    let tampered = Patch::Merge(json!({ "data": { "ca.crt": "another" } }));
    maps.patch("kube-root-ca.crt", &PatchParams::default(), &tampered).await.unwrap();
    until("the CA again", ca, |ca| ca.as_deref() == Some("the CA")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_goes_with_all_its_content() {
    let cluster = Cluster::start().await;
    cluster.play_kubelet();
    let namespaces = create(&cluster, "team").await;
    for number in 0..200 {
        let map = json!({ "metadata": { "name": format!("map-{number}"), "namespace": "team" } });
        cluster.create::<ConfigMap>(map).await;
    }
    let mut web = deployment("web", 3, "image:1");
    web["metadata"]["namespace"] = "team".into();
    cluster.create::<k8s_openapi::api::apps::v1::Deployment>(web).await;
    namespaces.delete("team", &DeleteParams::default()).await.unwrap();
    until("the end", || namespaces.get_opt("team"), Option::is_none).await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "team");
    assert!(maps.list(&ListParams::default()).await.unwrap().items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_a_namespace_is_said() {
    let cluster = Cluster::start().await;
    let namespaces = create(&cluster, "team").await;
    let held = json!({ "metadata": { "name": "held", "namespace": "team", "finalizers": ["example.com/hold"] } });
    cluster.create::<ConfigMap>(held).await;
    namespaces.delete("team", &DeleteParams::default()).await.unwrap();
    let message = || async {
        let conditions = namespaces.get("team").await?.status.and_then(|status| status.conditions).unwrap_or_default();
        let found = conditions.into_iter().find(|condition| condition.type_ == "NamespaceFinalizersRemaining");
        Ok(found.and_then(|condition| condition.message))
    };
    let expected = "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances";
    until("the reason", message, |message| message.as_deref() == Some(expected)).await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "team");
    let release = Patch::Merge(json!({ "metadata": { "finalizers": [] } }));
    maps.patch("held", &PatchParams::default(), &release).await.unwrap();
    until("the end", || namespaces.get_opt("team"), Option::is_none).await;
}
