//! What one metric of the specification asks for, and what its status says.

use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, ExternalMetricStatus, MetricIdentifier, MetricSpec, MetricStatus, MetricTarget,
    MetricValueStatus, ObjectMetricStatus, PodsMetricStatus, ResourceMetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use minato_quantity::Quantity;

use super::replicas::{PodMetrics, Target};

/// What was asked of a metrics API for one metric: amounts in thousandths, or why there are none.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Of each pod.
    Pods(Result<PodMetrics, String>),
    /// Of an object, or the sum of external values.
    Value(Result<i64, String>),
}

/// What a metric asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Proposal {
    pub(super) replicas: i32,
    /// How reasons call the metric.
    pub(super) name: String,
    pub(super) status: MetricStatus,
}

/// Why a metric asks for nothing: the condition's reason, what went wrong, and the same with the metric's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) full: String,
}

fn milli(value: i64) -> Option<ApiQuantity> {
    Some(ApiQuantity(Quantity::from_milli(value).to_string()))
}

fn amount(quantity: Option<&ApiQuantity>) -> Option<i64> {
    Some(Quantity::parse(&quantity?.0).ok()?.milli_value())
}

/// A selector as Go prints a pointer to one.
fn shown(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else { return "nil".to_owned() };
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}: {value},"));
    let labels: String = labels.collect();
    let expressions = selector.match_expressions.iter().flatten().map(|one| {
        let values = one.values.clone().unwrap_or_default().join(" ");
        format!("{{{} {} [{values}]}},", one.key, one.operator)
    });
    let expressions: String = expressions.collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

