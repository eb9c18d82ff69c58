//! Sandboxes: a pod's namespaces, shared memory and cgroup.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use minato_linux::mounts;
use minato_linux::namespaces::{self, Namespace, Setup};
use nix::mount::{MsFlags, mount};
use serde::{Deserialize, Serialize};

use super::{Embedded, file, lock, system};
use crate::bundle::{self, JoinedNamespaces};
use crate::{Runtime as _, RuntimeError, Sandbox, SandboxConfig, SandboxId, SandboxStatus};

/// `pods/<uid>/sandbox.json`, written last: a sandbox without it is half made.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) config: SandboxConfig,
    pub(super) created_at: Timestamp,
}

pub(super) const RECORD: &str = "sandbox.json";
const UID_BYTES_MAX: usize = 128;
const SHARED_MEMORY_OPTIONS: &str = "mode=1777,size=65536k";
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(10);

impl Embedded {
    /// Blocks.
    pub(super) fn make_sandbox(&self, config: SandboxConfig) -> Result<Sandbox, RuntimeError> {
        self.check_sandbox(&config)?;
        let id = SandboxId(config.uid.clone());
        let directory = self.inner.config.pods().join(&config.uid);
        let netns = (!config.host_network).then(|| directory.join("ns/net"));
        if lock(&self.inner.sandboxes).get(&id).is_some_and(|known| known.ready) {
            return Ok(Sandbox { id, netns });
        }
        // What is there is from before a reboot, or half made.
        remove_parts(&directory)?;
        let made = self.make_parts(&config, &directory);
        if made.is_err() {
            let _ = remove_parts(&directory);
            let _ = fs::remove_dir(&directory);
            let _ = self.group(&config.cgroup_parent).remove();
        }
        let created_at = made?;
        let status = SandboxStatus { id: id.clone(), config, netns: netns.clone(), created_at, ready: true };
        lock(&self.inner.sandboxes).insert(id.clone(), status);
        Ok(Sandbox { id, netns })
    }

    fn check_sandbox(&self, config: &SandboxConfig) -> Result<(), RuntimeError> {
        let valid = !config.uid.is_empty()
            && config.uid.len() <= UID_BYTES_MAX
            && !config.uid.starts_with('.')
            && config.uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !valid {
            return Err(RuntimeError::InvalidConfig(format!("pod uid {:?} is not usable as a file name", config.uid)));
        }
        let root = format!("{}/", self.inner.config.cgroup_root());
        if !config.cgroup_parent.starts_with(&root) || config.cgroup_parent.contains("..") {
            let reason = format!("cgroup {:?} of the pod is not below {root}", config.cgroup_parent);
            return Err(RuntimeError::InvalidConfig(reason));
        }
        Ok(())
    }

    fn make_parts(&self, config: &SandboxConfig, directory: &Path) -> Result<Timestamp, RuntimeError> {
        let pod = format!("{}/{}", config.namespace, config.name);
        let pins = directory.join("ns");
        fs::create_dir_all(&pins).map_err(file("create", &pins))?;
        let group = self.group(&config.cgroup_parent);
        group.create().map_err(|error| system(format!("create cgroup {}", config.cgroup_parent), error))?;
        let limits = config.resources.limits();
        group.limit(&limits).map_err(|error| system(format!("limit pod {pod}"), io::Error::other(error)))?;

        let mut kinds = Vec::new();
        if !config.host_network {
            kinds.extend([Namespace::Net, Namespace::Uts]);
        }
        if !config.host_ipc {
            kinds.push(Namespace::Ipc);
            let memory = directory.join("shm");
            fs::create_dir_all(&memory).map_err(file("create", &memory))?;
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            mount(Some("shm"), &memory, Some("tmpfs"), flags, Some(SHARED_MEMORY_OPTIONS))
                .map_err(|errno| file("mount", &memory)(errno.into()))?;
        }
        let setup = Setup { hostname: config.hostname.clone(), sysctls: sysctls(config) };
        namespaces::pin(&pins, &kinds, &setup)
            .map_err(|error| system(format!("make the namespaces of pod {pod}"), io::Error::other(error)))?;
        if config.share_processes {
            self.hold_processes(config, &pins).map_err(|error| {
                let _ = group.kill(KILL_TIMEOUT);
                system(format!("make the process namespace of pod {pod}"), error)
            })?;
        }
        let record = Record { config: config.clone(), created_at: Timestamp::now() };
        bundle::write(directory, RECORD, &record).map_err(file("write", directory.join(RECORD)))?;
        Ok(record.created_at)
    }

