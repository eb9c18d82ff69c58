//! The rules of Services.

use serde_json::{Value, json};

use super::{addresses, is_external, is_headless, needs_health_check};
use crate::check;
use crate::error::Errors;
use crate::metadata::label_map;
use crate::names;
use crate::path::At;
use crate::read::Read;
use crate::same::same;
use crate::seen::Seen;
use crate::warnings::{self, Warnings};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const POLICIES: [&str; 2] = ["Cluster", "Local"];
const AFFINITIES: [&str; 2] = ["ClientIP", "None"];
const AFFINITY_SECONDS_MAX: i64 = 86_400;
const KUBELET_PORT: i64 = 10_250;
const ONLY_LOAD_BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

pub(super) fn validate(service: &Value, errors: &mut Errors) {
    let spec = service.or_null("spec");
    let at = At::Root.field("spec");
    let kind = spec.text("type");
    if spec.list("ports").is_empty() && !is_headless(spec) && kind != "ExternalName" {
        errors.required(&at.field("ports"), "");
    }
    by_type(spec, kind, &at, errors);
    ports(spec, &at.field("ports"), errors);
    if let Some(selector) = spec.map("selector") {
        label_map(selector, &at.field("selector"), errors);
    }
    affinity(spec, &at, errors);
    addresses::validate(spec, &at, errors);
    let external_at = at.field("externalIPs");
    for (index, address) in spec.texts("externalIPs").enumerate() {
        let at = external_at.index(index);
        if let Some(parsed) = check::ip(address, &at, errors) {
            check::special_ip(address, parsed, &at, errors);
        }
    }
    check::one_of(spec, "type", &TYPES, &at, errors);
    repeated_ports(spec, kind, &at.field("ports"), errors);
    source_ranges(service, spec, kind, &at, errors);
    if spec.has("allocateLoadBalancerNodePorts") && kind != "LoadBalancer" {
        errors.forbidden(&at.field("allocateLoadBalancerNodePorts"), ONLY_LOAD_BALANCER);
    }
    load_balancer_class(spec, kind, &at, errors);
    traffic(spec, kind, &at, errors);
}

fn by_type(spec: &Value, kind: &str, at: &At<'_>, errors: &mut Errors) {
    match kind {
        "LoadBalancer" | "NodePort" => {
            if kind == "LoadBalancer" {
                let at = at.field("ports");
                for (index, port) in spec.list("ports").iter().enumerate() {
                    if port.int("port") == Some(KUBELET_PORT) {
                        let detail =
                            format!("may not expose port {KUBELET_PORT} externally since it is used by kubelet");
                        errors.invalid(&at.index(index), KUBELET_PORT, detail);
                    }
                }
            }
            if is_headless(spec) {
                let at = at.field("clusterIPs");
                errors.invalid(&at.index(0), "None", format!("may not be set to 'None' for {kind} services"));
            }
        }
        "ExternalName" => {
            const NOT_HERE: &str = "may not be set for ExternalName services";
            for field in ["clusterIPs", "ipFamilies"] {
                if !spec.list(field).is_empty() {
                    errors.forbidden(&at.field(field), NOT_HERE);
                }
            }
            if spec.has("ipFamilyPolicy") {
                errors.forbidden(&at.field("ipFamilyPolicy"), NOT_HERE);
            }
            let at = at.field("externalName");
            let name = spec.text("externalName");
            match name.strip_suffix('.').unwrap_or(name) {
                "" => errors.required(&at, ""),
                name => errors.each_invalid(&at, name, names::dns_subdomain(name)),
            }
        }
        _ => {}
    }
}

fn ports(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let ports = spec.list("ports");
    let mut seen = Seen::new();
    for (index, port) in ports.iter().enumerate() {
        let at = at.index(index);
        let name = port.text("name");
        if name.is_empty() {
            if ports.len() > 1 {
                errors.required(&at.field("name"), "");
            }
        } else {
            errors.each_invalid(&at.field("name"), name, names::dns_label(name));
            if seen.again(name) {
                errors.duplicate(&at.field("name"), name);
            }
        }
        check::port_number(port, "port", &at, errors);
        check::one_of(port, "protocol", &PROTOCOLS, &at, errors);
        check::port(port.or_null("targetPort"), &at.field("targetPort"), errors);
        if let Some(protocol) = port.text_if("appProtocol") {
            errors.each_invalid(&at.field("appProtocol"), protocol, names::qualified_name(protocol));
        }
    }
}

