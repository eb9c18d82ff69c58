//! The `PodStatus` that the API shows.

mod conditions;
mod containers;
mod phase;

use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::decide::{Input, Stage};
use crate::ephemeral::ephemeral_containers;

use containers::Role;
pub(crate) use containers::{adopted, crash_loop_message, lost_restarts, reason_flip};

/// Makes the status from scratch; of the previous one only what cannot be seen any more is kept (start time,
/// transition times, addresses of a pod whose network is gone, ends of containers that are removed).
pub(crate) fn generate(input: &Input<'_>, stage: &Stage) -> PodStatus {
    let pod = input.pod;
    let mut status = PodStatus {
        qos_class: Some(crate::qos::qos_class(pod).to_string()),
        observed_generation: pod.metadata.generation,
        host_ip: input.host_ips.first().cloned(),
        host_ips: Some(input.host_ips.iter().map(|ip| HostIP { ip: ip.clone() }).collect()),
        start_time: Some(input.previous.start_time.clone().unwrap_or(Time(input.now))),
        // Written by others, or no longer written by anybody: passed through.
        nominated_node_name: input.previous.nominated_node_name.clone(),
        resource_claim_statuses: input.previous.resource_claim_statuses.clone(),
        ..PodStatus::default()
    };
    let ips = input.observed.sandbox.as_ref().map(|sandbox| sandbox.ips.clone()).filter(|ips| !ips.is_empty());
    let ips = ips.or_else(|| {
        let known = input.previous.pod_ips.as_ref()?;
        Some(known.iter().map(|ip| ip.ip.clone()).collect())
    });
    if let Some(ips) = ips.filter(|ips| !ips.is_empty()) {
        status.pod_ip = ips.first().cloned();
        status.pod_ips = Some(ips.into_iter().map(|ip| PodIP { ip }).collect());
    }
    let spec = pod.spec.as_ref();
    let inits = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let mains = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let init_statuses: Vec<ContainerStatus> =
        inits.iter().map(|container| containers::status(input, stage, container, Role::Init)).collect();
    let main_statuses: Vec<ContainerStatus> =
        mains.iter().map(|container| containers::status(input, stage, container, Role::Main)).collect();
    let ephemeral_statuses: Vec<ContainerStatus> = ephemeral_containers(pod)
        .iter()
        .map(|container| containers::status(input, stage, container, Role::Ephemeral))
        .collect();

    let phase = phase::phase(input, stage, &init_statuses, &main_statuses);
    if let Stage::Finished { reason: Some((reason, message)) } = stage {
        status.reason = Some(reason.clone());
        status.message = Some(message.clone());
    } else if *stage == Stage::Terminating {
        status.reason = input.previous.reason.clone();
        status.message = input.previous.message.clone();
    }
    // A pod that never got as far as a container has none to tell of.
    let refused = matches!(stage, Stage::Finished { reason: Some(_) })
        && input.observed.containers.is_empty()
        && input.previous.container_statuses.is_none();
    status.conditions = Some(conditions::conditions(input, phase, &init_statuses, &main_statuses));
    status.phase = Some(phase.to_owned());
    status.init_container_statuses = Some(init_statuses).filter(|statuses| !statuses.is_empty() && !refused);
    status.container_statuses = Some(main_statuses).filter(|_| !refused);
    status.ephemeral_container_statuses = Some(ephemeral_statuses).filter(|statuses| !statuses.is_empty());
    status
}
