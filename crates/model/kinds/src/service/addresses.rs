//! The cluster IPs of a Service: `clusterIP` is the first of `clusterIPs`, and what was given once stays.

use serde_json::{Value, json};

use super::{is_headless, needs_health_check};
use crate::check;
use crate::error::Errors;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::same::same;
use crate::seen::Seen;

const ONCE: &str = "may not change once set";

/// Makes `clusterIP` and `clusterIPs` agree when the user wrote only one of them.
pub(super) fn agree(spec: &mut Value, old: &Value) {
    let single = spec.text("clusterIP").to_owned();
    let first = spec.list("clusterIPs").first().and_then(Value::as_str).map(str::to_owned);
    if old.is_null() {
        match first {
            None if !single.is_empty() => spec.set("clusterIPs", json!([single])),
            Some(first) if single.is_empty() => spec.set("clusterIP", first),
            _ => {}
        }
        return;
    }
    let single_changed = single != old.text("clusterIP");
    let list_changed = !same(spec.at("clusterIPs"), old.at("clusterIPs"));
    match (single_changed, list_changed) {
        // The old way of writing: the list follows.
        (true, false) if single.is_empty() => {
            spec.remove("clusterIPs");
        }
        (true, false) => {
            let mut list = spec.list("clusterIPs").to_vec();
            match list.first_mut() {
                Some(first) => *first = Value::from(single),
                None => list.push(Value::from(single)),
            }
            spec.set("clusterIPs", list);
        }
        (false, true) => match first {
            Some(first) if single.is_empty() => spec.set("clusterIP", first),
            _ => {}
        },
        _ => {}
    }
}

/// A client that leaves out what the API server chose, did not mean to change it.
pub(super) fn keep_allocated(spec: &mut Value, old: &Value) {
    let has_address = |kind: &str| matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer");
    let has_node_ports = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    let (new_type, old_type) = (spec.text("type").to_owned(), old.text("type"));
    if has_address(&new_type) && has_address(old_type) {
        if spec.text("clusterIP").is_empty() && spec.list("clusterIPs").is_empty() {
            spec.copy("clusterIP", old);
            spec.copy("clusterIPs", old);
        }
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if !spec.has(field) {
                spec.copy(field, old);
            }
        }
    }
    if has_node_ports(&new_type) && has_node_ports(old_type) {
        keep_node_ports(spec, old);
    }
    if needs_health_check(spec)
        && needs_health_check(old)
        && spec.int("healthCheckNodePort").unwrap_or(0) == 0
        && old.has("healthCheckNodePort")
    {
        spec.copy("healthCheckNodePort", old);
    }
}

/// A port is the same port as long as protocol and number are; its node port stays.
fn keep_node_ports(spec: &mut Value, old: &Value) {
    let taken: Vec<(String, i64)> = spec
        .list("ports")
        .iter()
        .filter_map(|port| Some((port.text("protocol").to_owned(), port.int("nodePort").filter(|port| *port != 0)?)))
        .collect();
    for port in spec.each("ports") {
        if port.int("nodePort").unwrap_or(0) != 0 {
            continue;
        }
        let found = old
            .list("ports")
            .iter()
            .find(|old| old.text("protocol") == port.text("protocol") && old.int("port") == port.int("port"));
        let Some(number) = found.and_then(|old| old.int("nodePort")).filter(|number| *number != 0) else { continue };
        if !taken.iter().any(|(protocol, taken)| protocol == port.text("protocol") && *taken == number) {
            port.set("nodePort", number);
        }
    }
}

