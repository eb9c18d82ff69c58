//! A server that we start ourselves, to see how long that takes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::client::Client;
use crate::report::Report;

/// The process of `--exec`.
pub(crate) struct Server {
    child: Child,
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
        Ok(Self { child, started })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the kubeconfig that the server writes.
    pub(crate) async fn wait_for_file(&self, path: &Path, timeout: Duration) -> anyhow::Result<()> {
        let written_since_start = || {
            let age = std::fs::metadata(path).ok()?.modified().ok()?.elapsed().unwrap_or_default();
            (age <= self.started.elapsed()).then_some(())
        };
        while written_since_start().is_none() {
            if self.started.elapsed() > timeout {
                bail!("the server did not write {} in {timeout:?}", path.display());
            }
            tokio::time::sleep(LOOK_EVERY).await;
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
        let mut last_error = None;
        while let Err(error) = client.get("/readyz").await {
            if self.started.elapsed() > timeout {
                return Err(error.context(format!("the server is not ready after {timeout:?}")));
            }
            last_error = Some(error);
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let waited_for = last_error.map_or(String::new(), |error| format!("last: {error:#}"));
        report.add("exec to /readyz", milliseconds(self.started), waited_for);
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
    pub(crate) async fn stop(mut self) {
        const TIMEOUT: Duration = Duration::from_secs(20);
        let asked = Instant::now();
        // The kill program: sending a signal without unsafe code needs a crate for this one line otherwise.
        let _ = Command::new("/bin/kill").arg(self.child.id().to_string()).status();
        while let Ok(None) = self.child.try_wait() {
            if asked.elapsed() > TIMEOUT {
                eprintln!("the server did not end in {TIMEOUT:?} and is killed");
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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
