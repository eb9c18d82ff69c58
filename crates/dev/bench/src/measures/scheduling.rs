//! Pods bound per second, on nodes that exist only as objects.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::Bench;
use crate::client::{Call, Client};
use crate::load::drive_count;
use crate::objects;
use crate::report::Report;
use crate::watch::{Watch, WatchEvent};

const NODES: usize = 1000;
const PODS: usize = 5000;
/// Every lease is renewed this often, as a kubelet does.
const RENEW_EVERY: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(300);
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

impl Bench<'_> {
    pub(super) async fn binding(&self, report: &mut Report) -> anyhow::Result<()> {
        let (nodes, pods) = (self.scaled(NODES), self.scaled(PODS));
        self.register_nodes(nodes).await?;
        let renewing = tokio::spawn(renew_leases(self.client.clone(), self.workspace.id.clone(), nodes));
        let result = self.bind(nodes, pods, report).await;
        renewing.abort();
        result
    }

    async fn bind(&self, nodes: usize, pods: usize, report: &mut Report) -> anyhow::Result<()> {
        let namespace = self.workspace.namespace("binding").await?;
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let mut watch = Watch::open(&self.client, &path).await?;
        let started = Instant::now();
        let (client, connections, id) = (self.client.clone(), self.connections, self.workspace.id.clone());
        let creating = tokio::spawn(async move {
            let create = move |number| Call::post(&*path, &objects::schedulable_pod(&format!("bench-{number}"), &id));
            let outcome = drive_count(&client, connections, pods, create).await?;
            anyhow::Ok(outcome.elapsed)
        });
        let mut bound = HashSet::new();
        let all_bound = |event: WatchEvent| {
            if event.object.spec.node_name.is_some() {
                bound.insert(event.object.metadata.name);
            }
            bound.len() >= pods
        };
        let finished = watch.until(TIMEOUT, all_bound, "not all pods are bound").await;
        let elapsed = started.elapsed();
        let created = creating.await??;
        finished.map_err(|error| error.context(format!("{} of {pods} pods are bound", bound.len())))?;
        let figure = format!("{:.0}/s", pods as f64 / elapsed.as_secs_f64());
        let detail = format!("{pods} pods on {nodes} nodes in {elapsed:.1?}, creating them took {created:.1?}");
        report.add("pods bound", figure, detail);
        self.workspace.delete_namespace(&namespace).await
    }

    async fn register_nodes(&self, nodes: usize) -> anyhow::Result<()> {
        let id = self.workspace.id.clone();
        let register = move |number: usize| {
            let name = node_name(&id, number / 3);
            match number % 3 {
                0 => Call::post(LEASES, &objects::lease(&name, &id)),
                1 => Call::post("/api/v1/nodes", &objects::node(&name, &id)),
                _ => {
                    let status = serde_json::json!({"status": objects::node_status()});
                    Call::merge_patch(format!("/api/v1/nodes/{name}/status"), &status)
                }
            }
        };
        // One connection, so that a node's status follows its creation.
        drive_count(&self.client, 1, nodes * 3, register).await?;
        Ok(())
    }
}

fn node_name(id: &str, number: usize) -> String {
    format!("minato-bench-{id}-{number}")
}

/// Keeps the nodes alive until it is aborted.
async fn renew_leases(client: Client, id: String, nodes: usize) -> anyhow::Result<()> {
    let mut connection = client.connect().await?;
    let mut ticks = tokio::time::interval(RENEW_EVERY / nodes as u32);
    for number in (0..nodes).cycle() {
        ticks.tick().await;
        let path = format!("{LEASES}/{}", node_name(&id, number));
        connection.send(&Call::merge_patch(path, &objects::lease_renewal())).await?;
    }
    Ok(())
}
