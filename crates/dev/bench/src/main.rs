//! `minato-bench`: drives any Kubernetes API server over its real TLS port and prints figures. It asserts nothing.
//!
//! The generator speaks HTTP/1.1 with keep-alive straight through hyper and decodes as little as it can, because it
//! shares the machine with what it measures. Everything it creates lies in namespaces and nodes of its own
//! ([`workspace::Workspace`]) and is removed at the end, also after an error or Ctrl-C.

mod client;
mod hook;
mod kubeconfig;
mod load;
mod measures;
mod objects;
mod process;
mod report;
mod server;
mod watch;
mod workspace;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::client::Client;
use crate::kubeconfig::Kubeconfig;
use crate::measures::{Bench, Measure};
use crate::report::Report;
use crate::server::Server;
use crate::workspace::Workspace;

/// Measure a Kubernetes API server and print a table.
#[derive(Debug, Parser)]
#[command(name = "minato-bench", version)]
struct Arguments {
    /// The server and the credentials. With --exec the file may appear only once the server runs
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    /// Start this server (a shell command, killed at the end) and measure how long it takes to be ready
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,
    /// The server's process, to measure memory and CPU of it and its children; that of --exec by default
    #[arg(long)]
    pid: Option<u32>,
    /// What to measure, comma-separated; everything by default
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Measure>,
    /// An image on the node, for pods that really run; without it they are not measured
    #[arg(long)]
    image: Option<String>,
    /// Concurrent connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Multiplies all numbers of objects, for a quick look
    #[arg(long, default_value_t = 1.0, value_parser = parse_scale)]
    scale: f64,
    /// How long to watch the idle server
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    idle_seconds: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Drive a server on another machine. Only ever do that to a cluster of your own
    #[arg(long)]
    allow_remote: bool,
}

fn parse_scale(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(scale) if scale > 0.0 && scale <= 100.0 => Ok(scale),
        _ => Err("give a number above 0 and up to 100".to_owned()),
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut report = Report::default();
    report.begin();
    let server = arguments.exec.as_deref().map(Server::start).transpose()?;
    let result = run(&arguments, server.as_ref(), &mut report).await;
    report.end();
    match arguments.json {
        true => println!("{}", report.to_json()),
        false => print!("{report}"),
    }
    if let Some(server) = server {
        server.stop().await?;
    }
    result
}

/// Lets `future` run until it ends or we are asked to end.
async fn unless_interrupted<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = future => result,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        _ = terminated.recv() => Err(anyhow::anyhow!("terminated")),
    }
}

async fn run(arguments: &Arguments, server: Option<&Server>, report: &mut Report) -> anyhow::Result<()> {
    let client = unless_interrupted(start(arguments, server, report)).await?;
    let workspace = Workspace::new(client.clone());
    let bench = Bench {
        client,
        workspace: &workspace,
        connections: arguments.connections.max(1),
        scale: arguments.scale,
        image: arguments.image.clone(),
        pid: arguments.pid.or(server.map(Server::pid)),
        idle: Duration::from_secs(arguments.idle_seconds),
    };
    let measured = async {
        bench.run(&arguments.only, report).await;
        Ok(())
    };
    let result = unless_interrupted(measured).await;
    workspace.remove().await.context("cannot remove everything that was created")?;
    result
}

/// Waits for the server of `--exec`, if there is one, and makes a client that the server answers.
async fn start(arguments: &Arguments, server: Option<&Server>, report: &mut Report) -> anyhow::Result<Client> {
    const TIMEOUT: Duration = Duration::from_secs(120);
    if let Some(server) = server {
        server.wait_for_file(&arguments.kubeconfig, TIMEOUT).await?;
    }
    let kubeconfig = Kubeconfig::read(&arguments.kubeconfig)?;
    if !arguments.allow_remote {
        kubeconfig.require_local()?;
    }
    let client = Client::new(kubeconfig)?;
    if let Some(server) = server {
        server.wait_until_ready(&client, TIMEOUT, report).await?;
    }
    client.get("/readyz").await.context("the server is not ready")?;
    Ok(client)
}