/// Checks addresses, families and family policy.
pub(super) fn validate(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    if spec.text("type") == "ExternalName" {
        return;
    }
    let single = spec.text("clusterIP");
    let list = spec.list("clusterIPs");
    let list_at = at.field("clusterIPs");
    if single.is_empty() {
        if !list.is_empty() {
            errors.invalid(&list_at, list.to_vec(), "must be empty when `clusterIP` is not specified");
        }
    } else if list.is_empty() {
        errors.required(&list_at, "");
    } else if list[0].as_str() != Some(single) {
        errors.invalid(&list_at, list.to_vec(), "first value must match `clusterIP`");
    }
    families(spec, at, errors);
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    check::one_of_if(spec, "ipFamilyPolicy", &policies, at, errors);
    let mut versions: Vec<bool> = Vec::with_capacity(list.len());
    let mut malformed = false;
    for (index, address) in list.iter().enumerate() {
        let address = address.as_str().unwrap_or_default();
        if index == 0 && address == "None" {
            if list.len() > 1 {
                malformed = true;
                errors.invalid(&list_at, list.to_vec(), "'None' must be the first and only value");
            }
            continue;
        }
        match check::ip(address, &list_at.index(index), errors) {
            Some(address) => versions.push(address.is_ipv4()),
            None => malformed = true,
        }
    }
    if list.len() > 2 {
        errors.invalid(&list_at, list.to_vec(), "may only hold up to 2 values");
    }
    if malformed {
        return;
    }
    if let [first, second, ..] = versions[..]
        && first == second
    {
        errors.invalid(&list_at, list.to_vec(), "may specify no more than one IP for each IP family");
    }
    if !is_headless(spec) {
        for (index, (is_v4, family)) in versions.iter().zip(spec.texts("ipFamilies")).enumerate() {
            let expected = if *is_v4 { "IPv4" } else { "IPv6" };
            if family != expected && matches!(family, "IPv4" | "IPv6") {
                let address = list[index].clone();
                let detail = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
                errors.invalid(&list_at.index(index), address, detail);
            }
        }
    }
}

fn families(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("ipFamilies");
    let families = spec.list("ipFamilies");
    let mut seen = Seen::new();
    for (index, family) in families.iter().enumerate() {
        let at = at.index(index);
        if !matches!(family.as_str(), Some("IPv4" | "IPv6")) {
            errors.not_supported(&at, family.clone(), &["IPv4", "IPv6"]);
        }
        if seen.again(family) {
            errors.duplicate(&at, family.clone());
        }
    }
}

/// Checks that the first address and family stay.
pub(super) fn validate_update(new: &Value, old: &Value, errors: &mut Errors) {
    if new.text("type") == "ExternalName" || old.text("type") == "ExternalName" {
        return;
    }
    let at = At::Root.field("spec");
    if !(is_headless(new) && is_headless(old)) {
        stays(new, old, "clusterIPs", "secondary clusterIP", &at, errors);
    }
    if !is_headless(new) && !is_headless(old) {
        stays(new, old, "ipFamilies", "secondary ipFamily", &at, errors);
    }
}

fn stays(new: &Value, old: &Value, field: &str, second: &str, at: &At<'_>, errors: &mut Errors) {
    let list_at = at.field(field);
    let (new_list, old_list) = (new.list(field), old.list(field));
    if new_list.len() == old_list.len() {
        for (index, (new, old)) in new_list.iter().zip(old_list).enumerate() {
            if new != old {
                errors.invalid(&list_at.index(index), new_list.to_vec(), ONCE);
            }
        }
        return;
    }
    match (new_list.first(), old_list.first()) {
        (None, Some(_)) => {
            let what = if field == "clusterIPs" { "clusterIP" } else { "ipFamily" };
            errors.invalid(&list_at.index(0), new_list.to_vec(), format!("primary {what} can not be unset"));
        }
        (Some(new), Some(old)) if new != old => errors.invalid(&list_at.index(0), new_list.to_vec(), ONCE),
        _ => {}
    }
    if old_list.len() > new_list.len() && new_list.len() == 1 && new.text("ipFamilyPolicy") != "SingleStack" {
        let detail = format!("must be set to 'SingleStack' when releasing the {second}");
        errors.invalid(&at.field("ipFamilyPolicy"), new.or_null("ipFamilyPolicy").clone(), detail);
    }
}
