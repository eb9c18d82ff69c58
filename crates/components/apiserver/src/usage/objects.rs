//! NodeMetrics and PodMetrics.

use jiff::{SignedDuration, Timestamp};
use minato_quantity::{Format, Quantity};
use serde_json::{Value, json};

use super::samples::Usage;
use super::scrape::Snapshot;
use super::{Measured, describe, metadata};
use crate::object;

/// What is measured of a node or pod; `None` while that is not everything.
pub(super) fn of(measured: Measured, found: &Value, usage: &Snapshot, now: Timestamp) -> Option<Value> {
    let (used, rest) = match measured {
        Measured::Nodes => {
            let used = usage.nodes.get(object::text(found, "name"))?;
            (*used, json!({"usage": amounts(used)}))
        }
        Measured::Pods => pod(found, usage)?,
    };
    let mut object = json!({
        "kind": measured.kind(), "apiVersion": describe::API_VERSION, "metadata": metadata(found, now),
        "timestamp": object::time(used.at), "window": duration(used.window),
    });
    if let (Value::Object(object), Value::Object(rest)) = (&mut object, rest) {
        object.extend(rest);
    }
    Some(object)
}

/// All containers that run, or nothing: a sum over some of them would mislead autoscalers.
fn pod(found: &Value, usage: &Snapshot) -> Option<(Usage, Value)> {
    let (namespace, name) = (object::text(found, "namespace"), object::text(found, "name"));
    let statuses = ["initContainerStatuses", "containerStatuses"];
    let statuses = statuses.iter().flat_map(|key| found["status"][key].as_array().into_iter().flatten());
    let running = statuses.filter(|status| status["state"]["running"].is_object());
    let mut containers = Vec::new();
    let mut newest: Option<Usage> = None;
    for status in running {
        let container = status["name"].as_str()?;
        let used = usage.containers.get(&(namespace.to_owned(), name.to_owned(), container.to_owned()))?;
        containers.push(json!({"name": container, "usage": amounts(used)}));
        // The pod's window is that of the container which was looked at first, as metrics-server has it.
        if newest.is_none_or(|known| used.at < known.at) {
            newest = Some(*used);
        }
    }
    Some((newest?, json!({"containers": containers})))
}

fn amounts(used: &Usage) -> Value {
    let cpu = Quantity::parse(&format!("{}n", used.cpu_nanocores)).unwrap_or_default();
    let memory = i64::try_from(used.memory_bytes).unwrap_or(i64::MAX);
    json!({"cpu": cpu.to_string(), "memory": Quantity::from_value(memory, Format::BinarySi).to_string()})
}

/// As Go writes durations: `15.021s`, `1m0.5s`.
fn duration(window: SignedDuration) -> String {
    let milliseconds = window.as_millis().max(0);
    let (minutes, rest) = (milliseconds / 60_000, milliseconds % 60_000);
    let seconds = format!("{}.{:03}", rest / 1000, rest % 1000);
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    let (hours, minutes) = (minutes / 60, minutes % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `columnDefinitions` of tables.
pub(super) fn columns() -> Value {
    let column = |name: &str, format: &str, description: &str| json!({"name": name, "type": "string", "format": format, "description": description, "priority": 0});
    json!([
        column("Name", "name", "Name of the resource"),
        column("cpu", "quantity", ""),
        column("memory", "quantity", ""),
        column("Window", "duration", ""),
    ])
}

/// The cells of one object: of a pod, the sums over its containers.
pub(super) fn cells(object: &Value) -> Value {
    let containers = object["containers"].as_array();
    let usages = containers.into_iter().flatten().map(|container| &container["usage"]).chain([&object["usage"]]);
    let usages: Vec<&Value> = usages.filter(|usage| usage.is_object()).collect();
    let sum = |key: &str, format: Format| {
        let amounts = usages.iter().filter_map(|usage| Quantity::parse(usage[key].as_str()?).ok());
        amounts.fold(Quantity::from_value(0, format), |sum, one| sum + one).to_string()
    };
    json!([
        object["metadata"]["name"],
        sum("cpu", Format::DecimalSi),
        sum("memory", Format::BinarySi),
        object["window"],
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(cpu_nanocores: u64, second: i64) -> Usage {
        let at = Timestamp::from_second(1_700_000_000 + second).unwrap();
        Usage { cpu_nanocores, memory_bytes: 3 << 20, at, window: SignedDuration::from_millis(15_021) }
    }

    #[test]
    fn pods_are_measured_whole_or_not_at_all() {
        let running = |name: &str| json!({"name": name, "state": {"running": {}}});
        let pod = json!({
            "metadata": {"name": "p", "namespace": "n", "labels": {"app": "x"}},
            "status": {"containerStatuses": [running("a"), running("b"), {"name": "done", "state": {"terminated": {}}}]},
        });
        let key = |container: &str| ("n".to_owned(), "p".to_owned(), container.to_owned());
        let mut usage = Snapshot::default();
        usage.containers.insert(key("a"), used(250_000_000, 2));
        let now = Timestamp::from_second(1_700_000_100).unwrap();
        assert_eq!(of(Measured::Pods, &pod, &usage, now), None);
        usage.containers.insert(key("b"), used(123_456, 1));
        let metrics = of(Measured::Pods, &pod, &usage, now).unwrap();
        assert_eq!(metrics["timestamp"], "2023-11-14T22:13:21Z");
        assert_eq!(metrics["window"], "15.021s");
        assert_eq!(metrics["metadata"]["labels"]["app"], "x");
        assert_eq!(metrics["containers"][0], json!({"name": "a", "usage": {"cpu": "250m", "memory": "3Mi"}}));
        assert_eq!(metrics["containers"][1]["usage"]["cpu"], "123456n");
        assert_eq!(cells(&metrics), json!(["p", "250123456n", "6Mi", "15.021s"]));
    }

    #[test]
    fn durations() {
        for (milliseconds, expected) in [(0, "0s"), (15_000, "15s"), (60_500, "1m0.5s"), (3_600_000, "1h0m0s")] {
            assert_eq!(duration(SignedDuration::from_millis(milliseconds)), expected);
        }
    }
}
