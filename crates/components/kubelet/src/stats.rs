//! What this node and its pods use.
//!
//! Nothing is measured until somebody asks, and what was measured a moment ago answers whoever asks next. A rate needs
//! two readings: those of two questions that came close enough, or a second one half a second later.

pub(crate) mod disk;
pub(crate) mod host;
mod summary;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use minato_runtime::{ContainerState, ContainerStatus, RuntimeError, RuntimeUsage};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::node::Node;
use crate::pods::Pods;
use crate::worker::Picture;
use disk::DiskUse;
use host::{Host, Traffic};

pub(crate) use summary::{Detail, Summary};

/// Readings are used again for this long.
const FRESH: Duration = Duration::from_secs(1);
/// The same for what is found by walking through directories.
const DISK_FRESH: Duration = Duration::from_secs(20);
/// The least time between two readings that make a rate.
const WINDOW_MIN: Duration = Duration::from_millis(500);
/// Readings farther apart say nothing of now.
const WINDOW_MAX: Duration = Duration::from_secs(120);

/// One reading of everything.
pub(crate) struct Reading {
    /// When it was taken.
    pub(crate) at: Timestamp,
    taken: Instant,
    /// The machine.
    pub(crate) host: Host,
    /// Sandboxes and containers.
    pub(crate) runtime: RuntimeUsage,
    /// Pods with a network of their own, by uid.
    pub(crate) traffic: BTreeMap<String, Vec<Traffic>>,
    /// The pods as their workers see them.
    pub(crate) pods: Vec<Picture>,
}

/// A reading and, if there is one, an earlier one to compare it with.
pub(crate) struct Rated {
    pub(crate) now: Arc<Reading>,
    before: Option<Arc<Reading>>,
}

impl Rated {
    /// Processor time per second over the time between the readings, by whatever `used` looks at.
    fn rate(&self, used: impl Fn(&Reading) -> Option<u64>) -> Option<u64> {
        let before = self.before.as_ref()?;
        let seconds = self.now.taken.duration_since(before.taken).as_secs_f64();
        let spent = used(&self.now)?.checked_sub(used(before)?)?;
        (seconds > 0.0).then(|| (spent as f64 / seconds) as u64)
    }

    /// The same for what has run only since `started_at`, after the earlier reading.
    fn rate_since(&self, started_at: Timestamp, nanoseconds: u64) -> Option<u64> {
        let before = self.before.as_ref()?;
        let seconds = self.now.at.duration_since(started_at).as_secs_f64();
        (started_at >= before.at && seconds > 0.0).then(|| (nanoseconds as f64 / seconds) as u64)
    }
}

/// Measures, and remembers for a moment.
pub(crate) struct Stats {
    node: Arc<Node>,
    pods: Arc<Pods>,
    recent: Mutex<Recent>,
    disk: Mutex<Option<(Instant, Arc<DiskUse>)>>,
}

#[derive(Default)]
struct Recent {
    last: Option<Arc<Reading>>,
    before: Option<Arc<Reading>>,
}

impl Stats {
    pub(crate) fn new(node: Arc<Node>, pods: Arc<Pods>) -> Self {
        Self { node, pods, recent: Mutex::default(), disk: Mutex::default() }
    }

    /// A reading not older than a second.
    pub(crate) async fn reading(&self) -> Result<Arc<Reading>, RuntimeError> {
        self.fresh(&mut *self.recent.lock().await).await
    }

    /// A reading with one to compare it with.
    pub(crate) async fn rated(&self) -> Result<Rated, RuntimeError> {
        let mut recent = self.recent.lock().await;
        let now = self.fresh(&mut recent).await?;
        if recent.before.is_some() {
            return Ok(Rated { now, before: recent.before.clone() });
        }
        tokio::time::sleep(WINDOW_MIN).await;
        self.take(&mut recent).await?;
        Ok(Rated { now: recent.last.clone().unwrap_or(now), before: recent.before.clone() })
    }

    async fn fresh(&self, recent: &mut Recent) -> Result<Arc<Reading>, RuntimeError> {
        match &recent.last {
            Some(last) if last.taken.elapsed() < FRESH => Ok(Arc::clone(last)),
            _ => self.take(recent).await,
        }
    }

    async fn take(&self, recent: &mut Recent) -> Result<Arc<Reading>, RuntimeError> {
        let runtime = self.node.runtime.usage().await?;
        let taken = Instant::now();
        let pods = self.pods.pictures();
        let known: Vec<(String, i32)> = pods.iter().filter_map(|picture| process_of(&picture.pod, picture)).collect();
        let (data_dir, cluster_id) = (self.node.config.data_dir.clone(), self.node.config.cluster_id.clone());
        let read = move || {
            let traffic = known.into_iter().map(|(uid, pid)| (uid, host::traffic_of(pid))).collect();
            (Host::read(&data_dir, &cluster_id), traffic)
        };
        let (host, traffic) = tokio::task::spawn_blocking(read).await.unwrap_or_default();
        let reading = Arc::new(Reading { at: runtime.at, taken, host, runtime, traffic, pods });
        recent.before = recent.last.take().filter(|last| taken.duration_since(last.taken) <= WINDOW_MAX);
        recent.last = Some(Arc::clone(&reading));
        Ok(reading)
    }

    /// What pods take on the disk, not older than some seconds.
    pub(crate) async fn disk(&self) -> Result<Arc<DiskUse>, RuntimeError> {
        let mut remembered = self.disk.lock().await;
        if let Some((at, found)) = &*remembered
            && at.elapsed() < DISK_FRESH
        {
            return Ok(Arc::clone(found));
        }
        let found = Arc::new(disk::measure(&self.node, self.pods.pictures()).await?);
        *remembered = Some((Instant::now(), Arc::clone(&found)));
        Ok(found)
    }
}

/// A pod's uid and a process in its network, if the network is its own.
fn process_of(pod: &Pod, picture: &Picture) -> Option<(String, i32)> {
    if pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true) {
        return None;
    }
    let pid = picture.containers.iter().find_map(|status| match status.state {
        ContainerState::Running { pid, .. } => Some(pid),
        _ => None,
    });
    Some((pod.metadata.uid.clone()?, pid?))
}

/// The containers of a pod that run, each with the time of its start.
pub(crate) fn running(picture: &Picture) -> impl Iterator<Item = (&ContainerStatus, Timestamp)> {
    picture.containers.iter().filter_map(|status| match status.state {
        ContainerState::Running { started_at, .. } => Some((status, started_at)),
        _ => None,
    })
}
