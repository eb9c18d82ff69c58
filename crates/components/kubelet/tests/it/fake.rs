//! A runtime without processes and a network without links.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use minato_podnet::{Attached, NetError, PodAddress, PodAttachment, PodNetwork};
use minato_runtime::{
    AttachSession, ContainerConfig, ContainerEvent, ContainerId, ContainerState, ContainerStatus, CpuUsage, DiskUsage,
    ExecOutput, ExecRequest, ExecSession, GroupUsage, MemoryUsage, Resources, Runtime, RuntimeError, RuntimeUsage,
    Sandbox, SandboxConfig, SandboxId, SandboxStatus, Usage,
};
use tokio::sync::broadcast;

#[derive(Default)]
struct State {
    sandboxes: BTreeMap<SandboxId, SandboxStatus>,
    containers: BTreeMap<ContainerId, ContainerStatus>,
    configs: BTreeMap<ContainerId, ContainerConfig>,
    starts: Vec<String>,
    stops: Vec<(String, Duration)>,
    probe_exit_code: i32,
    cpu_nanoseconds: u64,
    next: u32,
}

/// A runtime whose containers run until a test says otherwise; clones share it, as kubelets share a node.
#[derive(Clone)]
pub(crate) struct FakeRuntime {
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<ContainerEvent>,
}

impl FakeRuntime {
    pub(crate) fn new() -> Self {
        Self { state: Arc::default(), events: broadcast::channel(100).0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Names of all containers that were ever started, in order.
    pub(crate) fn starts(&self) -> Vec<String> {
        self.state().starts.clone()
    }

    /// Names and grace periods of all that were asked to stop.
    pub(crate) fn stops(&self) -> Vec<(String, Duration)> {
        self.state().stops.clone()
    }

    pub(crate) fn is_empty(&self) -> bool {
        let state = self.state();
        state.sandboxes.is_empty() && state.containers.is_empty()
    }

    /// What the newest container of that name was made from.
    pub(crate) fn config(&self, name: &str) -> ContainerConfig {
        let state = self.state();
        let newest = state.configs.values().filter(|config| config.name == name).max_by_key(|config| config.attempt);
        newest.unwrap().clone()
    }

    /// Every group has used so much processor time.
    pub(crate) fn spend(&self, nanoseconds: u64) {
        self.state().cpu_nanoseconds = nanoseconds;
    }

    /// What every exec probe will see.
    pub(crate) fn answer_probes(&self, exit_code: i32) {
        self.state().probe_exit_code = exit_code;
    }

    /// The running container of that name ends.
    pub(crate) fn exit(&self, name: &str, exit_code: i32) {
        let id = {
            let state = self.state();
            let running = |status: &&ContainerStatus| matches!(status.state, ContainerState::Running { .. });
            state.containers.values().filter(running).find(|status| status.name == name).unwrap().id.clone()
        };
        self.end(&id, exit_code);
    }

    fn end(&self, id: &ContainerId, exit_code: i32) {
        let mut state = self.state();
        let Some(status) = state.containers.get_mut(id) else { return };
        let ContainerState::Running { started_at, .. } = status.state else { return };
        status.state = ContainerState::Exited {
            started_at: Some(started_at),
            finished_at: Timestamp::now(),
            exit_code,
            signal: None,
            oom_killed: false,
            message: None,
        };
        // Nobody may be listening.
        let _ = self.events.send(ContainerEvent::Exited { id: id.clone(), sandbox: status.sandbox.clone() });
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn run_sandbox(&self, config: SandboxConfig) -> Result<Sandbox, RuntimeError> {
        let id = SandboxId(config.uid.clone());
        let netns = Some(PathBuf::from("/fake/net"));
        let status =
            SandboxStatus { id: id.clone(), config, netns: netns.clone(), created_at: Timestamp::now(), ready: true };
        self.state().sandboxes.entry(id.clone()).or_insert(status);
        Ok(Sandbox { id, netns })
    }

    async fn stop_sandbox(&self, _id: &SandboxId) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn remove_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let mut state = self.state();
        state.sandboxes.remove(id);
        state.containers.retain(|_, status| status.sandbox != *id);
        Ok(())
    }

    async fn sandboxes(&self) -> Result<Vec<SandboxStatus>, RuntimeError> {
        Ok(self.state().sandboxes.values().cloned().collect())
    }

    async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: ContainerConfig,
    ) -> Result<ContainerId, RuntimeError> {
        let mut state = self.state();
        state.next += 1;
        let id = ContainerId(format!("{:064x}", state.next));
        let status = ContainerStatus {
            id: id.clone(),
            sandbox: sandbox.clone(),
            name: config.name.clone(),
            attempt: config.attempt,
            image: config.image.clone(),
            image_id: "sha256:1".to_owned(),
            log_path: None,
            resources: Default::default(),
            labels: BTreeMap::new(),
            created_at: Timestamp::now(),
            state: ContainerState::Created,
        };
        let clash = state.containers.values().any(|other| {
            other.sandbox == *sandbox
                && other.name == config.name
                && matches!(other.state, ContainerState::Running { .. })
        });
        assert!(!clash, "second instance of {}", config.name);
        state.containers.insert(id.clone(), status);
        state.configs.insert(id.clone(), config);
        Ok(id)
    }

    async fn start_container(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let mut state = self.state();
        let status = state.containers.get_mut(id).unwrap();
        status.state = ContainerState::Running { started_at: Timestamp::now(), pid: 1 };
        let name = status.name.clone();
        state.starts.push(name);
        Ok(())
    }

    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        {
            let mut state = self.state();
            let Some(status) = state.containers.get(id) else { return Ok(()) };
            let name = status.name.clone();
            state.stops.push((name, grace));
        }
        self.end(id, 143);
        Ok(())
    }

