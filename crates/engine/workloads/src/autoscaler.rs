//! HorizontalPodAutoscalers: how many replicas the target should have.
//!
//! [`plan`] sees the autoscaler, its target's scale, the pods, what the metrics APIs told, and what it remembers of its
//! own recommendations; it says what the scale should be and which conditions and events tell of it. The target's scale
//! may still refuse the change: [`Plan::rescaled`] and [`Plan::refused`] end a plan that has one.

mod metrics;
mod pace;
mod replicas;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerStatus, MetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use minato_quantity::Quantity;

use crate::job::Event;
pub use metrics::Reading;
use metrics::{Fault, Proposal};
use pace::Bounds;
use replicas::Target;
pub use replicas::{PodMetric, PodMetrics, Tolerances};

/// Settings of all autoscalers, as the flags of upstream's controller manager.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How often each is looked at.
    pub sync_period: Duration,
    /// How far back recommendations count before replicas go, where the autoscaler does not say.
    pub downscale_stabilization: Duration,
    /// How far off its target a metric may be, where the autoscaler does not say.
    pub tolerance: f64,
    /// How long after its start a pod's processor time may be that of its start.
    pub cpu_initialization_period: Duration,
    /// How long after its start a pod that becomes unready counts as never ready.
    pub initial_readiness_delay: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sync_period: Duration::from_secs(15),
            downscale_stabilization: Duration::from_secs(300),
            tolerance: 0.1,
            cpu_initialization_period: Duration::from_secs(300),
            initial_readiness_delay: Duration::from_secs(30),
        }
    }
}

/// What is remembered of an autoscaler between two looks; lost with the process, as upstream's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Numbers of replicas that were recommended.
    recommendations: Vec<Step>,
    /// Replicas that were added.
    ups: Vec<Step>,
    /// Replicas that were taken.
    downs: Vec<Step>,
}

/// A number of replicas at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    at: Timestamp,
    replicas: i32,
}

/// The target's scale subresource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scale {
    /// `spec.replicas`.
    pub replicas: i32,
    /// `status.replicas`.
    pub status_replicas: i32,
    /// `status.selector`.
    pub selector: String,
}

/// What the pods of the target are known by.
#[derive(Clone, Debug, PartialEq)]
pub enum Pods<'a, P> {
    /// These, and what was read for each metric of the specification, in its order.
    Measured {
        /// The pods that the scale's selector selects.
        pods: &'a [P],
        /// As many as there are metrics.
        readings: &'a [Reading],
    },
    /// The selector selects nothing that could be looked at: reason of the condition, its message, the event's.
    Unknown {
        /// Such as `InvalidSelector`.
        reason: &'static str,
        /// What the condition says.
        message: String,
    },
}

/// What is known when an autoscaler is looked at.
pub struct Observed<'a, P> {
    /// The autoscaler.
    pub autoscaler: &'a HorizontalPodAutoscaler,
    /// The target's scale.
    pub scale: &'a Scale,
    /// The target's pods; not looked at where [`needs_metrics`] is false.
    pub pods: Pods<'a, P>,
    /// What the last plan remembered.
    pub memory: &'a Memory,
    /// Settings.
    pub settings: &'a Settings,
    /// When.
    pub now: Timestamp,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The number of replicas that the target should have instead of the one it has, and why.
    pub rescale: Option<Rescale>,
    /// The status, as it is if nothing is to be changed.
    pub status: HorizontalPodAutoscalerStatus,
    /// Events about the autoscaler.
    pub events: Vec<Event>,
    /// To be given to the next plan.
    pub memory: Memory,
}

/// A change of the target's scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescale {
    /// How many replicas there should be.
    pub replicas: i32,
    /// Why.
    pub reason: String,
}

/// Whether metrics decide: not where scaling is off or the number is out of bounds.
#[must_use]
pub fn needs_metrics(autoscaler: &HorizontalPodAutoscaler, scale: &Scale) -> bool {
    let (least, most) = bounds(autoscaler);
    !(scale.replicas == 0 && least != 0) && scale.replicas <= most && scale.replicas >= least
}

fn bounds(autoscaler: &HorizontalPodAutoscaler) -> (i32, i32) {
    (autoscaler.spec.min_replicas.unwrap_or(1), autoscaler.spec.max_replicas)
}

/// The status of an autoscaler whose target's scale cannot be read, and the event.
#[must_use]
pub fn without_scale(
    autoscaler: &HorizontalPodAutoscaler,
    error: &str,
    now: Timestamp,
) -> (HorizontalPodAutoscalerStatus, Event) {
    let mut status = autoscaler.status.clone().unwrap_or_default();
    let message = format!("the HPA controller was unable to get the target's current scale: {error}");
    set(&mut status, ("AbleToScale", false), "FailedGetScale", message, now);
    (status, warning("FailedGetScale", error))
}

