//! Between the versions of autoscalers. What is stored is `autoscaling/v2`; `v1` knows CPU utilisation alone and carries the rest in
//! annotations, as the reference does.

use serde_json::{Value, json};

use crate::read::{Fill, Read};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

/// Rewrites an autoscaler to `autoscaling/v1` or `autoscaling/v2`.
pub(crate) fn convert(hpa: &mut Value, api_version: &str) {
    match api_version {
        "autoscaling/v1" => to_v1(hpa),
        _ => to_v2(hpa),
    }
}

fn to_v2(hpa: &mut Value) {
    let mut metrics: Vec<Value> = annotation(hpa, METRICS).and_then(list).unwrap_or_default();
    let behavior = annotation(hpa, BEHAVIOR).filter(Value::is_object);
    let current = annotation(hpa, CURRENT_METRICS).and_then(list);
    let conditions = annotation(hpa, CONDITIONS).and_then(list);
    if let Some(spec) = hpa.inside("spec") {
        if let Some(target) = spec.remove("targetCPUUtilizationPercentage").filter(|target| !target.is_null()) {
            metrics.insert(0, cpu("target", json!({"type": "Utilization", "averageUtilization": target})));
        }
        if !metrics.is_empty() {
            spec.set("metrics", metrics);
        }
        if let Some(behavior) = behavior {
            spec.set("behavior", behavior);
        }
    }
    if let Some(status) = hpa.inside("status") {
        let mut current = current.unwrap_or_default();
        if let Some(percent) = status.remove("currentCPUUtilizationPercentage").filter(|percent| !percent.is_null()) {
            current.insert(0, cpu("current", json!({"averageUtilization": percent})));
        }
        if !current.is_empty() {
            status.set("currentMetrics", current);
        }
        if let Some(conditions) = conditions {
            status.set("conditions", conditions);
        }
    }
}

fn to_v1(hpa: &mut Value) {
    let mut kept: Vec<(&str, Value)> = Vec::new();
    if let Some(spec) = hpa.inside("spec") {
        let mut metrics = spec.remove("metrics").and_then(list).unwrap_or_default();
        let utilization = |metric: &Value| {
            let target = metric.or_null("resource").or_null("target");
            let is_cpu = metric.text("type") == "Resource" && metric.or_null("resource").text("name") == "cpu";
            if is_cpu { target.int("averageUtilization") } else { None }
        };
        if let Some(index) = metrics.iter().position(|metric| utilization(metric).is_some()) {
            let metric = metrics.remove(index);
            if let Some(percent) = utilization(&metric) {
                spec.set("targetCPUUtilizationPercentage", percent);
            }
        }
        if !metrics.is_empty() {
            kept.push((METRICS, Value::Array(metrics)));
        }
        if let Some(behavior) = spec.remove("behavior").filter(|behavior| !behavior.is_null()) {
            kept.push((BEHAVIOR, behavior));
        }
    }
    if let Some(status) = hpa.inside("status") {
        let mut current = status.remove("currentMetrics").and_then(list).unwrap_or_default();
        let utilization = |metric: &Value| {
            let is_cpu = metric.text("type") == "Resource" && metric.or_null("resource").text("name") == "cpu";
            let value = metric.or_null("resource").or_null("current");
            if is_cpu { value.int("averageUtilization") } else { None }
        };
        if let Some(index) = current.iter().position(|metric| utilization(metric).is_some()) {
            let metric = current.remove(index);
            if let Some(percent) = utilization(&metric) {
                status.set("currentCPUUtilizationPercentage", percent);
            }
        }
        if !current.is_empty() {
            kept.push((CURRENT_METRICS, Value::Array(current)));
        }
        if let Some(conditions) = status.remove("conditions").and_then(list).filter(|list| !list.is_empty()) {
            kept.push((CONDITIONS, Value::Array(conditions)));
        }
    }
    if kept.is_empty() {
        return;
    }
    if let Some(annotations) = hpa.make("metadata").and_then(|metadata| metadata.make("annotations")) {
        for (name, value) in kept {
            annotations.set(name, value.to_string());
        }
    }
}

/// Takes the annotation out and reads it as JSON.
fn annotation(hpa: &mut Value, name: &str) -> Option<Value> {
    let metadata = hpa.inside("metadata")?;
    let annotations = metadata.inside("annotations")?;
    let text = annotations.remove(name)?;
    if annotations.as_object().is_some_and(serde_json::Map::is_empty) {
        metadata.remove("annotations");
    }
    serde_json::from_str(text.as_str()?).ok()
}

fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

fn cpu(side: &str, amount: Value) -> Value {
    json!({"type": "Resource", "resource": {"name": "cpu", side: amount}})
}
