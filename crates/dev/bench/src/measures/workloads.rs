//! What controllers do: replicas of a Deployment, deletion of a namespace.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::Bench;
use crate::client::Call;
use crate::load::drive_count;
use crate::objects;
use crate::report::Report;
use crate::watch::Watch;

const REPLICAS: usize = 1000;
const NAMESPACE_OBJECTS: usize = 2000;
const TIMEOUT: Duration = Duration::from_secs(120);

impl Bench<'_> {
    pub(super) async fn deployment(&self, report: &mut Report) -> anyhow::Result<()> {
        let namespace = self.workspace.namespace("deployment").await?;
        let replicas = self.scaled(REPLICAS);
        let mut watch = Watch::open(&self.client, &format!("/api/v1/namespaces/{namespace}/pods")).await?;
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
        let started = Instant::now();
        self.client.send(&Call::post(path, &objects::deployment("bench", replicas))).await?;
        let mut pods = HashSet::new();
        let all_there = |event: crate::watch::WatchEvent| {
            pods.insert(event.object.metadata.name);
            pods.len() >= replicas
        };
        watch.until(TIMEOUT, all_there, "not all pods exist").await?;
        let figure = format!("{:.0} ms", started.elapsed().as_secs_f64() * 1e3);
        report.add(format!("Deployment of {replicas} replicas"), figure, "until all pods exist");
        self.workspace.delete_namespace(&namespace).await
    }

    pub(super) async fn namespace_deletion(&self, report: &mut Report) -> anyhow::Result<()> {
        let namespace = self.workspace.namespace("full").await?;
        let (count, path) = (self.scaled(NAMESPACE_OBJECTS), format!("/api/v1/namespaces/{namespace}/configmaps"));
        let create = move |number| Call::post(&*path, &objects::config_map(&format!("bench-{number}"), "text"));
        drive_count(&self.client, self.connections, count, create).await?;
        let content = format!("/api/v1/namespaces/{namespace}/configmaps");
        let selector = format!("/api/v1/namespaces?fieldSelector=metadata.name%3D{namespace}");
        let mut watch = Watch::open(&self.client, &selector).await?;
        let started = Instant::now();
        self.client.send(&Call::delete(format!("/api/v1/namespaces/{namespace}"))).await?;
        watch.until(TIMEOUT, |event| event.kind == "DELETED", "the namespace is still there").await?;
        let figure = format!("{:.0} ms", started.elapsed().as_secs_f64() * 1e3);
        let list: serde_json::Value = serde_json::from_slice(&self.client.get(&content).await?)?;
        let left = list["items"].as_array().map_or(0, Vec::len);
        if left > 0 {
            bail!("the namespace is gone, but {left} of its objects are still there");
        }
        report.add(format!("namespace of {count} objects gone"), figure, "");
        Ok(())
    }
}