    /// Begins the pod's process namespace, which lives as long as its first process.
    fn hold_processes(&self, config: &SandboxConfig, pins: &Path) -> io::Result<()> {
        let output = Command::new(&self.inner.config.shim)
            .args(["shim".as_ref(), "hold".as_ref(), pins.as_os_str(), holder_group(config).as_ref()])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if output.success() { Ok(()) } else { Err(io::Error::other(format!("the shim failed: {output}"))) }
    }

    /// Ends the first process of a shared process namespace, and so what is left in it. Blocks.
    pub(super) fn release_processes(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let Ok(status) = self.find_sandbox(id) else { return Ok(()) };
        if !status.config.share_processes {
            return Ok(());
        }
        let group = self.group(&holder_group(&status.config));
        let ended = group.kill(KILL_TIMEOUT).and_then(|()| group.remove());
        ended.map_err(|error| system(format!("end the process namespace of sandbox {id}"), error))
    }

    pub(super) async fn stop_containers_of(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let ids = self.containers_of(id);
        let stops = ids.iter().map(|container| self.stop_container(container, Duration::ZERO));
        futures::future::join_all(stops).await.into_iter().collect()
    }

    pub(super) async fn take_down_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let Ok(status) = self.find_sandbox(id) else { return Ok(()) };
        self.stop_containers_of(id).await?;
        for container in self.containers_of(id) {
            self.remove(&container).await?;
        }
        let (runtime, id) = (self.clone(), id.clone());
        super::blocking(move || {
            let directory = runtime.inner.config.pods().join(&id.0);
            let group = runtime.group(&status.config.cgroup_parent);
            let steps = [
                group.kill(KILL_TIMEOUT).map_err(|error| error.to_string()),
                group.remove().map_err(|error| format!("cgroup {}: {error}", status.config.cgroup_parent)),
                remove_parts(&directory).map_err(|error| chain(&error)),
            ];
            let errors: Vec<String> = steps.into_iter().filter_map(Result::err).collect();
            if !errors.is_empty() {
                return Err(RuntimeError::CleanUp { what: format!("sandbox {id}"), errors });
            }
            // The kubelet's volumes may still be there; they are its own to remove.
            let _ = fs::remove_dir(&directory);
            lock(&runtime.inner.sandboxes).remove(&id);
            Ok(())
        })
        .await
    }

    fn containers_of(&self, id: &SandboxId) -> Vec<crate::ContainerId> {
        let containers = lock(&self.inner.containers);
        containers.iter().filter(|(_, container)| container.bundle().sandbox == *id).map(|(id, _)| id.clone()).collect()
    }

    /// The namespaces that a container of this sandbox joins, and the pod's shared memory.
    pub(super) fn joined(&self, sandbox: &SandboxStatus) -> (JoinedNamespaces, Option<PathBuf>) {
        let directory = self.inner.config.pods().join(&sandbox.id.0);
        let pin = |kind: Namespace, host: bool| (!host).then(|| directory.join("ns").join(kind.name()));
        let config = &sandbox.config;
        let joined = JoinedNamespaces {
            net: pin(Namespace::Net, config.host_network),
            ipc: pin(Namespace::Ipc, config.host_ipc),
            uts: pin(Namespace::Uts, config.host_network),
            pid: pin(Namespace::Pid, !config.share_processes),
        };
        let memory = if config.host_ipc { PathBuf::from("/dev/shm") } else { directory.join("shm") };
        (joined, Some(memory))
    }
}

fn holder_group(config: &SandboxConfig) -> String {
    format!("{}/hold", config.cgroup_parent.trim_end_matches('/'))
}

/// As containerd and Docker have it: in a network of its own a pod may listen on any port and ping without being root.
/// What the pod says wins.
fn sysctls(config: &SandboxConfig) -> BTreeMap<String, String> {
    let mut sysctls = config.sysctls.clone();
    if !config.host_network {
        for (name, value) in
            [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")]
        {
            sysctls.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    sysctls
}

/// Removes everything of a sandbox below `pods/<uid>` that is the runtime's: the record first, so that a crash leaves
/// something that recovery knows as half made.
pub(super) fn remove_parts(directory: &Path) -> Result<(), RuntimeError> {
    let record = directory.join(RECORD);
    if_there(fs::remove_file(&record)).map_err(file("remove", record))?;
    let pins = directory.join("ns");
    for kind in Namespace::ALL.into_iter().chain([Namespace::Pid]) {
        namespaces::unpin(&pins, kind).map_err(file("unpin", pins.join(kind.name())))?;
    }
    if_there(fs::remove_dir(&pins)).map_err(file("remove", pins))?;
    let memory = directory.join("shm");
    mounts::unmount_below(&memory).map_err(file("unmount", &memory))?;
    if_there(fs::remove_dir(&memory)).map_err(file("remove", memory))
}

pub(super) fn if_there(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// An error and everything below it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(below) = source {
        text.push_str(&format!(": {below}"));
        source = below.source();
    }
    text
}
