//! Containers that see each other's processes.

use minato_runtime::{ContainerId, Runtime as _};

use crate::cluster::{Cluster, shell};

async fn processes(cluster: &Cluster, id: &ContainerId) -> String {
    let output = cluster.runtime.exec_sync(id, vec!["ps".into()], std::time::Duration::from_secs(10)).await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn a_debugger_sees_its_target_and_ends_with_it() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let target = cluster.run(&sandbox, shell("echo target; sleep 1234")).await;
    let mut config = shell("sleep 2345");
    config.name = "debugger".into();
    config.log_path = Default::default();
    config.processes_of = Some(target.clone());
    let debugger = cluster.run(&sandbox, config.clone()).await;
    let seen = processes(&cluster, &debugger).await;
    assert!(seen.contains("sleep 1234") && seen.contains("sleep 2345"), "{seen}");
    // Its own process is not the first of the namespace: its end is not the target's.
    cluster.runtime.stop_container(&debugger, std::time::Duration::ZERO).await.unwrap();
    assert!(processes(&cluster, &target).await.contains("sleep 1234"));
    config.attempt = 1;
    let again = cluster.run(&sandbox, config.clone()).await;
    cluster.runtime.stop_container(&target, std::time::Duration::ZERO).await.unwrap();
    assert_eq!(cluster.exit(&again).await.0, 137);
    // What has ended is no target.
    config.attempt = 2;
    let late = cluster.runtime.create_container(&sandbox, config).await.unwrap();
    assert!(cluster.runtime.start_container(&late).await.is_err());
    cluster.finish().await;
}

#[tokio::test]
async fn the_containers_of_a_pod_share_processes_if_it_says_so() {
    let Some(cluster) = Cluster::start().await else { return };
    let mut config = cluster.sandbox_config("p");
    config.share_processes = true;
    let sandbox = cluster.runtime.run_sandbox(config).await.unwrap().id;
    let first = cluster.run(&sandbox, shell("sleep 1234 & sleep 1235")).await;
    let mut config = shell("sleep 2345");
    config.name = "other".into();
    config.log_path = Default::default();
    let other = cluster.run(&sandbox, config.clone()).await;
    let seen = processes(&cluster, &other).await;
    assert!(seen.contains("sleep 1234") && seen.contains("sleep 2345"), "{seen}");
    // A container's end takes its own processes along and nobody else's, whoever started first.
    cluster.runtime.stop_container(&first, std::time::Duration::ZERO).await.unwrap();
    let seen = processes(&cluster, &other).await;
    assert!(!seen.contains("sleep 123") && seen.contains("sleep 2345"), "{seen}");
    cluster.runtime.stop_sandbox(&sandbox).await.unwrap();
    cluster.finish().await;
}
