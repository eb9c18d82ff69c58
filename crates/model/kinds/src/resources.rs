//! Resource names and amounts: `cpu: 500m`.

use minato_quantity::Quantity;
use serde_json::{Map, Value};

use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::seen::Seen;

const NEGATIVE: &str = "must be greater than or equal to 0";
const HUGE_PAGES: &str = "hugepages-";

/// A quantity as it stands in an object: text or number.
pub(crate) fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => match number.as_i64() {
            Some(value) => Some(Quantity::from_value(value, minato_quantity::Format::DecimalSi)),
            None => Quantity::parse(&number.to_string()).ok(),
        },
        _ => None,
    }
}

/// The quantity `holder.name`, if there is one that can be read.
pub(crate) fn quantity_of(holder: &Value, name: &str) -> Option<Quantity> {
    quantity(holder.at(name)?)
}

/// Writes the quantity `holder.name` in its canonical form, if there is one.
pub(crate) fn canonicalise(holder: &mut Value, name: &str) {
    if let Value::Object(fields) = holder
        && let Some(value) = fields.get_mut(name)
    {
        canonicalise_value(value, false);
    }
}

/// Writes every quantity of the list `holder.name` in its canonical form, rounded up to thousandths.
pub(crate) fn canonicalise_list(holder: &mut Value, name: &str) {
    if let Some(Value::Object(list)) = holder.inside(name) {
        for value in list.values_mut() {
            canonicalise_value(value, true);
        }
    }
}

/// Whether an amount is written as [`Quantity`] would write it, told from the text alone: short numbers with a usual unit are.
fn is_plainly_canonical(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (1..=3).contains(&digits)
        && (!text.starts_with('0') || text == "0")
        && matches!(&text[digits..], "" | "m" | "k" | "M" | "G" | "T" | "Ki" | "Mi" | "Gi" | "Ti")
}

fn canonicalise_value(value: &mut Value, round: bool) {
    if value.as_str().is_some_and(is_plainly_canonical) {
        return;
    }
    if let Some(quantity) = quantity(value) {
        let text = if round { quantity.rounded_up_to_milli() } else { quantity }.to_string();
        if value.as_str() != Some(&text) {
            *value = Value::String(text);
        }
    }
}

/// `limits` and `requests`, canonical.
pub(crate) fn canonicalise_requirements(holder: &mut Value, name: &str) {
    if let Some(requirements) = holder.inside(name) {
        canonicalise_list(requirements, "limits");
        canonicalise_list(requirements, "requests");
    }
}

/// Copies limits to the requests that are not there.
pub(crate) fn requests_from_limits(holder: &mut Value) {
    let Some(resources) = holder.inside("resources") else { return };
    let Some(limits) = resources.map("limits").filter(|limits| !limits.is_empty()).cloned() else { return };
    if let Some(Value::Object(requests)) = resources.make("requests") {
        for (name, limit) in limits {
            requests.entry(name).or_insert(limit);
        }
    }
}

/// Whether the name needs no domain, or has Kubernetes' own.
pub(crate) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

pub(crate) fn is_huge_page(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}

