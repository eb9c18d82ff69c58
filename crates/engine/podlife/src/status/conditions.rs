//! The pod's conditions, with transition times that change only when the status does.

use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::phase::any_main_started;
use crate::decide::Input;
use crate::restart::is_sidecar;

struct Verdict {
    status: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

const YES: Verdict = Verdict { status: true, reason: None, message: None };

fn no(reason: &'static str, message: Option<String>) -> Verdict {
    Verdict { status: false, reason: Some(reason), message }
}

/// The conditions that the kubelet owns, then those of others as the API has them.
pub(super) fn conditions(
    input: &Input<'_>,
    phase: &str,
    inits: &[ContainerStatus],
    mains: &[ContainerStatus],
) -> Vec<PodCondition> {
    let containers_ready = containers_ready(input, phase, inits, mains);
    let ready = ready(input, &containers_ready);
    let sandbox = input.observed.sandbox.as_ref().is_some_and(|sandbox| sandbox.ready);
    let own = [
        ("PodReadyToStartContainers", Verdict { status: sandbox, reason: None, message: None }),
        ("Initialized", initialized(input, phase, inits, mains)),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
        ("PodScheduled", YES),
    ];
    let known: Vec<&PodCondition> = input.previous.conditions.iter().flatten().collect();
    let api: Vec<&PodCondition> =
        input.pod.status.iter().flat_map(|status| status.conditions.iter().flatten()).collect();
    let mut conditions: Vec<PodCondition> = own
        .into_iter()
        .map(|(kind, verdict)| {
            let status = if verdict.status { "True" } else { "False" };
            let old = known.iter().chain(&api).find(|condition| condition.type_ == kind);
            let since = old.filter(|old| old.status == status).and_then(|old| old.last_transition_time.clone());
            PodCondition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason: verdict.reason.map(str::to_owned),
                message: verdict.message,
                last_transition_time: Some(since.unwrap_or(Time(input.now))),
                observed_generation: input.pod.metadata.generation,
                ..PodCondition::default()
            }
        })
        .collect();
    let others = api.into_iter().filter(|condition| !OWN.contains(&condition.type_.as_str()));
    conditions.extend(others.cloned());
    conditions
}

/// The condition types of the kubelet.
const OWN: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

fn named(statuses: &[&ContainerStatus]) -> String {
    statuses.iter().map(|status| status.name.as_str()).collect::<Vec<_>>().join(" ")
}

fn initialized(input: &Input<'_>, phase: &str, inits: &[ContainerStatus], mains: &[ContainerStatus]) -> Verdict {
    if phase == "Succeeded" {
        return Verdict { status: true, reason: Some("PodCompleted"), message: None };
    }
    if any_main_started(mains) {
        return YES;
    }
    let specs = input.pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let incomplete: Vec<&ContainerStatus> = specs
        .zip(inits)
        .filter(|(spec, status)| if is_sidecar(spec) { status.started != Some(true) } else { !status.ready })
        .map(|(_, status)| status)
        .collect();
    if incomplete.is_empty() {
        return YES;
    }
    no("ContainersNotInitialized", Some(format!("containers with incomplete status: [{}]", named(&incomplete))))
}

fn containers_ready(input: &Input<'_>, phase: &str, inits: &[ContainerStatus], mains: &[ContainerStatus]) -> Verdict {
    match phase {
        "Succeeded" => return no("PodCompleted", None),
        "Failed" => return no("PodFailed", None),
        _ => {}
    }
    let specs = input.pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let sidecars = specs.zip(inits).filter(|(spec, _)| is_sidecar(spec)).map(|(_, status)| status);
    let unready: Vec<&ContainerStatus> = sidecars.chain(mains).filter(|status| !status.ready).collect();
    if unready.is_empty() {
        return YES;
    }
    no("ContainersNotReady", Some(format!("containers with unready status: [{}]", named(&unready))))
}

fn ready(input: &Input<'_>, containers_ready: &Verdict) -> Verdict {
    if !containers_ready.status {
        return Verdict { message: containers_ready.message.clone(), ..*containers_ready };
    }
    let gates = input.pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
    let unmet: Vec<String> = gates
        .filter_map(|gate| {
            let mut conditions = input.pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let kind = &gate.condition_type;
            match conditions.find(|condition| condition.type_ == *kind) {
                None => Some(format!("corresponding condition of pod readiness gate \"{kind}\" does not exist.")),
                Some(condition) if condition.status != "True" => Some(format!(
                    "the status of pod readiness gate \"{kind}\" is not \"True\", but {}",
                    condition.status
                )),
                Some(_) => None,
            }
        })
        .collect();
    if unmet.is_empty() { YES } else { no("ReadinessGatesNotReady", Some(unmet.join(", "))) }
}
