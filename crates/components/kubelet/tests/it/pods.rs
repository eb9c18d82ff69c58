//! Pods from their binding to their end.

use k8s_openapi::api::core::v1::{ConfigMap, ContainerStatus, Pod};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use minato_runtime::{Runtime as _, SandboxConfig};
use serde_json::json;

use crate::cluster::{Cluster, until};
use crate::fake::FakeRuntime;

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

fn waiting(pod: &Pod) -> Option<&str> {
    container(pod)?.state.as_ref()?.waiting.as_ref()?.reason.as_deref()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_runs_is_deleted_and_leaves_nothing() {
    let cluster = Cluster::start().await;
    cluster
        .create_pod(
            "p",
            json!({"terminationGracePeriodSeconds": 7}),
            json!({"args": ["$(A)"], "env": [{"name": "A", "value": "x"}]}),
        )
        .await;
    let pod = cluster.until_pod("p", "a ready pod", is_ready).await;
    let status = pod.status.as_ref().unwrap();
    assert_eq!(status.pod_ip.as_deref(), Some("10.42.0.2"));
    assert_eq!(status.host_ip.as_deref(), Some("127.0.0.1"));
    assert_eq!(phase(&pod), "Running");
    assert!(container(&pod).unwrap().container_id.as_deref().unwrap().starts_with("minato://"));
    let config = cluster.runtime.config("c");
    assert_eq!(config.args, ["x"]);
    assert!(config.mounts.iter().any(|mount| mount.container_path.ends_with("etc/resolv.conf")));

    cluster.pods().delete("p", &DeleteParams::default()).await.unwrap();
    cluster.until_gone("p").await;
    assert_eq!(cluster.runtime.stops().len(), 1);
    assert!(cluster.runtime.stops()[0].1.as_secs_f64() > 5.0);
    assert!(cluster.runtime.is_empty() && cluster.network.is_empty());
    assert_eq!(cluster.pod_directories(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_ends_runs_again_and_then_waits() {
    let cluster = Cluster::start().await;
    cluster.create_pod("p", json!({}), json!({})).await;
    cluster.until_pod("p", "a ready pod", is_ready).await;
    cluster.runtime.exit("c", 3);
    let restarted = |count| move |pod: &Pod| is_ready(pod) && container(pod).unwrap().restart_count == count;
    let pod = cluster.until_pod("p", "the restart", restarted(1)).await;
    let last = container(&pod).unwrap().last_state.clone().unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (3, Some("Error")));
    cluster.runtime.exit("c", 3);
    let pod = cluster.until_pod("p", "the back-off", |pod| waiting(pod) == Some("CrashLoopBackOff")).await;
    assert_eq!(phase(&pod), "Running");
    assert!(!is_ready(&pod));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_kubelet_restarts_nothing() {
    let mut cluster = Cluster::start().await;
    let probe = json!({"readinessProbe": {"exec": {"command": ["ok"]}, "periodSeconds": 1}});
    cluster.create_pod("p", json!({}), probe).await;
    let before = cluster.until_pod("p", "a ready pod", is_ready).await;
    cluster.kill_kubelet().await;
    cluster.start_kubelet();
    // Whatever happens to a pod afterwards shows that the new kubelet has taken it over.
    cluster.runtime.answer_probes(1);
    let after = cluster.until_pod("p", "the probe's failure", |pod| !is_ready(pod)).await;
    assert_eq!(container(&before).unwrap().container_id, container(&after).unwrap().container_id);
    assert_eq!(cluster.runtime.starts(), ["c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_told_and_waited_for() {
    let cluster = Cluster::start().await;
    cluster.create_pod("image", json!({}), json!({"image": "example.test/none:1"})).await;
    cluster.create_pod("never", json!({}), json!({"image": "example.test/none:1", "imagePullPolicy": "Never"})).await;
    let environment = json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "later", "key": "a"}}}]});
    cluster.create_pod("map", json!({}), environment).await;
    cluster
        .until_pod("image", "the failed pull", |pod| matches!(waiting(pod), Some("ErrImagePull" | "ImagePullBackOff")))
        .await;
    cluster.until_pod("never", "the missing image", |pod| waiting(pod) == Some("ErrImageNeverPull")).await;
    cluster.until_pod("map", "the missing map", |pod| waiting(pod) == Some("CreateContainerConfigError")).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client.clone());
    let map = json!({"metadata": {"name": "later"}, "data": {"a": "1"}});
    maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    cluster.until_pod("map", "a ready pod", is_ready).await;
    assert!(cluster.runtime.config("c").env.contains(&("A".to_owned(), "1".to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_is_done_stays_to_be_looked_at() {
    let cluster = Cluster::start().await;
    cluster.create_pod("p", json!({"restartPolicy": "Never"}), json!({})).await;
    cluster.until_pod("p", "a ready pod", is_ready).await;
    cluster.runtime.exit("c", 0);
    let pod = cluster.until_pod("p", "its success", |pod| phase(pod) == "Succeeded").await;
    let end = container(&pod).unwrap().state.clone().unwrap().terminated.unwrap();
    assert_eq!(end.reason.as_deref(), Some("Completed"));
    let network = cluster.network.clone();
    until("the address to be free", || async { Ok(network.is_empty()) }, |free| *free).await;
    assert!(!cluster.runtime.is_empty(), "its records serve kubectl logs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_liveness_probe_restarts_the_container() {
    let cluster = Cluster::start().await;
    let probe = json!({"livenessProbe": {"exec": {"command": ["ok"]}, "periodSeconds": 1, "failureThreshold": 1}});
    cluster.create_pod("p", json!({}), probe).await;
    cluster.until_pod("p", "a ready pod", is_ready).await;
    cluster.runtime.answer_probes(1);
    cluster.until_pod("p", "the restart", |pod| container(pod).is_some_and(|status| status.restart_count > 0)).await;
    assert_eq!(cluster.runtime.stops()[0].0, "c");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_are_swept_at_the_start() {
    let runtime = FakeRuntime::new();
    let orphan = SandboxConfig { uid: "dead".to_owned(), ..SandboxConfig::default() };
    runtime.run_sandbox(orphan).await.unwrap();
    let cluster = Cluster::start_with(runtime).await;
    until("the end of the orphan", || async { Ok(cluster.runtime.is_empty()) }, |gone| *gone).await;
}