    async fn signal(&self, _id: &ContainerId, _signal: nix::sys::signal::Signal) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn remove_container(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.state().containers.remove(id);
        Ok(())
    }

    async fn containers(&self) -> Result<Vec<ContainerStatus>, RuntimeError> {
        Ok(self.state().containers.values().cloned().collect())
    }

    async fn container(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError> {
        self.state().containers.get(id).cloned().ok_or_else(|| RuntimeError::ContainerNotFound(id.clone()))
    }

    async fn update_resources(&self, _id: &ContainerId, _resources: Resources) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn exec(&self, id: &ContainerId, _request: ExecRequest) -> Result<ExecSession, RuntimeError> {
        Err(RuntimeError::NotRunning(id.clone()))
    }

    async fn exec_sync(
        &self,
        _id: &ContainerId,
        _command: Vec<String>,
        _timeout: Duration,
    ) -> Result<ExecOutput, RuntimeError> {
        let exit_code = self.state().probe_exit_code;
        Ok(ExecOutput { exit_code, stdout: Vec::new(), stderr: b"as told".to_vec() })
    }

    async fn attach(&self, id: &ContainerId) -> Result<AttachSession, RuntimeError> {
        Err(RuntimeError::NotRunning(id.clone()))
    }

    async fn reopen_log(&self, _id: &ContainerId) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn usage(&self) -> Result<RuntimeUsage, RuntimeError> {
        let state = self.state();
        let used = |group: String| {
            let cpu = CpuUsage { nanoseconds: state.cpu_nanoseconds, ..CpuUsage::default() };
            let memory = MemoryUsage { bytes: 3 << 20, working_set_bytes: 2 << 20, ..MemoryUsage::default() };
            GroupUsage { group, usage: Usage { cpu: Some(cpu), memory: Some(memory), ..Usage::default() } }
        };
        Ok(RuntimeUsage {
            at: Timestamp::now(),
            sandboxes: state.sandboxes.keys().map(|id| (id.clone(), used(format!("/pod{id}")))).collect(),
            containers: state.containers.keys().map(|id| (id.clone(), used(format!("/pod/{id}")))).collect(),
        })
    }

    async fn writable_layers(&self) -> Result<BTreeMap<ContainerId, DiskUsage>, RuntimeError> {
        let layer = DiskUsage { bytes: 4096, inodes: 1 };
        Ok(self.state().containers.keys().map(|id| (id.clone(), layer)).collect())
    }

    fn events(&self) -> broadcast::Receiver<ContainerEvent> {
        self.events.subscribe()
    }
}

/// Gives out addresses and remembers them.
#[derive(Default)]
pub(crate) struct FakeNetwork {
    attached: Mutex<BTreeMap<String, Attached>>,
}

impl FakeNetwork {
    pub(crate) fn is_empty(&self) -> bool {
        self.attached.lock().unwrap().is_empty()
    }
}

#[async_trait]
impl PodNetwork for FakeNetwork {
    async fn attach(&self, pod: &PodAttachment) -> Result<PodAddress, NetError> {
        let mut attached = self.attached.lock().unwrap();
        let next = 2 + attached.len() as u8;
        let record = attached.entry(pod.uid.clone()).or_insert_with(|| Attached {
            uid: pod.uid.clone(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            ip: IpAddr::V4(Ipv4Addr::new(10, 42, 0, next)),
            host_interface: "fake".to_owned(),
            netns: pod.netns.clone(),
        });
        Ok(PodAddress {
            ip: record.ip,
            gateway: IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1)),
            interface: "eth0".to_owned(),
            host_interface: "fake".to_owned(),
            mtu: 1500,
        })
    }

    async fn detach(&self, uid: &str) -> Result<(), NetError> {
        self.attached.lock().unwrap().remove(uid);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Attached>, NetError> {
        Ok(self.attached.lock().unwrap().values().cloned().collect())
    }
}
