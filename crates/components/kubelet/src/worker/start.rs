//! Starting containers.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use minato_client::EventKind;
use minato_podlife::env::{environment, service_variables};
use minato_podlife::identity::host_name;
use minato_podlife::{FailureKind, StartFailure};
use minato_runtime::{ContainerId, ContainerStatus, RuntimeError, SandboxId};

use super::Worker;
use super::sandbox::chain;
use crate::container::{Ingredients, configure};
use crate::{host_files, image, lifecycle_hook};

/// What became of one start.
struct Outcome {
    name: String,
    attempt: u32,
    /// The container, if one was made.
    made: Option<ContainerStatus>,
    failure: Option<(FailureKind, String)>,
}

struct Trouble {
    kind: FailureKind,
    message: String,
    id: Option<ContainerId>,
}

impl Trouble {
    fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), id: None }
    }
}

impl Worker {
    /// Starts containers, all at the same time.
    pub(super) async fn start_all(&mut self, starts: Vec<(String, u32)>) {
        if self.volumes.is_none() {
            // Adopted by a kubelet that could not set the volumes up yet.
            self.refresh_volumes().await;
        }
        let this = &*self;
        let outcomes = futures::future::join_all(starts.iter().map(|(name, attempt)| this.start(name, *attempt))).await;
        for outcome in outcomes {
            match outcome.failure {
                None => self.memory.started(&outcome.name),
                Some((kind, message)) => {
                    let failure = StartFailure { kind, message, at: Timestamp::now(), attempt: outcome.attempt };
                    self.memory.start_failed(&outcome.name, failure);
                }
            }
            if let Some(status) = outcome.made {
                self.note(status).await;
            }
        }
    }

    async fn start(&self, name: &str, attempt: u32) -> Outcome {
        let mut outcome = Outcome { name: name.to_owned(), attempt, made: None, failure: None };
        let Some(container) = self.containers().find(|container| container.name == name) else { return outcome };
        let id = match self.try_start(container, attempt).await {
            Ok(id) => Some(id),
            Err(trouble) => {
                let label = match trouble.kind {
                    FailureKind::ImageNeverPull => "ErrImageNeverPull",
                    FailureKind::InvalidImageName => "InspectFailed",
                    FailureKind::PostStartHook => "FailedPostStartHook",
                    _ => "Failed",
                };
                if trouble.kind == FailureKind::ImagePull {
                    let image = container.image.as_deref().unwrap_or_default();
                    self.event_for(
                        name,
                        EventKind::Warning,
                        "Failed",
                        format!("Failed to pull image \"{image}\": {}", trouble.message),
                    );
                    self.event_for(name, EventKind::Warning, "Failed", "Error: ErrImagePull");
                } else if label == "Failed" {
                    self.event_for(name, EventKind::Warning, label, format!("Error: {}", trouble.message));
                } else {
                    self.event_for(name, EventKind::Warning, label, trouble.message.clone());
                }
                outcome.failure = Some((trouble.kind, trouble.message));
                trouble.id
            }
        };
        if let Some(id) = id {
            outcome.made = self.node.runtime.container(&id).await.ok();
        }
        outcome
    }

