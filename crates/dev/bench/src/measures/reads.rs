//! GETs per second, and events per second to many watchers.

use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::Bench;
use super::writes::rate;
use crate::client::Call;
use crate::load::{drive, drive_count};
use crate::objects;
use crate::report::Report;
use crate::watch::Watch;

const GET_DURATION: Duration = Duration::from_secs(5);
const WATCHERS: usize = 200;
const UPDATES: usize = 500;
/// The updates go over this many connections to as many objects.
const UPDATERS: usize = 8;
const EVENTS_TIMEOUT: Duration = Duration::from_secs(120);

impl Bench<'_> {
    pub(super) async fn gets(&self, report: &mut Report) -> anyhow::Result<()> {
        let namespace = self.workspace.namespace("gets").await?;
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        self.client.send(&Call::post(&*path, &objects::config_map("bench", &"x".repeat(500)))).await?;
        let call = Call::get(format!("{path}/bench"));
        let until = Instant::now() + GET_DURATION.mul_f64(self.scale.min(1.0));
        let outcome =
            drive(&self.client, self.connections, move |_| (Instant::now() < until).then(|| call.clone())).await?;
        report.add("GETs", rate(&outcome), self.describe(&outcome));
        self.workspace.delete_namespace(&namespace).await
    }

    pub(super) async fn watchers(&self, report: &mut Report) -> anyhow::Result<()> {
        let namespace = self.workspace.namespace("watch").await?;
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        for number in 0..UPDATERS {
            let object = objects::config_map(&format!("bench-{number}"), "before");
            self.client.send(&Call::post(&*path, &object)).await?;
        }
        let (watchers, updates) = (self.scaled(WATCHERS), self.scaled(UPDATES));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..watchers {
            // A connection and a list each: that is not part of what is measured.
            let mut watch = Watch::open(&self.client, &path).await?;
            tasks.spawn(async move {
                let mut events = 0;
                while events < updates {
                    // An event is a line: counting line ends costs us little while the server works.
                    events += watch.chunk().await?.iter().filter(|byte| **byte == b'\n').count();
                }
                anyhow::Ok(())
            });
        }
        let started = Instant::now();
        let text = "x".repeat(500);
        let update = move |number: usize| {
            let name = format!("bench-{}", number % UPDATERS);
            Call::put(format!("{path}/{name}"), &objects::config_map(&name, &format!("{number} {text}")))
        };
        drive_count(&self.client, UPDATERS, updates, update).await?;
        let updated = started.elapsed();
        let received = async {
            while let Some(finished) = tasks.join_next().await {
                finished??;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(EVENTS_TIMEOUT, received).await.map_err(|_| anyhow!("events are missing"))??;
        let elapsed = started.elapsed();
        let figure = format!("{:.0} events/s", (watchers * updates) as f64 / elapsed.as_secs_f64());
        let detail = format!("updates took {updated:.1?}, all events {elapsed:.1?}");
        report.add(format!("{watchers} watchers × {updates} updates"), figure, detail);
        self.workspace.delete_namespace(&namespace).await
    }
}
