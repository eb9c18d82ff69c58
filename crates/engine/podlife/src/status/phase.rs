//! The one-word summary of a pod.

use k8s_openapi::api::core::v1::ContainerStatus;

use crate::decide::{Input, Stage};
use crate::restart::{RestartPolicy, is_sidecar};

enum Seen {
    Running,
    Waiting,
    Stopped { code: i32 },
}

fn seen(status: &ContainerStatus) -> Seen {
    let state = status.state.as_ref();
    if let Some(terminated) = state.and_then(|state| state.terminated.as_ref()) {
        return Seen::Stopped { code: terminated.exit_code };
    }
    if state.is_some_and(|state| state.running.is_some()) {
        return Seen::Running;
    }
    match status.last_state.as_ref().and_then(|state| state.terminated.as_ref()) {
        Some(terminated) => Seen::Stopped { code: terminated.exit_code },
        None => Seen::Waiting,
    }
}

/// Whether any main container was ever started.
pub(super) fn any_main_started(mains: &[ContainerStatus]) -> bool {
    mains.iter().any(|status| status.started == Some(true) || !matches!(seen(status), Seen::Waiting))
}

/// The phase, by the rules of upstream's `getPhase`. A terminal phase never changes.
pub(super) fn phase(
    input: &Input<'_>,
    stage: &Stage,
    inits: &[ContainerStatus],
    mains: &[ContainerStatus],
) -> &'static str {
    match input.previous.phase.as_deref() {
        Some("Failed") => return "Failed",
        Some("Succeeded") => return "Succeeded",
        _ => {}
    }
    if matches!(stage, Stage::Finished { reason: Some(_) }) {
        return "Failed";
    }
    let policy = RestartPolicy::of_pod(input.pod);
    let specs = input.pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let mut pending_inits = 0;
    let mut failed_inits = 0;
    let mut pending_sidecars = 0;
    let mut running = 0;
    let mut waiting = 0;
    let mut stopped = 0;
    let mut succeeded = 0;
    for (spec, status) in specs.zip(inits) {
        match (is_sidecar(spec), seen(status)) {
            (false, Seen::Running | Seen::Waiting) => pending_inits += 1,
            (false, Seen::Stopped { code: 0 }) => {}
            (false, Seen::Stopped { .. }) => failed_inits += 1,
            (true, Seen::Running) => {
                pending_sidecars += i32::from(status.started != Some(true));
                running += 1;
            }
            (true, Seen::Waiting) => {
                pending_sidecars += 1;
                waiting += 1;
            }
            (true, Seen::Stopped { .. }) => {}
        }
    }
    for status in mains {
        match seen(status) {
            Seen::Running => running += 1,
            Seen::Waiting => waiting += 1,
            Seen::Stopped { code } => {
                stopped += 1;
                succeeded += i32::from(code == 0);
            }
        }
    }
    let over = *stage != Stage::Running && !input.observed.any_running();
    if over {
        return if stopped == succeeded && stopped > 0 && waiting == 0 && failed_inits == 0 && pending_inits == 0 {
            "Succeeded"
        } else {
            "Failed"
        };
    }
    if failed_inits > 0 && policy == RestartPolicy::Never {
        return "Failed";
    }
    let initialising = pending_inits > 0 || (pending_sidecars > 0 && !any_main_started(mains));
    if initialising || failed_inits > 0 || waiting > 0 {
        return "Pending";
    }
    if running > 0 {
        return "Running";
    }
    match policy {
        _ if *stage == Stage::Running => "Running",
        RestartPolicy::Always => "Running",
        _ if stopped == succeeded => "Succeeded",
        _ => "Failed",
    }
}
