//! `minato server`: start in order, run until told to stop, stop in the reverse order.
//!
//! Shutdown: not ready → controllers and node agents end → running requests end, watches close → the store is flushed.
//! Containers are not touched: they belong to their shims; and cluster DNS goes on, by a process of its own.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::bail;
use minato_scope::Scope;
use tokio::signal::unix::{SignalKind, signal};

use crate::control_plane::ControlPlane;
use crate::layout::Layout;
use crate::options::{ServerOptions, Settings};
use crate::{address, kubeconfig, log, node};

/// How long after the start its memory is given back.
const SETTLED: Duration = Duration::from_secs(3);
/// How long components may take to end.
const COMPONENTS_DEADLINE: Duration = Duration::from_secs(5);
/// How long running requests may take to end.
const REQUESTS_DEADLINE: Duration = Duration::from_secs(10);

pub(crate) fn main(options: Box<ServerOptions>) -> anyhow::Result<()> {
    let started = Instant::now();
    let settings = options.settle()?;
    log::start(&settings.log_level)?;
    if settings.node && !nix::unistd::geteuid().is_root() {
        bail!("a node for containers needs root: run as root, or with --no-node for the control plane alone");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(settings, started))
}

async fn run(settings: Settings, started: Instant) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let layout = Layout::new(&settings.data_dir);
    let node_ip = match (settings.node_ip.or_else(address::of_this_machine), settings.node) {
        (Some(address), _) => address,
        (None, false) => Ipv4Addr::LOCALHOST,
        (None, true) => bail!("this machine has no address but the loopback's; give one with --node-ip"),
    };
    let root = Scope::root("server");
    let (serving, components) = (root.child("api"), root.child("components"));
    let (plane, door) = ControlPlane::build(&settings, &layout, node_ip, &serving).await?;
    plane.start(door, &settings, &serving, &components).await?;
    kubeconfig::write(&settings.kubeconfig, &plane.url(), plane.authority.certificate_pem(), &plane.administrator()?)?;
    if settings.node {
        node::run(&plane, &settings, &layout, &components).await?;
    }
    tracing::info!(
        url = plane.url(),
        kubeconfig = %settings.kubeconfig.display(),
        milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "the API is ready"
    );
    components.spawn("settle", settle(components.child("settle")));
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping; containers go on"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping; containers go on"),
    }
    // Load balancers and clients that look at /readyz go elsewhere while everything still works.
    plane.api.drain();
    tokio::time::sleep(settings.shutdown_delay).await;
    if let Err(unfinished) = components.shutdown(COMPONENTS_DEADLINE).await {
        tracing::warn!(error = %unfinished, "components did not end in time");
    }
    if let Err(unfinished) = serving.shutdown(REQUESTS_DEADLINE).await {
        tracing::warn!(error = %unfinished, "requests did not end in time");
    }
    plane.api.flush().await;
    plane.backend.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Gives back what only the start needed: free heap, and the pages of code that ran once.
async fn settle(scope: Scope) {
    tokio::select! {
        () = tokio::time::sleep(SETTLED) => {}
        () = scope.cancelled() => return,
    }
    minato_linux::memory::trim_heap();
    if let Err(error) = minato_linux::memory::forget_code() {
        tracing::debug!(%error, "the code that only the start needed stays in memory");
    }
}
