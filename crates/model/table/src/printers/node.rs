//! Nodes and what decides where pods go and how they run.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cells::{NONE, UNSET, age, at, condition, flag, integer, is_deleted, items, join, name, or, text};
use crate::column::{AGE, Column, NAME, Printer};

pub(super) const NODE: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Status", "The status of the node"),
        Column::string("Roles", "The roles of the node"),
        AGE,
        Column::string("Version", "Kubelet Version reported by the node."),
        Column::string("Internal-IP", "The first address of type InternalIP.").wide(),
        Column::string("External-IP", "The first address of type ExternalIP.").wide(),
        Column::string(
            "OS-Image",
            "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy)).",
        )
        .wide(),
        Column::string(
            "Kernel-Version",
            "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64).",
        )
        .wide(),
        Column::string(
            "Container-Runtime",
            "ContainerRuntime Version reported by the node through runtime remote API (e.g. containerd://1.4.2).",
        )
        .wide(),
    ],
    cells: |object, now| {
        let information = |field: &str| text(at(object, "status.nodeInfo"), field);
        let mut status = match condition(object, "Ready").map(|ready| text(ready, "status")) {
            Some("True") => "Ready",
            Some(_) => "NotReady",
            None => "Unknown",
        }
        .to_owned();
        if flag(object, "spec.unschedulable") {
            status.push_str(",SchedulingDisabled");
        }
        vec![
            name(object),
            status.into(),
            roles(object).into(),
            age(object, now),
            information("kubeletVersion").into(),
            address(object, "InternalIP").into(),
            address(object, "ExternalIP").into(),
            or(information("osImage"), "<unknown>").into(),
            or(information("kernelVersion"), "<unknown>").into(),
            or(information("containerRuntimeVersion"), "<unknown>").into(),
        ]
    },
};

fn roles(node: &Value) -> String {
    let labels = at(node, "metadata.labels").as_object().into_iter().flatten();
    let role = |(key, value): (&String, &Value)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some(role) => Some(role.to_owned()),
        None if key == "kubernetes.io/role" => value.as_str().map(str::to_owned),
        None => None,
    };
    let roles: BTreeSet<String> = labels.filter_map(role).filter(|role| !role.is_empty()).collect();
    or(&join(roles.iter().map(String::as_str), ","), NONE).to_owned()
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    let mut addresses = items(node, "status.addresses").iter();
    addresses.find(|address| text(address, "type") == kind).map_or(NONE, |address| text(address, "address"))
}

pub(super) const RUNTIME_CLASS: Printer = Printer {
    columns: &[NAME, Column::string("Handler", "The runtime configuration that pods of this class use."), AGE],
    cells: |object, now| vec![name(object), text(object, "handler").into(), age(object, now)],
};

pub(super) const PRIORITY_CLASS: Printer = Printer {
    columns: &[
        NAME,
        Column::integer("Value", "The priority of pods of this class."),
        Column::boolean("Global-Default", "Whether pods without a class get this one."),
        AGE,
        Column::string("PreemptionPolicy", "Whether pods of this class may take the place of others."),
    ],
    cells: |object, now| {
        vec![
            name(object),
            integer(object, "value").into(),
            flag(object, "globalDefault").into(),
            age(object, now),
            or(text(object, "preemptionPolicy"), "PreemptLowerPriority").into(),
        ]
    },
};

pub(super) const RESOURCE_CLAIM: Printer = Printer {
    columns: &[
        NAME,
        Column::string("State", "A summary of the current state (allocated, pending, reserved, etc.)."),
        AGE,
    ],
    cells: |object, now| {
        let mut states = Vec::new();
        if is_deleted(object) {
            states.push("deleted");
        }
        match (at(object, "status.allocation").is_null(), items(object, "status.reservedFor").is_empty()) {
            (true, _) => states.push("pending"),
            (false, true) => states.push("allocated"),
            (false, false) => states.extend(["allocated", "reserved"]),
        }
        vec![name(object), states.join(",").into(), age(object, now)]
    },
};

pub(super) const RESOURCE_SLICE: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Node", "The node that has the devices."),
        Column::string("Driver", "The driver of the devices."),
        Column::string("Pool", "The pool that the devices belong to."),
        AGE,
    ],
    cells: |object, now| {
        vec![
            name(object),
            or(text(object, "spec.nodeName"), UNSET).into(),
            text(object, "spec.driver").into(),
            text(object, "spec.pool.name").into(),
            age(object, now),
        ]
    },
};