impl<P: AsRef<Pod>> Target<'_, P> {
    /// What `spec` asks for, by what was read for it.
    pub(super) fn propose(
        &self,
        spec: &MetricSpec,
        reading: &Reading,
        status_replicas: i32,
    ) -> Result<Proposal, Fault> {
        let fault = |reason: &'static str, full: &str| {
            let full = full.to_owned();
            move |message: String| Fault { reason, full: format!("{full}: {message}"), message }
        };
        let status = MetricStatus { type_: spec.type_.clone(), ..MetricStatus::default() };
        if let Some(source) = &spec.resource {
            let name = &source.name;
            let full = format!("failed to get {name} resource metric value");
            let measured = self.resource(name, "", &source.target, reading);
            let (replicas, current, metric) = measured.map_err(fault("FailedGetResourceMetric", &full))?;
            let resource = Some(ResourceMetricStatus { name: name.clone(), current });
            return Ok(Proposal { replicas, name: metric, status: MetricStatus { resource, ..status } });
        }
        if let Some(source) = &spec.container_resource {
            let (name, container) = (&source.name, &source.container);
            let full = format!("failed to get {name} container metric value");
            let measured = self.resource(name, container, &source.target, reading);
            let (replicas, current, metric) = measured.map_err(fault("FailedGetContainerResourceMetric", &full))?;
            let container_resource =
                Some(ContainerResourceMetricStatus { name: name.clone(), container: container.clone(), current });
            return Ok(Proposal { replicas, name: metric, status: MetricStatus { container_resource, ..status } });
        }
        if let Some(source) = &spec.pods {
            let (replicas, current) = self
                .pods_metric(&source.metric, &source.target, reading)
                .map_err(fault("FailedGetPodsMetric", "failed to get pods metric value"))?;
            let name = format!("pods metric {}", source.metric.name);
            let pods = Some(PodsMetricStatus { metric: source.metric.clone(), current });
            return Ok(Proposal { replicas, name, status: MetricStatus { pods, ..status } });
        }
        if let Some(source) = &spec.object {
            let object = &source.described_object;
            let unread =
                |error: &str| format!("unable to get metric {}: {} on {error}", source.metric.name, object.kind);
            let (replicas, current) = self
                .shared("object", &source.metric, &source.target, reading, status_replicas, unread)
                .map_err(fault("FailedGetObjectMetric", "failed to get object metric value"))?;
            let name = if source.target.type_ == "Value" {
                format!("{} metric", source.metric.name)
            } else {
                format!("external metric {}({})", source.metric.name, shown(source.metric.selector.as_ref()))
            };
            let object = Some(ObjectMetricStatus {
                described_object: source.described_object.clone(),
                metric: source.metric.clone(),
                current,
            });
            return Ok(Proposal { replicas, name, status: MetricStatus { object, ..status } });
        }
        if let Some(source) = &spec.external {
            let full = format!("failed to get {} external metric value", source.metric.name);
            let (replicas, current) = self
                .shared("external", &source.metric, &source.target, reading, status_replicas, str::to_owned)
                .map_err(fault("FailedGetExternalMetric", &full))?;
            let name = format!("external metric {}({})", source.metric.name, shown(source.metric.selector.as_ref()));
            let external = Some(ExternalMetricStatus { metric: source.metric.clone(), current });
            return Ok(Proposal { replicas, name, status: MetricStatus { external, ..status } });
        }
        let message = format!("unknown metric source type {:?}", spec.type_);
        Err(Fault { reason: "InvalidMetricSourceType", full: message.clone(), message })
    }

    fn resource(
        &self,
        name: &str,
        container: &str,
        target: &MetricTarget,
        reading: &Reading,
    ) -> Result<(i32, MetricValueStatus, String), String> {
        let unread = |error: &String| format!("unable to get metrics for resource {name}: {error}");
        let metrics = || match reading {
            Reading::Pods(Ok(metrics)) => Ok(metrics),
            Reading::Pods(Err(error)) | Reading::Value(Err(error)) => Err(unread(error)),
            Reading::Value(Ok(_)) => Err(unread(&"no metrics of pods".to_owned())),
        };
        if let Some(wanted) = amount(target.average_value.as_ref()) {
            let counted = metrics().and_then(|metrics| self.by_average(metrics, name, wanted));
            let (replicas, average) = counted.map_err(|error| format!("failed to get {name} usage: {error}"))?;
            let current = MetricValueStatus { average_value: milli(average), ..MetricValueStatus::default() };
            return Ok((replicas, current, format!("{name} resource")));
        }
        let Some(wanted) = target.average_utilization else {
            return Err("invalid resource metric source: neither an average utilization target nor an average value \
                        (usage) target was set"
                .to_owned());
        };
        let counted = metrics().and_then(|metrics| self.by_utilization(metrics, name, container, wanted));
        let used = counted.map_err(|error| format!("failed to get {name} utilization: {error}"))?;
        let current = MetricValueStatus {
            average_utilization: Some(used.percent),
            average_value: milli(used.average),
            ..MetricValueStatus::default()
        };
        let kind = if container.is_empty() { "resource" } else { "container resource" };
        Ok((used.replicas, current, format!("{name} {kind} utilization (percentage of request)")))
    }

    fn pods_metric(
        &self,
        metric: &MetricIdentifier,
        target: &MetricTarget,
        reading: &Reading,
    ) -> Result<(i32, MetricValueStatus), String> {
        let metrics = match reading {
            Reading::Pods(Ok(metrics)) => metrics,
            Reading::Pods(Err(error)) | Reading::Value(Err(error)) => {
                return Err(format!("unable to get metric {}: {error}", metric.name));
            }
            Reading::Value(Ok(_)) => return Err(format!("unable to get metric {}: no metrics of pods", metric.name)),
        };
        let wanted = amount(target.average_value.as_ref()).unwrap_or(0);
        let (replicas, average) = self.by_average(metrics, "", wanted)?;
        Ok((replicas, MetricValueStatus { average_value: milli(average), ..MetricValueStatus::default() }))
    }

    /// A metric of an object or from outside, which all replicas answer for together.
    fn shared(
        &self,
        source: &str,
        metric: &MetricIdentifier,
        target: &MetricTarget,
        reading: &Reading,
        status_replicas: i32,
        unread: impl Fn(&str) -> String,
    ) -> Result<(i32, MetricValueStatus), String> {
        let value = match reading {
            Reading::Value(Ok(value)) => Ok(*value),
            Reading::Value(Err(error)) | Reading::Pods(Err(error)) => Err(unread(error)),
            Reading::Pods(Ok(_)) => Err(unread("no value")),
        };
        let named = |error: String| format!("failed to get {} {source} metric: {error}", metric.name);
        // Upstream looks for an average first where the metric is external, by the target's type where it is an object's.
        if let Some(wanted) = amount(target.value.as_ref()).filter(|_| target.type_ != "AverageValue") {
            let value = value.map_err(named)?;
            let replicas = self.by_value(value, wanted).map_err(named)?;
            return Ok((replicas, MetricValueStatus { value: milli(value), ..MetricValueStatus::default() }));
        }
        if let Some(wanted) = amount(target.average_value.as_ref()) {
            let (replicas, average) = self.by_share(value.map_err(named)?, wanted, status_replicas);
            return Ok((replicas, MetricValueStatus { average_value: milli(average), ..MetricValueStatus::default() }));
        }
        Err(format!("invalid {source} metric source: neither a value target nor an average value target was set"))
    }
}
