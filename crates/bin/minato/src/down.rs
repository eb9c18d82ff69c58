//! `minato down`: stop the server of a data directory, and its containers, and leave nothing on the host.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::layout::Layout;
use crate::node;

/// How long the server may take to end by itself.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
const STOP_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) fn main(data_dir: &Path) -> anyhow::Result<()> {
    let data_dir = std::path::absolute(data_dir)?;
    if !data_dir.exists() {
        println!("nothing to stop: {} does not exist", data_dir.display());
        return Ok(());
    }
    let layout = Layout::new(&data_dir);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        stop_server(&layout).await?;
        if layout.node().exists() {
            if !nix::unistd::geteuid().is_root() {
                bail!("removing containers needs root");
            }
            println!("removing containers, interfaces and packet filter");
            node::teardown(&layout, &data_dir).await?;
        }
        println!("stopped; the data is kept in {}", data_dir.display());
        Ok(())
    })
}

/// Asks the server to end, and insists after [`STOP_DEADLINE`].
async fn stop_server(layout: &Layout) -> anyhow::Result<()> {
    let store = layout.store();
    let Some(pid) = minato_store::embedded::holder(&store) else { return Ok(()) };
    println!("stopping the server (process {pid})");
    let pid = Pid::from_raw(i32::try_from(pid)?);
    kill(pid, Signal::SIGTERM).with_context(|| format!("failed to signal process {pid}"))?;
    let gone = async {
        while minato_store::embedded::holder(&store).is_some() {
            tokio::time::sleep(STOP_INTERVAL).await;
        }
    };
    if tokio::time::timeout(STOP_DEADLINE, gone).await.is_err() {
        println!("it does not end by itself; killing it");
        kill(pid, Signal::SIGKILL).with_context(|| format!("failed to kill process {pid}"))?;
    }
    Ok(())
}
