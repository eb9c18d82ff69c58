//! CPU and memory of running containers, changed in place (KEP-1287).

use minato_client::EventKind;
use minato_podlife::StopCause;
use minato_runtime::{ContainerId, Resources};

use super::Worker;
use super::sandbox::chain;
use crate::container::resources;

impl Worker {
    /// Gives every running container the limits that the specification has now. Limits never go away by a resize, so
    /// what is `None` here is nothing to be done. A container whose `resizePolicy` asks for a restart gets one.
    pub(super) async fn resize(&mut self) {
        for (id, name, wanted, restart) in self.outgrown() {
            if restart {
                let grace = minato_podlife::decide::pod_grace(&self.pod);
                self.stop(&name, id, grace, StopCause::Resized);
                continue;
            }
            match self.node.runtime.update_resources(&id, wanted.clone()).await {
                Ok(()) => {
                    self.event_for(&name, EventKind::Normal, "ResizeCompleted", "Container resize completed");
                    self.look_at(&id).await;
                }
                Err(error) => {
                    let message = format!("failed to resize container {name}: {}", chain(&error));
                    self.event_for(&name, EventKind::Warning, "ResizeError", message);
                    self.refused.insert(id, wanted);
                }
            }
        }
    }

    /// Running containers with other limits than they should have, and whether they must be started anew for it.
    fn outgrown(&self) -> Vec<(ContainerId, String, Resources, bool)> {
        let mut found = Vec::new();
        for (id, known) in &self.known {
            if known.running_since().is_none() || known.stopping.is_some() {
                continue;
            }
            let Some(container) = self.containers().find(|container| container.name == known.status.name) else {
                continue;
            };
            let wanted = resources(&self.pod, container, self.node.machine.memory_bytes);
            let now = &known.status.resources;
            let memory = wanted.memory_limit_bytes.is_some() && wanted.memory_limit_bytes != now.memory_limit_bytes;
            let cpu = (wanted.cpu_quota.is_some() && wanted.cpu_quota != now.cpu_quota)
                || wanted.cpu_shares != now.cpu_shares;
            if !(memory || cpu) || self.refused.get(id) == Some(&wanted) {
                continue;
            }
            let restarts = |resource: &str| {
                let mut policies = container.resize_policy.iter().flatten();
                policies.any(|policy| policy.resource_name == resource && policy.restart_policy == "RestartContainer")
            };
            let restart = (memory && restarts("memory")) || (cpu && restarts("cpu"));
            found.push((id.clone(), known.status.name.clone(), wanted, restart));
        }
        found
    }
}
