//! What keeps pods running: apps, batch, autoscaling, disruption budgets.

use jiff::Timestamp;
use serde_json::Value;

use crate::age::{human_duration, since, timestamp};
use crate::cells::{
    NONE, UNSET, age, at, condition_is_true, containers, count, flag, integer, is_deleted, items, labels, name, or,
    selector, shown_or, text,
};
use crate::column::{AGE, CONTAINERS, Column, IMAGES, NAME, Printer, SELECTOR};

pub(super) const REPLICATION_CONTROLLER: Printer =
    Printer { columns: REPLICAS, cells: |object, now| replicas(object, now, labels(at(object, "spec.selector"))) };

pub(super) const REPLICA_SET: Printer =
    Printer { columns: REPLICAS, cells: |object, now| replicas(object, now, selector(at(object, "spec.selector"))) };

const REPLICAS: &[Column] = &[
    NAME,
    Column::integer("Desired", "How many pods there shall be."),
    Column::integer("Current", "How many pods there are."),
    Column::integer("Ready", "How many pods are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn replicas(object: &Value, now: Timestamp, selector: String) -> Vec<Value> {
    let [names, images] = containers(at(object, "spec.template.spec"));
    vec![
        name(object),
        integer(object, "spec.replicas").into(),
        integer(object, "status.replicas").into(),
        integer(object, "status.readyReplicas").into(),
        age(object, now),
        names,
        images,
        selector.into(),
    ]
}

pub(super) const DEPLOYMENT: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Ready", "Number of the pod with ready state"),
        Column::string("Up-to-date", "How many pods have the desired template."),
        Column::string("Available", "How many pods have been ready for long enough."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    cells: |object, now| {
        let [names, images] = containers(at(object, "spec.template.spec"));
        let ready = integer(object, "status.readyReplicas");
        vec![
            name(object),
            format!("{ready}/{}", integer(object, "spec.replicas")).into(),
            integer(object, "status.updatedReplicas").into(),
            integer(object, "status.availableReplicas").into(),
            age(object, now),
            names,
            images,
            selector(at(object, "spec.selector")).into(),
        ]
    },
};

pub(super) const STATEFUL_SET: Printer = Printer {
    columns: &[NAME, Column::string("Ready", "Number of the pod with ready state"), AGE, CONTAINERS, IMAGES],
    cells: |object, now| {
        let [names, images] = containers(at(object, "spec.template.spec"));
        let ready = integer(object, "status.readyReplicas");
        let ready = format!("{ready}/{}", integer(object, "spec.replicas"));
        vec![name(object), ready.into(), age(object, now), names, images]
    },
};

pub(super) const DAEMON_SET: Printer = Printer {
    columns: &[
        NAME,
        Column::integer("Desired", "How many nodes should run the pod."),
        Column::integer("Current", "How many nodes run at least one such pod and should."),
        Column::integer("Ready", "On how many of them the pod is ready."),
        Column::integer("Up-to-date", "On how many of them the pod has the desired template."),
        Column::integer("Available", "On how many of them the pod has been ready for long enough."),
        Column::string("Node Selector", "The labels that a node needs."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    cells: |object, now| {
        let [names, images] = containers(at(object, "spec.template.spec"));
        vec![
            name(object),
            integer(object, "status.desiredNumberScheduled").into(),
            integer(object, "status.currentNumberScheduled").into(),
            integer(object, "status.numberReady").into(),
            integer(object, "status.updatedNumberScheduled").into(),
            integer(object, "status.numberAvailable").into(),
            labels(at(object, "spec.template.spec.nodeSelector")).into(),
            age(object, now),
            names,
            images,
            selector(at(object, "spec.selector")).into(),
        ]
    },
};

pub(super) const CONTROLLER_REVISION: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Controller", "Controller of the object"),
        Column::integer("Revision", "The number of the state that is kept."),
        AGE,
    ],
    cells: |object, now| {
        let owner = items(object, "metadata.ownerReferences").iter().find(|owner| flag(owner, "controller"));
        let controller = owner.map_or_else(
            || NONE.to_owned(),
            |owner| {
                let version = text(owner, "apiVersion");
                let kind = text(owner, "kind").to_lowercase();
                let kind = version.split_once('/').map_or(kind.clone(), |(group, _)| format!("{kind}.{group}"));
                format!("{kind}/{}", text(owner, "name"))
            },
        );
        vec![name(object), controller.into(), integer(object, "revision").into(), age(object, now)]
    },
};

pub(super) const JOB: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Status", "Status of the job."),
        Column::string("Completions", "How many pods have succeeded, of how many."),
        Column::string("Duration", "Time required to complete the job."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    cells: job,
};

fn job(job: &Value, now: Timestamp) -> Vec<Value> {
    let succeeded = integer(job, "status.succeeded");
    let completions = match (at(job, "spec.completions").as_i64(), integer(job, "spec.parallelism")) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let end = timestamp(at(job, "status.completionTime")).unwrap_or(now);
    let duration = timestamp(at(job, "status.startTime")).map(|start| human_duration(end.duration_since(start)));
    let status = match () {
        () if condition_is_true(job, "Complete") => "Complete",
        () if condition_is_true(job, "Failed") => "Failed",
        () if is_deleted(job) => "Terminating",
        () if condition_is_true(job, "Suspended") => "Suspended",
        () if condition_is_true(job, "FailureTarget") => "FailureTarget",
        () if condition_is_true(job, "SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    };
    let [names, images] = containers(at(job, "spec.template.spec"));
    vec![
        name(job),
        status.into(),
        completions.into(),
        duration.unwrap_or_default().into(),
        age(job, now),
        names,
        images,
        selector(at(job, "spec.selector")).into(),
    ]
}

pub(super) const CRON_JOB: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Schedule", "When jobs start, in Cron format."),
        Column::string("Timezone", "The time zone of the schedule."),
        Column::boolean("Suspend", "Whether no further jobs start."),
        Column::integer("Active", "How many jobs run now."),
        Column::string("Last Schedule", "When the last job was due."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    cells: |object, now| {
        let [names, images] = containers(at(object, "spec.jobTemplate.spec.template.spec"));
        let last = at(object, "status.lastScheduleTime");
        let last = if last.is_null() { NONE.to_owned() } else { since(last, now) };
        let suspend = match at(object, "spec.suspend").as_bool() {
            Some(true) => "True",
            Some(false) => "False",
            None => UNSET,
        };
        vec![
            name(object),
            text(object, "spec.schedule").into(),
            shown_or(object, "spec.timeZone", NONE).into(),
            suspend.into(),
            count(object, "status.active").into(),
            last.into(),
            age(object, now),
            names,
            images,
            selector(at(object, "spec.jobTemplate.spec.selector")).into(),
        ]
    },
};

pub(super) const POD_DISRUPTION_BUDGET: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Min Available", "The minimum number of pods that must be available."),
        Column::string("Max Unavailable", "The maximum number of pods that may be unavailable."),
        Column::integer("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time."),
        AGE,
    ],
    cells: |object, now| {
        vec![
            name(object),
            shown_or(object, "spec.minAvailable", "N/A").into(),
            shown_or(object, "spec.maxUnavailable", "N/A").into(),
            integer(object, "status.disruptionsAllowed").into(),
            age(object, now),
        ]
    },
};

pub(super) const SCALE: Printer = Printer {
    columns: &[
        NAME,
        Column::integer("Desired", "How many pods there shall be."),
        Column::integer("Available", "How many pods there are."),
        AGE,
    ],
    cells: |object, now| {
        let (desired, available) = (integer(object, "spec.replicas"), integer(object, "status.replicas"));
        vec![name(object), desired.into(), available.into(), age(object, now)]
    },
};

pub(super) const HORIZONTAL_POD_AUTOSCALER: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Reference", "The object that is scaled."),
        Column::string("Targets", "Current and desired value of each metric."),
        Column::string("MinPods", "The lower limit of replicas."),
        Column::string("MaxPods", "The upper limit of replicas."),
        Column::string("Replicas", "How many replicas there are."),
        AGE,
    ],
    cells: |object, now| {
        let target = at(object, "spec.scaleTargetRef");
        vec![
            name(object),
            format!("{}/{}", text(target, "kind"), text(target, "name")).into(),
            autoscaler_metrics(object).into(),
            shown_or(object, "spec.minReplicas", UNSET).into(),
            integer(object, "spec.maxReplicas").into(),
            integer(object, "status.currentReplicas").into(),
            age(object, now),
        ]
    },
};

