use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Event, Pod, ReplicationController};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::cluster::{Cluster, deployment, until};

async fn until_complete(api: &Api<Deployment>, name: &str) -> Deployment {
    until(
        "the rollout",
        || api.get(name),
        |found| {
            let (spec, status) = (found.spec.as_ref().unwrap(), found.status.clone().unwrap_or_default());
            let wanted = spec.replicas;
            status.observed_generation == found.metadata.generation
                && [status.replicas, status.updated_replicas, status.available_replicas] == [wanted; 3]
        },
    )
    .await
}

async fn set_image(api: &Api<Deployment>, name: &str, image: &str) {
    let patch = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "c", "image": image }] } } } });
    api.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
}

fn image_of(pod: &Pod) -> &str {
    pod.spec.as_ref().unwrap().containers[0].image.as_deref().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_gets_its_pods_rolls_and_scales() {
    let cluster = Cluster::start().await;
    cluster.play_kubelet();
    let (deployments, pods) = (cluster.api::<Deployment>(), cluster.api::<Pod>());
    let created = cluster.deployment("web", 3).await;
    let complete = until_complete(&deployments, "web").await;
    assert_eq!(complete.metadata.generation, created.metadata.generation, "the controller makes no generations");
    assert_eq!(complete.metadata.annotations.unwrap()["deployment.kubernetes.io/revision"], "1");

    set_image(&deployments, "web", "image:2").await;
    until_complete(&deployments, "web").await;
    let all = || async { Ok(pods.list(&ListParams::default()).await?.items) };
    until("only new pods", all, |pods: &Vec<Pod>| pods.len() == 3 && pods.iter().all(|pod| image_of(pod) == "image:2"))
        .await;

    let patch = json!({ "spec": { "replicas": 7 } });
    deployments.patch("web", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    until_complete(&deployments, "web").await;
    assert_eq!(cluster.names::<ReplicaSet>().await.len(), 2);

    let events = cluster.api::<Event>();
    let messages = || async {
        Ok(events.list(&ListParams::default()).await?.items.into_iter().filter_map(|event| event.message).collect())
    };
    until("the events", messages, |messages: &Vec<String>| {
        let has = |start: &str, end: &str| {
            messages.iter().any(|message| message.starts_with(start) && message.ends_with(end))
        };
        has("Scaled up replica set web-", "from 0 to 3")
            && has("Scaled up replica set web-", "from 3 to 7")
            && has("Created pod: web-", "")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pod_is_replaced_and_a_strange_one_adopted() {
    let cluster = Cluster::start().await;
    cluster.play_kubelet();
    let (deployments, pods) = (cluster.api::<Deployment>(), cluster.api::<Pod>());
    cluster.deployment("web", 3).await;
    until_complete(&deployments, "web").await;
    let victim = cluster.names::<Pod>().await.remove(0);
    pods.delete(&victim, &DeleteParams::default()).await.unwrap();
    let ready = || async {
        let all = pods.list(&ListParams::default()).await?.items;
        Ok(all.into_iter().filter(minato_workloads::pod::is_ready).filter_map(|pod| pod.metadata.name).collect())
    };
    until("the replacement", ready, |names: &Vec<String>| names.len() == 3 && !names.contains(&victim)).await;

    // A pod that loses its label is let go and replaced; when it gets it back, one is too many.
    let lost = cluster.names::<Pod>().await.remove(0);
    let labels = pods.get(&lost).await.unwrap().metadata.labels.unwrap();
    let relabel = |value: Option<&str>| Patch::Merge(json!({ "metadata": { "labels": { "app": value } } }));
    pods.patch(&lost, &PatchParams::default(), &relabel(None)).await.unwrap();
    until("four pods", ready, |names: &Vec<String>| names.len() == 4).await;
    let orphan = pods.get(&lost).await.unwrap();
    assert!(orphan.metadata.owner_references.is_none_or(|owners| owners.is_empty()));
    pods.patch(&lost, &PatchParams::default(), &relabel(Some(&labels["app"]))).await.unwrap();
    until("three pods", ready, |names: &Vec<String>| names.len() == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_survives_controllers_that_die() {
    let mut cluster = Cluster::start().await;
    cluster.play_kubelet();
    let deployments = cluster.api::<Deployment>();
    cluster.deployment("web", 8).await;
    until_complete(&deployments, "web").await;
    for round in 2..6 {
        set_image(&deployments, "web", &format!("image:{round}")).await;
        tokio::time::sleep(Duration::from_millis(7 * round)).await; // any moment will do: that is the test
        cluster.kill_controllers().await;
        cluster.start_controllers();
    }
    until_complete(&deployments, "web").await;
    let pods = cluster.api::<Pod>();
    let all = || async { Ok(pods.list(&ListParams::default()).await?.items) };
    until("only the last image", all, |pods: &Vec<Pod>| {
        pods.len() == 8 && pods.iter().all(|pod| image_of(pod) == "image:5")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_image_leaves_the_old_pods_and_recreate_waits() {
    let cluster = Cluster::start().await;
    cluster.play_kubelet();
    let deployments = cluster.api::<Deployment>();
    cluster.deployment("web", 4).await;
    until_complete(&deployments, "web").await;
    set_image(&deployments, "web", "broken").await;
    let found = until(
        "the surge",
        || deployments.get("web"),
        |found| {
            found.status.as_ref().is_some_and(|status| status.updated_replicas == Some(2) && status.replicas == Some(5))
        },
    )
    .await;
    assert_eq!(found.status.unwrap().available_replicas, Some(3));

    let mut recreated = deployment("again", 2, "image:1");
    recreated["spec"]["strategy"] = json!({ "type": "Recreate" });
    cluster.create::<Deployment>(recreated).await;
    until_complete(&deployments, "again").await;
    set_image(&deployments, "again", "image:2").await;
    until_complete(&deployments, "again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_pods_come_and_go() {
    let cluster = Cluster::start().await;
    cluster.deployment("many", 500).await;
    let sets = cluster.api::<ReplicaSet>();
    let all = || async { Ok(sets.list(&ListParams::default()).await?.items) };
    until("all pods", all, |sets: &Vec<ReplicaSet>| {
        sets.iter().any(|set| set.status.as_ref().is_some_and(|status| status.replicas == 500))
    })
    .await;
    assert_eq!(cluster.names::<Pod>().await.len(), 500, "exactly as many as asked for");
    cluster.api::<Deployment>().delete("many", &DeleteParams::background()).await.unwrap();
    let pods = cluster.api::<Pod>();
    let count = || async { Ok(pods.list(&ListParams::default()).await?.items.len()) };
    until("no pods", count, |count| *count == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replication_controller_keeps_its_pods() {
    let cluster = Cluster::start().await;
    cluster.play_kubelet();
    let mut object = deployment("old", 3, "image:1");
    object["spec"]["selector"] = json!({ "app": "old" });
    cluster.create::<ReplicationController>(object).await;
    let controllers = cluster.api::<ReplicationController>();
    let ready = |count: i32| {
        move |found: &ReplicationController| {
            let status = found.status.clone().unwrap_or_default();
            status.replicas == count && status.ready_replicas.unwrap_or(0) == count
        }
    };
    until("three pods", || controllers.get("old"), ready(3)).await;
    let owner =
        cluster.api::<Pod>().list(&ListParams::default()).await.unwrap().items.remove(0).metadata.owner_references;
    assert_eq!(owner.unwrap()[0].kind, "ReplicationController");
    let one = Patch::Merge(json!({ "spec": { "replicas": 1 } }));
    controllers.patch("old", &PatchParams::default(), &one).await.unwrap();
    until("one pod", || controllers.get("old"), ready(1)).await;
    controllers.delete("old", &DeleteParams::background()).await.unwrap();
    let pods = cluster.api::<Pod>();
    let count = || async { Ok(pods.list(&ListParams::default()).await?.items.len()) };
    until("no pods", count, |count| *count == 0).await;
}
