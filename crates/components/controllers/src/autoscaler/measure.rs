//! Asks the metrics APIs: `metrics.k8s.io`, `custom.metrics.k8s.io`, `external.metrics.k8s.io`.

use http::Request;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, MetricIdentifier, MetricSpec, ObjectMetricSource};
use kube::Client;
use minato_quantity::Quantity;
use minato_select::LabelSelector;
use minato_workloads::autoscaler::{PodMetric, PodMetrics, Reading};
use serde_json::Value;

use crate::discovery::Resources;
use crate::error::message_of;

/// The time over which a custom metric was averaged, where it does not say.
const CUSTOM_WINDOW: SignedDuration = SignedDuration::from_mins(1);

/// Asks on behalf of autoscalers in one namespace.
pub(super) struct Measure<'a> {
    pub(super) client: &'a Client,
    pub(super) resources: &'a Resources,
    pub(super) namespace: &'a str,
}

impl Measure<'_> {
    /// What there is for each metric of an autoscaler whose pods `selector` selects.
    pub(super) async fn all(&self, autoscaler: &HorizontalPodAutoscaler, selector: &str) -> Vec<Reading> {
        let specs = autoscaler.spec.metrics.as_deref().unwrap_or_default();
        futures::future::join_all(specs.iter().map(|spec| self.one(spec, selector))).await
    }

    async fn one(&self, spec: &MetricSpec, selector: &str) -> Reading {
        if let Some(source) = &spec.resource {
            return Reading::Pods(self.resource(&source.name, None, selector).await);
        }
        if let Some(source) = &spec.container_resource {
            return Reading::Pods(self.resource(&source.name, Some(&source.container), selector).await);
        }
        if let Some(source) = &spec.pods {
            return Reading::Pods(self.pods(&source.metric, selector).await);
        }
        if let Some(source) = &spec.object {
            return Reading::Value(self.object(source).await);
        }
        if let Some(source) = &spec.external {
            return Reading::Value(self.external(&source.metric).await);
        }
        Reading::Value(Err("no source".to_owned()))
    }

    async fn resource(&self, name: &str, container: Option<&str>, selector: &str) -> Result<PodMetrics, String> {
        let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", self.namespace);
        let list = self.get(&path, &[("labelSelector", selector)]).await;
        let list = list.map_err(|error| format!("unable to fetch metrics from resource metrics API: {error}"))?;
        let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if items.is_empty() {
            return Err("no metrics returned from resource metrics API".to_owned());
        }
        let mut metrics = PodMetrics::new();
        for item in items {
            let pod = item["metadata"]["name"].as_str().unwrap_or_default();
            let all = item["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
            let amount = |one: &Value| milli(&one["usage"][name]);
            let value = match container {
                Some(container) => {
                    let found = all.iter().find(|one| one["name"] == container).ok_or_else(|| {
                        format!("container {container} not present in metrics for pod {}/{pod}", self.namespace)
                    })?;
                    amount(found)
                }
                // All containers, or nothing.
                None if all.is_empty() => None,
                None => all.iter().map(amount).try_fold(0_i64, |sum, one| Some(sum.saturating_add(one?))),
            };
            let window = item["window"].as_str().and_then(|window| window.parse().ok()).unwrap_or_default();
            if let (Some(value), Some(at)) = (value, time(&item["timestamp"])) {
                metrics.insert(pod.to_owned(), PodMetric { value, at, window });
            }
        }
        Ok(metrics)
    }

    async fn pods(&self, metric: &MetricIdentifier, selector: &str) -> Result<PodMetrics, String> {
        let version = self.custom_version().await?;
        let path = format!("{version}/namespaces/{}/pods/*/{}", self.namespace, encode(&metric.name));
        let of_metric = metric_selector(metric)?;
        let list = self.get(&path, &[("labelSelector", selector), ("metricLabelSelector", &of_metric)]).await;
        let list = list.map_err(custom_error)?;
        let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if items.is_empty() {
            return Err("no metrics returned from custom metrics API".to_owned());
        }
        let measured = items.iter().filter_map(|item| {
            let window = item["windowSeconds"].as_i64().map_or(CUSTOM_WINDOW, SignedDuration::from_secs);
            let metric = PodMetric { value: milli(&item["value"])?, at: time(&item["timestamp"])?, window };
            Some((item["describedObject"]["name"].as_str()?.to_owned(), metric))
        });
        Ok(measured.collect())
    }

    async fn object(&self, source: &ObjectMetricSource) -> Result<i64, String> {
        let version = self.custom_version().await?;
        let object = &source.described_object;
        let (name, metric) = (encode(&object.name), encode(&source.metric.name));
        let path = if object.kind == "Namespace" && !object.api_version.iter().any(|version| version.contains('/')) {
            format!("{version}/namespaces/{name}/metrics/{metric}")
        } else {
            let group = object.api_version.as_deref().and_then(|version| Some(version.split_once('/')?.0));
            let group = group.unwrap_or_default();
            let unknown = || format!("no matches for kind {:?} in group {group:?}", object.kind);
            let found = self.resources.of_kind(group, &object.kind);
            let plural = found.ok_or_else(|| custom_error(unknown()))?.api.plural;
            let resource = if group.is_empty() { plural } else { format!("{plural}.{group}") };
            format!("{version}/namespaces/{}/{resource}/{name}/{metric}", self.namespace)
        };
        let of_metric = metric_selector(&source.metric)?;
        let list = self.get(&path, &[("metricLabelSelector", &of_metric)]).await.map_err(custom_error)?;
        let value = milli(&list["items"][0]["value"]);
        value.ok_or_else(|| "no metrics returned from custom metrics API".to_owned())
    }

    async fn external(&self, metric: &MetricIdentifier) -> Result<i64, String> {
        let selector = metric_selector(metric)?;
        let failed = |error: String| {
            let namespace = self.namespace;
            format!("unable to get external metric {namespace}/{}/{}: {error}", metric.name, shown(metric))
        };
        let path =
            format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{}/{}", self.namespace, encode(&metric.name));
        let list = self.get(&path, &[("labelSelector", &selector)]).await;
        let list =
            list.map_err(|error| failed(format!("unable to fetch metrics from external metrics API: {error}")))?;
        let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if items.is_empty() {
            return Err(failed("no metrics returned from external metrics API".to_owned()));
        }
        Ok(items.iter().filter_map(|item| milli(&item["value"])).fold(0_i64, i64::saturating_add))
    }

    /// The path of the preferred version of the custom metrics.
    async fn custom_version(&self) -> Result<String, String> {
        let group = self.get("/apis/custom.metrics.k8s.io", &[]).await.map_err(custom_error)?;
        let version = group["preferredVersion"]["groupVersion"].as_str();
        version.map(|version| format!("/apis/{version}")).ok_or_else(|| custom_error("no version is served".to_owned()))
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let pairs = query.iter().filter(|(_, value)| !value.is_empty());
        let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={}", encode(value))).collect();
        let uri = if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) };
        let request = Request::get(uri).body(Vec::new()).map_err(|error| error.to_string())?;
        self.client.request(request).await.map_err(|error| message_of(&error))
    }
}

fn custom_error(error: String) -> String {
    format!("unable to fetch metrics from custom metrics API: {error}")
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn metric_selector(metric: &MetricIdentifier) -> Result<String, String> {
    let Some(selector) = &metric.selector else { return Ok(String::new()) };
    let selector = LabelSelector::try_from(selector).map_err(|error| error.to_string())?;
    Ok(selector.to_string())
}

fn shown(metric: &MetricIdentifier) -> String {
    metric_selector(metric).ok().filter(|selector| !selector.is_empty()).unwrap_or_else(|| "nil".to_owned())
}

fn milli(quantity: &Value) -> Option<i64> {
    Some(Quantity::parse(quantity.as_str()?).ok()?.milli_value())
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}
