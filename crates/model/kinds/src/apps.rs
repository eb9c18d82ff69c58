//! Controllers that keep pods running: Deployments and the like.

mod daemon_set;
mod deployment;
mod replica_set;
mod replication_controller;
mod revision;
mod stateful_set;

pub(crate) use daemon_set::DaemonSet;
pub(crate) use deployment::Deployment;
pub(crate) use replica_set::ReplicaSet;
pub(crate) use replication_controller::ReplicationController;
pub(crate) use revision::ControllerRevision;
pub(crate) use stateful_set::StatefulSet;

use serde_json::Value;

use crate::check;
use crate::error::Errors;
use crate::path::At;
use crate::read::Read;

/// Checks counters of a status: not below zero, and none of `parts` above `whole`; `ready` is what messages call the ready ones.
fn counts(status: &Value, counters: &[&str], whole: &str, parts: &[&str], ready: &str, errors: &mut Errors) {
    let at = At::Root.field("status");
    for counter in counters {
        check::nonnegative(status, counter, &at, errors);
    }
    let count = |name: &str| status.int(name).unwrap_or(0);
    for part in parts {
        if count(part) > count(whole) {
            errors.invalid(&at.field(part), count(part), format!("cannot be greater than status.{whole}"));
        }
    }
    if parts.contains(&"availableReplicas") && count("availableReplicas") > count("readyReplicas") {
        let detail = format!("cannot be greater than {ready}");
        errors.invalid(&at.field("availableReplicas"), count("availableReplicas"), detail);
    }
}

/// The number of hash collisions only grows.
fn collisions(new: &Value, old: &Value, errors: &mut Errors) {
    let (new, old) = (new.or_null("status").int("collisionCount"), old.or_null("status").int("collisionCount"));
    if old.is_some_and(|old| new.is_none_or(|new| new < old)) {
        let at = At::Root.field("status");
        errors.invalid(&at.field("collisionCount"), new.unwrap_or(0), "cannot be decremented");
    }
}
