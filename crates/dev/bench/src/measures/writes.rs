//! Creates per second.

use std::time::Instant;

use super::Bench;
use crate::client::Call;
use crate::load::{Outcome, drive_count};
use crate::objects;
use crate::report::Report;

const CONFIG_MAPS: usize = 10_000;
const PODS: usize = 5_000;
const LISTS: usize = 10;

impl Bench<'_> {
    pub(super) async fn config_maps(&self, report: &mut Report) -> anyhow::Result<()> {
        let namespace = self.workspace.namespace("configmaps").await?;
        let (path, text) = (format!("/api/v1/namespaces/{namespace}/configmaps"), "x".repeat(500));
        let create = move |number| Call::post(&*path, &objects::config_map(&format!("bench-{number}"), &text));
        let outcome = drive_count(&self.client, self.connections, self.scaled(CONFIG_MAPS), create).await?;
        report.add("ConfigMap creates", rate(&outcome), self.describe(&outcome));
        self.workspace.delete_namespace(&namespace).await
    }

    pub(super) async fn pods(&self, report: &mut Report) -> anyhow::Result<()> {
        let namespace = self.workspace.namespace("pods").await?;
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let collection = path.clone();
        let create = move |number| Call::post(&*path, &objects::pending_pod(&format!("bench-{number}")));
        let count = self.scaled(PODS);
        let outcome = drive_count(&self.client, self.connections, count, create).await?;
        report.add("Pod creates", rate(&outcome), self.describe(&outcome));

        let mut connection = self.client.connect().await?;
        let call = Call::get(collection);
        let (mut latencies, mut bytes, started) = (Vec::new(), 0, Instant::now());
        for _ in 0..LISTS {
            let begun = Instant::now();
            bytes = connection.send(&call).await?.require_success(&call)?.len();
            latencies.push(begun.elapsed());
        }
        let outcome = Outcome::new(started.elapsed(), latencies);
        let median = format!("{:.1} ms", outcome.percentile(0.5).as_secs_f64() * 1e3);
        report.add(format!("LIST of {count} pods"), median, format!("{:.1} MB, median of {LISTS}", bytes as f64 / 1e6));
        self.workspace.delete_namespace(&namespace).await
    }

    pub(super) fn describe(&self, outcome: &Outcome) -> String {
        format!("{}; {} on {} connections", outcome.percentiles(), outcome.count(), self.connections)
    }
}

pub(super) fn rate(outcome: &Outcome) -> String {
    format!("{:.0}/s", outcome.rate())
}
