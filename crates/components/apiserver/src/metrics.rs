//! What the server counts, by the names that upstream's dashboards and alerts know.
//!
//! The well-kept `prometheus` crate keeps the series and writes them out. Looking a series up by its labels costs more
//! than the rest of counting, so a resource keeps the series of its plain requests at hand ([`Meters`]): a request then
//! costs a few atomic additions and no look-up.

mod process;

use std::sync::OnceLock;
use std::time::Duration;

use http::{Response, StatusCode};
use prometheus::core::Collector;
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::body::{self, ResponseBody};
use crate::core::Core;
use crate::status::ApiError;

/// Upper bounds of durations, in seconds, as upstream's.
const SECONDS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];
/// Upper bounds of the sizes of responses, in bytes.
const RESPONSE_BYTES: &[f64] = &[1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Upper bounds of the sizes of watch events, in bytes.
const EVENT_BYTES: &[f64] = &[1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0, 131_072.0];

/// How long a request may wait for its turn, in seconds.
const WAIT_SECONDS: &[f64] = &[0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];

/// What a request is counted under, besides its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Labels<'a> {
    /// In upper case: `GET`, `LIST`, `CONNECT`.
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) resource: &'a str,
    /// The subresource, or the path of what is not a resource.
    pub(crate) subresource: &'a str,
    /// `resource`, `namespace`, `cluster` or nothing.
    pub(crate) scope: &'a str,
    pub(crate) dry_run: bool,
}

impl<'a> Labels<'a> {
    fn dry_run(&self) -> &'a str {
        if self.dry_run { "All" } else { "" }
    }

    /// Without `dry_run`.
    fn plain(&self) -> [&'a str; 6] {
        [self.verb, self.group, self.version, self.resource, self.subresource, self.scope]
    }
}

/// All series of one API server.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    service_levels: HistogramVec,
    sizes: HistogramVec,
    terminations: IntCounterVec,
    aborts: IntCounterVec,
    long_running: IntGaugeVec,
    storage_objects: IntGaugeVec,
    watch_events: IntCounterVec,
    watch_event_sizes: HistogramVec,
    pub(crate) reading: IntGauge,
    pub(crate) mutating: IntGauge,
    pub(crate) unavailable_services: IntGaugeVec,
    pub(crate) flow: FlowMetrics,
    pub(crate) tokens: TokenMetrics,
    pub(crate) audit_events: IntCounter,
    pub(crate) audit_levels: IntCounterVec,
    pub(crate) audit_errors: IntCounterVec,
}

/// The series of API priority and fairness.
pub(crate) struct FlowMetrics {
    pub(crate) executing: IntGaugeVec,
    pub(crate) in_queue: IntGaugeVec,
    pub(crate) dispatched: IntCounterVec,
    pub(crate) rejected: IntCounterVec,
    pub(crate) waits: HistogramVec,
    pub(crate) nominal_seats: IntGaugeVec,
}

/// The series of service-account tokens.
pub(crate) struct TokenMetrics {
    pub(crate) valid: IntCounter,
    pub(crate) stale: IntCounter,
    pub(crate) legacy: IntCounter,
}

