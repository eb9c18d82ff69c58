use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::cluster::{Cluster, until};

async fn with_three_pods() -> Cluster {
    let cluster = Cluster::start().await;
    cluster.play_kubelet();
    cluster.deployment("web", 3).await;
    let pods = cluster.api::<Pod>();
    let count = || async { Ok(pods.list(&ListParams::default()).await?.items.len()) };
    until("three pods", count, |count| *count == 3).await;
    cluster
}

/// How many sets and pods there are.
async fn until_left(cluster: &Cluster, expected: (usize, usize)) {
    let (sets, pods) = (cluster.api::<ReplicaSet>(), cluster.api::<Pod>());
    let count = || async {
        let everything = ListParams::default();
        Ok((sets.list(&everything).await?.items.len(), pods.list(&everything).await?.items.len()))
    };
    until("sets and pods", count, |count| *count == expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn background_takes_all() {
    let cluster = with_three_pods().await;
    cluster.api::<Deployment>().delete("web", &DeleteParams::background()).await.unwrap();
    until_left(&cluster, (0, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreground_takes_the_owner_last() {
    let cluster = with_three_pods().await;
    let (deployments, pods) = (cluster.api::<Deployment>(), cluster.api::<Pod>());
    let held = cluster.names::<Pod>().await.remove(0);
    let hold = |finalizers: &[&str]| Patch::Merge(json!({ "metadata": { "finalizers": finalizers } }));
    pods.patch(&held, &PatchParams::default(), &hold(&["example.com/hold"])).await.unwrap();
    deployments.delete("web", &DeleteParams::foreground()).await.unwrap();
    until_left(&cluster, (1, 1)).await;
    assert!(deployments.get_opt("web").await.unwrap().is_some(), "it waits for the pod");
    pods.patch(&held, &PatchParams::default(), &hold(&[])).await.unwrap();
    until_left(&cluster, (0, 0)).await;
    until("no deployment", || deployments.get_opt("web"), Option::is_none).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_stay_and_are_adopted_again() {
    let cluster = with_three_pods().await;
    let (deployments, sets) = (cluster.api::<Deployment>(), cluster.api::<ReplicaSet>());
    deployments.delete("web", &DeleteParams::orphan()).await.unwrap();
    until("no deployment", || deployments.get_opt("web"), Option::is_none).await;
    until_left(&cluster, (1, 3)).await;
    let name = cluster.names::<ReplicaSet>().await.remove(0);
    assert!(sets.get(&name).await.unwrap().metadata.owner_references.is_none_or(|owners| owners.is_empty()));
    let again = cluster.deployment("web", 3).await;
    let owner = || async {
        let owners = sets.get(&name).await?.metadata.owner_references.unwrap_or_default();
        Ok(owners.first().map(|owner| owner.uid.clone()))
    };
    until("adoption", owner, |owner| *owner == again.metadata.uid).await;
    until_left(&cluster, (1, 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_never_was_is_found_out() {
    let cluster = Cluster::start().await;
    let maps = cluster.api::<ConfigMap>();
    let owned_by =
        |kind: &str, name: &str, uid: &str| json!([{ "apiVersion": "v1", "kind": kind, "name": name, "uid": uid }]);
    let real = cluster.create::<ConfigMap>(json!({ "metadata": { "name": "owner" } })).await;
    let owners = owned_by("ConfigMap", "owner", real.metadata.uid.as_deref().unwrap());
    cluster.create::<ConfigMap>(json!({ "metadata": { "name": "kept", "ownerReferences": owners } })).await;
    let owners = owned_by("ConfigMap", "ghost", "no-such-uid");
    cluster.create::<ConfigMap>(json!({ "metadata": { "name": "lost", "ownerReferences": owners } })).await;
    until("the collection", || maps.get_opt("lost"), Option::is_none).await;
    assert!(maps.get_opt("kept").await.unwrap().is_some());
    maps.delete("owner", &DeleteParams::default()).await.unwrap();
    until("the collection", || maps.get_opt("kept"), Option::is_none).await;
}
