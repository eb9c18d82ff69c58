//! `postStart` and `preStop`.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};
use minato_runtime::{ContainerId, Runtime};

use crate::prober::http::{self, HttpTarget};

/// Longest time a hook without a bound of its own may take.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// Runs a hook; the error is what the event says.
pub(crate) async fn run(
    handler: &LifecycleHandler,
    container: &Container,
    id: &ContainerId,
    pod_ip: &str,
    runtime: &dyn Runtime,
    timeout: Duration,
) -> Result<(), String> {
    if let Some(exec) = &handler.exec {
        let command = exec.command.clone().unwrap_or_default();
        let output = runtime.exec_sync(id, command.clone(), timeout).await.map_err(|error| error.to_string())?;
        if output.exit_code == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(if output.stderr.is_empty() { &output.stdout } else { &output.stderr });
        return Err(format!("command '{}' exited with {}: {text}", command.join(" "), output.exit_code));
    }
    if let Some(get) = &handler.http_get {
        let target = HttpTarget::new(get, container, pod_ip)?;
        return match tokio::time::timeout(timeout, http::get(&target)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(format!("no answer within {timeout:?}")),
        };
    }
    if let Some(sleep) = &handler.sleep {
        let wanted = Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0));
        tokio::time::sleep(wanted.min(timeout)).await;
    }
    Ok(())
}