/// Makes series and enters them in a registry.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn enter<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        // Names and labels are the constants of this file, distinct and well formed: the unit test makes them all.
        let made = match made {
            Ok(made) => made,
            Err(error) => unreachable!("{error}"),
        };
        if let Err(error) = self.0.register(Box::new(made.clone())) {
            unreachable!("{error}");
        }
        made
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.enter(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.enter(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.enter(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        self.enter(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }
}

const PLAIN: [&str; 7] = ["verb", "group", "version", "resource", "subresource", "scope", "component"];
const COMPONENT: &str = "apiserver";

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let make = Maker(&registry);
        let with = |more: &[&'static str]| [&PLAIN[..], more].concat();
        let inflight = make.gauges(
            "apiserver_current_inflight_requests",
            "Number of requests under way, by kind; without long-running ones.",
            &["request_kind"],
        );
        let build = make.gauges(
            "kubernetes_build_info",
            "A metric with a constant '1' value labeled by version.",
            &["major", "minor", "git_version", "platform"],
        );
        build.with_label_values(&["1", "36", crate::health::VERSION, "linux/amd64"]).set(1);
        let flow_labels = ["priority_level", "flow_schema"];
        let flow = FlowMetrics {
            executing: make.gauges(
                "apiserver_flowcontrol_current_executing_requests",
                "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage.",
                &flow_labels,
            ),
            in_queue: make.gauges(
                "apiserver_flowcontrol_current_inqueue_requests",
                "Number of requests currently pending in queues.",
                &flow_labels,
            ),
            dispatched: make.counters(
                "apiserver_flowcontrol_dispatched_requests_total",
                "Number of requests executed.",
                &flow_labels,
            ),
            rejected: make.counters(
                "apiserver_flowcontrol_rejected_requests_total",
                "Number of requests rejected.",
                &[&flow_labels[..], &["reason"]].concat(),
            ),
            waits: make.histograms(
                "apiserver_flowcontrol_request_wait_duration_seconds",
                "Length of time a request spent waiting in its queue.",
                &[&flow_labels[..], &["execute"]].concat(),
                WAIT_SECONDS,
            ),
            nominal_seats: make.gauges(
                "apiserver_flowcontrol_nominal_limit_seats",
                "Nominal number of execution seats configured for each priority level.",
                &["priority_level"],
            ),
        };
        Self {
            requests: make.counters(
                "apiserver_request_total",
                "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
                &with(&["dry_run", "code"]),
            ),
            durations: make.histograms(
                "apiserver_request_duration_seconds",
                "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
                &with(&["dry_run"]),
                SECONDS,
            ),
            service_levels: make.histograms(
                "apiserver_request_sli_duration_seconds",
                "Response latency distribution (not counting webhook duration and priority & fairness queue wait times) in seconds for each verb, group, version, resource, subresource, scope and component.",
                &PLAIN,
                SECONDS,
            ),
            sizes: make.histograms(
                "apiserver_response_sizes",
                "Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component.",
                &PLAIN,
                RESPONSE_BYTES,
            ),
            terminations: make.counters(
                "apiserver_request_terminations_total",
                "Number of requests which apiserver terminated in self-defense.",
                &with(&["code"]),
            ),
            aborts: make.counters(
                "apiserver_request_aborts_total",
                "Number of requests which apiserver aborted possibly due to a timeout, for each group, version, verb, resource, subresource and scope",
                &PLAIN[..6],
            ),
            long_running: make.gauges(
                "apiserver_longrunning_requests",
                "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way.",
                &PLAIN,
            ),
            storage_objects: make.gauges(
                "apiserver_storage_objects",
                "Number of stored objects, split by kind.",
                &["resource"],
            ),
            watch_events: make.counters(
                "apiserver_watch_events_total",
                "Number of events sent in watch clients",
                &["group", "version", "resource"],
            ),
            watch_event_sizes: make.histograms(
                "apiserver_watch_events_sizes",
                "Watch event size distribution in bytes",
                &["group", "version", "resource"],
                EVENT_BYTES,
            ),
            reading: inflight.with_label_values(&["readOnly"]),
            mutating: inflight.with_label_values(&["mutating"]),
            unavailable_services: make.gauges(
                "aggregator_unavailable_apiservice",
                "Gauge of APIServices which are marked as unavailable broken down by APIService name.",
                &["name"],
            ),
            tokens: TokenMetrics {
                valid: make.counter(
                    "serviceaccount_valid_tokens_total",
                    "Cumulative valid projected service account tokens used",
                ),
                stale: make.counter(
                    "serviceaccount_stale_tokens_total",
                    "Cumulative stale projected service account tokens used",
                ),
                legacy: make.counter(
                    "serviceaccount_legacy_tokens_total",
                    "Cumulative legacy service account tokens used",
                ),
            },
            audit_events: make.counter(
                "apiserver_audit_event_total",
                "Counter of audit events generated and sent to the audit backend.",
            ),
            audit_levels: make.counters(
                "apiserver_audit_level_total",
                "Counter of policy levels for audit events (1 per request).",
                &["level"],
            ),
            audit_errors: make.counters(
                "apiserver_audit_error_total",
                "Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error.",
                &["plugin"],
            ),
            flow,
            registry,
        }
    }

    /// The series of `labels`, looked up.
    pub(crate) fn meter(&self, labels: &Labels<'_>) -> Meter {
        let [verb, group, version, resource, subresource, scope] = labels.plain();
        let plain = [verb, group, version, resource, subresource, scope, COMPONENT];
        let sized = matches!(labels.verb, "GET" | "LIST");
        Meter {
            ok: self.count(labels, StatusCode::OK),
            created: self.count(labels, StatusCode::CREATED),
            duration: self.durations.with_label_values(&[&plain[..], &[labels.dry_run()]].concat()),
            service_level: self.service_levels.with_label_values(&plain),
            size: sized.then(|| self.sizes.with_label_values(&plain)),
        }
    }

    fn count(&self, labels: &Labels<'_>, code: StatusCode) -> IntCounter {
        let plain = labels.plain();
        self.requests.with_label_values(&[&plain[..], &[COMPONENT, labels.dry_run(), code.as_str()]].concat())
    }

    /// Counts a request that was answered with `code`.
    pub(crate) fn answered(&self, meter: &Meter, labels: &Labels<'_>, result: &Answered) {
        match result.code {
            StatusCode::OK => meter.ok.inc(),
            StatusCode::CREATED => meter.created.inc(),
            code => self.count(labels, code).inc(),
        }
        let seconds = result.took.as_secs_f64();
        meter.duration.observe(seconds);
        if !result.long_running {
            meter.service_level.observe(seconds);
        }
        if let Some(size) = &meter.size {
            size.observe(result.bytes as f64);
        }
    }

    /// Counts a request that the server ended to protect itself.
    pub(crate) fn terminated(&self, labels: &Labels<'_>, code: StatusCode) {
        let plain = labels.plain();
        self.terminations.with_label_values(&[&plain[..], &[COMPONENT, code.as_str()]].concat()).inc();
    }

    /// Counts a request whose time was up, or whose client went away.
    pub(crate) fn aborted(&self, labels: &Labels<'_>) {
        self.aborts.with_label_values(&labels.plain()).inc();
    }

    pub(crate) fn long_running(&self, labels: &Labels<'_>) -> IntGauge {
        let [verb, group, version, resource, subresource, scope] = labels.plain();
        self.long_running.with_label_values(&[verb, group, version, resource, subresource, scope, COMPONENT])
    }

    /// The series of events that watchers of a resource are sent.
    pub(crate) fn watch_events(&self, group: &str, version: &str, resource: &str) -> (IntCounter, Histogram) {
        let labels = [group, version, resource];
        (self.watch_events.with_label_values(&labels), self.watch_event_sizes.with_label_values(&labels))
    }

    /// All series in Prometheus' text format.
    fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut families = self.registry.gather();
        families.extend(prometheus::default_registry().gather());
        families.extend(process::families());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(text)
    }
}