/// Two metrics as `current/target`, and how many more there are; for `autoscaling/v1` objects the one it knows.
fn autoscaler_metrics(object: &Value) -> String {
    const SHOWN: usize = 2;
    if let Some(target) = at(object, "spec.targetCPUUtilizationPercentage").as_i64() {
        let current = shown_or(object, "status.currentCPUUtilizationPercentage", "");
        let current = if current.is_empty() { "<unknown>".to_owned() } else { format!("{current}%") };
        return format!("cpu: {current}/{target}%");
    }
    let statuses = items(object, "status.currentMetrics");
    let shown: Vec<String> = items(object, "spec.metrics")
        .iter()
        .enumerate()
        .map(|(index, spec)| autoscaler_metric(spec, statuses.get(index).unwrap_or(&Value::Null)))
        .collect();
    match shown.len() {
        0 => NONE.to_owned(),
        all if all > SHOWN => format!("{} + {} more...", shown[..SHOWN].join(", "), all - SHOWN),
        _ => shown.join(", "),
    }
}

fn autoscaler_metric(spec: &Value, status: &Value) -> String {
    let (field, prefix) = match text(spec, "type") {
        "External" => ("external", String::new()),
        "Pods" => ("pods", String::new()),
        "Object" => ("object", String::new()),
        "Resource" => ("resource", format!("{}: ", text(spec, "resource.name"))),
        "ContainerResource" => ("containerResource", format!("{}: ", text(spec, "containerResource.name"))),
        _ => return "<unknown type>".to_owned(),
    };
    let target = at(at(spec, field), "target");
    let current = at(at(status, field), "current");
    let is_resource = !prefix.is_empty();
    let quantity = |of: &Value, name: &str, missing: &str| shown_or(of, name, missing);
    if !at(target, "averageValue").is_null() {
        let suffix = if matches!(field, "external" | "object") { " (avg)" } else { "" };
        let current = quantity(current, "averageValue", "<unknown>");
        return format!("{prefix}{current}/{}{suffix}", quantity(target, "averageValue", ""));
    }
    if is_resource {
        let percent = |of: &Value, missing: &str| {
            let value = at(of, "averageUtilization").as_i64();
            value.map_or_else(|| missing.to_owned(), |value| format!("{value}%"))
        };
        return format!("{prefix}{}/{}", percent(current, "<unknown>"), percent(target, "<auto>"));
    }
    let current = quantity(current, "value", "<unknown>");
    format!("{}/{}", or(&current, "<unknown>"), quantity(target, "value", ""))
}
