//! Start-up: what is there is found again, what a crash left half made is removed. And the end of a cluster.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use minato_linux::cgroup::Hierarchies;
use minato_linux::mounts;
use minato_linux::namespaces::{self, Namespace};

use super::containers::{Container, lost};
use super::link::Link;
use super::sandboxes::{KILL_TIMEOUT, RECORD, Record, chain, if_there, remove_parts};
use super::{Config, Embedded, blocking, file, lock, system};
use crate::bundle::{self, ContainerDirectory};
use crate::{ContainerId, ContainerState, RuntimeError, SandboxId, SandboxStatus};

impl Embedded {
    pub(super) async fn recover(&self) -> Result<(), RuntimeError> {
        let runtime = self.clone();
        blocking(move || {
            runtime.recover_sandboxes()?;
            runtime.recover_containers()
        })
        .await?;
        let containers: Vec<_> = {
            let containers = lock(&self.inner.containers);
            containers.iter().map(|(id, container)| (id.clone(), container.clone())).collect()
        };
        for (id, container) in containers {
            if container.is_running() {
                if Link::connect(self.inner.config.container(&id).path()).is_ok() {
                    self.watch(id, container);
                } else if let Ok(Some(exit)) = self.inner.config.container(&id).exit() {
                    container.set(exit.into());
                } else {
                    self.lose(&id, &container, "the container's shim was gone when the runtime started").await;
                }
            }
        }
        Ok(())
    }

    fn recover_sandboxes(&self) -> Result<(), RuntimeError> {
        let pods = self.inner.config.pods();
        fs::create_dir_all(&pods).map_err(file("create", &pods))?;
        for uid in names_in(&pods)? {
            let directory = pods.join(&uid);
            match bundle::read::<Record>(&directory.join(RECORD)) {
                Ok(Record { config, created_at }) => {
                    let pin = |kind: Namespace| directory.join("ns").join(kind.name());
                    let pinned = |kind: Namespace| namespaces::is_pinned(&pin(kind));
                    let ready = (config.host_network || (pinned(Namespace::Net) && pinned(Namespace::Uts)))
                        && (!config.share_processes || pinned(Namespace::Pid))
                        && (config.host_ipc || pinned(Namespace::Ipc));
                    let netns = (!config.host_network).then(|| pin(Namespace::Net));
                    let id = SandboxId(uid);
                    let status = SandboxStatus { id: id.clone(), config, netns, created_at, ready };
                    lock(&self.inner.sandboxes).insert(id, status);
                }
                Err(error) => {
                    if error.kind() != io::ErrorKind::NotFound {
                        tracing::warn!(pod = uid, %error, "damaged sandbox removed");
                    }
                    if let Err(error) = remove_parts(&directory) {
                        tracing::warn!(pod = uid, error = chain(&error), "half made sandbox not removed");
                    }
                }
            }
        }
        Ok(())
    }

    fn recover_containers(&self) -> Result<(), RuntimeError> {
        let directory = self.inner.config.containers();
        fs::create_dir_all(&directory).map_err(file("create", &directory))?;
        let mut known = BTreeSet::new();
        for name in names_in(&directory)? {
            let id = ContainerId(name.clone());
            let container = self.inner.config.container(&id);
            let bundle = match container.bundle() {
                Ok(bundle) => bundle,
                Err(error) => {
                    tracing::warn!(container = name, %error, "half made container removed");
                    if let Err(error) = remove_directory(container.path()) {
                        tracing::warn!(container = name, error = chain(&error), "half made container not removed");
                    }
                    continue;
                }
            };
            known.insert(name);
            let state = state(&container);
            if matches!(state, ContainerState::Exited { .. }) {
                // The shim may have been killed between its last words and the removal of its cgroup.
                let group = self.group(&bundle.cgroup);
                if let Err(error) = group.kill(KILL_TIMEOUT).and_then(|()| group.remove()) {
                    tracing::warn!(container = %id, %error, "cgroup of an exited container not removed");
                }
            }
            lock(&self.inner.containers).insert(id, Arc::new(Container::new(bundle, state)));
        }
        Ok(self.inner.config.images.retain_leases(|holder| known.contains(holder))?)
    }
}

/// What the files of a container say. Whether one that should run really does is found out by connecting to its shim.
fn state(directory: &ContainerDirectory) -> ContainerState {
    match (directory.exit(), directory.started()) {
        (Ok(Some(exit)), _) => exit.into(),
        (Ok(None), Ok(None)) if directory.socket().exists() => {
            // A shim that had not started the command when the server went away: it may still do so.
            ContainerState::Running { started_at: jiff::Timestamp::now(), pid: 0 }
        }
        (Ok(None), Ok(None)) => ContainerState::Created,
        (Ok(None), Ok(Some(started))) => ContainerState::Running { started_at: started.at, pid: started.pid },
        (Err(error), _) | (_, Err(error)) => lost(&format!("its state is damaged: {error}")).into(),
    }
}

/// Removes a container's directory and whatever may be mounted in it.
pub(super) fn remove_directory(directory: &Path) -> Result<(), RuntimeError> {
    mounts::unmount_below(directory).map_err(file("unmount", directory))?;
    if_there(fs::remove_dir_all(directory)).map_err(file("remove", directory))
}

/// Removes everything that clusters of this configuration have on this machine: processes, mounts, namespaces, cgroups,
/// and the directories of pods' namespaces and containers. Images stay. Idempotent; goes on after a failure. Blocks.
///
/// # Errors
/// [`RuntimeError::CleanUp`] with everything that could not be removed.
pub fn teardown(config: &Config) -> Result<(), RuntimeError> {
    let hierarchies =
        Hierarchies::detect().map_err(|error| system("find the cgroup hierarchies", io::Error::other(error)))?;
    let group = hierarchies.group(&config.cgroup_root());
    let mut errors: Vec<String> = Vec::new();
    let mut note = |result: Result<(), String>| errors.extend(result.err());
    note(group.kill(KILL_TIMEOUT).map_err(|error| error.to_string()));
    note(group.remove().map_err(|error| format!("cgroup {}: {error}", config.cgroup_root())));
    for uid in names_in(&config.pods()).unwrap_or_default() {
        note(remove_parts(&config.pods().join(uid)).map_err(|error| chain(&error)));
    }
    note(remove_directory(&config.containers()).map_err(|error| chain(&error)));
    note(config.images.retain_leases(|_| false).map_err(|error| chain(&error)));
    if errors.is_empty() { Ok(()) } else { Err(RuntimeError::CleanUp { what: config.cgroup_root(), errors }) }
}

fn names_in(directory: &Path) -> Result<Vec<String>, RuntimeError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(file("list", directory))?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect::<io::Result<Vec<_>>>().map_err(file("list", directory))
}
