//! NetworkPolicies.

use serde_json::{Value, json};

use crate::check;
use crate::error::{Errors, FieldError};
use crate::metadata::label_selector;
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::strategy::Strategy;
use crate::warnings::{self, Warnings};

pub(crate) struct NetworkPolicy;

const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

impl Strategy for NetworkPolicy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        spec.fill("podSelector", json!({}));
        for list in ["ingress", "egress"] {
            for rule in spec.each(list) {
                for port in rule.each("ports") {
                    port.fill("protocol", "TCP");
                }
            }
        }
        if spec.list("policyTypes").is_empty() {
            let egress = !spec.list("egress").is_empty();
            spec.set("policyTypes", if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        label_selector(spec.or_null("podSelector"), &at.field("podSelector"), &mut errors);
        for (list, peers) in [("ingress", "from"), ("egress", "to")] {
            let at = at.field(list);
            for (index, rule) in spec.list(list).iter().enumerate() {
                self::rule(rule, peers, &at.index(index), &mut errors);
            }
        }
        let types = spec.list("policyTypes");
        let types_at = at.field("policyTypes");
        if types.len() > 2 {
            errors.invalid(&types_at, types.to_vec(), "may not specify more than two policyTypes");
        } else {
            for (index, kind) in spec.texts("policyTypes").enumerate() {
                if !matches!(kind, "Ingress" | "Egress") {
                    errors.not_supported(&types_at.index(index), kind, &["Ingress", "Egress"]);
                }
            }
        }
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut warnings = Warnings::default();
        let at = At::Root.field("spec");
        for (list, peers) in [("ingress", "from"), ("egress", "to")] {
            let at = at.field(list);
            for (index, rule) in new.or_null("spec").list(list).iter().enumerate() {
                let at = at.index(index);
                let at = at.field(peers);
                for (index, peer) in rule.list(peers).iter().enumerate() {
                    let at = at.index(index);
                    let at = at.field("ipBlock");
                    let block = peer.or_null("ipBlock");
                    warnings::range(block.text("cidr"), &at.field("cidr"), &mut warnings);
                    let at = at.field("except");
                    for (index, range) in block.texts("except").enumerate() {
                        warnings::range(range, &at.index(index), &mut warnings);
                    }
                }
            }
        }
        warnings.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

fn rule(rule: &Value, peers: &str, at: &At<'_>, errors: &mut Errors) {
    let ports_at = at.field("ports");
    for (index, port) in rule.list("ports").iter().enumerate() {
        self::port(port, &ports_at.index(index), errors);
    }
    let peers_at = at.field(peers);
    for (index, peer) in rule.list(peers).iter().enumerate() {
        self::peer(peer, &peers_at.index(index), errors);
    }
}

fn port(port: &Value, at: &At<'_>, errors: &mut Errors) {
    check::one_of_if(port, "protocol", &PROTOCOLS, at, errors);
    if let Some(number) = port.at("port") {
        check::port(number, &at.field("port"), errors);
    }
    if let Some(end) = port.int("endPort") {
        let at = at.field("endPort");
        match port.at("port") {
            None => errors.invalid(&at, end, "may not be specified when `port` is not specified"),
            Some(Value::String(_)) => errors.invalid(&at, end, "may not be specified when `port` is non-numeric"),
            Some(start) => {
                if end < start.as_i64().unwrap_or(0) {
                    errors.invalid(&at, end, "must be greater than or equal to `port`");
                }
                for message in names::port_number(end) {
                    errors.invalid(&at, end, message);
                }
            }
        }
    }
}

fn peer(peer: &Value, at: &At<'_>, errors: &mut Errors) {
    let mut count = 0;
    for field in ["podSelector", "namespaceSelector"] {
        if let Some(selector) = peer.at(field) {
            count += 1;
            label_selector(selector, &at.field(field), errors);
        }
    }
    if let Some(block) = peer.at("ipBlock") {
        ip_block(block, &at.field("ipBlock"), errors);
        if count > 0 {
            errors.forbidden(at, "may not specify both ipBlock and another peer");
        }
        count += 1;
    }
    if count == 0 {
        errors.required(at, "must specify a peer");
    }
}

fn ip_block(block: &Value, at: &At<'_>, errors: &mut Errors) {
    let range = block.text("cidr");
    if range.is_empty() {
        errors.required(&at.field("cidr"), "");
        return;
    }
    let Some((network, length)) = check::cidr(range, &at.field("cidr"), errors) else { return };
    let at = at.field("except");
    for (index, except) in block.texts("except").enumerate() {
        let at = at.index(index);
        let Some((inner, inner_length)) = check::cidr(except, &at, errors) else { continue };
        if inner_length <= length || !contains(network, length, inner) {
            errors.invalid(&at, except, "must be a strict subset of `cidr`");
        }
    }
}

fn contains(network: std::net::IpAddr, length: u8, address: std::net::IpAddr) -> bool {
    use std::net::IpAddr::{V4, V6};
    match (network, address) {
        (V4(network), V4(address)) => {
            let shift = 32 - u32::from(length);
            network.to_bits().checked_shr(shift).unwrap_or(0) == address.to_bits().checked_shr(shift).unwrap_or(0)
        }
        (V6(network), V6(address)) => {
            let shift = 128 - u32::from(length);
            network.to_bits().checked_shr(shift).unwrap_or(0) == address.to_bits().checked_shr(shift).unwrap_or(0)
        }
        _ => false,
    }
}
