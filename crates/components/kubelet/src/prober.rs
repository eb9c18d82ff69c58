//! Asks containers how they are: one task per probe, each on its own clock.

mod grpc;
pub(crate) mod http;
mod series;
mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ObjectReference, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use minato_client::{EventKind, Recorder};
use minato_podlife::ProbeKind;
use minato_podlife::probe::{Counter, Impatience, Timing};
use minato_runtime::{ContainerId, Runtime, RuntimeError};
use minato_scope::Scope;

use crate::inbox::Inbox;
use http::HttpTarget;
use series::Outcome;
pub(crate) use series::ProbeSeries;

const OUTPUT_BYTES_MAX: usize = 1024;

/// What all probes of a pod share.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) recorder: Recorder,
    pub(crate) series: ProbeSeries,
    pub(crate) pod_ip: String,
    /// The pod, as events refer to it.
    pub(crate) reference: ObjectReference,
}

/// One probe of one instance of a container.
pub(crate) struct Subject {
    pub(crate) container: Container,
    pub(crate) id: ContainerId,
    pub(crate) kind: ProbeKind,
    pub(crate) started_at: Timestamp,
    /// It ran before this kubelet did.
    pub(crate) adopted: bool,
}

/// The running probes of a pod.
#[derive(Default)]
pub(crate) struct Prober {
    running: BTreeMap<(ContainerId, ProbeKind), Scope>,
}

impl Prober {
    /// Starts those that are wanted and do not run, stops those that are no longer wanted.
    pub(crate) fn keep(&mut self, scope: &Scope, surroundings: &Surroundings, wanted: Vec<Subject>) {
        let keys: Vec<(ContainerId, ProbeKind)> =
            wanted.iter().map(|subject| (subject.id.clone(), subject.kind)).collect();
        self.running.retain(|key, scope| {
            let keep = keys.contains(key);
            if !keep {
                scope.cancel();
            }
            keep
        });
        for (key, subject) in keys.into_iter().zip(wanted) {
            let surroundings = surroundings.clone();
            self.running.entry(key).or_insert_with(|| {
                let own = scope.child("probe");
                let ending = own.clone();
                own.spawn(subject.kind.word(), async move {
                    tokio::select! {
                        () = ending.cancelled() => {}
                        () = run(surroundings, subject) => {}
                    }
                });
                own
            });
        }
    }
}

fn probe_of(container: &Container, kind: ProbeKind) -> Option<&Probe> {
    match kind {
        ProbeKind::Startup => container.startup_probe.as_ref(),
        ProbeKind::Readiness => container.readiness_probe.as_ref(),
        ProbeKind::Liveness => container.liveness_probe.as_ref(),
    }
}

async fn run(surroundings: Surroundings, subject: Subject) {
    let Some(probe) = probe_of(&subject.container, subject.kind).cloned() else { return };
    let timing = Timing::of(&probe);
    let age = Timestamp::now().duration_since(subject.started_at);
    let wait = if subject.adopted {
        // After a restart of the kubelet: not all probes of the node at once.
        jittered(&subject.id, timing.period.unsigned_abs())
    } else {
        (timing.initial_delay - age).max(jiff::SignedDuration::ZERO).unsigned_abs()
    };
    tokio::time::sleep(wait).await;
    let mut clock = tokio::time::interval(timing.period.unsigned_abs());
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut counter = Counter::default();
    let series = surroundings.series.of(&surroundings.reference, &subject.container.name, subject.kind);
    let hurries = subject.kind == ProbeKind::Readiness && !subject.adopted;
    let mut impatience = hurries.then(Impatience::fresh);
    loop {
        let soon = impatience.as_mut().and_then(|impatience| impatience.next(&timing));
        let out_of_turn = match soon {
            Some(soon) => tokio::time::timeout(soon.unsigned_abs(), clock.tick()).await.is_err(),
            None => {
                clock.tick().await;
                false
            }
        };
        let begun = tokio::time::Instant::now();
        let result = once(&surroundings, &subject, &probe, timing.timeout.unsigned_abs()).await;
        let outcome = match &result {
            Ok(()) => Outcome::Successful,
            Err(Trouble::Unhealthy(_)) => Outcome::Failed,
            Err(Trouble::Unknown(_)) => Outcome::Unknown,
        };
        // Only what is good to hear counts of what was asked out of turn.
        if !out_of_turn || result.is_ok() {
            series.count(outcome, begun.elapsed());
        }
        let healthy = match result {
            Ok(()) => {
                impatience = None;
                true
            }
            Err(Trouble::Unhealthy(_)) if out_of_turn => continue,
            Err(Trouble::Unhealthy(message)) => {
                complain(&surroundings, &subject, &message);
                false
            }
            // The container ends or the probe itself is broken: no verdict on the container.
            Err(Trouble::Unknown(message)) => {
                tracing::debug!(container = subject.container.name, message, "probe without a result");
                continue;
            }
        };
        let Some(verdict) = counter.record(&timing, healthy) else { continue };
        let key = (subject.container.name.clone(), subject.kind);
        surroundings.inbox.tell(|pending| drop(pending.probes.insert(key, (subject.id.clone(), verdict))));
        if subject.kind == ProbeKind::Startup && verdict {
            return;
        }
    }
}