    async fn try_start(&self, container: &Container, attempt: u32) -> Result<ContainerId, Trouble> {
        let name = container.name.as_str();
        let interrupted = |_| Trouble::new(FailureKind::Create, "interrupted");
        let store = self.node.images.clone();
        let wanted = container.clone();
        let found = tokio::task::spawn_blocking(move || image::find(&store, &wanted)).await.map_err(interrupted)?;
        found.map_err(|trouble| Trouble::new(trouble.kind(), trouble.to_string()))?;
        let image = container.image.as_deref().unwrap_or_default();
        self.event_for(
            name,
            EventKind::Normal,
            "Pulled",
            format!("Container image \"{image}\" already present on machine"),
        );

        let services = self.node.services();
        let variables = service_variables(&self.pod, services.iter().map(|service| &**service));
        let references = self.references.current().await;
        let env = environment(&self.pod, container, &references, &variables, &self.surroundings())
            .map_err(|error| Trouble::new(FailureKind::Config, error.to_string()))?;
        let processes_of = self.target_of(name)?;
        let Some(volumes) = self.volumes.clone() else {
            return Err(Trouble::new(FailureKind::Config, "the pod's volumes are not set up"));
        };
        let node = Arc::clone(&self.node);
        let (pod, ips) = (Arc::clone(&self.pod), self.sandbox.ips.clone());
        let wanted = container.clone();
        let termination_file = host_files::termination_path(&node.config, &self.uid, name, attempt);
        let described = tokio::task::spawn_blocking(move || {
            let identity = host_name(&pod, &node.config.node_name, &node.config.cluster_domain);
            let fail = |error: std::io::Error| Trouble::new(FailureKind::Config, error.to_string());
            let files = host_files::write(&node.config, &pod, &identity, &ips).map_err(fail)?;
            host_files::make_termination_file(&termination_file).map_err(fail)?;
            let ingredients = Ingredients {
                pod: &pod,
                container: &wanted,
                attempt,
                env,
                volumes: &volumes,
                files: &files,
                termination_file: PathBuf::from(&termination_file),
                processes_of,
                memory_capacity_bytes: node.machine.memory_bytes,
            };
            configure(ingredients).map_err(|error| Trouble::new(FailureKind::Config, error.to_string()))
        });
        let config = described.await.map_err(interrupted)??;

        let sandbox = SandboxId(self.uid.clone());
        let id = self.node.runtime.create_container(&sandbox, config).await.map_err(|error| {
            let kind = match error {
                RuntimeError::RunAsNonRoot(_) => FailureKind::Config,
                RuntimeError::ImageNotFound { .. } => FailureKind::ImagePull,
                _ => FailureKind::Create,
            };
            Trouble::new(kind, chain(&error))
        })?;
        self.event_for(name, EventKind::Normal, "Created", format!("Created container: {name}"));
        if let Err(error) = self.node.runtime.start_container(&id).await {
            return Err(Trouble { kind: FailureKind::Run, message: chain(&error), id: Some(id) });
        }
        self.event_for(name, EventKind::Normal, "Started", format!("Started container {name}"));
        self.post_start(container, &id).await?;
        Ok(id)
    }

    /// The running container whose processes an ephemeral container is to see.
    fn target_of(&self, name: &str) -> Result<Option<ContainerId>, Trouble> {
        let Some(target) = minato_podlife::ephemeral::target(&self.pod, name) else { return Ok(None) };
        let mut all = self.known.values();
        let found = all.find(|known| known.status.name == target && known.running_since().is_some());
        let found = found.ok_or_else(|| {
            Trouble::new(FailureKind::Config, format!("unable to find target container \"{target}\""))
        })?;
        Ok(Some(found.status.id.clone()))
    }

    async fn post_start(&self, container: &Container, id: &ContainerId) -> Result<(), Trouble> {
        let Some(hook) = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref()) else {
            return Ok(());
        };
        let pod_ip = self.sandbox.ips.first().map(String::as_str).unwrap_or_default();
        let runtime = &*self.node.runtime;
        let result = lifecycle_hook::run(hook, container, id, pod_ip, runtime, lifecycle_hook::TIMEOUT_MAX).await;
        let Err(error) = result else { return Ok(()) };
        let message = format!("PostStartHook failed: {error}");
        let grace = minato_podlife::decide::pod_grace(&self.pod).unsigned_abs();
        if let Err(error) = runtime.stop_container(id, grace).await {
            tracing::warn!(container = %id, error = &error as &dyn std::error::Error, "failed to stop a container whose postStart hook failed");
        }
        Err(Trouble { kind: FailureKind::PostStartHook, message, id: Some(id.clone()) })
    }
}
