//! What can be measured, in the order in which it is.

mod crowd;
mod machinery;
mod node;
mod reads;
mod scheduling;
mod workloads;
mod writes;

use std::time::Duration;

use crate::client::Client;
use crate::process::{self, TICKS_PER_SECOND};
use crate::report::Report;
use crate::workspace::Workspace;

/// One line, or a few, of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Measure {
    /// Memory and CPU when nothing happens
    Idle,
    /// ConfigMap creates
    ConfigMaps,
    /// Pod creates, and a LIST of them
    Pods,
    /// GETs of one object
    Gets,
    /// Many watchers of one collection
    Watch,
    /// A Deployment of many replicas
    Deployment,
    /// Pods bound to many nodes
    Binding,
    /// Deletion of a full namespace
    Namespace,
    /// What a mutating webhook adds to a create
    Webhook,
    /// CustomResourceDefinitions and their objects
    Definitions,
    /// Plain creates beside thousands of CustomResourceDefinitions
    ManyDefinitions,
    /// Pod creates in protobuf
    Protobuf,
    /// Pods that really run
    Running,
}

/// What every measure needs.
pub(crate) struct Bench<'a> {
    pub(crate) client: Client,
    pub(crate) workspace: &'a Workspace,
    pub(crate) connections: usize,
    pub(crate) scale: f64,
    pub(crate) image: Option<String>,
    pub(crate) pid: Option<u32>,
    pub(crate) idle: Duration,
}

impl Bench<'_> {
    /// Takes the measures that are asked for. One that fails is reported as such and does not keep others from running.
    pub(crate) async fn run(&self, only: &[Measure], report: &mut Report) {
        use Measure::*;
        let all = [
            Idle,
            ConfigMaps,
            Pods,
            Gets,
            Watch,
            Deployment,
            Binding,
            Namespace,
            Webhook,
            Definitions,
            Protobuf,
            ManyDefinitions,
            Running,
        ];
        for measure in all {
            if !only.is_empty() && !only.contains(&measure) {
                continue;
            }
            let taken = match measure {
                Idle => self.idle(report).await,
                ConfigMaps => self.config_maps(report).await,
                Pods => self.pods(report).await,
                Gets => self.gets(report).await,
                Watch => self.watchers(report).await,
                Deployment => self.deployment(report).await,
                Binding => self.binding(report).await,
                Namespace => self.namespace_deletion(report).await,
                Webhook => self.webhook(report).await,
                Definitions => self.definitions(report).await,
                ManyDefinitions => self.many_definitions(report).await,
                Protobuf => self.protobuf(report).await,
                Running => self.running_pods(report).await,
            };
            if let Err(error) = taken {
                report.add(format!("{measure:?}"), "failed", format!("{error:#}"));
            }
        }
    }

    /// `count` times the scale, at least one.
    fn scaled(&self, count: usize) -> usize {
        ((count as f64 * self.scale) as usize).max(1)
    }

    async fn idle(&self, report: &mut Report) -> anyhow::Result<()> {
        let Some(pid) = self.pid else {
            report.add("idle", "-", "give --pid");
            return Ok(());
        };
        let before = process::usage(pid);
        tokio::time::sleep(self.idle).await;
        let after = process::usage(pid);
        let memory = format!("{:.1} MiB", after.memory_bytes as f64 / f64::from(1 << 20));
        report.add("idle memory (PSS)", memory, format!("{} processes", after.processes));
        let seconds = after.cpu_ticks.saturating_sub(before.cpu_ticks) as f64 / TICKS_PER_SECOND;
        let share = 100.0 * seconds / self.idle.as_secs_f64();
        report.add("idle CPU", format!("{share:.2} %"), format!("of a core, over {:?}", self.idle));
        Ok(())
    }
}
