//! ServiceCIDRs and IPAddresses: which cluster IPs there are, and which are taken.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::check;
use crate::error::{Errors, FieldError};
use crate::names;
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
        ranges(object.or_null("spec"), &mut errors);
        errors.into_vec()
    }

    /// The ranges stay; one of the other family may be added.
    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("spec");
        let at = at.field("cidrs");
        let (new_ranges, old_ranges) = (new.or_null("spec").list("cidrs"), old.or_null("spec").list("cidrs"));
        let grows = old_ranges.len() == 1 && new_ranges.len() == 2;
        if new_ranges.len() == old_ranges.len() || grows {
            for (index, (new, old)) in new_ranges.iter().zip(old_ranges).enumerate() {
                if new != old {
                    errors.invalid(&at.index(index), new.clone(), check::IMMUTABLE);
                }
            }
            if grows {
                ranges(new.or_null("spec"), &mut errors);
            }
        } else {
            errors.invalid(&at, new_ranges.to_vec(), check::IMMUTABLE);
        }
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

/// Checks `cidrs`: one or two, of different families, in canonical form.
fn ranges(spec: &Value, errors: &mut Errors) {
    let ranges = spec.list("cidrs");
    let at = At::Root.field("spec");
    let at = at.field("cidrs");
    match ranges.len() {
        0 => return errors.required(&at, "at least one CIDR required"),
        1 | 2 => {}
        _ => return errors.invalid(&at, spec.clone(), "may only hold up to 2 values"),
    }
    let mut families: Vec<bool> = Vec::new();
    for (index, text) in spec.texts("cidrs").enumerate() {
        let at = at.index(index);
        if let Some((address, length)) = check::cidr(text, &at, errors) {
            let canonical = format!("{address}/{length}");
            if canonical != text {
                errors.invalid(&at, text, format!("must be in canonical form ({canonical:?})"));
            }
            families.push(address.is_ipv4());
        }
    }
    if let [first, second] = families[..]
        && first == second
    {
        let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.invalid(&at, ranges.to_vec(), detail);
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
                check::named(parent, "group", names::dns_subdomain, &at, &mut errors);
                check::required_named(parent, "resource", names::path_segment, &at, &mut errors);
                check::required_named(parent, "name", names::path_segment, &at, &mut errors);
                check::named(parent, "namespace", names::path_segment, &at, &mut errors);
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
