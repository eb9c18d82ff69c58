//! Endpoints and EndpointSlices: where the pods of a Service are.

mod slice;

pub(crate) use slice::EndpointSlice;

use serde_json::Value;

use crate::check;
use crate::error::{Errors, FieldError};
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::strategy::Strategy;
use crate::warnings::{self, Warnings};

pub(crate) struct Endpoints;

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

impl Strategy for Endpoints {
    fn default(&self, object: &mut Value) {
        for subset in object.each("subsets") {
            for port in subset.each("ports") {
                port.fill_text("protocol", "TCP");
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("subsets");
        for (index, subset) in object.list("subsets").iter().enumerate() {
            self::subset(subset, &at.index(index), &mut errors);
        }
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut warnings = Warnings::default();
        let at = At::Root.field("subsets");
        for (index, subset) in new.list("subsets").iter().enumerate() {
            let at = at.index(index);
            for list in ["addresses", "notReadyAddresses"] {
                let at = at.field(list);
                for (index, address) in subset.list(list).iter().enumerate() {
                    warnings::address(address.text("ip"), &at.index(index).field("ip"), &mut warnings);
                }
            }
        }
        warnings.into_vec()
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

fn subset(subset: &Value, at: &At<'_>, errors: &mut Errors) {
    if subset.list("addresses").is_empty() && subset.list("notReadyAddresses").is_empty() {
        errors.required(at, "must specify `addresses` or `notReadyAddresses`");
    }
    for list in ["addresses", "notReadyAddresses"] {
        let at = at.field(list);
        for (index, address) in subset.list(list).iter().enumerate() {
            let at = at.index(index);
            let text = address.text("ip");
            let parsed = check::ip(text, &at.field("ip"), errors);
            check::named(address, "hostname", names::dns_label, &at, errors);
            if let Some(node) = address.text_if("nodeName") {
                errors.each_invalid(&at.field("nodeName"), node, names::dns_subdomain(node));
            }
            if let Some(parsed) = parsed {
                check::special_ip(text, parsed, &at.field("ip"), errors);
            }
        }
    }
    let ports = subset.list("ports");
    let at = at.field("ports");
    for (index, port) in ports.iter().enumerate() {
        let at = at.index(index);
        if ports.len() > 1 {
            check::required(port, "name", &at, errors);
        }
        check::named(port, "name", names::dns_label, &at, errors);
        check::port_number(port, "port", &at, errors);
        check::one_of(port, "protocol", &PROTOCOLS, &at, errors);
        if let Some(protocol) = port.text_if("appProtocol") {
            errors.each_invalid(&at.field("appProtocol"), protocol, names::qualified_name(protocol));
        }
    }
}
