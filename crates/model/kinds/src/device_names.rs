//! Names of devices' attributes and capacities: `model`, `gpu.example.com/memory`.

use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::pod::volumes::remote;

const ID_BYTES_MAX: usize = 32;

/// Checks a name, with a domain or without.
pub(crate) fn qualified(name: &str, at: &At<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(at, "name required");
        return;
    }
    match name.split_once('/') {
        None => identifier(name, at, errors),
        Some((_, rest)) if rest.contains('/') => {}
        Some((domain, name)) => {
            match domain {
                "" => errors.required(at, "the domain must not be empty"),
                domain => remote::csi_driver(domain, at, errors),
            }
            match name {
                "" => errors.required(at, "the name must not be empty"),
                name => identifier(name, at, errors),
            }
        }
    }
}

/// Checks a name that must have a domain.
pub(crate) fn fully_qualified(name: &str, at: &At<'_>, errors: &mut Errors) {
    qualified(name, at, errors);
    if !name.is_empty() && !name.contains('/') {
        errors.invalid(at, name, "must include a domain");
    }
}

fn identifier(name: &str, at: &At<'_>, errors: &mut Errors) {
    if name.len() > ID_BYTES_MAX {
        errors.too_long(at, ID_BYTES_MAX);
    }
    errors.each_invalid(at, name, names::c_identifier(name));
}
