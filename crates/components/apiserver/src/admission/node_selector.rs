//! PodNodeSelector: pods of a namespace run where its annotation, or the cluster's configuration, says.

use std::collections::BTreeMap;

use minato_mvcc::Key;
use serde_json::{Map, Value};

use super::{Context, text};
use crate::status::ApiError;

const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";
const CLUSTER_DEFAULT: &str = "clusterDefaultNodeSelector";

/// Labels of nodes.
type Labels = BTreeMap<String, String>;

/// Selectors by namespace: what its pods may ask for. That of the cluster is for namespaces without an annotation.
#[derive(Debug, Default)]
pub(super) struct Configuration(BTreeMap<String, Labels>);

impl Configuration {
    pub(super) fn read(told: &Value) -> Result<Self, String> {
        let selectors = &told["podNodeSelectorPluginConfig"];
        let mut by_namespace = BTreeMap::new();
        for (namespace, selector) in selectors.as_object().into_iter().flatten() {
            by_namespace.insert(namespace.clone(), labels_of(text(selector))?);
        }
        Ok(Self(by_namespace))
    }

    fn of(&self, namespace: &str) -> Labels {
        self.0.get(namespace).cloned().unwrap_or_default()
    }
}

/// `a=b,c=d`
fn labels_of(selector: &str) -> Result<Labels, String> {
    let mut labels = Labels::new();
    for part in selector.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some((key, value)) => {
                let value = value.strip_prefix('=').unwrap_or(value);
                labels.insert(key.trim().to_owned(), value.trim().to_owned());
            }
            None => return Err(format!("invalid selector: {part}")),
        }
    }
    Ok(labels)
}

fn of_namespace(context: &Context<'_>, pod: &Value) -> Result<Labels, ApiError> {
    let name = context.target.namespace;
    let Some(namespace) = context.memory.get(&Key::new("core/namespaces", "", name)) else {
        return Err(context.forbidden(pod, &format!("namespace {name} does not exist")));
    };
    let namespace = crate::write::parse(&namespace)?;
    match namespace["metadata"]["annotations"][ANNOTATION].as_str() {
        Some(selector) => labels_of(selector).map_err(|why| context.forbidden(pod, &why)),
        None => Ok(context.core.plugins.node_selectors.of(CLUSTER_DEFAULT)),
    }
}

fn selector_of(pod: &Value) -> Map<String, Value> {
    pod["spec"]["nodeSelector"].as_object().cloned().unwrap_or_default()
}

fn conflicts(wanted: &Labels, selector: &Map<String, Value>) -> bool {
    wanted.iter().any(|(key, value)| selector.get(key).is_some_and(|own| own != value.as_str()))
}

pub(super) fn fill(context: &Context<'_>, pod: &mut Value) -> Result<(), ApiError> {
    if !context.creates("core/pods") {
        return Ok(());
    }
    let wanted = of_namespace(context, pod)?;
    let mut selector = selector_of(pod);
    if conflicts(&wanted, &selector) {
        return Err(context.forbidden(pod, "pod node label selector conflicts with its namespace node label selector"));
    }
    selector.extend(wanted.into_iter().map(|(key, value)| (key, value.into())));
    if !selector.is_empty() {
        pod["spec"]["nodeSelector"] = selector.into();
    }
    Ok(())
}

pub(super) fn check(context: &Context<'_>, pod: &Value) -> Result<(), ApiError> {
    if !context.creates("core/pods") {
        return Ok(());
    }
    let selector = selector_of(pod);
    if conflicts(&of_namespace(context, pod)?, &selector) {
        return Err(context.forbidden(pod, "pod node label selector conflicts with its namespace node label selector"));
    }
    let allowed = context.core.plugins.node_selectors.of(context.target.namespace);
    let is_allowed =
        |(key, value): (&String, &Value)| allowed.get(key).is_some_and(|allowed| value == allowed.as_str());
    if allowed.is_empty() || selector.iter().all(is_allowed) {
        return Ok(());
    }
    Err(context.forbidden(pod, "pod node label selector labels conflict with its namespace whitelist"))
}
