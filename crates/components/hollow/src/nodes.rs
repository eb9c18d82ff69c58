//! Registers the nodes, renews their leases, reports their health, removes them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::config::Config;
use crate::{Error, Progress, status};

const LEASES: &str = "kube-node-lease";
const LEASE_SECONDS: i32 = 40;
/// Every node reports its conditions so often.
const REPORT_EVERY: Duration = Duration::from_secs(300);

pub(crate) struct Nodes {
    config: Arc<Config>,
    client: Client,
    progress: Arc<Progress>,
    registered_at: Timestamp,
    /// Told once, however many nodes it concerns.
    trouble: Mutex<Option<Timestamp>>,
}

fn has_code<T>(result: &Result<T, kube::Error>, code: u16) -> bool {
    matches!(result, Err(kube::Error::Api(status)) if status.code == code)
}

impl Nodes {
    pub(crate) fn new(config: Arc<Config>, client: Client, progress: Arc<Progress>) -> Self {
        Self { config, client, progress, registered_at: Timestamp::now(), trouble: Mutex::default() }
    }

    /// Makes every node and its lease; what is there already is taken over.
    pub(crate) async fn register(&self) -> Result<(), Error> {
        let all = futures::stream::iter(1..=self.config.count).map(|number| self.register_one(number));
        all.buffer_unordered(self.config.concurrency.max(1)).try_collect::<()>().await
    }

    async fn register_one(&self, number: usize) -> Result<(), Error> {
        let name = self.config.node_name(number);
        let failed = |source| Error::Register { node: name.clone(), source };
        let node = status::node(&self.config, number, self.registered_at);
        let node = node.map_err(|error| failed(kube::Error::SerdeError(error)))?;
        let nodes: Api<Node> = Api::all(self.client.clone());
        let made = nodes.create(&PostParams::default(), &node).await;
        let uid = if has_code(&made, 409) {
            let patch = Patch::Merge(json!({"status": node.status}));
            nodes.patch_status(&name, &PatchParams::default(), &patch).await.map_err(failed)?.metadata.uid
        } else {
            made.map_err(failed)?.metadata.uid
        };
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), LEASES);
        let lease = json!({
            "metadata": {"name": name, "namespace": LEASES,
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}]},
            "spec": self.lease(&name),
        });
        let lease = serde_json::from_value(lease).map_err(|error| failed(kube::Error::SerdeError(error)))?;
        let made = leases.create(&PostParams::default(), &lease).await;
        if !has_code(&made, 409) {
            made.map_err(failed)?;
        }
        self.progress.nodes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn lease(&self, name: &str) -> Value {
        let now = MicroTime(Timestamp::now());
        json!({"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now})
    }

    /// Renews and reports for ever, each node at its own moment of the interval.
    pub(crate) async fn keep_alive(&self) {
        futures::join!(
            self.in_turn(self.config.lease_interval, |number| self.renew(number)),
            self.in_turn(REPORT_EVERY, |number| self.report(number)),
        );
    }

    /// Does something for one node after the other, so that a round takes `interval`.
    async fn in_turn<F: Future<Output = Result<(), kube::Error>>>(&self, interval: Duration, act: impl Fn(usize) -> F) {
        let count = self.config.count.max(1);
        let mut clock = tokio::time::interval(interval / u32::try_from(count).unwrap_or(u32::MAX));
        // A server that is slow for a while gets what it missed spread out, not all at once.
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut running = futures::stream::FuturesUnordered::new();
        let mut number = 0;
        loop {
            tokio::select! {
                _ = clock.tick(), if running.len() < self.config.concurrency.max(1) => {
                    number = number % count + 1;
                    running.push(act(number));
                }
                Some(done) = running.next() => {
                    if let Err(error) = done {
                        self.complain(&error);
                    }
                }
            }
        }
    }

    async fn renew(&self, number: usize) -> Result<(), kube::Error> {
        let name = self.config.node_name(number);
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), LEASES);
        let patch = Patch::Merge(json!({"spec": self.lease(&name)}));
        leases.patch_metadata(&name, &PatchParams::default(), &patch).await.map(drop)
    }

    async fn report(&self, number: usize) -> Result<(), kube::Error> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let conditions = status::conditions(Timestamp::now(), self.registered_at);
        let patch = Patch::Strategic(json!({"status": {"conditions": conditions}}));
        nodes.patch_status(&self.config.node_name(number), &PatchParams::default(), &patch).await.map(drop)
    }

    /// One line in ten seconds is enough to know.
    fn complain(&self, error: &kube::Error) {
        let now = Timestamp::now();
        let mut told = self.trouble.lock();
        if told.is_none_or(|told| now.duration_since(told).as_secs() >= 10) {
            *told = Some(now);
            tracing::warn!(error = error as &dyn std::error::Error, "a simulated node could not report");
        }
    }

    /// Removes every node and lease.
    pub(crate) async fn remove(&self) -> Result<(), Error> {
        let all = futures::stream::iter(1..=self.config.count).map(async |number| {
            let name = self.config.node_name(number);
            let nodes: Api<Node> = Api::all(self.client.clone());
            let leases: Api<Lease> = Api::namespaced(self.client.clone(), LEASES);
            let gone = nodes.delete(&name, &DeleteParams::default()).await;
            let left = leases.delete(&name, &DeleteParams::default()).await;
            let gone = if has_code(&gone, 404) { Ok(()) } else { gone.map(drop) };
            gone.and(if has_code(&left, 404) { Ok(()) } else { left.map(drop) })
        });
        let outcomes: Vec<Result<(), kube::Error>> =
            all.buffer_unordered(self.config.concurrency.max(1)).collect().await;
        let mut errors: Vec<kube::Error> = outcomes.into_iter().filter_map(Result::err).collect();
        match errors.is_empty() {
            true => Ok(()),
            false => {
                Err(Error::Remove { failures: errors.len(), nodes: self.config.count, source: errors.swap_remove(0) })
            }
        }
    }
}

/// When something began, as objects tell it.
pub(crate) fn time(at: Option<&Time>) -> Option<Timestamp> {
    at.map(|Time(at)| *at)
}
