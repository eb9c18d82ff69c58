//! What shapes the API itself: aggregation, admission, flow control.

use serde_json::Value;

use super::cluster::condition_status;
use crate::cells::{NONE, UNSET, age, at, condition, count, integer, name, or, shown_or, text};
use crate::column::{AGE, Column, NAME, Printer};

pub(super) const API_SERVICE: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Service", "The reference to the service that hosts this API endpoint."),
        Column::string("Available", "Whether this service is available."),
        AGE,
    ],
    cells: |object, now| {
        let service = at(object, "spec.service");
        let service = match service {
            Value::Null => "Local".to_owned(),
            _ => format!("{}/{}", text(service, "namespace"), text(service, "name")),
        };
        let available = match condition(object, "Available") {
            Some(condition) if text(condition, "status") == "True" => "True".to_owned(),
            Some(condition) => format!("{} ({})", text(condition, "status"), text(condition, "reason")),
            None => "Unknown".to_owned(),
        };
        vec![name(object), service.into(), available.into(), age(object, now)]
    },
};

pub(super) const WEBHOOKS: Printer = Printer {
    columns: &[NAME, Column::integer("Webhooks", "How many webhooks there are."), AGE],
    cells: |object, now| vec![name(object), count(object, "webhooks").into(), age(object, now)],
};

pub(super) const VALIDATING_POLICY: Printer = Printer {
    columns: &[
        NAME,
        Column::integer("Validations", "How many expressions the policy checks."),
        Column::string("ParamKind", "The kind of the parameters."),
        AGE,
    ],
    cells: |object, now| policy(object, "spec.validations", age(object, now)),
};

pub(super) const MUTATING_POLICY: Printer = Printer {
    columns: &[
        NAME,
        Column::integer("Mutations", "How many changes the policy makes."),
        Column::string("ParamKind", "The kind of the parameters."),
        AGE,
    ],
    cells: |object, now| policy(object, "spec.mutations", age(object, now)),
};

fn policy(object: &Value, rules: &str, age: Value) -> Vec<Value> {
    let parameter = match at(object, "spec.paramKind") {
        Value::Null => UNSET.to_owned(),
        kind => format!("{}/{}", text(kind, "apiVersion"), text(kind, "kind")),
    };
    vec![name(object), count(object, rules).into(), parameter.into(), age]
}

pub(super) const POLICY_BINDING: Printer = Printer {
    columns: &[
        NAME,
        Column::string("PolicyName", "The policy that is put into force."),
        Column::string("ParamRef", "The parameters."),
        AGE,
    ],
    cells: |object, now| {
        let parameter = match at(object, "spec.paramRef") {
            Value::Null => UNSET.to_owned(),
            reference => match (text(reference, "namespace"), text(reference, "name")) {
                (_, "") => "*".to_owned(),
                ("", name) => name.to_owned(),
                (namespace, name) => format!("{namespace}/{name}"),
            },
        };
        vec![name(object), text(object, "spec.policyName").into(), parameter.into(), age(object, now)]
    },
};

pub(super) const FLOW_SCHEMA: Printer = Printer {
    columns: &[
        NAME,
        Column::string("PriorityLevel", "The level that requests are queued in."),
        Column::integer("MatchingPrecedence", "Smaller goes first."),
        Column::string("DistinguisherMethod", "What tells flows apart."),
        AGE,
        Column::string("MissingPL", "references a broken or non-existent PriorityLevelConfiguration"),
    ],
    cells: |object, now| {
        vec![
            name(object),
            or(text(object, "spec.priorityLevelConfiguration.name"), NONE).into(),
            integer(object, "spec.matchingPrecedence").into(),
            or(text(object, "spec.distinguisherMethod.type"), NONE).into(),
            age(object, now),
            condition_status(object, "Dangling").into(),
        ]
    },
};

pub(super) const PRIORITY_LEVEL: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Type", "Exempt or Limited."),
        Column::string("NominalConcurrencyShares", "The level's share of the server's capacity."),
        Column::string("Queues", "How many queues there are."),
        Column::string("HandSize", "How many queues a flow is spread over."),
        Column::string("QueueLengthLimit", "How many requests may wait in a queue."),
        AGE,
    ],
    cells: |object, now| {
        let kind = text(object, "spec.type");
        let settings = if kind == "Exempt" { "spec.exempt" } else { "spec.limited" };
        let queuing = at(object, "spec.limited.limitResponse.queuing");
        vec![
            name(object),
            kind.into(),
            shown_or(at(object, settings), "nominalConcurrencyShares", NONE).into(),
            shown_or(queuing, "queues", NONE).into(),
            shown_or(queuing, "handSize", NONE).into(),
            shown_or(queuing, "queueLengthLimit", NONE).into(),
            age(object, now),
        ]
    },
};