fn affinity(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    check::one_of(spec, "sessionAffinity", &AFFINITIES, at, errors);
    let at = at.field("sessionAffinityConfig");
    match spec.text("sessionAffinity") {
        "ClientIP" => {
            const NEEDED: &str = "when session affinity type is ClientIP";
            let ip_at = at.field("clientIP");
            let seconds_at = ip_at.field("timeoutSeconds");
            let config = spec.or_null("sessionAffinityConfig");
            if config.is_null() {
                errors.required(&at, NEEDED);
            } else if !config.has("clientIP") {
                errors.required(&ip_at, NEEDED);
            } else {
                match config.or_null("clientIP").int("timeoutSeconds") {
                    None => errors.required(&seconds_at, NEEDED),
                    Some(seconds) if !(1..=AFFINITY_SECONDS_MAX).contains(&seconds) => {
                        let detail = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
                        errors.invalid(&seconds_at, seconds, detail);
                    }
                    Some(_) => {}
                }
            }
        }
        "None" if spec.has("sessionAffinityConfig") => {
            errors.forbidden(&at, "must not be set when session affinity is None");
        }
        _ => {}
    }
}

fn repeated_ports(spec: &Value, kind: &str, at: &At<'_>, errors: &mut Errors) {
    let ports = spec.list("ports");
    let (mut numbers, mut node_ports) = (Seen::new(), Seen::new());
    for (index, port) in ports.iter().enumerate() {
        let at = at.index(index);
        let node_port = port.int("nodePort").unwrap_or(0);
        let protocol = port.text("protocol");
        if node_port != 0 {
            if kind == "ClusterIP" {
                errors.forbidden(&at.field("nodePort"), "may not be used when `type` is 'ClusterIP'");
            }
            if node_ports.again((protocol, node_port)) {
                errors.duplicate(&at.field("nodePort"), node_port);
            }
        }
        let number = port.int("port");
        if numbers.again((protocol, number)) {
            errors.duplicate(&at, json!({"protocol": protocol, "port": number}));
        }
    }
}

fn source_ranges(service: &Value, spec: &Value, kind: &str, at: &At<'_>, errors: &mut Errors) {
    let ranges = spec.list("loadBalancerSourceRanges");
    if !ranges.is_empty() {
        let at = at.field("LoadBalancerSourceRanges");
        if kind != "LoadBalancer" {
            errors.forbidden(&at, ONLY_LOAD_BALANCER);
        }
        for (index, range) in ranges.iter().enumerate() {
            check::cidr(range.as_str().unwrap_or_default().trim(), &at.index(index), errors);
        }
        return;
    }
    let annotations = service.or_null("metadata").or_null("annotations");
    if let Some(ranges) = annotations.text_if(SOURCE_RANGES) {
        let at = At::Root.field("metadata");
        let at = at.field("annotations");
        let at = at.key(SOURCE_RANGES);
        if kind != "LoadBalancer" {
            errors.forbidden(&at, ONLY_LOAD_BALANCER);
        }
        for range in ranges.trim().split(',').filter(|range| !range.is_empty()) {
            check::cidr(range.trim(), &at, errors);
        }
    }
}

fn load_balancer_class(spec: &Value, kind: &str, at: &At<'_>, errors: &mut Errors) {
    if let Some(class) = spec.text_if("loadBalancerClass") {
        let at = at.field("loadBalancerClass");
        if kind == "LoadBalancer" {
            errors.each_invalid(&at, class, names::qualified_name(class));
        } else {
            errors.forbidden(&at, ONLY_LOAD_BALANCER);
        }
    }
}

fn traffic(spec: &Value, kind: &str, at: &At<'_>, errors: &mut Errors) {
    let external = spec.text("externalTrafficPolicy");
    let external_at = at.field("externalTrafficPolicy");
    if !is_external(spec) {
        if !external.is_empty() {
            errors.invalid(&external_at, external, "may only be set for externally-accessible services");
        }
    } else {
        check::one_of(spec, "externalTrafficPolicy", &POLICIES, at, errors);
    }
    let health = spec.int("healthCheckNodePort").unwrap_or(0);
    let health_at = at.field("healthCheckNodePort");
    if !needs_health_check(spec) {
        if health != 0 {
            let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.invalid(&health_at, health, detail);
        }
    } else if health == 0 {
        errors.required(&health_at, "");
    } else {
        check::port_number(spec, "healthCheckNodePort", at, errors);
    }
    if spec.has("internalTrafficPolicy") {
        check::one_of(spec, "internalTrafficPolicy", &POLICIES, at, errors);
    } else if kind != "ExternalName" && TYPES.contains(&kind) {
        errors.required(&at.field("internalTrafficPolicy"), "");
    }
    let distributions = ["PreferClose", "PreferSameNode", "PreferSameZone"];
    check::one_of_if(spec, "trafficDistribution", &distributions, at, errors);
}