fn warning(reason: &str, message: impl Into<String>) -> Event {
    Event { warning: true, reason: reason.to_owned(), message: message.into() }
}

/// Sets a condition; a status that stays keeps its time.
fn set(
    status: &mut HorizontalPodAutoscalerStatus,
    (kind, holds): (&str, bool),
    reason: &str,
    message: impl Into<String>,
    now: Timestamp,
) {
    let conditions = status.conditions.get_or_insert_default();
    let truth = if holds { "True" } else { "False" };
    let position = conditions.iter().position(|known| known.type_ == kind);
    let known = position.map(|position| conditions[position].clone());
    let since = known.filter(|known| known.status == truth).and_then(|known| known.last_transition_time);
    let condition = HorizontalPodAutoscalerCondition {
        type_: kind.to_owned(),
        status: truth.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.into()),
        last_transition_time: since.or(Some(Time(now))),
    };
    match position {
        Some(position) => conditions[position] = condition,
        None => conditions.push(condition),
    }
}

/// What all metrics together ask for.
struct Recommended {
    /// `None` where they do not allow any conclusion.
    proposal: Option<(i32, String)>,
    statuses: Vec<MetricStatus>,
    /// Why not all of them are known.
    error: Option<String>,
}

/// How many replicas the target should have.
#[must_use]
pub fn plan<P: AsRef<Pod>>(observed: &Observed<'_, P>) -> Plan {
    let Observed { autoscaler, scale, now, .. } = *observed;
    let mut plan = Plan {
        rescale: None,
        status: autoscaler.status.clone().unwrap_or_default(),
        events: Vec::new(),
        memory: observed.memory.clone(),
    };
    let status = &mut plan.status;
    let got = "the HPA controller was able to get the target's current scale";
    set(status, ("AbleToScale", true), "SucceededGetScale", got, now);
    let current = scale.replicas;
    if plan.memory.recommendations.is_empty() {
        plan.memory.recommendations.push(Step { at: now, replicas: current });
    }
    let (least, most) = bounds(autoscaler);
    status.current_metrics = None;
    let (desired, reason) = if current == 0 && least != 0 {
        let message = "scaling is disabled since the replica count of the target is zero";
        set(status, ("ScalingActive", false), "ScalingDisabled", message, now);
        (0, String::new())
    } else if current > most {
        (most, "Current number of replicas above Spec.MaxReplicas".to_owned())
    } else if current < least {
        (least, "Current number of replicas below Spec.MinReplicas".to_owned())
    } else {
        let recommended = recommend(observed, &mut plan);
        let status = &mut plan.status;
        status.current_metrics = Some(recommended.statuses).filter(|statuses| !statuses.is_empty());
        let Some((proposed, metric)) = recommended.proposal else {
            status.current_replicas = Some(current);
            plan.events.extend(recommended.error.map(|error| warning("FailedComputeMetricsReplicas", error)));
            return plan;
        };
        let reason = match proposed {
            more if more > current => format!("{metric} above target"),
            less if less < current => "All metrics below target".to_owned(),
            _ => String::new(),
        };
        (normalize(observed, proposed, &mut plan), reason)
    };
    let status = &mut plan.status;
    status.current_replicas = Some(current);
    status.desired_replicas = desired;
    if desired != current {
        plan.rescale = Some(Rescale { replicas: desired, reason });
    }
    plan
}

