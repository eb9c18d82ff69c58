//! ServiceCIDRs and IPAddresses: which cluster IPs there are, and which are taken.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::check;
use crate::error::{Errors, FieldError};
use crate::path::At;
use crate::read::{Fill, Read};
use crate::same::same;
use crate::strategy::Strategy;

pub(crate) struct ServiceCidr;

impl Strategy for ServiceCidr {
    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let ranges = object.or_null("spec").list("cidrs");
        let at = At::Root.field("spec");
        let at = at.field("cidrs");
        match ranges.len() {
            0 => errors.required(&at, "at least one CIDR required"),
            1 | 2 => {}
            _ => errors.invalid(&at, ranges.to_vec(), "may only hold up to 2 values"),
        }
        let mut families: Vec<bool> = Vec::new();
        for (index, range) in ranges.iter().enumerate() {
            if let Some((address, _)) = check::cidr(range.as_str().unwrap_or_default(), &at.index(index), &mut errors) {
                if families.contains(&address.is_ipv4()) {
                    let detail =
                        "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
                    errors.invalid(&at, ranges.to_vec(), detail);
                }
                families.push(address.is_ipv4());
            }
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("spec");
        check::immutable(new.or_null("spec"), old.or_null("spec"), "cidrs", &at, &mut errors);
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

pub(crate) struct IpAddress;

impl Strategy for IpAddress {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("spec");
        let at = at.field("parentRef");
        match object.or_null("spec").at("parentRef") {
            None => errors.required(&at, ""),
            Some(parent) => {
                check::required(parent, "resource", &at, &mut errors);
                check::required(parent, "name", &at, &mut errors);
            }
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if !same(new.at("spec"), old.at("spec")) {
            let at = At::Root.field("spec");
            check::immutable(new.or_null("spec"), old.or_null("spec"), "parentRef", &at, &mut errors);
        }
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}
