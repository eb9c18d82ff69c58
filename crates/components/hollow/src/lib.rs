//! Simulated nodes: registered with a real API server, with leases and status as kubelets have them, whose pods run in
//! name only. They show how a control plane bears a cluster's size without its machines.
//!
//! ```text
//! API ──watch──► pods bound to our nodes ──► queue ─► status patch (after a start delay), delete (after a grace)
//!  ▲                                                          │
//!  └── nodes, leases, heartbeats ◄── one clock for all nodes ◄┘
//! ```
//!
//! A node is a name and a number; what it says of itself follows from these and [`Config`].

mod config;
mod nodes;
mod pods;
mod status;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kube::Client;
use minato_scope::Scope;

pub use config::{Config, ConfigError};
use nodes::Nodes;
use pods::Pods;

/// How far the simulation is; counted as it happens.
#[derive(Debug, Default)]
pub struct Progress {
    nodes: AtomicUsize,
    running: AtomicUsize,
    started: AtomicUsize,
    ended: AtomicUsize,
}

impl Progress {
    /// Nodes that are registered.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.load(Ordering::Relaxed)
    }

    /// Pods that run now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Pods that were ever started.
    #[must_use]
    pub fn started(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }

    /// Pods that came to their end.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }
}

/// Why the nodes could not be simulated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A node could not be registered.
    #[error("failed to register node {node}")]
    Register {
        /// Its name.
        node: String,
        /// The API's answer.
        source: kube::Error,
    },
    /// Some of what was made could not be removed.
    #[error("failed to remove {failures} of {nodes} nodes, the first")]
    Remove {
        /// How many are left.
        failures: usize,
        /// Of how many.
        nodes: usize,
        /// The API's answer.
        source: kube::Error,
    },
}

/// A simulation; nothing happens until [`Simulation::run`].
pub struct Simulation {
    config: Arc<Config>,
    client: Client,
    progress: Arc<Progress>,
}

impl Simulation {
    /// Of the nodes that `config` describes, by the rights of `client`.
    #[must_use]
    pub fn new(config: Config, client: Client) -> Self {
        Self { config: Arc::new(config), client, progress: Arc::default() }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Registers the nodes and lives their lives until `scope` is cancelled.
    ///
    /// # Errors
    /// [`Error::Register`]; what was registered before stays, see [`Simulation::remove`].
    pub async fn run(&self, scope: Scope) -> Result<(), Error> {
        let nodes = Nodes::new(Arc::clone(&self.config), self.client.clone(), Arc::clone(&self.progress));
        tokio::select! {
            () = scope.cancelled() => return Ok(()),
            registered = nodes.register() => registered?,
        }
        let pods = Pods::new(Arc::clone(&self.config), self.client.clone(), Arc::clone(&self.progress), &scope);
        pods.start(&scope);
        tokio::select! {
            () = scope.cancelled() => {}
            () = nodes.keep_alive() => {}
        }
        Ok(())
    }

    /// Removes the nodes, their leases and their pods.
    ///
    /// # Errors
    /// [`Error::Remove`], after everything was tried.
    pub async fn remove(&self) -> Result<(), Error> {
        let nodes = Nodes::new(Arc::clone(&self.config), self.client.clone(), Arc::clone(&self.progress));
        let removed = nodes.remove().await;
        pods::remove(&self.config, &self.client).await;
        removed
    }
}
