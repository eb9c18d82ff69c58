//! What may be said of a pod's state.

use serde_json::Value;

use super::restart;
use crate::check;
use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::read::Read;
use crate::seen::Seen;

const SYSTEM_CONDITIONS: [&str; 3] = ["PodScheduled", "Ready", "Initialized"];

pub(super) fn validate(new: &Value, old: &Value, errors: &mut Errors) {
    let metadata_at = At::Root.field("metadata");
    let (new_status, old_status) = (new.or_null("status"), old.or_null("status"));
    let conditions_at = metadata_at.field("conditions");
    for (index, condition) in new_status.list("conditions").iter().enumerate() {
        let kind = condition.text("type");
        if !SYSTEM_CONDITIONS.contains(&kind) {
            let at = conditions_at.index(index);
            errors.each_invalid(&at.field("Type"), kind, names::qualified_name(kind));
        }
    }
    let at = At::Root.field("status");
    let nominated = new_status.text("nominatedNodeName");
    if nominated != old_status.text("nominatedNodeName") && !nominated.is_empty() {
        errors.each_invalid(&at.field("nominatedNodeName"), nominated, names::dns_subdomain(nominated));
    }
    let spec = old.or_null("spec");
    let policy = spec.text("restartPolicy");
    transitions(new_status, old_status, "containerStatuses", policy, spec, errors);
    transitions(new_status, old_status, "initContainerStatuses", policy, spec, errors);
    transitions(new_status, old_status, "ephemeralContainerStatuses", "Never", spec, errors);
    addresses(new_status, "podIPs", &at, errors);
    if let Some(first) = new_status.list("hostIPs").first() {
        if first.text("ip") != new_status.text("hostIP") {
            let at = at.field("hostIPs");
            let at = at.index(0);
            errors.invalid(&at.field("ip"), first.text("ip"), "must be equal to `hostIP`");
        }
        addresses(new_status, "hostIPs", &at, errors);
    }
}

/// A container that ended and is not to be restarted has ended for good.
fn transitions(new: &Value, old: &Value, list: &str, policy: &str, spec: &Value, errors: &mut Errors) {
    if policy == "Always" {
        return;
    }
    let at = At::Root.field("status");
    let at = at.field(list);
    for (index, status) in old.list(list).iter().enumerate() {
        let Some(terminated) = status.or_null("state").at("terminated") else { continue };
        let name = status.text("name");
        let mut containers = spec.list("containers").iter().chain(spec.list("initContainers"));
        let container = containers.find(|container| container.text("name") == name).unwrap_or(&Value::Null);
        if restart::runs_again(container, policy, terminated.int("exitCode").unwrap_or(0)) {
            continue;
        }
        let revived = new
            .list(list)
            .iter()
            .any(|status| status.text("name") == name && !status.or_null("state").has("terminated"));
        if revived {
            let at = at.index(index);
            errors.forbidden(&at.field("state"), "may not be transitioned to non-terminated state");
        }
    }
}

fn addresses(status: &Value, list: &str, at: &At<'_>, errors: &mut Errors) {
    let at = at.field(list);
    let entries = status.list(list);
    let mut families = (0, 0);
    let mut seen = Seen::new();
    for (index, entry) in entries.iter().enumerate() {
        let at = at.index(index);
        let text = entry.text("ip");
        match check::ip(text, &at, errors) {
            Some(address) if address.is_ipv4() => families.0 += 1,
            Some(_) => families.1 += 1,
            None => {}
        }
        if seen.again(text) {
            errors.duplicate(&at, entry.clone());
        }
    }
    if families.0 > 1 || families.1 > 1 {
        errors.invalid(&at, entries.to_vec(), "may specify no more than one IP for each IP family");
    }
}
