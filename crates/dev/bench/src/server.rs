//! A server that we start ourselves, to see how long that takes.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::client::Client;
use crate::report::Report;

/// The process of `--exec`.
pub(crate) struct Server {
    pid: u32,
    child: Mutex<Child>,
    started: Instant,
}

/// How often we look. Small against what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(2);

impl Server {
    /// Starts a shell command. `exec` makes the command the process itself, so that its pid and signals are the server's.
    pub(crate) fn start(command: &str) -> anyhow::Result<Self> {
        let started = Instant::now();
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("exec {command}")).stdin(Stdio::null()).stdout(Stdio::null());
        let child = shell.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { pid: child.id(), child: Mutex::new(child), started })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    fn ended(&self) -> anyhow::Result<Option<ExitStatus>> {
        let mut child = self.child.lock().map_err(|_| anyhow!("a task panicked"))?;
        Ok(child.try_wait()?)
    }

    /// Sleeps a little, unless the server ended or is overdue.
    async fn wait_a_little(&self, timeout: Duration) -> anyhow::Result<()> {
        if let Some(status) = self.ended()? {
            bail!("the server ended: {status}");
        }
        if self.started.elapsed() > timeout {
            bail!("the server is not ready after {timeout:?}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
        Ok(())
    }

    /// Waits for the kubeconfig that the server writes.
    pub(crate) async fn wait_for_file(&self, path: &Path, timeout: Duration) -> anyhow::Result<()> {
        let written_since_start = || {
            let age = std::fs::metadata(path).ok()?.modified().ok()?.elapsed().unwrap_or_default();
            (age <= self.started.elapsed()).then_some(())
        };
        while written_since_start().is_none() {
            self.wait_a_little(timeout).await.with_context(|| format!("waiting for {}", path.display()))?;
        }
        Ok(())
    }

    /// Reports when `/readyz` answers and when a first node is Ready, if one comes.
    pub(crate) async fn wait_until_ready(
        &self,
        client: &Client,
        timeout: Duration,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        while let Err(error) = client.get("/readyz").await {
            self.wait_a_little(timeout).await.with_context(|| format!("waiting for /readyz: {error:#}"))?;
        }
        report.add("exec to /readyz", milliseconds(self.started), "");
        const NODE_TIMEOUT: Duration = Duration::from_secs(15);
        while !has_ready_node(client).await? {
            if self.started.elapsed() > NODE_TIMEOUT {
                report.add("exec to node Ready", "-", "no node");
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY * 5).await;
        }
        report.add("exec to node Ready", milliseconds(self.started), "");
        Ok(())
    }

    /// Asks the server to end, and waits until it has.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        const TIMEOUT: Duration = Duration::from_secs(20);
        let asked = Instant::now();
        let pid = Pid::from_raw(self.pid as i32);
        let mut signal = Some(Signal::SIGTERM);
        while self.ended()?.is_none() {
            if asked.elapsed() > TIMEOUT {
                eprintln!("the server did not end in {TIMEOUT:?} and is killed");
                signal = Some(Signal::SIGKILL);
            }
            if let Some(signal) = signal.take() {
                kill(pid, signal).context("cannot end the server")?;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// Whether any node is Ready.
pub(crate) async fn has_ready_node(client: &Client) -> anyhow::Result<bool> {
    let list: serde_json::Value = serde_json::from_slice(&client.get("/api/v1/nodes").await?)?;
    let conditions = |node: &serde_json::Value| node["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let nodes = list["items"].as_array().cloned().unwrap_or_default();
    Ok(nodes.iter().flat_map(conditions).any(|condition| condition["type"] == "Ready" && condition["status"] == "True"))
}

fn milliseconds(started: Instant) -> String {
    format!("{} ms", started.elapsed().as_millis())
}