/// How a request was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) code: StatusCode,
    pub(crate) took: Duration,
    pub(crate) bytes: usize,
    pub(crate) long_running: bool,
}

/// The series that a request of one kind adds to.
pub(crate) struct Meter {
    ok: IntCounter,
    created: IntCounter,
    duration: Histogram,
    service_level: Histogram,
    /// Of reads alone.
    size: Option<Histogram>,
}

/// The verbs whose series are kept at hand.
const VERBS: [&str; 9] = ["GET", "LIST", "WATCH", "POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"];
const SCOPES: [&str; 3] = ["resource", "namespace", "cluster"];

/// The series of one resource's plain requests, looked up when first needed.
#[derive(Default)]
pub(crate) struct Meters([OnceLock<Box<Meter>>; VERBS.len() * SCOPES.len()]);

impl Meters {
    /// The series of `labels`; `None` for requests that are not kept at hand: of subresources, dry runs, other verbs.
    pub(crate) fn get(&self, metrics: &Metrics, labels: &Labels<'_>) -> Option<&Meter> {
        if !labels.subresource.is_empty() || labels.dry_run {
            return None;
        }
        let verb = VERBS.iter().position(|verb| *verb == labels.verb)?;
        let scope = SCOPES.iter().position(|scope| *scope == labels.scope)?;
        let slot = self.0.get(verb * SCOPES.len() + scope)?;
        Some(slot.get_or_init(|| Box::new(metrics.meter(labels))))
    }
}

/// Answers `/metrics`.
pub(crate) fn answer(core: &Core) -> Result<Response<ResponseBody>, ApiError> {
    let metrics = &core.metrics;
    for (resource, objects) in core.stored_objects() {
        metrics.storage_objects.with_label_values(&[&resource]).set(i64::try_from(objects).unwrap_or(i64::MAX));
    }
    let text = metrics.text().map_err(ApiError::internal)?;
    let mut response = body::json_bytes(StatusCode::OK, text.into());
    let media = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, media);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_written_out() {
        let metrics = Metrics::new();
        let labels = Labels {
            verb: "GET",
            group: "apps",
            version: "v1",
            resource: "deployments",
            subresource: "",
            scope: "resource",
            dry_run: false,
        };
        let meters = Meters::default();
        let answered =
            Answered { code: StatusCode::OK, took: Duration::from_millis(30), bytes: 2_000, long_running: false };
        let meter = meters.get(&metrics, &labels).unwrap();
        metrics.answered(meter, &labels, &answered);
        metrics.answered(meter, &labels, &Answered { code: StatusCode::NOT_FOUND, ..answered });
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        for line in [
            r#"apiserver_request_total{code="200",component="apiserver",dry_run="",group="apps",resource="deployments",scope="resource",subresource="",verb="GET",version="v1"} 1"#,
            r#"apiserver_request_total{code="404",component="apiserver",dry_run="",group="apps",resource="deployments",scope="resource",subresource="",verb="GET",version="v1"} 1"#,
            r#"apiserver_request_duration_seconds_bucket{component="apiserver",dry_run="",group="apps",resource="deployments",scope="resource",subresource="",verb="GET",version="v1",le="0.05"} 2"#,
            r#"apiserver_response_sizes_bucket{component="apiserver",group="apps",resource="deployments",scope="resource",subresource="",verb="GET",version="v1",le="10000"} 2"#,
            "# TYPE process_resident_memory_bytes gauge",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
        assert!(meters.get(&metrics, &Labels { subresource: "status", ..labels }).is_none());
    }
}
