//! How many replicas a metric asks for: upstream's replica calculator.
//!
//! All amounts are thousandths. Pods whose metrics are missing, and pods that are not ready yet, are taken to be what
//! damps a change: at their target when fewer replicas would be needed, idle when more would.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod};
use minato_quantity::Quantity;

use super::Settings;
use crate::pod::{condition, is_ready, phase};

/// What was measured of one pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodMetric {
    /// Thousandths.
    pub value: i64,
    /// When.
    pub at: Timestamp,
    /// Over which time it was averaged.
    pub window: SignedDuration,
}

/// By the pod's name.
pub type PodMetrics = BTreeMap<String, PodMetric>;

/// How far a metric may be off its target before anything is done, as a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerances {
    /// Below.
    pub down: f64,
    /// Above.
    pub up: f64,
}

impl Tolerances {
    fn hold(self, ratio: f64) -> bool {
        1.0 - self.down <= ratio && ratio <= 1.0 + self.up
    }
}

/// The pods of the target, and when they are looked at.
#[derive(Clone, Copy)]
pub(super) struct Target<'a, P> {
    pub(super) pods: &'a [P],
    /// `spec.replicas` of the target.
    pub(super) replicas: i32,
    pub(super) tolerances: Tolerances,
    pub(super) settings: &'a Settings,
    pub(super) now: Timestamp,
}

/// What a resource metric comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Utilization {
    pub(super) replicas: i32,
    /// Percent of what the pods request.
    pub(super) percent: i32,
    /// The average per pod, in thousandths.
    pub(super) average: i64,
}

const NO_PODS: &str = "no pods returned by selector while calculating replica count";
const NO_METRICS: &str = "did not receive metrics for targeted pods (pods might be unready)";

struct Groups {
    ready: usize,
    unready: BTreeSet<String>,
    missing: BTreeSet<String>,
    ignored: BTreeSet<String>,
}

impl<P: AsRef<Pod>> Target<'_, P> {
    fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().map(AsRef::as_ref)
    }

    fn groups(&self, metrics: &PodMetrics, resource: &str) -> Groups {
        let (mut ready, mut unready, mut missing, mut ignored) = (0, BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for pod in self.pods() {
            let name = pod.metadata.name.clone().unwrap_or_default();
            if pod.metadata.deletion_timestamp.is_some() || phase(pod) == "Failed" {
                ignored.insert(name);
            } else if phase(pod) == "Pending" {
                unready.insert(name);
            } else if let Some(metric) = metrics.get(&name) {
                if resource == "cpu" && self.is_starting(pod, metric) {
                    unready.insert(name);
                } else {
                    ready += 1;
                }
            } else {
                missing.insert(name);
            }
        }
        Groups { ready, unready, missing, ignored }
    }

    /// Whether what a pod's processors do is still that of its start.
    fn is_starting(&self, pod: &Pod, metric: &PodMetric) -> bool {
        let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
        let (Some(ready), Some(started)) = (condition(pod, "Ready"), started) else { return true };
        let since = ready.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        if plus(started.0, self.settings.cpu_initialization_period) > self.now {
            let whole_window = since.checked_add(metric.window).unwrap_or(Timestamp::MAX);
            ready.status == "False" || metric.at < whole_window
        } else {
            ready.status == "False" && plus(started.0, self.settings.initial_readiness_delay) > since
        }
    }

    fn ready_pods(&self) -> Result<usize, String> {
        if self.pods.is_empty() {
            return Err(format!("unable to calculate ready pods: {NO_PODS}"));
        }
        Ok(self.pods().filter(|pod| phase(pod) == "Running" && is_ready(pod)).count())
    }

    /// For an average use of a resource, in percent of what is requested.
    pub(super) fn by_utilization(
        &self,
        metrics: &PodMetrics,
        resource: &str,
        container: &str,
        target_percent: i32,
    ) -> Result<Utilization, String> {
        if self.pods.is_empty() {
            return Err(NO_PODS.to_owned());
        }
        let groups = self.groups(metrics, resource);
        let mut metrics = self.counted(metrics, &groups)?;
        let requests = self.requests(resource, container)?;
        let (ratio, percent, average) = utilization(&metrics, &requests, target_percent)?;
        let told = |replicas| Utilization { replicas, percent, average };
        let up_with_unready = !groups.unready.is_empty() && ratio > 1.0;
        if !up_with_unready && groups.missing.is_empty() {
            let same = self.tolerances.hold(ratio);
            return Ok(told(if same { self.replicas } else { ceil(ratio * groups.ready as f64) }));
        }
        let fallback = i64::from(target_percent.max(100));
        self.fill(&mut metrics, &groups, ratio, |pod| {
            requests.get(pod).map_or(0, |request| request.saturating_mul(fallback) / 100)
        });
        let (renewed, ..) = utilization(&metrics, &requests, target_percent)?;
        Ok(told(self.damped(ratio, renewed, metrics.len())))
    }

    /// For an average amount per pod; the replicas, and the average.
    pub(super) fn by_average(&self, metrics: &PodMetrics, resource: &str, target: i64) -> Result<(i32, i64), String> {
        if self.pods.is_empty() {
            return Err(NO_PODS.to_owned());
        }
        let groups = self.groups(metrics, resource);
        let mut metrics = self.counted(metrics, &groups)?;
        let (ratio, average) = usage(&metrics, target);
        let up_with_unready = !groups.unready.is_empty() && ratio > 1.0;
        if !up_with_unready && groups.missing.is_empty() {
            let same = self.tolerances.hold(ratio);
            return Ok((if same { self.replicas } else { ceil(ratio * groups.ready as f64) }, average));
        }
        self.fill(&mut metrics, &groups, ratio, |_| target);
        let (renewed, _) = usage(&metrics, target);
        Ok((self.damped(ratio, renewed, metrics.len()), average))
    }

    /// For a value that the whole target shares.
    pub(super) fn by_value(&self, value: i64, target: i64) -> Result<i32, String> {
        let ratio = value as f64 / target as f64;
        if self.replicas == 0 {
            // From nothing there is nothing to multiply.
            return Ok(ceil(ratio));
        }
        if self.tolerances.hold(ratio) {
            return Ok(self.replicas);
        }
        Ok(ceil(ratio * self.ready_pods()? as f64))
    }

    /// For a value that is divided among the replicas there are; the replicas, and the average.
    pub(super) fn by_share(&self, value: i64, target: i64, status_replicas: i32) -> (i32, i64) {
        let ratio = value as f64 / (target as f64 * f64::from(status_replicas));
        let same = self.tolerances.hold(ratio);
        let replicas = if same { status_replicas } else { ceil(value as f64 / target as f64) };
        let average = if status_replicas == 0 { 0 } else { (value as f64 / f64::from(status_replicas)).ceil() as i64 };
        (replicas, average)
    }

    /// The metrics of the pods that count.
    fn counted(&self, metrics: &PodMetrics, groups: &Groups) -> Result<PodMetrics, String> {
        let mut metrics = metrics.clone();
        metrics.retain(|pod, _| !groups.ignored.contains(pod) && !groups.unready.contains(pod));
        if metrics.is_empty() { Err(NO_METRICS.to_owned()) } else { Ok(metrics) }
    }

    /// Pods of which nothing is known: at their target where replicas would go, idle where more would come.
    fn fill(&self, metrics: &mut PodMetrics, groups: &Groups, ratio: f64, at_target: impl Fn(&str) -> i64) {
        let mut set = |pod: &String, value| {
            metrics.insert(pod.clone(), PodMetric { value, at: self.now, window: SignedDuration::ZERO });
        };
        for pod in &groups.missing {
            if ratio < 1.0 {
                set(pod, at_target(pod));
            } else if ratio > 1.0 {
                set(pod, 0);
            }
        }
        if ratio > 1.0 {
            groups.unready.iter().for_each(|pod| set(pod, 0));
        }
    }

    /// A change in the direction that was found first, or none.
    fn damped(&self, first: f64, renewed: f64, pods: usize) -> i32 {
        let turned = (first < 1.0 && renewed > 1.0) || (first > 1.0 && renewed < 1.0);
        if self.tolerances.hold(renewed) || turned {
            return self.replicas;
        }
        let replicas = ceil(renewed * pods as f64);
        let against = (renewed < 1.0 && replicas > self.replicas) || (renewed > 1.0 && replicas < self.replicas);
        if against { self.replicas } else { replicas }
    }

    /// What each pod requests of a resource, in thousandths.
    fn requests(&self, resource: &str, container: &str) -> Result<BTreeMap<String, i64>, String> {
        self.pods()
            .map(|pod| {
                let name = pod.metadata.name.clone().unwrap_or_default();
                Ok((name.clone(), request(pod, &name, resource, container)?))
            })
            .collect()
    }
}

