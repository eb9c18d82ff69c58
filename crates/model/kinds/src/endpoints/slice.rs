//! EndpointSlices.

use serde_json::Value;

use super::PROTOCOLS;
use crate::check;
use crate::error::{Errors, FieldError};
use crate::metadata;
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::same::same;
use crate::seen::Seen;
use crate::strategy::Strategy;

pub(crate) struct EndpointSlice;

const ADDRESS_TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];
const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;
const ZONE_HINTS_MAX: usize = 8;

impl Strategy for EndpointSlice {
    fn default(&self, object: &mut Value) {
        for port in object.each("ports") {
            port.fill("name", "");
            port.fill("protocol", "TCP");
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        check::one_of(object, "addressType", &ADDRESS_TYPES, &At::Root, &mut errors);
        endpoints(object, &At::Root.field("endpoints"), &mut errors);
        ports(object, &At::Root.field("ports"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        let mut fixed = Errors::new();
        check::immutable(new, old, "addressType", &At::Root, &mut fixed);
        errors.extend(fixed.into_vec());
        errors
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        if new.text("addressType") == "FQDN" {
            return vec!["spec.addressType: FQDN endpoints are deprecated".to_owned()];
        }
        Vec::new()
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn generation_changed(&self, new: &Value, old: &Value) -> bool {
        let labels = |object: &'_ Value| object.or_null("metadata").or_null("labels").clone();
        ["addressType", "endpoints", "ports"].iter().any(|field| !same(new.at(field), old.at(field)))
            || !same(Some(&labels(new)), Some(&labels(old)))
    }
}

fn endpoints(slice: &Value, at: &At<'_>, errors: &mut Errors) {
    let endpoints = slice.list("endpoints");
    let kind = slice.text("addressType");
    if endpoints.len() > ENDPOINTS_MAX {
        errors.too_many(at, endpoints.len(), ENDPOINTS_MAX);
        return;
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        let at = at.index(index);
        let addresses = endpoint.list("addresses");
        let addresses_at = at.field("addresses");
        if addresses.is_empty() {
            errors.required(&addresses_at, "must contain at least 1 address");
        } else if addresses.len() > ADDRESSES_MAX {
            errors.too_many(&addresses_at, addresses.len(), ADDRESSES_MAX);
        }
        for (index, text) in endpoint.texts("addresses").enumerate() {
            address(text, kind, &addresses_at.index(index), errors);
        }
        if let Some(node) = endpoint.text_if("nodeName") {
            errors.each_invalid(&at.field("nodeName"), node, names::dns_subdomain(node));
        }
        if let Some(topology) = endpoint.map("deprecatedTopology") {
            metadata::label_map(topology, &at.field("deprecatedTopology"), errors);
        }
        if let Some(host) = endpoint.text_if("hostname") {
            errors.each_invalid(&at.field("hostname"), host, names::dns_label(host));
        }
        hints(endpoint, &at.field("hints"), errors);
    }
}

fn address(text: &str, kind: &str, at: &At<'_>, errors: &mut Errors) {
    match kind {
        "IPv4" | "IPv6" => {
            let Some(parsed) = check::ip(text, at, errors) else { return };
            if parsed.is_ipv4() != (kind == "IPv4") {
                errors.invalid(at, text, format!("must be a valid {kind} address"));
                return;
            }
            check::special_ip(text, parsed, at, errors);
        }
        "FQDN" => {
            let name = text.strip_suffix('.').unwrap_or(text);
            let complaints = names::dns_subdomain(name);
            if !complaints.is_empty() {
                errors.invalid(at, name, complaints.join(","));
            } else if !name.contains('.') {
                errors.invalid(at, name, "should be a domain with at least two segments separated by dots");
            }
        }
        _ => {}
    }
}

fn hints(endpoint: &Value, at: &At<'_>, errors: &mut Errors) {
    let zones = endpoint.or_null("hints").list("forZones");
    let at = at.field("forZones");
    if zones.len() > ZONE_HINTS_MAX {
        errors.too_many(&at, zones.len(), ZONE_HINTS_MAX);
        return;
    }
    let mut seen = Seen::new();
    for (index, zone) in zones.iter().enumerate() {
        let at = at.index(index);
        let name = zone.text("name");
        if seen.again(name) {
            errors.duplicate(&at.field("name"), name);
        }
        errors.each_invalid(&at.field("name"), name, names::label_value(name));
    }
}

fn ports(slice: &Value, at: &At<'_>, errors: &mut Errors) {
    let ports = slice.list("ports");
    if ports.len() > PORTS_MAX {
        errors.too_many(at, ports.len(), PORTS_MAX);
        return;
    }
    let mut seen = Seen::new();
    for (index, port) in ports.iter().enumerate() {
        let at = at.index(index);
        let name = port.text("name");
        if !name.is_empty() {
            errors.each_invalid(&at.field("name"), name, names::dns_label(name));
        }
        if seen.again(name) {
            errors.duplicate(&at.field("name"), name);
        }
        check::one_of(port, "protocol", &PROTOCOLS, &at, errors);
        if let Some(protocol) = port.text_if("appProtocol") {
            errors.each_invalid(&at.field("appProtocol"), protocol, names::qualified_name(protocol));
        }
    }
}
