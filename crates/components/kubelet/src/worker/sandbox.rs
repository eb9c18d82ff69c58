//! What a pod's containers share: namespaces, network, volumes; made, adopted, refreshed and taken away.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use minato_client::EventKind;
use minato_podlife::downward::Surroundings;
use minato_podlife::env::References;
use minato_podlife::identity::host_name;
use minato_podlife::qos::{QosClass, qos_class};
use minato_podlife::sysctl;
use minato_podnet::{NetError, PodAttachment};
use minato_runtime::{RuntimeError, SandboxConfig, SandboxId};

use super::Worker;
use crate::claims::{ClaimError, ClaimedVolumes};
use crate::container::log_directory_name;
use crate::node::Node;
use crate::volumes::{self, Material, MountedVolumes, VolumeError};

/// Why the pod cannot start yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetUpError {
    #[error("Failed to create pod sandbox: {0}")]
    Runtime(#[from] RuntimeError),
    #[error("Failed to create pod sandbox: network of the pod: {0}")]
    Network(#[from] NetError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error("MountVolume.SetUp failed : failed to fetch token: {0}")]
    Token(#[source] kube::Error),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error("volume task ended early")]
    Interrupted,
}

/// What could not be taken away.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClearError {
    #[error("remove the sandbox")]
    Runtime(#[from] RuntimeError),
    #[error("detach from the network")]
    Network(#[from] NetError),
    #[error("failed to {action} {}: {source}", path.display())]
    Disk { action: &'static str, path: PathBuf, source: io::Error },
}

fn host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true)
}

/// `<cluster>/<class>/pod<uid>`, guaranteed pods without a class in between, as upstream's cgroupfs layout.
fn cgroup_parent(node: &Node, pod: &Pod, uid: &str) -> String {
    let root = format!("/minato-{}", node.config.cluster_id);
    match qos_class(pod) {
        QosClass::Guaranteed => format!("{root}/pod{uid}"),
        QosClass::Burstable => format!("{root}/burstable/pod{uid}"),
        QosClass::BestEffort => format!("{root}/besteffort/pod{uid}"),
    }
}

fn sandbox_config(node: &Node, pod: &Pod, uid: &str) -> SandboxConfig {
    let spec = pod.spec.as_ref();
    let sysctls = spec
        .and_then(|spec| spec.security_context.as_ref())
        .and_then(|security| security.sysctls.as_ref())
        .into_iter()
        .flatten()
        .map(|sysctl| (sysctl::normal(&sysctl.name), sysctl.value.clone()))
        .collect();
    let mut hostname = host_name(pod, &node.config.node_name, &node.config.cluster_domain).hostname;
    hostname.truncate(64);
    SandboxConfig {
        uid: uid.to_owned(),
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        hostname,
        host_network: host_network(pod),
        host_pid: spec.and_then(|spec| spec.host_pid) == Some(true),
        share_processes: spec.and_then(|spec| spec.share_process_namespace) == Some(true),
        host_ipc: spec.and_then(|spec| spec.host_ipc) == Some(true),
        cgroup_parent: cgroup_parent(node, pod, uid),
        log_directory: node.config.logs_directory().join(log_directory_name(pod)),
        sysctls,
        ..SandboxConfig::default()
    }
}

async fn run_sandbox(node: &Node, pod: &Pod, uid: &str) -> Result<Vec<String>, SetUpError> {
    let sandbox = node.runtime.run_sandbox(sandbox_config(node, pod, uid)).await?;
    let Some(netns) = sandbox.netns.filter(|_| !host_network(pod)) else { return Ok(node.host_ips.clone()) };
    let attachment = PodAttachment {
        uid: uid.to_owned(),
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        netns,
    };
    let address = node.network().await.attach(&attachment).await?;
    Ok(vec![address.ip.to_string()])
}

impl Worker {
    /// Finds again what an earlier kubelet made: the pod's address and its volumes.
    pub(super) async fn adopt(&mut self) {
        if !self.sandbox.exists {
            return;
        }
        for id in self.known.keys().cloned().collect::<Vec<_>>() {
            self.look_at(&id).await;
        }
        let terminal = matches!(self.status.phase.as_deref(), Some("Failed" | "Succeeded"));
        if host_network(&self.pod) {
            self.sandbox.ips.clone_from(&self.node.host_ips);
        } else if self.sandbox.ready && !terminal {
            // Attaching again is how the address is learnt, and repairs what a crash left half done.
            match run_sandbox(&self.node, &self.pod, &self.uid).await {
                Ok(ips) => self.sandbox.ips = ips,
                Err(error) => {
                    tracing::warn!(
                        pod = self.reference.name,
                        error = &error as &dyn std::error::Error,
                        "failed to adopt a pod's network"
                    );
                }
            }
        }
        if self.sandbox.ready && !self.is_ending() && !terminal {
            self.refresh_volumes().await;
            self.resize().await;
        }
    }

    /// Namespaces with network, and volumes, at the same time.
    pub(super) async fn create_sandbox(&mut self) {
        let node = Arc::clone(&self.node);
        let pod = Arc::clone(&self.pod);
        let uid = self.uid.clone();
        let (sandbox, volumes) = tokio::join!(run_sandbox(&node, &pod, &uid), self.set_up_volumes());
        self.sandbox.exists = true;
        let mut failed = false;
        match sandbox {
            Ok(ips) => self.sandbox.ips = ips,
            Err(error) => {
                failed = true;
                self.event(EventKind::Warning, "FailedCreatePodSandBox", chain(&error));
            }
        }
        match volumes {
            Ok(volumes) => self.volumes = Some(volumes),
            Err(error) => {
                failed = true;
                self.event(EventKind::Warning, "FailedMount", chain(&error));
            }
        }
        self.sandbox.ready = !failed;
        if failed {
            self.memory.sandbox_failed(Timestamp::now());
        } else {
            self.memory.sandbox_ready();
        }
    }

    /// What references are resolved against.
    pub(super) fn surroundings(&self) -> Surroundings {
        Surroundings {
            pod_ips: self.sandbox.ips.clone(),
            host_ips: self.node.host_ips.clone(),
            allocatable: self.node.machine.capacity.clone(),
        }
    }

    async fn set_up_volumes(&mut self) -> Result<MountedVolumes, SetUpError> {
        let tokens = self.tokens.current(&self.node.client, &self.pod, Timestamp::now());
        let claimed = self.claims.current(&self.node.client, &self.pod);
        let (references, tokens, claimed) = tokio::join!(self.references.current(), tokens, claimed);
        let (tokens, claimed) = (tokens.map_err(SetUpError::Token)?, claimed?);
        let directory = self.node.config.pod_directory(&self.uid).join("volumes");
        let pod = Arc::clone(&self.pod);
        let surroundings = self.surroundings();
        let work = tokio::task::spawn_blocking(move || {
            make_volumes(directory, &pod, &references, &surroundings, &tokens, &claimed)
        });
        Ok(work.await.map_err(|_| SetUpError::Interrupted)??)
    }

    /// Brings changed data into the volumes of a running pod. On failure they stay as they are.
    pub(super) async fn refresh_volumes(&mut self) {
        match self.set_up_volumes().await {
            Ok(volumes) => self.volumes = Some(volumes),
            Err(error) => {
                tracing::warn!(
                    pod = self.reference.name,
                    error = &error as &dyn std::error::Error,
                    "failed to refresh volumes"
                );
                self.event(EventKind::Warning, "FailedMount", chain(&error));
            }
        }
    }

    /// Takes down network and namespaces of a pod whose containers have all ended.
    pub(super) async fn stop_sandbox(&mut self) {
        let id = SandboxId(self.uid.clone());
        if let Err(error) = self.node.runtime.stop_sandbox(&id).await {
            tracing::warn!(
                pod = self.reference.name,
                error = &error as &dyn std::error::Error,
                "failed to stop a sandbox"
            );
            self.event(EventKind::Warning, "FailedKillPod", format!("error killing pod: {error}"));
            tokio::time::sleep(super::RETRY).await;
            return;
        }
        if !host_network(&self.pod)
            && let Err(error) = self.node.network().await.detach(&self.uid).await
        {
            tracing::warn!(
                pod = self.reference.name,
                error = &error as &dyn std::error::Error,
                "failed to detach a pod"
            );
            tokio::time::sleep(super::RETRY).await;
            return;
        }
        self.sandbox.ready = false;
        self.sandbox.ips.clear();
    }

    /// Removes everything of the pod from the host.
    pub(super) async fn clear_host(&mut self) -> Result<(), ClearError> {
        if !host_network(&self.pod) && self.sandbox.exists {
            self.node.network().await.detach(&self.uid).await?;
        }
        clear(&self.node, &self.uid, &log_directory_name(&self.pod)).await?;
        self.known.clear();
        self.sandbox = super::SandboxView::default();
        self.volumes = None;
        Ok(())
    }
}

fn make_volumes(
    directory: PathBuf,
    pod: &Pod,
    references: &References,
    surroundings: &Surroundings,
    tokens: &BTreeMap<minato_podlife::payload::TokenKey, String>,
    claimed: &ClaimedVolumes,
) -> Result<MountedVolumes, VolumeError> {
    volumes::set_up(&directory, &Material { pod, references, surroundings, tokens, claimed })
}

/// Removes sandbox, containers, volumes, files and logs of a pod.
pub(super) async fn clear(node: &Node, uid: &str, log_directory: &str) -> Result<(), ClearError> {
    node.runtime.remove_sandbox(&SandboxId(uid.to_owned())).await?;
    let directory = node.config.pod_directory(uid);
    let logs = node.config.logs_directory().join(log_directory);
    let work = tokio::task::spawn_blocking(move || {
        let mut errors = volumes::tear_down(&directory.join("volumes"));
        for path in [directory, logs] {
            match std::fs::remove_dir_all(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    errors.push(volumes::disk("remove", &path)(source));
                }
                _ => {}
            }
        }
        errors
    });
    match work.await.unwrap_or_default().into_iter().next() {
        None => Ok(()),
        Some(error) => Err(ClearError::Disk { action: error.action, path: error.path, source: error.source }),
    }
}

/// An error with everything that caused it, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
