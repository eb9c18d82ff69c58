//! The scheduler: gives every pod that has no node the best one.
//!
//! ```text
//! watch pods, nodes, ──┐                              ┌─► bind (pods/binding), many at once
//! namespaces, volumes, ├─► updates ─► one loop that ──┼─► tell (PodScheduled=False, nominatedNodeName, events)
//! disruption budgets ──┘              decides         ├─► evict (DisruptionTarget, delete)
//!                                                     └─► keep volumes and have them made, then bind
//! ```
//!
//! The decisions are `minato-placement`'s; this crate feeds it and carries them out. The loop assumes that a binding
//! will succeed and goes on at once; if it fails, the pod is taken off the node again and backs off. What the watch
//! shows always wins over what was assumed.

mod bind;
mod placing;
mod storage;
mod watch;

#[cfg(test)]
mod tests;

use std::time::Duration;

use kube::Client;
use minato_client::EventSink;
use minato_scope::Scope;
use tokio::sync::mpsc;

/// Settings of the scheduler.
#[derive(Clone, Debug)]
pub struct Config {
    /// Pods with this `spec.schedulerName` are ours. Default `default-scheduler`.
    pub scheduler_name: String,
    /// How many bindings may be under way at once. Default 64.
    pub bindings_max: usize,
    /// How long a pod that has a node waits for its claims to be bound. Default ten minutes.
    pub volume_bind_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            scheduler_name: "default-scheduler".to_owned(),
            bindings_max: 64,
            volume_bind_timeout: storage::BIND_TIMEOUT,
        }
    }
}

/// Why the scheduler ended before its scope did.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A watch task ended, which it does only with the scope or by a panic.
    #[error("the scheduler's watches ended")]
    WatchesEnded,
}

/// Schedules pods until the scope is cancelled.
///
/// # Errors
/// [`Error::WatchesEnded`] if there is nothing to learn from any more.
pub async fn run(config: Config, client: Client, scope: Scope) -> Result<(), Error> {
    let (sender, updates) = mpsc::channel(watch::UPDATES_MAX);
    watch::start(&config, &client, &scope, &sender);
    drop(sender);
    let recorder = EventSink::start(client.clone(), &scope).recorder(&config.scheduler_name, None);
    let mut placing = placing::Placing::new(config, client, recorder);
    tokio::select! {
        () = scope.cancelled() => Ok(()),
        () = placing.run(updates) => if scope.is_cancelled() { Ok(()) } else { Err(Error::WatchesEnded) },
    }
}
