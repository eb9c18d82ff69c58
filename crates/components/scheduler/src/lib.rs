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
mod configuration;
mod extender;
mod extending;
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

pub use configuration::ConfigurationError;
pub use extender::{Extender, ExtenderError};

/// The scheduler of pods that name none.
pub(crate) const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// Settings of the scheduler; see [`Config::parse`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose pods are ours, and how each is placed. One for `default-scheduler` unless configured.
    pub profiles: Vec<Profile>,
    /// Who else has a say.
    pub extenders: Vec<Extender>,
    /// How many bindings may be under way at once. Default 64.
    pub bindings_max: usize,
    /// How long a pod backs off after the first failed attempt. Default one second.
    pub backoff_first: Duration,
    /// How long at most. Default ten seconds.
    pub backoff_max: Duration,
}

/// One of the schedulers that this one is.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Pods with this `spec.schedulerName` are its own.
    pub scheduler_name: String,
    /// How it places them.
    pub placement: minato_placement::Profile,
    /// How long a pod that has a node waits for its claims to be bound. Default ten minutes.
    pub volume_bind_timeout: Duration,
}

impl Profile {
    /// Upstream's default profile under that name.
    #[must_use]
    pub fn named(scheduler_name: &str) -> Self {
        Self {
            scheduler_name: scheduler_name.to_owned(),
            placement: minato_placement::Profile::default(),
            volume_bind_timeout: storage::BIND_TIMEOUT,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profiles: vec![Profile::named(DEFAULT_SCHEDULER)],
            extenders: Vec::new(),
            bindings_max: 64,
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_secs(10),
        }
    }
}

/// Why the scheduler ended before its scope did.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A watch task ended, which it does only with the scope or by a panic.
    #[error("the scheduler's watches ended")]
    WatchesEnded,
    /// An extender cannot be reached as configured.
    #[error(transparent)]
    Extender(#[from] ExtenderError),
}

/// Schedules pods until the scope is cancelled.
///
/// # Errors
/// [`Error::WatchesEnded`] if there is nothing to learn from any more, [`Error::Extender`] at once.
pub async fn run(config: Config, client: Client, scope: Scope) -> Result<(), Error> {
    let (sender, updates) = mpsc::channel(watch::UPDATES_MAX);
    watch::start(&config, &client, &scope, &sender);
    drop(sender);
    let events = EventSink::start(client.clone(), &scope);
    let recorders = config.profiles.iter().map(|profile| events.recorder(&profile.scheduler_name, None)).collect();
    let extenders = extender::Extenders::connect(&config.extenders).await?;
    let mut placing = placing::Placing::new(config, client, recorders, extenders);
    tokio::select! {
        () = scope.cancelled() => Ok(()),
        () = placing.run(updates) => if scope.is_cancelled() { Ok(()) } else { Err(Error::WatchesEnded) },
    }
}
