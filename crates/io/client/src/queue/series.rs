//! What is counted of queues, by upstream's names (`k8s.io/component-base/metrics/prometheus/workqueue`). All queues of
//! the process are told apart by their names; `/metrics` shows what is in the process's registry.

use std::sync::LazyLock;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

/// The series of one queue.
pub(super) struct Series {
    pub(super) adds: IntCounter,
    pub(super) depth: IntGauge,
    pub(super) retries: IntCounter,
    pub(super) queued_seconds: Histogram,
    pub(super) work_seconds: Histogram,
}

struct Families {
    adds: IntCounterVec,
    depth: IntGaugeVec,
    retries: IntCounterVec,
    queued_seconds: HistogramVec,
    work_seconds: HistogramVec,
}

static FAMILIES: LazyLock<Families> = LazyLock::new(|| {
    // From ten nanoseconds to a thousand seconds.
    let buckets: Vec<f64> = (-8..4).map(|exponent| 10_f64.powi(exponent)).collect();
    let histogram = |name: &str, help: &str| {
        enter(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.clone()), &["name"]))
    };
    let counter = |name: &str, help: &str| enter(IntCounterVec::new(Opts::new(name, help), &["name"]));
    Families {
        adds: counter("workqueue_adds_total", "Total number of adds handled by workqueue"),
        depth: enter(IntGaugeVec::new(Opts::new("workqueue_depth", "Current depth of workqueue"), &["name"])),
        retries: counter("workqueue_retries_total", "Total number of retries handled by workqueue"),
        queued_seconds: histogram(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested.",
        ),
        work_seconds: histogram(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes.",
        ),
    }
});

fn enter<C: Collector + Clone + 'static>(made: prometheus::Result<C>) -> C {
    // Names and labels are the constants of this file, distinct and well formed: the tests of queues make them all.
    let made = match made {
        Ok(made) => made,
        Err(error) => unreachable!("{error}"),
    };
    if let Err(error) = prometheus::register(Box::new(made.clone())) {
        tracing::error!(%error, "a series of work queues is not shown");
    }
    made
}

impl Series {
    pub(super) fn of(queue: &str) -> Self {
        let (families, name) = (&*FAMILIES, [queue]);
        Self {
            adds: families.adds.with_label_values(&name),
            depth: families.depth.with_label_values(&name),
            retries: families.retries.with_label_values(&name),
            queued_seconds: families.queued_seconds.with_label_values(&name),
            work_seconds: families.work_seconds.with_label_values(&name),
        }
    }
}
