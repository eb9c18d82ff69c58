use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::cluster::Cluster;
use crate::cluster::until;

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_follow_pods() {
    let cluster = Cluster::start().await;
    cluster.create_node("node-1").await;
    cluster.play_kubelet();
    cluster.deployment("web", 3).await;
    cluster
        .create::<Service>(json!({
            "metadata": { "name": "web" },
            "spec": { "selector": { "app": "web" }, "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] },
        }))
        .await;
    let (slices, endpoints) = (cluster.api::<EndpointSlice>(), cluster.api::<Endpoints>());
    let of_web = ListParams::default().labels("kubernetes.io/service-name=web");
    // Addresses that are ready, and zones, of all slices.
    let look = || async {
        let slices = slices.list(&of_web).await?.items;
        let all = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
        let ready =
            all.filter(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(true));
        Ok(ready.map(|endpoint| (endpoint.addresses[0].clone(), endpoint.zone.clone())).collect())
    };
    let found = until("three endpoints", look, |found: &Vec<_>| found.len() == 3).await;
    assert!(found.iter().all(|(_, zone)| zone.as_deref() == Some("zone-a")));
    let classic = || async {
        let found = endpoints.get_opt("web").await?;
        Ok(found.and_then(|found| Some(found.subsets?.first()?.addresses.as_ref()?.len())).unwrap_or(0))
    };
    until("three addresses", classic, |count| *count == 3).await;

    let (pods, name) = (cluster.api::<Pod>(), cluster.names::<Pod>().await.remove(0));
    let unready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
    pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(unready)).await.unwrap();
    until("two ready endpoints", look, |found: &Vec<_>| found.len() == 2).await;

    let none = Patch::Merge(json!({ "spec": { "replicas": 0 } }));
    cluster.api::<Deployment>().patch("web", &PatchParams::default(), &none).await.unwrap();
    until("no endpoints", look, Vec::is_empty).await;
    assert_eq!(slices.list(&of_web).await.unwrap().items.len(), 1, "an empty slice says so");

    cluster.api::<Service>().delete("web", &DeleteParams::default()).await.unwrap();
    let left = || async { Ok((slices.list(&of_web).await?.items.len(), endpoints.get_opt("web").await?.is_some())) };
    until("nothing left", left, |left| *left == (0, false)).await;
}