/// What the metrics ask for, with the condition `ScalingActive`.
fn recommend<P: AsRef<Pod>>(observed: &Observed<'_, P>, plan: &mut Plan) -> Recommended {
    let Observed { autoscaler, scale, now, settings, .. } = *observed;
    let (pods, readings) = match &observed.pods {
        Pods::Measured { pods, readings } => (*pods, *readings),
        Pods::Unknown { reason, message } => {
            plan.events.push(warning(reason, message.clone()));
            set(&mut plan.status, ("ScalingActive", false), reason, message.clone(), now);
            return Recommended { proposal: None, statuses: Vec::new(), error: Some(message.clone()) };
        }
    };
    let specs = autoscaler.spec.metrics.as_deref().unwrap_or_default();
    let tolerances = tolerances(autoscaler, settings);
    let target = Target { pods, replicas: scale.replicas, tolerances, settings, now };
    let mut statuses = Vec::new();
    let mut best: Option<Proposal> = None;
    let mut first: Option<Fault> = None;
    let mut faults = 0;
    for (spec, reading) in specs.iter().zip(readings) {
        match target.propose(spec, reading, scale.status_replicas) {
            Ok(proposal) => {
                statuses.push(proposal.status.clone());
                if best.as_ref().is_none_or(|best| best.replicas == 0 || proposal.replicas > best.replicas) {
                    best = Some(proposal);
                }
            }
            Err(fault) => {
                // A place without content keeps the order of the specification.
                statuses.push(MetricStatus::default());
                plan.events.push(warning(fault.reason, fault.message.clone()));
                faults += 1;
                first.get_or_insert(fault);
            }
        }
    }
    let error = first.as_ref().map(|first| {
        format!("invalid metrics ({faults} invalid out of {}), first error is: {}", specs.len(), first.full)
    });
    // What is not known might ask for more: then nothing is taken away.
    let inconclusive =
        faults >= specs.len() || (faults > 0 && best.as_ref().is_some_and(|best| best.replicas < scale.replicas));
    if let (true, Some(first)) = (inconclusive, &first) {
        let message = format!("the HPA was unable to compute the replica count: {}", first.message);
        set(&mut plan.status, ("ScalingActive", false), first.reason, message, now);
    }
    let proposal = best.filter(|_| !inconclusive).map(|best| {
        let message = format!("the HPA was able to successfully calculate a replica count from {}", best.name);
        set(&mut plan.status, ("ScalingActive", true), "ValidMetricFound", message, now);
        (best.replicas, best.name)
    });
    Recommended { proposal, statuses, error }
}

fn tolerances(autoscaler: &HorizontalPodAutoscaler, settings: &Settings) -> Tolerances {
    let behavior = autoscaler.spec.behavior.as_ref();
    let own = |rules: Option<&k8s_openapi::api::autoscaling::v2::HPAScalingRules>| {
        let quantity = Quantity::parse(&rules?.tolerance.as_ref()?.0).ok()?;
        Some(quantity.nanos() as f64 / 1e9)
    };
    Tolerances {
        down: own(behavior.and_then(|behavior| behavior.scale_down.as_ref())).unwrap_or(settings.tolerance),
        up: own(behavior.and_then(|behavior| behavior.scale_up.as_ref())).unwrap_or(settings.tolerance),
    }
}

fn bounds_of<'a, P>(observed: &Observed<'a, P>) -> Bounds<'a> {
    let (min, max) = bounds(observed.autoscaler);
    Bounds {
        min,
        max,
        current: observed.scale.replicas,
        behavior: observed.autoscaler.spec.behavior.as_ref(),
        settings: observed.settings,
        now: observed.now,
    }
}

/// What is recommended, made steady and held within its limits.
fn normalize<P>(observed: &Observed<'_, P>, proposed: i32, plan: &mut Plan) -> i32 {
    let bounds = bounds_of(observed);
    let steady = bounds.stabilize(proposed, &mut plan.memory);
    set(&mut plan.status, ("AbleToScale", true), steady.reason, steady.message, observed.now);
    let limited = bounds.limit(steady.replicas, &plan.memory);
    let is_limited = limited.replicas != steady.replicas;
    set(&mut plan.status, ("ScalingLimited", is_limited), limited.reason, limited.message, observed.now);
    limited.replicas
}

impl Plan {
    /// The target has taken the change.
    #[must_use]
    pub fn rescaled<P>(mut self, observed: &Observed<'_, P>) -> Self {
        let Some(rescale) = self.rescale.clone() else { return self };
        let message = format!("the HPA controller was able to update the target scale to {}", rescale.replicas);
        set(&mut self.status, ("AbleToScale", true), "SucceededRescale", message, observed.now);
        self.status.last_scale_time = Some(Time(observed.now));
        let message = format!("New size: {}; reason: {}", rescale.replicas, rescale.reason);
        self.events.push(Event { warning: false, reason: "SuccessfulRescale".to_owned(), message });
        bounds_of(observed).remember(rescale.replicas, &mut self.memory);
        self
    }

    /// The target has not taken the change.
    #[must_use]
    pub fn refused<P>(mut self, observed: &Observed<'_, P>, error: &str) -> Self {
        let Some(rescale) = self.rescale.clone() else { return self };
        let message = format!("the HPA controller was unable to update the target scale: {error}");
        set(&mut self.status, ("AbleToScale", false), "FailedUpdateScale", message, observed.now);
        let known = observed.autoscaler.status.as_ref();
        self.status.desired_replicas = known.map_or(0, |status| status.desired_replicas);
        let message = format!("New size: {}; reason: {}; error: {error}", rescale.replicas, rescale.reason);
        self.events.push(warning("FailedRescale", message));
        self
    }
}
