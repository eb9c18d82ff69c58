//! LimitRanges: the usual, the least and the most that a container, a pod or a claim may ask for.

use minato_quantity::Quantity;
use serde_json::{Map, Value};

use crate::amounts::{Amounts, items, text};
use crate::pod::of_containers;

/// Says what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Gives the containers of a new pod what the LimitRange says is usual, where they do not say themselves.
pub fn fill(limit_range: &Value, pod: &mut Value) {
    let mut usual_limits = Amounts::default();
    let mut usual_requests = Amounts::default();
    for limit in items(&limit_range["spec"]["limits"]).filter(|limit| limit["type"] == "Container") {
        usual_limits.0.extend(Amounts::read(&limit["default"]).0);
        usual_requests.0.extend(Amounts::read(&limit["defaultRequest"]).0);
    }
    let mut told = Vec::new();
    for (list, noun) in [("containers", "container"), ("initContainers", "init container")] {
        for container in pod["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let requests = complete(container, "requests", &usual_requests);
            let limits = complete(container, "limits", &usual_limits);
            let name = text(&container["name"]);
            for (filled, what) in [(requests, "request"), (limits, "limit")] {
                if !filled.is_empty() {
                    told.push(format!("{} {what} for {noun} {name}", filled.join(", ")));
                }
            }
        }
    }
    if told.is_empty() {
        return;
    }
    if let Value::Object(metadata) = &mut pod["metadata"]
        && let Value::Object(annotations) =
            metadata.entry("annotations").and_modify(empty_if_null).or_insert_with(|| Map::new().into())
    {
        annotations.insert(ANNOTATION.to_owned(), format!("LimitRanger plugin set: {}", told.join("; ")).into());
    }
}

fn empty_if_null(value: &mut Value) {
    if value.is_null() {
        *value = Map::new().into();
    }
}

/// Completes `container.resources.<list>`; returns the names of what was missing, in order.
fn complete(container: &mut Value, list: &str, usual: &Amounts) -> Vec<String> {
    let mut filled = Vec::new();
    if usual.0.is_empty() {
        return filled;
    }
    let Value::Object(container) = container else { return filled };
    let resources = container.entry("resources").and_modify(empty_if_null).or_insert_with(|| Map::new().into());
    let Value::Object(resources) = resources else { return filled };
    let amounts = resources.entry(list).and_modify(empty_if_null).or_insert_with(|| Map::new().into());
    let Value::Object(amounts) = amounts else { return filled };
    for (name, amount) in &usual.0 {
        if !amounts.contains_key(name) {
            amounts.insert(name.clone(), amount.to_string().into());
            filled.push(name.clone());
        }
    }
    filled
}

/// What of a pod the LimitRange does not allow.
pub fn check_pod(limit_range: &Value, pod: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for limit in items(&limit_range["spec"]["limits"]) {
        match text(&limit["type"]) {
            "Container" => {
                let spec = &pod["spec"];
                for container in items(&spec["containers"]).chain(items(&spec["initContainers"])) {
                    let list = |list: &str| Amounts::read(&container["resources"][list]);
                    check(limit, "Container", &list("requests"), &list("limits"), &mut wrong);
                }
            }
            "Pod" => check(limit, "Pod", &of_containers(pod, "requests"), &of_containers(pod, "limits"), &mut wrong),
            _ => {}
        }
    }
    wrong
}

/// What of a PersistentVolumeClaim the LimitRange does not allow.
pub fn check_claim(limit_range: &Value, claim: &Value) -> Vec<String> {
    const KIND: &str = "PersistentVolumeClaim";
    let requests = Amounts::read(&claim["spec"]["resources"]["requests"]);
    let mut wrong = Vec::new();
    for limit in items(&limit_range["spec"]["limits"]).filter(|limit| limit["type"] == KIND) {
        for (name, least) in &Amounts::read(&limit["min"]).0 {
            wrong.extend(least_of(KIND, name, *least, requests.get(name), None));
        }
        for (name, most) in &Amounts::read(&limit["max"]).0 {
            let usage = format!("maximum {name} usage per {KIND} is {most}");
            wrong.extend(match requests.get(name) {
                None => Some(format!("{usage}.  No request is specified")),
                Some(request) if request > *most => Some(format!("{usage}, but request is {request}")),
                Some(_) => None,
            });
        }
    }
    wrong
}

fn check(limit: &Value, kind: &str, requests: &Amounts, limits: &Amounts, wrong: &mut Vec<String>) {
    for (name, least) in &Amounts::read(&limit["min"]).0 {
        wrong.extend(least_of(kind, name, *least, requests.get(name), limits.get(name)));
    }
    for (name, most) in &Amounts::read(&limit["max"]).0 {
        let usage = format!("maximum {name} usage per {kind} is {most}");
        wrong.extend(match (limits.get(name), requests.get(name)) {
            (None, _) => Some(format!("{usage}.  No limit is specified")),
            (Some(limit), _) if limit > *most => Some(format!("{usage}, but limit is {limit}")),
            (_, Some(request)) if request > *most => Some(format!("{usage}, but request is {request}")),
            _ => None,
        });
    }
    for (name, ratio) in &Amounts::read(&limit["maxLimitRequestRatio"]).0 {
        let most = format!("{name} max limit to request ratio per {kind} is {ratio}");
        let given = |amount: Option<Quantity>| amount.filter(|amount| !amount.is_zero());
        wrong.extend(match (given(requests.get(name)), given(limits.get(name))) {
            (None, _) => Some(format!("{most}, but no request is specified or request is 0")),
            (_, None) => Some(format!("{most}, but no limit is specified or limit is 0")),
            (Some(request), Some(limit)) => {
                let observed = limit.nanos() as f64 / request.nanos() as f64;
                let allowed = ratio.milli_value() as f64 / 1000.0;
                (observed > allowed).then(|| format!("{most}, but provided ratio is {observed:.6}"))
            }
        });
    }
}

fn least_of(
    kind: &str,
    name: &str,
    least: Quantity,
    request: Option<Quantity>,
    limit: Option<Quantity>,
) -> Option<String> {
    let usage = format!("minimum {name} usage per {kind} is {least}");
    match (request, limit) {
        (None, _) => Some(format!("{usage}.  No request is specified")),
        (Some(request), _) if request < least => Some(format!("{usage}, but request is {request}")),
        (_, Some(limit)) if limit < least => Some(format!("{usage}, but limit is {limit}")),
        _ => None,
    }
}
