//! PodTolerationRestriction: what pods of a namespace tolerate unasked, and what they may tolerate at all.

use minato_mvcc::Key;
use serde::Deserialize;
use serde_json::{Value, json};

use super::configuration::versioned;
use super::{Context, Operation, items, text};
use crate::status::ApiError;

const DEFAULTS: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const ALLOWED: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";

/// For namespaces whose annotations say nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Configuration {
    default: Vec<Value>,
    whitelist: Vec<Value>,
}

impl Configuration {
    pub(super) fn read(told: &Value) -> Result<Self, String> {
        versioned(told, "podtolerationrestriction.admission.k8s.io", "Configuration")
    }
}

/// The tolerations of the namespace's annotation, if it has one.
fn annotated(context: &Context<'_>, pod: &Value, annotation: &str) -> Result<Option<Vec<Value>>, ApiError> {
    let name = context.target.namespace;
    let Some(namespace) = context.memory.get(&Key::new("core/namespaces", "", name)) else {
        return Err(context.forbidden(pod, &format!("namespace {name} does not exist")));
    };
    let namespace = crate::write::parse(&namespace)?;
    match text(&namespace["metadata"]["annotations"][annotation]) {
        "" if namespace["metadata"]["annotations"][annotation].is_null() => Ok(None),
        "" => Ok(Some(Vec::new())),
        list => serde_json::from_str(list).map(Some).map_err(|error| context.forbidden(pod, &error.to_string())),
    }
}

fn is_best_effort(pod: &Value) -> bool {
    let uses = |container: &Value| {
        ["requests", "limits"].iter().any(|side| {
            let amounts = container["resources"][side].as_object();
            amounts.is_some_and(|amounts| amounts.keys().any(|name| matches!(name.as_str(), "cpu" | "memory")))
        })
    };
    !["containers", "initContainers"].iter().flat_map(|list| items(&pod["spec"][list])).any(uses)
}

pub(super) fn fill(context: &Context<'_>, pod: &mut Value) -> Result<(), ApiError> {
    if !context.is("core/pods") || !matches!(context.operation, Operation::Create | Operation::Update) {
        return Ok(());
    }
    let mut extra = Vec::new();
    if context.operation == Operation::Create {
        let annotated = annotated(context, pod, DEFAULTS)?;
        extra = annotated.unwrap_or_else(|| context.core.plugins.tolerations.default.clone());
    }
    if !is_best_effort(pod) {
        let key = "node.kubernetes.io/memory-pressure";
        extra.push(json!({"key": key, "operator": "Exists", "effect": "NoSchedule"}));
    }
    if !extra.is_empty() {
        let own: Vec<Value> = items(&pod["spec"]["tolerations"]).cloned().collect();
        pod["spec"]["tolerations"] = merged(own, extra).into();
    }
    Ok(())
}

pub(super) fn check(context: &Context<'_>, pod: &Value) -> Result<(), ApiError> {
    if !context.is("core/pods") || !matches!(context.operation, Operation::Create | Operation::Update) {
        return Ok(());
    }
    let mut tolerations = items(&pod["spec"]["tolerations"]).peekable();
    if tolerations.peek().is_none() {
        return Ok(());
    }
    let annotated = annotated(context, pod, ALLOWED)?;
    let (scope, allowed) = match &annotated {
        Some(allowed) => ("namespace", allowed),
        None => ("cluster", &context.core.plugins.tolerations.whitelist),
    };
    if allowed.is_empty() || tolerations.all(|own| allowed.iter().any(|allowed| covers(allowed, own))) {
        return Ok(());
    }
    let why = format!(
        "pod tolerations (possibly merged with namespace default tolerations) conflict with its {scope} whitelist"
    );
    Err(context.forbidden(pod, &why))
}

/// Both lists without what another toleration covers (`MergeTolerations`).
fn merged(first: Vec<Value>, second: Vec<Value>) -> Vec<Value> {
    let all: Vec<Value> = first.into_iter().chain(second).collect();
    let mut merged: Vec<Value> = Vec::new();
    for (index, toleration) in all.iter().enumerate() {
        let later = all.iter().skip(index + 1);
        let covered = merged.iter().any(|other| covers(other, toleration))
            || later.into_iter().any(|other| other != toleration && covers(other, toleration));
        if !covered {
            merged.push(toleration.clone());
        }
    }
    merged
}

/// Whether `wide` tolerates whatever `narrow` does.
fn covers(wide: &Value, narrow: &Value) -> bool {
    if wide == narrow {
        return true;
    }
    let exists = text(&wide["operator"]) == "Exists";
    let every_key = text(&wide["key"]).is_empty() && exists;
    if text(&wide["key"]) != text(&narrow["key"]) && !every_key {
        return false;
    }
    if !matches!(text(&wide["effect"]), "") && text(&wide["effect"]) != text(&narrow["effect"]) {
        return false;
    }
    if text(&wide["effect"]) == "NoExecute"
        && let Some(seconds) = wide["tolerationSeconds"].as_i64()
        && narrow["tolerationSeconds"].as_i64().is_none_or(|own| own > seconds)
    {
        return false;
    }
    let is_equal = |toleration: &Value| matches!(text(&toleration["operator"]), "" | "Equal");
    exists || (is_equal(wide) && is_equal(narrow) && text(&wide["value"]) == text(&narrow["value"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_toleration_covers_is_left_out() {
        let any = json!({"operator": "Exists"});
        let key = |effect: &str| json!({"key": "a", "operator": "Exists", "effect": effect});
        let value = |value: &str| json!({"key": "a", "operator": "Equal", "value": value});
        for (first, second, expected) in [
            (vec![value("1")], vec![value("2")], vec![value("1"), value("2")]),
            (vec![value("1")], vec![value("1")], vec![value("1")]),
            (vec![value("1"), key("NoSchedule")], vec![any.clone()], vec![any.clone()]),
            (vec![any.clone()], vec![key("")], vec![any]),
            (vec![key("NoSchedule")], vec![key("NoExecute")], vec![key("NoSchedule"), key("NoExecute")]),
        ] {
            assert_eq!(merged(first, second), expected);
        }
    }
}
