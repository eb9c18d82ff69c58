//! From a pod's creation until it runs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Bench;
use crate::client::Call;
use crate::load::{Outcome, drive_count};
use crate::objects;
use crate::report::Report;
use crate::server::has_ready_node;
use crate::watch::{Watch, WatchEvent};

const ALONE: usize = 20;
const AT_ONCE: usize = 50;
const TIMEOUT: Duration = Duration::from_secs(120);

impl Bench<'_> {
    pub(super) async fn running_pods(&self, report: &mut Report) -> anyhow::Result<()> {
        let Some(image) = self.image.clone() else {
            report.add("pod created to Running", "-", "give --image");
            return Ok(());
        };
        if !has_ready_node(&self.client).await? {
            report.add("pod created to Running", "-", "no node is Ready");
            return Ok(());
        }
        let namespace = self.workspace.namespace("running").await?;
        let path = format!("/api/v1/namespaces/{namespace}/pods");

        let (mut latencies, started) = (Vec::new(), Instant::now());
        let mut watch = Watch::open(&self.client, &path).await?;
        let mut connection = self.client.connect().await?;
        for number in 0..self.scaled(ALONE) {
            let name = format!("alone-{number}");
            let (call, begun) = (Call::post(&*path, &objects::running_pod(&name, &image)), Instant::now());
            connection.send(&call).await?.require_success(&call)?;
            let runs =
                |event: WatchEvent| event.object.metadata.name == name && event.object.phase() == Some("Running");
            watch.until(TIMEOUT, runs, "the pod does not run").await?;
            latencies.push(begun.elapsed());
            let call = Call::delete_now(format!("{path}/{name}"));
            connection.send(&call).await?.require_success(&call)?;
        }
        let outcome = Outcome::new(started.elapsed(), latencies);
        report.add("pod created to Running, alone", median(&outcome), outcome.percentiles());

        let (count, started) = (self.scaled(AT_ONCE), Instant::now());
        let client = self.client.clone();
        let creating = tokio::spawn(async move {
            let create = move |number| Call::post(&*path, &objects::running_pod(&format!("together-{number}"), &image));
            drive_count(&client, count, count, create).await
        });
        let mut running: HashMap<String, Duration> = HashMap::new();
        let all_run = |event: WatchEvent| {
            let name = &event.object.metadata.name;
            if name.starts_with("together-") && event.object.phase() == Some("Running") {
                running.entry(name.clone()).or_insert_with(|| started.elapsed());
            }
            running.len() >= count
        };
        let finished = watch.until(TIMEOUT, all_run, "not all pods run").await;
        creating.await??;
        finished?;
        let outcome = Outcome::new(started.elapsed(), running.into_values().collect());
        let what = format!("pod created to Running, {count} at once");
        report.add(what, median(&outcome), format!("{}, since the first was asked for", outcome.percentiles()));
        self.workspace.delete_namespace(&namespace).await
    }
}

fn median(outcome: &Outcome) -> String {
    format!("{:.0} ms", outcome.percentile(0.5).as_secs_f64() * 1e3)
}
