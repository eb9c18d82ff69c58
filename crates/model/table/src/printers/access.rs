//! Who may do what: accounts, bindings, certificate requests.

use serde_json::Value;

use crate::age::human_duration;
use crate::cells::{NONE, age, at, condition, count, items, join, name, text};
use crate::column::{AGE, Column, NAME, Printer};

pub(super) const SERVICE_ACCOUNT: Printer = Printer {
    columns: &[NAME, Column::string("Secrets", "How many secrets the account may mount."), AGE],
    cells: |object, now| vec![name(object), count(object, "secrets").into(), age(object, now)],
};

pub(super) const ROLE_BINDING: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Role", "The role that is given."),
        AGE,
        Column::string("Users", "Users in the roleBinding").wide(),
        Column::string("Groups", "Groups in the roleBinding").wide(),
        Column::string("ServiceAccounts", "ServiceAccounts in the roleBinding").wide(),
    ],
    cells: |object, now| {
        let role = at(object, "roleRef");
        vec![
            name(object),
            format!("{}/{}", text(role, "kind"), text(role, "name")).into(),
            age(object, now),
            subjects(object, "User").into(),
            subjects(object, "Group").into(),
            subjects(object, "ServiceAccount").into(),
        ]
    },
};

fn subjects(binding: &Value, kind: &str) -> String {
    let of_kind = items(binding, "subjects").iter().filter(|subject| text(subject, "kind") == kind);
    let shown = of_kind.map(|subject| match text(subject, "namespace") {
        namespace if kind == "ServiceAccount" && !namespace.is_empty() => {
            format!("{namespace}/{}", text(subject, "name"))
        }
        _ => text(subject, "name").to_owned(),
    });
    shown.collect::<Vec<_>>().join(", ")
}

pub(super) const CERTIFICATE_SIGNING_REQUEST: Printer = Printer {
    columns: &[
        NAME,
        AGE,
        Column::string("SignerName", "Who is asked to sign."),
        Column::string("Requestor", "Who asks."),
        Column::string("RequestedDuration", "For how long the certificate shall be valid."),
        Column::string("Condition", "Whether it was approved, denied, issued."),
    ],
    cells: |object, now| {
        let seconds = at(object, "spec.expirationSeconds").as_i64();
        let duration =
            seconds.map_or_else(|| NONE.to_owned(), |seconds| human_duration(jiff::SignedDuration::from_secs(seconds)));
        let mut states = vec![match () {
            () if condition(object, "Denied").is_some() => "Denied",
            () if condition(object, "Approved").is_some() => "Approved",
            () => "Pending",
        }];
        if condition(object, "Failed").is_some() {
            states.push("Failed");
        }
        if !text(object, "status.certificate").is_empty() {
            states.push("Issued");
        }
        vec![
            name(object),
            age(object, now),
            text(object, "spec.signerName").into(),
            text(object, "spec.username").into(),
            duration.into(),
            join(states.into_iter(), ",").into(),
        ]
    },
};
