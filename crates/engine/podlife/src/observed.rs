//! What the container runtime says about a pod right now.

use jiff::Timestamp;

/// The runtime's view of one pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The pod's namespaces and network, if they were ever set up.
    pub sandbox: Option<Sandbox>,
    /// Every container the runtime still remembers, in any order.
    pub containers: Vec<Container>,
}

/// The pod's shared namespaces.
#[derive(Clone, Debug, PartialEq)]
pub struct Sandbox {
    /// The runtime's name for it.
    pub id: String,
    /// Whether containers can be started in it.
    pub ready: bool,
    /// The pod's addresses, the primary one first; the host's for `hostNetwork` pods.
    pub ips: Vec<String>,
}

/// One attempt at running one container of the pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// The runtime's name for it.
    pub id: String,
    /// The name in the pod's specification.
    pub name: String,
    /// 0 for the first run, counting restarts.
    pub attempt: u32,
    /// The image as it was asked for.
    pub image: String,
    /// The image's digest as the status shows it.
    pub image_id: String,
    /// Where it is in its life.
    pub state: ContainerState,
    /// Somebody has already asked it to stop; it is killed at this time.
    pub stopping: Option<Timestamp>,
}

/// Where one attempt is in its life.
#[derive(Clone, Debug, PartialEq)]
pub enum ContainerState {
    /// Made, but its process was never started.
    Created,
    /// Its process runs.
    Running {
        /// When it was started.
        started_at: Timestamp,
    },
    /// Its process has ended.
    Exited(Exit),
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// When its process was started, if it ever was.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// The exit code; 128 + signal for a signal.
    pub exit_code: i32,
    /// The kernel killed it for want of memory.
    pub oom_killed: bool,
    /// The termination message.
    pub message: Option<String>,
    /// A reason that the exit code alone does not tell, such as `StartError`.
    pub reason: Option<String>,
}

impl Container {
    /// Whether its process runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. })
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<&Exit> {
        match &self.state {
            ContainerState::Exited(exit) => Some(exit),
            _ => None,
        }
    }
}

impl Observed {
    /// The newest attempt of a container.
    pub fn latest(&self, name: &str) -> Option<&Container> {
        self.containers.iter().filter(|container| container.name == name).max_by_key(|container| container.attempt)
    }

    /// The attempt before the newest.
    pub fn previous(&self, name: &str) -> Option<&Container> {
        let latest = self.latest(name)?.attempt;
        self.containers
            .iter()
            .filter(|container| container.name == name && container.attempt < latest)
            .max_by_key(|container| container.attempt)
    }

    /// Whether any process of the pod runs.
    pub fn any_running(&self) -> bool {
        self.containers.iter().any(Container::is_running)
    }
}
