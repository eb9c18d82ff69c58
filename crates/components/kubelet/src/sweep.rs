//! Removes what pods that no longer exist left on this machine.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use minato_runtime::SandboxStatus;
use minato_scope::Scope;

use crate::container::log_directory_name;
use crate::node::Node;
use crate::volumes;

/// Once, at start-up: sandboxes, volumes, addresses and logs that belong to none of `alive`.
pub(crate) async fn run(node: Arc<Node>, alive: Vec<Arc<Pod>>, orphans: Vec<SandboxStatus>, scope: Scope) {
    let work = async {
        for orphan in orphans {
            let uid = &orphan.id;
            tracing::info!(namespace = orphan.config.namespace, pod = orphan.config.name, %uid, "removing an orphaned pod");
            if let Err(error) = node.runtime.remove_sandbox(uid).await {
                tracing::warn!(%uid, error = &error as &dyn std::error::Error, "failed to remove an orphaned sandbox");
            }
        }
        let uids: BTreeSet<String> = alive.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
        let logs: BTreeSet<String> = alive.iter().map(|pod| log_directory_name(pod)).collect();
        let network = node.network().await;
        match network.list().await {
            Ok(attached) => {
                for pod in attached.iter().filter(|pod| !uids.contains(&pod.uid)) {
                    if let Err(error) = network.detach(&pod.uid).await {
                        tracing::warn!(
                            uid = pod.uid,
                            error = &error as &dyn std::error::Error,
                            "failed to detach an orphan"
                        );
                    }
                }
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "failed to list attached pods"),
        }
        let config = node.config.clone();
        let swept = tokio::task::spawn_blocking(move || {
            remove_others(&config.pods_directory(), &uids);
            remove_others(&config.logs_directory(), &logs);
        });
        if swept.await.is_err() {
            tracing::warn!("the sweep of orphaned files ended early");
        }
    };
    tokio::select! {
        () = scope.cancelled() => {}
        () = work => {}
    }
}

fn remove_others(directory: &Path, keep: &BTreeSet<String>) {
    // Pods that came after the list was made are younger than this sweep.
    let begun = std::time::SystemTime::now();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let young = entry.metadata().and_then(|metadata| metadata.created()).is_ok_and(|created| {
            begun.duration_since(created).map_or(true, |age| age < std::time::Duration::from_secs(60))
        });
        if keep.contains(&name) || young {
            continue;
        }
        let path = entry.path();
        tracing::info!(path = %path.display(), "removing what an orphaned pod left");
        for error in volumes::tear_down(&path.join("volumes")) {
            tracing::warn!(path = %error.path.display(), error = %error.source, "failed to {}", error.action);
        }
        if let Err(error) = std::fs::remove_dir_all(&path) {
            tracing::warn!(path = %path.display(), %error, "failed to remove");
        }
    }
}

/// Takes the volumes of all pods below a data directory off the host; for `minato down`, after the containers are
/// gone. Blocks. Answers with what could not be done, in words; the rest was done.
#[must_use]
pub fn teardown(data_dir: &Path) -> Vec<String> {
    let pods = data_dir.join("node/pods");
    let mut errors = Vec::new();
    for entry in std::fs::read_dir(&pods).into_iter().flatten().flatten() {
        for error in volumes::tear_down(&entry.path().join("volumes")) {
            errors.push(format!("failed to {} {}: {}", error.action, error.path.display(), error.source));
        }
    }
    errors
}
