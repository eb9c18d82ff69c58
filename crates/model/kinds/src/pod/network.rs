//! Names and addresses of a pod: DNS, host aliases, the host's network.

use serde_json::Value;

use crate::check;
use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::read::Read;

const POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCHES_BYTES_MAX: usize = 2048;

pub(super) fn dns_policy(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    check::one_of(spec, "dnsPolicy", &POLICIES, at, errors);
}

pub(super) fn dns_config(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("dnsConfig");
    let config = spec.at("dnsConfig");
    if spec.text("dnsPolicy") == "None" {
        match config {
            None => errors.required(&at, "must provide `dnsConfig` when `dnsPolicy` is None"),
            Some(config) if config.list("nameservers").is_empty() => {
                let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
                errors.required(&at.field("nameservers"), detail);
                return;
            }
            Some(_) => {}
        }
    }
    let Some(config) = config else { return };
    let servers = config.list("nameservers");
    let servers_at = at.field("nameservers");
    if servers.len() > NAMESERVERS_MAX {
        let detail = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        errors.invalid(&servers_at, servers.to_vec(), detail);
    }
    for (index, server) in servers.iter().enumerate() {
        check::ip(server.as_str().unwrap_or_default(), &servers_at.index(index), errors);
    }
    let searches = config.list("searches");
    let searches_at = at.field("searches");
    if searches.len() > SEARCHES_MAX {
        let detail = format!("must not have more than {SEARCHES_MAX} search paths");
        errors.invalid(&searches_at, searches.to_vec(), detail);
    }
    let bytes: usize = config.texts("searches").map(|search| search.len() + 1).sum();
    if bytes > SEARCHES_BYTES_MAX + 1 {
        let detail =
            format!("must not have more than {SEARCHES_BYTES_MAX} characters (including spaces) in the search list");
        errors.invalid(&searches_at, searches.to_vec(), detail);
    }
    for (index, search) in config.texts("searches").enumerate() {
        if search != "." {
            let search = search.strip_suffix('.').unwrap_or(search);
            errors.each_invalid(&searches_at.index(index), search, names::dns_subdomain_with_underscore(search));
        }
    }
    let options_at = at.field("options");
    for (index, option) in config.list("options").iter().enumerate() {
        if option.text("name").is_empty() {
            errors.required(&options_at.index(index), "must not be empty");
        }
    }
}

pub(super) fn host_aliases(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("hostAliases");
    for (index, alias) in spec.list("hostAliases").iter().enumerate() {
        let at = at.index(index);
        check::ip(alias.text("ip"), &at.field("ip"), errors);
        let at = at.field("hostnames");
        for (index, name) in alias.texts("hostnames").enumerate() {
            errors.each_invalid(&at.index(index), name, names::dns_subdomain(name));
        }
    }
}

/// With the host's network a container's port is the host's: templates may leave it to be filled in.
pub(super) fn host_network(spec: &Value, is_pod: bool, at: &At<'_>, errors: &mut Errors) {
    if !spec.is("hostNetwork") {
        return;
    }
    let at = at.field("containers");
    for (index, container) in spec.list("containers").iter().enumerate() {
        let at = at.index(index);
        let at = at.field("ports");
        for (index, port) in container.list("ports").iter().enumerate() {
            let host = port.int("hostPort").unwrap_or(0);
            if (is_pod || host != 0) && host != port.int("containerPort").unwrap_or(0) {
                let at = at.index(index);
                errors.invalid(&at.field("hostPort"), host, "must match `containerPort` when `hostNetwork` is true");
            }
        }
    }
}
