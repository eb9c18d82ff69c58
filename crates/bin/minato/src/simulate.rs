//! `minato simulate nodes`: what a running control plane bears, without machines.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use minato_hollow::{Config, Progress, Simulation};
use minato_scope::Scope;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::SimulateCommand;
use crate::log;

/// How often a change is shown.
const SHOWN_EVERY: Duration = Duration::from_secs(1);
const END_DEADLINE: Duration = Duration::from_secs(5);

/// Options of `minato simulate nodes`.
#[derive(Debug, clap::Args)]
pub(crate) struct NodesOptions {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 10)]
    count: usize,
    /// The server's kubeconfig [default: KUBECONFIG, or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Which of its contexts [default: the current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// What the nodes' names begin with; five digits follow
    #[arg(long, value_name = "TEXT", default_value = "simulated-")]
    name_prefix: String,
    /// Processors of each node
    #[arg(long, value_name = "QUANTITY", default_value = "16")]
    cpu: String,
    /// Memory of each node
    #[arg(long, value_name = "QUANTITY", default_value = "64Gi")]
    memory: String,
    /// Most pods on each node
    #[arg(long, value_name = "N", default_value_t = 110)]
    max_pods: u32,
    /// Spread the nodes over so many zones; 0 for none
    #[arg(long, value_name = "N", default_value_t = 3)]
    zones: usize,
    /// How long a pod takes to run once it is bound, give or take a half
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    start_delay: Duration,
    /// How long a pod takes to end once it is told to
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = duration)]
    stop_delay: Duration,
    /// How long pods that are not restarted run: those of Jobs
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    job_duration: Duration,
    /// How often each node renews its lease
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    lease_interval: Duration,
    /// Requests under way at the same time
    #[arg(long, value_name = "N", default_value_t = 64)]
    concurrency: usize,
    /// Leave nodes and pods where they are at the end; they will count as unreachable
    #[arg(long)]
    keep: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    minato_apiserver::parse_duration(text).ok_or_else(|| format!("{text:?} is not a duration such as 500ms or 1m30s"))
}

pub(crate) fn main(command: SimulateCommand) -> anyhow::Result<()> {
    let SimulateCommand::Nodes(options) = command;
    log::start("warn")?;
    let config = options.config();
    config.check()?;
    if config.lease_interval.is_zero() || config.concurrency == 0 {
        bail!("--lease-interval and --concurrency must be more than nothing");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&options, config))
}

impl NodesOptions {
    fn config(&self) -> Config {
        Config {
            count: self.count,
            name_prefix: self.name_prefix.clone(),
            cpu: self.cpu.clone(),
            memory: self.memory.clone(),
            max_pods: self.max_pods,
            zones: self.zones,
            start_delay: self.start_delay,
            stop_delay: self.stop_delay,
            job_duration: self.job_duration,
            lease_interval: self.lease_interval,
            concurrency: self.concurrency,
        }
    }

    async fn client(&self) -> anyhow::Result<kube::Client> {
        let kubeconfig = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path).with_context(|| format!("failed to read {}", path.display()))?,
            None => Kubeconfig::read().context("no kubeconfig; give one with --kubeconfig")?,
        };
        let chosen = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &chosen).await?;
        let url = config.cluster_url.clone();
        let client = kube::Client::try_from(config)?;
        client.apiserver_version().await.with_context(|| format!("no answer from {url}"))?;
        Ok(client)
    }
}

async fn run(options: &NodesOptions, config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let count = config.count;
    let simulation = Simulation::new(config, options.client().await?);
    let progress = simulation.progress();
    let root = Scope::root("simulation");
    let outcome = tokio::select! {
        outcome = simulation.run(root.clone()) => outcome,
        () = show(&progress, count) => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    if let Err(unfinished) = root.shutdown(END_DEADLINE).await {
        tracing::warn!(error = %unfinished, "not everything ended in time");
    }
    if options.keep {
        return outcome.map_err(Into::into);
    }
    eprintln!("\nremoving {count} nodes and their pods (interrupt again to leave them)");
    tokio::select! {
        removed = simulation.remove() => removed?,
        _ = terminate.recv() => bail!("left nodes behind"),
        _ = interrupt.recv() => bail!("left nodes behind"),
    }
    outcome.map_err(Into::into)
}

/// Tells how far it is, for ever.
async fn show(progress: &Progress, count: usize) {
    let started = Instant::now();
    let mut shown = String::new();
    let mut registered = false;
    let terminal = std::io::stderr().is_terminal();
    let mut clock = tokio::time::interval(SHOWN_EVERY);
    loop {
        clock.tick().await;
        let nodes = progress.nodes();
        let line = format!(
            "nodes {nodes}/{count}   pods running {}   started {}   ended {}",
            progress.running(),
            progress.started(),
            progress.ended()
        );
        if line != shown {
            // On a terminal one line is enough; a file keeps them all.
            let (before, after) = if terminal { ("\r\x1b[K", "") } else { ("", "\n") };
            eprint!("{before}{:>6.1}s   {line}{after}", started.elapsed().as_secs_f64());
            let _ = std::io::stderr().flush();
            shown = line;
        }
        if nodes == count && !registered {
            registered = true;
            let newline = if terminal { "\n" } else { "" };
            eprintln!("{newline}all nodes are registered after {:.1}s", started.elapsed().as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: NodesOptions,
    }

    #[test]
    fn options_become_settings() {
        let line = Line::try_parse_from(["x", "--count", "1000", "--start-delay", "250ms", "--zones", "0"]).unwrap();
        let config = line.options.config();
        assert_eq!((config.count, config.start_delay, config.zones), (1000, Duration::from_millis(250), 0));
        assert!(Line::try_parse_from(["x", "--start-delay", "soon"]).is_err());
        // What is not said is what the simulation does by itself.
        let config = Line::try_parse_from(["x"]).unwrap().options.config();
        let defaults = Config { count: 10, ..Config::default() };
        assert_eq!(format!("{config:?}"), format!("{defaults:?}"));
    }
}
