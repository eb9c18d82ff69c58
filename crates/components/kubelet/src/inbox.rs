//! Where a pod's worker hears of things: never blocks the sender, never grows, tells the newest only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use minato_podlife::ProbeKind;
use minato_runtime::ContainerId;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What has happened since the worker last looked.
#[derive(Default)]
pub(crate) struct Pending {
    /// A newer state of the pod.
    pub(crate) pod: Option<Arc<Pod>>,
    /// The object is gone from the API.
    pub(crate) gone: bool,
    /// Containers that have changed.
    pub(crate) containers: BTreeSet<ContainerId>,
    /// All containers may have changed.
    pub(crate) all_containers: bool,
    /// Stops that have come to an end, well or not.
    pub(crate) stops_ended: BTreeSet<ContainerId>,
    /// The newest verdict of each probe, with the instance it is about.
    pub(crate) probes: BTreeMap<(String, ProbeKind), (ContainerId, bool)>,
    /// A ConfigMap or a Secret has changed.
    pub(crate) references_changed: bool,
    /// The image store has changed.
    pub(crate) images_changed: bool,
}

/// A worker's inbox.
#[derive(Default)]
pub(crate) struct Inbox {
    pending: Mutex<Pending>,
    news: Notify,
}

impl Inbox {
    /// Notes something and wakes the worker.
    pub(crate) fn tell(&self, note: impl FnOnce(&mut Pending)) {
        note(&mut self.pending.lock());
        self.news.notify_one();
    }

    /// Takes everything.
    pub(crate) fn take(&self) -> Pending {
        std::mem::take(&mut *self.pending.lock())
    }

    /// Completes when something was told since the last time this completed.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }
}