/// Whether requests may be lower than limits.
pub(crate) fn is_overcommit_allowed(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// Whether the resource is a device that somebody brings to nodes, such as `example.com/gpu`.
pub fn is_extended(name: &str) -> bool {
    if is_native(name) || name.starts_with("requests.") {
        return false;
    }
    names::qualified_name(&format!("requests.{name}")).is_empty()
}

fn is_standard_container(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_page(name)
}

pub(crate) fn is_standard_quota(name: &str) -> bool {
    matches!(
        name,
        "cpu"
            | "memory"
            | "ephemeral-storage"
            | "requests.cpu"
            | "requests.memory"
            | "requests.storage"
            | "requests.ephemeral-storage"
            | "limits.cpu"
            | "limits.memory"
            | "limits.ephemeral-storage"
            | "pods"
            | "resourcequotas"
            | "services"
            | "replicationcontrollers"
            | "secrets"
            | "persistentvolumeclaims"
            | "configmaps"
            | "services.nodeports"
            | "services.loadbalancers"
    ) || is_huge_page(name)
        || name.starts_with("requests.hugepages-")
}

fn is_standard(name: &str) -> bool {
    name == "storage" || is_standard_quota(name)
}

fn is_integer(name: &str) -> bool {
    matches!(
        name,
        "pods"
            | "resourcequotas"
            | "services"
            | "replicationcontrollers"
            | "secrets"
            | "configmaps"
            | "persistentvolumeclaims"
            | "services.nodeports"
            | "services.loadbalancers"
    ) || is_extended(name)
}

/// Checks the name of any resource. Answers whether it is fine.
pub(crate) fn name(name: &str, at: &At<'_>, errors: &mut Errors) -> bool {
    let complaints = names::qualified_name(name);
    if !complaints.is_empty() {
        errors.each_invalid(at, name, complaints);
        return false;
    }
    if !name.contains('/') && !is_standard(name) {
        errors.invalid(at, name, "must be a standard resource type or fully qualified");
        return false;
    }
    true
}

/// Checks the name of a resource that containers use.
pub(crate) fn container_resource_name(value: &str, at: &At<'_>, errors: &mut Errors) {
    if matches!(value, "cpu" | "memory") || is_standard_container(value) && names::qualified_name(value).is_empty() {
        return;
    }
    name(value, at, errors);
    if !value.contains('/') {
        errors.invalid(at, value, "must be a standard resource for containers");
    } else if !is_native(value) && !is_extended(value) {
        errors.invalid(at, value, "doesn't follow extended resource name standard");
    }
}

/// Checks the name of a resource that quotas count.
pub(crate) fn quota_resource_name(value: &str, at: &At<'_>, errors: &mut Errors) {
    name(value, at, errors);
    if !value.contains('/') && !is_standard_quota(value) {
        errors.invalid(at, value, "must be a standard resource for quota");
    }
}

/// Checks that `value` is a quantity and not negative.
pub(crate) fn nonnegative(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Quantity> {
    let parsed = match value.as_str() {
        Some(text) => Quantity::parse(text).map_err(|error| error.to_string()),
        None => quantity(value).ok_or_else(|| "must be a quantity".to_owned()),
    };
    match parsed {
        Ok(quantity) if quantity.signum() < 0 => {
            errors.invalid(at, quantity.to_string(), NEGATIVE);
            Some(quantity)
        }
        Ok(quantity) => Some(quantity),
        Err(detail) => {
            errors.invalid(at, value.clone(), detail);
            None
        }
    }
}

/// Checks an amount of the resource `name`.
pub(crate) fn amount(name: &str, value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Quantity> {
    let quantity = nonnegative(value, at, errors)?;
    if !quantity.is_integer() && is_integer(name) {
        errors.invalid(at, value.clone(), "must be an integer");
    }
    Some(quantity)
}

/// Checks `{limits, requests, claims}`.
pub(crate) fn requirements(resources: &Value, claim_names: &[&str], at: &At<'_>, errors: &mut Errors) {
    let empty = Map::new();
    let limits = resources.map("limits").unwrap_or(&empty);
    let requests = resources.map("requests").unwrap_or(&empty);
    let limits_at = at.field("limits");
    let requests_at = at.field("requests");
    let mut huge_pages = false;
    let mut compute = false;
    let before = errors.len();
    for (name, value) in limits {
        let at = limits_at.key(name);
        one_requirement(name, value, &at, errors);
        huge_pages |= is_huge_page(name);
        compute |= matches!(name.as_str(), "cpu" | "memory");
    }
    for (name, value) in requests {
        if limits.get(name) == Some(value) && errors.len() == before {
            // Checked as a limit already; and what limits and requests must be to each other, they are.
            continue;
        }
        let at = requests_at.key(name);
        let request = one_requirement(name, value, &at, errors);
        match (request, limits.get(name).map(quantity)) {
            (Some(request), Some(Some(limit))) if request != limit && !is_overcommit_allowed(name) => {
                errors.invalid(&requests_at, request.to_string(), format!("must be equal to {name} limit of {limit}"));
            }
            (Some(request), Some(Some(limit))) if request > limit => {
                let detail = format!("must be less than or equal to {name} limit of {limit}");
                errors.invalid(&requests_at, request.to_string(), detail);
            }
            (_, None) if !is_overcommit_allowed(name) => {
                errors.required(&limits_at, "Limit must be set for non overcommitable resources");
            }
            _ => {}
        }
        huge_pages |= is_huge_page(name);
        compute |= matches!(name.as_str(), "cpu" | "memory");
    }
    if huge_pages && !compute {
        errors.forbidden(at, "HugePages require cpu or memory");
    }
    if resources.has("claims") {
        claims(resources, claim_names, &at.field("claims"), errors);
    }
}

fn one_requirement(name: &str, value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Quantity> {
    container_resource_name(name, at, errors);
    let quantity = amount(name, value, at, errors)?;
    if let Some(size) = name.strip_prefix(HUGE_PAGES).and_then(|size| Quantity::parse(size).ok()) {
        let divisible = size.signum() > 0 && quantity.nanos() % size.nanos() == 0;
        if !divisible {
            errors.invalid(at, quantity.to_string(), format!("{quantity} is not positive integer multiple of {name}"));
        }
    }
    Some(quantity)
}

fn claims(resources: &Value, claim_names: &[&str], at: &At<'_>, errors: &mut Errors) {
    let mut seen = Seen::new();
    for (index, claim) in resources.list("claims").iter().enumerate() {
        let at = at.index(index);
        let name = claim.text("name");
        if name.is_empty() {
            errors.required(&at, "");
            continue;
        }
        if seen.again(name) {
            errors.duplicate(&at, name);
        }
        if !claim_names.contains(&name) {
            let mut known = claim_names.to_vec();
            known.sort_unstable();
            let detail = match known.as_slice() {
                [] => "must be one of the names in pod.spec.resourceClaims which is empty".to_owned(),
                known => format!("must be one of the names in pod.spec.resourceClaims: {}", known.join(", ")),
            };
            errors.not_found_because(&at, name, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_canonical_is() {
        for unit in ["", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"] {
            for number in 0..1100 {
                let text = format!("{number}{unit}");
                if is_plainly_canonical(&text) {
                    assert_eq!(Quantity::parse(&text).unwrap().rounded_up_to_milli().to_string(), text);
                }
            }
        }
        assert!(is_plainly_canonical("500m") && is_plainly_canonical("128Mi"));
        assert!(!is_plainly_canonical("0.5") && !is_plainly_canonical("1000m") && !is_plainly_canonical("01"));
    }
}
