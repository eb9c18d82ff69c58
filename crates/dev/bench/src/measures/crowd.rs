//! Thousands of custom kinds: what they cost, and whether the others notice.

use std::time::{Duration, Instant};

use super::Bench;
use super::machinery::DEFINITION_PATH;
use crate::client::Call;
use crate::load::drive_count;
use crate::objects;
use crate::process;
use crate::report::Report;

const DEFINITIONS: usize = 2_000;
const CREATES: usize = 5_000;
const MEBI: f64 = (1 << 20) as f64;

impl Bench<'_> {
    /// Plain creates without and with many definitions, and what those take in memory and in `/openapi/v2`.
    pub(super) async fn many_definitions(&self, report: &mut Report) -> anyhow::Result<()> {
        let namespace = self.workspace.namespace("crowd").await?;
        let (id, count) = (format!("{}crowd", self.workspace.id), self.scaled(DEFINITIONS));
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        let creates = async |prefix: &'static str| {
            let (path, text) = (path.clone(), "x".repeat(500));
            let create = move |number| Call::post(&*path, &objects::config_map(&format!("{prefix}-{number}"), &text));
            drive_count(&self.client, self.connections, self.scaled(CREATES), create).await
        };
        // What the measures before have left is still being deleted, and definitions are followed at a rest.
        let rest = self.idle.min(Duration::from_secs(5));
        tokio::time::sleep(rest).await;
        let before = creates("before").await?;
        let memory = || self.pid.map(|pid| process::usage(pid).memory_bytes as f64);
        let without = memory();
        let (group, labelled) = (id.clone(), self.workspace.id.clone());
        let define = move |number| Call::post(DEFINITION_PATH, &objects::definition(&labelled, &group, number));
        let started = Instant::now();
        drive_count(&self.client, self.connections, count, define).await?;
        self.wait_until_established(&format!("{DEFINITION_PATH}/{}", objects::definition_name(&id, count - 1))).await?;
        let established = started.elapsed();
        tokio::time::sleep(rest).await;
        let with = memory();
        let after = creates("after").await?;
        let started = Instant::now();
        let document = self.client.get("/openapi/v2").await?.len();
        let described = started.elapsed();
        let size = without.zip(with).map_or_else(String::new, |(without, with)| {
            format!("{:.0} KiB of memory each; ", (with - without) / 1024.0 / count as f64)
        });
        let detail = format!(
            "{size}all established after {established:.1?}; ConfigMaps {:.0}/s before, {:.0}/s after; \
             /openapi/v2 of {:.1} MiB made in {described:.1?}",
            before.rate(),
            after.rate(),
            document as f64 / MEBI
        );
        let figure = format!("{:.2} x", before.rate() / after.rate());
        report.add(format!("with {count} CRDs a ConfigMap create takes"), figure, detail);
        let ours = format!("{DEFINITION_PATH}?labelSelector={}%3D{}", objects::LABEL, self.workspace.id);
        self.client.send(&Call::delete(ours)).await?;
        self.workspace.delete_namespace(&namespace).await
    }
}