/// Checks a change beyond what holds for any Service.
pub(super) fn validate_update(new: &Value, old: &Value, errors: &mut Errors) {
    let at = At::Root.field("spec");
    let balanced = |spec: &Value| spec.text("type") == "LoadBalancer";
    if balanced(new) && balanced(old) && !same(new.at("loadBalancerClass"), old.at("loadBalancerClass")) {
        let class = new.or_null("loadBalancerClass").clone();
        errors.invalid(&at.field("loadBalancerClass"), class, "may not change once set");
    }
    if needs_health_check(new)
        && needs_health_check(old)
        && new.int("healthCheckNodePort") != old.int("healthCheckNodePort")
    {
        errors.forbidden(&at.field("healthCheckNodePort"), check::IMMUTABLE);
    }
}

/// Checks `status.loadBalancer`.
pub(super) fn load_balancer(service: &Value, at: &At<'_>, errors: &mut Errors) {
    let ingress = service.or_null("status").or_null("loadBalancer").list("ingress");
    let at = at.field("loadBalancer");
    let at = at.field("ingress");
    if service.or_null("spec").text("type") != "LoadBalancer" && !ingress.is_empty() {
        errors.forbidden(&at, "may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    for (index, ingress) in ingress.iter().enumerate() {
        let at = at.index(index);
        let address = ingress.text("ip");
        if !address.is_empty() {
            check::ip(address, &at.field("ip"), errors);
        }
        let mode_at = at.field("ipMode");
        match (ingress.text_if("ipMode"), address.is_empty()) {
            (None, false) => errors.required(&mode_at, "must be specified when `ip` is set"),
            (Some(_), true) => errors.forbidden(&mode_at, "may not be specified when `ip` is not set"),
            (Some(_), false) => check::one_of(ingress, "ipMode", &["Proxy", "VIP"], &at, errors),
            (None, true) => {}
        }
        let host = ingress.text("hostname");
        if !host.is_empty() {
            errors.each_invalid(&at.field("hostname"), host, names::dns_subdomain(host));
            if host.parse::<std::net::IpAddr>().is_ok() {
                errors.invalid(&at.field("hostname"), host, "must be a DNS name, not an IP address");
            }
        }
    }
}

const OLD_HINTS: &str = "service.kubernetes.io/topology-aware-hints";

/// What is said of a Service.
pub(super) fn warn(service: &Value, warnings: &mut Warnings) {
    let spec = service.or_null("spec");
    let at = At::Root.field("spec");
    let kind = spec.text("type");
    if service.or_null("metadata").or_null("annotations").has(OLD_HINTS) {
        warnings.say(format!(
            "annotation {OLD_HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
        ));
    }
    let each = |list: &str, check: fn(&str, &At<'_>, &mut Warnings), warnings: &mut Warnings| {
        let at = at.field(list);
        for (index, text) in spec.texts(list).enumerate() {
            check(text, &at.index(index), warnings);
        }
    };
    let headless = kind == "ClusterIP" && spec.text("clusterIP") == "None";
    let external = !spec.list("externalIPs").is_empty();
    if kind != "ExternalName" && !headless {
        each("clusterIPs", warnings::address, warnings);
    }
    if headless {
        if !spec.text("loadBalancerIP").is_empty() {
            warnings.say("spec.loadBalancerIP is ignored for headless services");
        }
        if external {
            warnings.say("spec.externalIPs is ignored for headless services");
        }
        if spec.text("sessionAffinity") != "None" {
            warnings.say("spec.SessionAffinity is ignored for headless services");
        }
    }
    each("externalIPs", warnings::address, warnings);
    if external && !headless && kind != "ExternalName" {
        warnings.say("spec.externalIPs is deprecated and may no longer be implemented in some clusters");
    }
    warnings::address(spec.text("loadBalancerIP"), &at.field("loadBalancerIP"), warnings);
    each("loadBalancerSourceRanges", warnings::range, warnings);
    if external && kind == "ExternalName" {
        warnings.say("spec.externalIPs is ignored when spec.type is \"ExternalName\"");
    }
    if kind != "ExternalName" && !spec.text("externalName").is_empty() {
        warnings.say("spec.externalName is ignored when spec.type is not \"ExternalName\"");
    }
    if spec.text("trafficDistribution") == "PreferClose" {
        warnings.say("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"");
    }
}
