//! Namespaces, configuration, events, leases, quotas.

use jiff::Timestamp;
use serde_json::Value;

use crate::age::since;
use crate::cells::{age, at, condition, count, integer, items, name, or, shown_or, text};
use crate::column::{AGE, Column, NAME, Printer};

pub(super) const NAMESPACE: Printer = Printer {
    columns: &[NAME, Column::string("Status", "The status of the namespace"), AGE],
    cells: |object, now| vec![name(object), text(object, "status.phase").into(), age(object, now)],
};

pub(super) const CONFIG_MAP: Printer = Printer {
    columns: &[NAME, Column::string("Data", "How many entries there are."), AGE],
    cells: |object, now| {
        vec![name(object), (count(object, "data") + count(object, "binaryData")).into(), age(object, now)]
    },
};

pub(super) const SECRET: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Type", "What the secret is for."),
        Column::string("Data", "How many entries there are."),
        AGE,
    ],
    cells: |object, now| {
        vec![name(object), text(object, "type").into(), count(object, "data").into(), age(object, now)]
    },
};

pub(super) const LEASE: Printer = Printer {
    columns: &[NAME, Column::string("Holder", "Who holds the lease."), AGE],
    cells: |object, now| vec![name(object), text(object, "spec.holderIdentity").into(), age(object, now)],
};

pub(super) const STATUS: Printer = Printer {
    columns: &[
        Column::string("Status", "Success or Failure."),
        Column::string("Reason", "Why, in a word."),
        Column::string("Message", "Why, in a sentence."),
    ],
    cells: |object, _| ["status", "reason", "message"].map(|field| text(object, field).into()).to_vec(),
};

pub(super) const COMPONENT_STATUS: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Status", "Status of the component conditions"),
        Column::string("Message", "Message of the component conditions"),
        Column::string("Error", "Error of the component conditions"),
    ],
    cells: |object, _| {
        let healthy = items(object, "conditions").iter().find(|condition| text(condition, "type") == "Healthy");
        let status = match healthy.map(|condition| text(condition, "status")) {
            Some("True") => "Healthy",
            Some(_) => "Unhealthy",
            None => "Unknown",
        };
        let part = |field: &str| healthy.map_or("", |condition| text(condition, field));
        vec![name(object), status.into(), part("message").into(), part("error").into()]
    },
};

pub(super) const EVENT: Printer = Printer {
    columns: &[
        Column::string("Last Seen", "When it was last seen."),
        Column::string("Type", "Normal or Warning."),
        Column::string("Reason", "What happened, in a word."),
        Column::string("Object", "What it happened to."),
        Column::string("Subobject", "Which part of the object.").wide(),
        Column::string("Source", "Who reported it.").wide(),
        Column::string("Message", "What happened, in a sentence."),
        Column::string("First Seen", "When it was first seen.").wide(),
        Column::string("Count", "How often it was seen.").wide(),
        NAME.wide(),
    ],
    cells: event,
};

/// Both `v1` and `events.k8s.io/v1` events: the second names the same things differently.
fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let first_of = |paths: [&str; 2]| {
        let mut found = paths.iter().map(|path| at(event, path)).filter(|value| !value.is_null());
        found.next().unwrap_or(&Value::Null)
    };
    let object = first_of(["involvedObject", "regarding"]);
    let first = match first_of(["firstTimestamp", "deprecatedFirstTimestamp"]) {
        Value::Null => since(at(event, "eventTime"), now),
        time => since(time, now),
    };
    let series = at(event, "series");
    let last = match (series, first_of(["lastTimestamp", "deprecatedLastTimestamp"])) {
        (Value::Null, Value::Null) => first.clone(),
        (Value::Null, time) => since(time, now),
        (series, _) => since(at(series, "lastObservedTime"), now),
    };
    let times = match series {
        Value::Null => first_of(["count", "deprecatedCount"]).as_i64().filter(|times| *times != 0).unwrap_or(1),
        series => integer(series, "count"),
    };
    let kind = text(object, "kind").to_lowercase();
    let target = match text(object, "name") {
        "" => kind,
        object_name => format!("{kind}/{object_name}"),
    };
    let source = first_of(["source", "deprecatedSource"]);
    let reporter = first_of(["reportingComponent", "reportingController"]).as_str().unwrap_or_default();
    let component = or(text(source, "component"), reporter);
    let host = or(text(source, "host"), text(event, "reportingInstance"));
    let source = if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") };
    let message = first_of(["message", "note"]).as_str().unwrap_or_default();
    vec![
        last.into(),
        text(event, "type").into(),
        text(event, "reason").into(),
        target.into(),
        text(object, "fieldPath").into(),
        source.into(),
        message.trim().into(),
        first.into(),
        times.into(),
        name(event),
    ]
}

pub(super) const RESOURCE_QUOTA: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Request", "Request represents a minimum amount of cpu/memory that a container may consume."),
        Column::string(
            "Limit",
            "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
        ),
        AGE,
    ],
    cells: |object, now| {
        let used = at(object, "status.used");
        let hard = at(object, "status.hard").as_object().into_iter().flatten();
        let (limits, requests): (Vec<_>, Vec<_>) = hard
            .map(|(resource, hard)| {
                let used = used.get(resource).and_then(Value::as_str).unwrap_or("0");
                (resource, format!("{resource}: {used}/{}", hard.as_str().unwrap_or_default()))
            })
            .partition(|(resource, _)| resource.starts_with("limits."));
        let column = |entries: Vec<(&String, String)>| {
            entries.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>().join(", ")
        };
        vec![name(object), column(requests).into(), column(limits).into(), age(object, now)]
    },
};

/// `True`, `False`, `Unknown` or `?` if the object has no such condition.
pub(super) fn condition_status(object: &Value, kind: &str) -> String {
    condition(object, kind).map_or_else(|| "?".to_owned(), |condition| shown_or(condition, "status", "?"))
}