/// Some point of the period that depends on the container only.
fn jittered(id: &ContainerId, period: Duration) -> Duration {
    let digits = u32::from_str_radix(id.0.get(..6).unwrap_or("0"), 16).unwrap_or(0);
    period.mul_f64(f64::from(digits % 1000) / 1000.0)
}

fn complain(surroundings: &Surroundings, subject: &Subject, message: &str) {
    let message = format!("{} probe failed: {message}", subject.kind.word());
    record(surroundings, subject, "Unhealthy", message);
}

/// A success that somebody should look at.
fn warn(surroundings: &Surroundings, subject: &Subject, message: &str) {
    let message = format!("{} probe warning: {message}", subject.kind.word());
    record(surroundings, subject, "ProbeWarning", message);
}

fn record(surroundings: &Surroundings, subject: &Subject, reason: &str, message: String) {
    let reference = ObjectReference {
        field_path: Some(format!("spec.containers{{{}}}", subject.container.name)),
        ..surroundings.reference.clone()
    };
    surroundings.recorder.record(&reference, EventKind::Warning, reason, message);
}

enum Trouble {
    Unhealthy(String),
    Unknown(String),
}

async fn once(surroundings: &Surroundings, subject: &Subject, probe: &Probe, timeout: Duration) -> Result<(), Trouble> {
    if let Some(exec) = &probe.exec {
        let command = exec.command.clone().unwrap_or_default();
        return match surroundings.runtime.exec_sync(&subject.id, command, timeout).await {
            Ok(output) if output.exit_code == 0 => Ok(()),
            Ok(output) => {
                let mut text = output.stdout;
                text.extend(output.stderr);
                text.truncate(OUTPUT_BYTES_MAX);
                Err(Trouble::Unhealthy(String::from_utf8_lossy(&text).into_owned()))
            }
            Err(RuntimeError::ExecTimeout { .. }) => {
                Err(Trouble::Unhealthy(format!("command timed out after {}s", timeout.as_secs())))
            }
            Err(error @ RuntimeError::Exec { .. }) => Err(Trouble::Unhealthy(error.to_string())),
            Err(error) => Err(Trouble::Unknown(error.to_string())),
        };
    }
    if let Some(get) = &probe.http_get {
        let target = HttpTarget::new(get, &subject.container, &surroundings.pod_ip).map_err(Trouble::Unhealthy)?;
        return match tokio::time::timeout(timeout, http::get(&target)).await {
            Ok(Ok(answer)) if (300..400).contains(&answer.status) => {
                warn(surroundings, subject, "Probe terminated redirects");
                Ok(())
            }
            Ok(Ok(answer)) if (200..400).contains(&answer.status) => Ok(()),
            Ok(Ok(http::Answer { status, .. })) => {
                Err(Trouble::Unhealthy(format!("HTTP probe failed with statuscode: {status}")))
            }
            Ok(Err(error)) => Err(Trouble::Unhealthy(format!("Get \"{}\": {error}", target.url()))),
            Err(_) => Err(Trouble::Unhealthy(format!(
                "Get \"{}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
                target.url()
            ))),
        };
    }
    if let Some(socket) = &probe.tcp_socket {
        let port = port_number(&socket.port, &subject.container).map_err(Trouble::Unhealthy)?;
        let host = socket.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(&surroundings.pod_ip);
        return match tokio::time::timeout(timeout, http::connect(host, port)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Trouble::Unhealthy(error)),
            Err(_) => Err(Trouble::Unhealthy(format!("dial tcp {host}:{port}: i/o timeout"))),
        };
    }
    if let Some(grpc) = &probe.grpc {
        let port = port_number(&IntOrString::Int(grpc.port), &subject.container).map_err(Trouble::Unhealthy)?;
        let service = grpc.service.as_deref().unwrap_or_default();
        let asked = grpc::check(&surroundings.pod_ip, port, service, timeout).await;
        return asked.map_err(Trouble::Unhealthy);
    }
    Err(Trouble::Unknown("missing probe handler".to_owned()))
}

/// A port by number or by its name in the container.
pub(crate) fn port_number(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            let named = ports.find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port);
            named.or_else(|| name.parse().ok())
        }
    };
    let shown = || match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("couldn't find port: {} in container {}", shown(), container.name))
}
