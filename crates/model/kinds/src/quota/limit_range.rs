//! LimitRanges: the least, the most and the usual that a container, pod or claim may ask for.

use minato_quantity::Quantity;
use serde_json::{Map, Value};

use crate::error::{Errors, FieldError};
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::resources;
use crate::seen::Seen;
use crate::strategy::Strategy;

pub(crate) struct LimitRange;

const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

impl Strategy for LimitRange {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        for limit in spec.each("limits") {
            for list in LISTS {
                resources::canonicalise_list(limit, list);
            }
            if limit.text("type") == "Container" {
                // The usual limit is the most; the usual request is the usual limit, else the least.
                for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
                    inherit(limit, from, to);
                }
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("spec");
        let at = at.field("limits");
        let limits = object.or_null("spec").list("limits");
        let mut seen = Seen::new();
        for (index, limit) in limits.iter().enumerate() {
            let at = at.index(index);
            let kind = limit.text("type");
            kind_name(kind, &at.field("type"), &mut errors);
            if seen.again(kind) {
                errors.duplicate(&at.field("type"), kind);
            }
            item(limit, kind, &at, &mut errors);
        }
        errors.into_vec()
    }
}

fn inherit(limit: &mut Value, from: &str, to: &str) {
    let Some(values) = limit.map(from).filter(|values| !values.is_empty()).cloned() else { return };
    if let Some(Value::Object(target)) = limit.make(to) {
        for (name, value) in values {
            target.entry(name).or_insert(value);
        }
    }
}

fn kind_name(kind: &str, at: &At<'_>, errors: &mut Errors) {
    let complaints = names::qualified_name(kind);
    if !complaints.is_empty() {
        errors.each_invalid(at, kind, complaints);
    } else if !kind.contains('/') && !matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim") {
        errors.invalid(at, kind, "must be a standard limit type or fully qualified");
    }
}

fn item(limit: &Value, kind: &str, at: &At<'_>, errors: &mut Errors) {
    let mut known: Vec<&str> = Vec::new();
    for list in LISTS {
        let list_at = at.field(list);
        let values = limit.map(list);
        if kind == "Pod" && matches!(list, "default" | "defaultRequest") {
            if values.is_some_and(|values| !values.is_empty()) {
                errors.forbidden(&list_at, "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        for name in values.into_iter().flat_map(Map::keys) {
            let at = list_at.key(name);
            if matches!(kind, "Pod" | "Container") {
                resources::container_resource_name(name, &at, errors);
            } else {
                resources::name(name, &at, errors);
            }
            if !known.contains(&name.as_str()) {
                known.push(name);
            }
        }
    }
    if kind == "PersistentVolumeClaim" && !["min", "max"].iter().any(|list| limit.or_null(list).has("storage")) {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.required(&at.field("limits"), detail);
    }
    for name in known {
        order(limit, name, at, errors);
    }
}

/// The least is not above the usual, the usual not above the most.
fn order(limit: &Value, name: &str, at: &At<'_>, errors: &mut Errors) {
    let amount = |list: &str| resources::quantity_of(limit.or_null(list), name);
    let (min, max, usual, request) = (amount("min"), amount("max"), amount("default"), amount("defaultRequest"));
    let mut above = |list: &str, shown: Quantity, pair: (Option<Quantity>, Option<Quantity>), words: [&str; 2]| {
        if let (Some(lower), Some(upper)) = pair
            && lower > upper
        {
            let at = at.field(list);
            let detail = format!("{} value {lower} is greater than {} value {upper}", words[0], words[1]);
            errors.invalid(&at.key(name), shown.to_string(), detail);
        }
    };
    let shown = |amount: Option<Quantity>| amount.unwrap_or(Quantity::ZERO);
    above("min", shown(min), (min, max), ["min", "max"]);
    above("defaultRequest", shown(request), (min, request), ["min", "default request"]);
    above("defaultRequest", shown(request), (request, max), ["default request", "max"]);
    above("defaultRequest", shown(request), (request, usual), ["default request", "default limit"]);
    above("default", shown(min), (min, usual), ["min", "default"]);
    above("default", shown(max), (usual, max), ["default", "max"]);
    if let Some(ratio) = amount("maxLimitRequestRatio").filter(|ratio| ratio.milli_value() < 1000) {
        let at = at.field("maxLimitRequestRatio");
        errors.invalid(&at.key(name), ratio.to_string(), format!("ratio {ratio} is less than 1"));
    }
    if let (Some(ratio), Some(min), Some(max)) = (amount("maxLimitRequestRatio"), min, max) {
        let widest = max.nanos() as f64 / min.nanos() as f64;
        if ratio.nanos() as f64 / 1e9 > widest {
            let at = at.field("maxLimitRequestRatio");
            let detail = format!("ratio {ratio} is greater than max/min = {widest:.6}");
            errors.invalid(&at.key(name), ratio.to_string(), detail);
        }
    }
    if let (Some(usual), Some(request)) = (usual, request)
        && usual != request
        && !resources::is_overcommit_allowed(name)
    {
        let at = at.field("defaultRequest");
        let detail = format!("default value {usual} must equal to defaultRequest value {request} in {name}");
        errors.invalid(&at.key(name), request.to_string(), detail);
    }
}