fn plus(at: Timestamp, period: Duration) -> Timestamp {
    at.checked_add(period).unwrap_or(Timestamp::MAX)
}

fn request(pod: &Pod, name: &str, resource: &str, container: &str) -> Result<i64, String> {
    let Some(spec) = &pod.spec else { return Ok(0) };
    let milli = |quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity| {
        Quantity::parse(&quantity.0).map_or(0, |quantity| quantity.milli_value())
    };
    let whole = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()?.get(resource));
    if let Some(quantity) = whole.filter(|_| container.is_empty()) {
        return Ok(milli(quantity));
    }
    let sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten().filter(sidecar));
    let mut sum = 0_i64;
    for known in all.filter(|known| container.is_empty() || known.name == container) {
        let requested = known.resources.as_ref().and_then(|resources| resources.requests.as_ref()?.get(resource));
        let requested = requested
            .ok_or_else(|| format!("missing request for {resource} in container {} of Pod {name}", known.name))?;
        sum = sum.saturating_add(milli(requested));
    }
    Ok(sum)
}

/// Ratio to the target, percent of the requests, average per pod.
fn utilization(
    metrics: &PodMetrics,
    requests: &BTreeMap<String, i64>,
    target_percent: i32,
) -> Result<(f64, i32, i64), String> {
    let known = metrics.iter().filter_map(|(pod, metric)| Some((metric.value, *requests.get(pod)?)));
    let (mut used, mut requested, mut count) = (0_i64, 0_i64, 0_i64);
    for (value, request) in known {
        used = used.saturating_add(value);
        requested = requested.saturating_add(request);
        count += 1;
    }
    if requested == 0 {
        return Err("no metrics returned matched known pods".to_owned());
    }
    let percent = used.saturating_mul(100) / requested;
    let percent = i32::try_from(percent).unwrap_or(i32::MAX);
    Ok((f64::from(percent) / f64::from(target_percent), percent, used / count.max(1)))
}

/// Ratio to the target, average per pod.
fn usage(metrics: &PodMetrics, target: i64) -> (f64, i64) {
    let total = metrics.values().fold(0_i64, |sum, metric| sum.saturating_add(metric.value));
    let average = total / i64::try_from(metrics.len().max(1)).unwrap_or(i64::MAX);
    (average as f64 / target as f64, average)
}

/// Rounded up; what is not a number is nothing.
fn ceil(replicas: f64) -> i32 {
    // A cast from float saturates.
    replicas.ceil() as i32
}
