//! `/metrics` and what is below it, in Prometheus' text format with upstream's names.
//!
//! | path | what |
//! |---|---|
//! | `/metrics` | the kubelet itself |
//! | `/metrics/resource` | processors and memory of node, pods and containers: little and stable |
//! | `/metrics/cadvisor` | everything that the control groups tell |
//! | `/metrics/probes` | results of probes |

mod cadvisor;
mod own;
mod resource;

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder as _, TextEncoder};

use http::Response;

use super::Server;
use super::reply::{self, Body, Refusal};

/// The series of one answer, by family.
#[derive(Default)]
struct Families(Vec<MetricFamily>);

/// What a family is.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    help: &'static str,
    counts: bool,
}

impl Kind {
    const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, counts: true }
    }

    const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, counts: false }
    }
}

impl Families {
    /// Adds a value, read at `at_milliseconds` if that is told.
    fn add(&mut self, kind: Kind, labels: &[(&str, &str)], value: f64, at_milliseconds: Option<i64>) {
        let labels = labels.iter().map(|(name, value)| {
            let mut label = LabelPair::default();
            label.set_name((*name).to_owned());
            label.set_value((*value).to_owned());
            label
        });
        let mut metric = Metric::from_label(labels.collect());
        if kind.counts {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        if let Some(at) = at_milliseconds {
            metric.set_timestamp_ms(at);
        }
        match self.0.iter_mut().find(|family| family.name() == kind.name) {
            Some(family) => family.mut_metric().push(metric),
            None => {
                let mut family = MetricFamily::default();
                family.set_name(kind.name.to_owned());
                family.set_help(kind.help.to_owned());
                family.set_field_type(if kind.counts { MetricType::COUNTER } else { MetricType::GAUGE });
                family.set_metric(vec![metric]);
                self.0.push(family);
            }
        }
    }
}

impl Server {
    /// `/metrics` or what is named below it.
    pub(super) async fn metrics(&self, below: Option<&str>) -> Result<Response<Body>, Refusal> {
        let families = match below {
            None => own::families(&self.pods.pictures(), &self.node),
            Some("probes") => self.node.probes.families(),
            Some(below) => {
                let reading = self.stats.reading().await.map_err(|error| Refusal::internal(error.to_string()))?;
                if below == "resource" { resource::families(&reading) } else { cadvisor::families(&reading) }
            }
        };
        let mut bytes = Vec::new();
        TextEncoder::new().encode(&families, &mut bytes).map_err(|error| Refusal::internal(error.to_string()))?;
        Ok(reply::metrics(bytes))
    }
}
