//! What `/metrics/probes` tells.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use minato_podlife::ProbeKind;
use prometheus::core::Collector as _;
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};

const RESULTS: [&str; 3] = ["successful", "failed", "unknown"];

/// Counts the results of all probes of this node.
#[derive(Clone)]
pub(crate) struct ProbeSeries {
    results: IntCounterVec,
    durations: HistogramVec,
}

/// The series of one probe; they end with it.
pub(super) struct Series {
    all: ProbeSeries,
    /// Container, namespace, pod, its uid, kind.
    labels: [String; 5],
}

/// How a probe went.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    Successful,
    Failed,
    Unknown,
}

impl ProbeSeries {
    pub(crate) fn new() -> Self {
        let results = IntCounterVec::new(
            Opts::new(
                "prober_probe_total",
                "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.",
            ),
            &["container", "namespace", "pod", "pod_uid", "probe_type", "result"],
        );
        let durations = HistogramVec::new(
            HistogramOpts::new("prober_probe_duration_seconds", "[ALPHA] Duration in seconds for a probe response."),
            &["container", "namespace", "pod", "probe_type"],
        );
        // Names and labels are the constants above, distinct and well formed: every test of the kubelet makes them.
        match (results, durations) {
            (Ok(results), Ok(durations)) => Self { results, durations },
            (Err(error), _) | (_, Err(error)) => unreachable!("{error}"),
        }
    }

    /// The series as they are now.
    pub(crate) fn families(&self) -> Vec<MetricFamily> {
        let mut families = self.durations.collect();
        families.extend(self.results.collect());
        families.retain(|family| !family.get_metric().is_empty());
        families
    }

    pub(super) fn of(&self, pod: &ObjectReference, container: &str, kind: ProbeKind) -> Series {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let labels =
            [container.to_owned(), text(&pod.namespace), text(&pod.name), text(&pod.uid), kind.word().to_owned()];
        Series { all: self.clone(), labels }
    }
}

impl Series {
    pub(super) fn count(&self, outcome: Outcome, took: Duration) {
        let [container, namespace, pod, uid, kind] = self.labels.each_ref().map(String::as_str);
        let result = RESULTS[outcome as usize];
        self.all.results.with_label_values(&[container, namespace, pod, uid, kind, result]).inc();
        let duration = self.all.durations.with_label_values(&[container, namespace, pod, kind]);
        duration.observe(took.as_secs_f64());
    }
}

impl Drop for Series {
    fn drop(&mut self) {
        let [container, namespace, pod, uid, kind] = self.labels.each_ref().map(String::as_str);
        // Results that never came are not there to be removed.
        for result in RESULTS {
            let _ = self.all.results.remove_label_values(&[container, namespace, pod, uid, kind, result]);
        }
        let _ = self.all.durations.remove_label_values(&[container, namespace, pod, kind]);
    }
}
