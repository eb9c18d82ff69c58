//! Programs that have a say in where pods go: they are asked over HTTP to filter, to score and to bind.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use minato_placement::Demand;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::bind::PodName;

/// The best mark of an extender; those of this scheduler go up to 100.
const SCORE_SCALE: i64 = 100 / 10;

/// One extender, as the configuration has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extender {
    /// Where it is; verbs are added as parts of the path.
    pub url_prefix: String,
    /// Verbs; empty ones are not asked.
    pub filter_verb: String,
    /// See `filter_verb`.
    pub prioritize_verb: String,
    /// What its marks count.
    pub weight: i64,
    /// See `filter_verb`.
    pub bind_verb: String,
    /// How long it may take to answer.
    pub timeout: Duration,
    /// It knows the nodes: their names suffice.
    pub node_cache_capable: bool,
    /// It is asked about pods that request one of these; about all if there are none.
    pub managed_resources: Vec<String>,
    /// Pods are scheduled even if it does not answer.
    pub ignorable: bool,
    /// How to reach it, in the fields of a kubeconfig's cluster and user.
    pub(crate) cluster: Value,
    pub(crate) user: Value,
}

/// Why an extender was of no help.
#[derive(Debug, thiserror::Error)]
pub enum ExtenderError {
    /// Its certificates or its address cannot be used.
    #[error("extender {url}: {reason}")]
    Setup {
        /// Which.
        url: String,
        /// Why.
        reason: String,
    },
    /// It gave no answer, or none that can be read.
    #[error("extender {url} failed to {verb}: {reason}")]
    Call {
        /// Which.
        url: String,
        /// What it was asked.
        verb: String,
        /// Why.
        reason: String,
    },
    /// The pod cannot be read (any more).
    #[error("the pod could not be read: {0}")]
    Pod(#[from] kube::Error),
}

/// What all extenders together say of the nodes on which a pod fits.
#[derive(Debug, Default)]
pub(crate) struct Opinion {
    pub(crate) allowed: BTreeSet<String>,
    pub(crate) scores: HashMap<String, i64>,
    /// Reasons, and how many nodes were refused for each.
    pub(crate) refused: BTreeMap<String, usize>,
}

#[derive(Clone)]
struct Reachable {
    extender: Extender,
    client: Client,
}

/// All extenders, in the order of the configuration.
#[derive(Clone, Default)]
pub(crate) struct Extenders(Vec<Reachable>);

impl Extenders {
    pub(crate) async fn connect(extenders: &[Extender]) -> Result<Self, ExtenderError> {
        let mut all = Vec::new();
        for extender in extenders {
            let url = || extender.url_prefix.clone();
            let failed = |reason: String| ExtenderError::Setup { url: url(), reason };
            let written = json!({"apiVersion": "v1", "kind": "Config", "current-context": "x",
                "clusters": [{"name": "x", "cluster": extender.cluster}],
                "users": [{"name": "x", "user": extender.user}],
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}]});
            let written: Kubeconfig = serde_json::from_value(written).map_err(|error| failed(error.to_string()))?;
            let config = kube::Config::from_custom_kubeconfig(written, &KubeConfigOptions::default()).await;
            let client = config
                .map_err(|error| failed(error.to_string()))
                .and_then(|config| Client::try_from(config).map_err(|error| failed(error.to_string())))?;
            all.push(Reachable { extender: extender.clone(), client });
        }
        Ok(Self(all))
    }

    /// Whether some extender wants to be asked about such a pod.
    pub(crate) fn concern(&self, demand: &Demand) -> bool {
        self.of(demand).any(|one| !one.extender.filter_verb.is_empty() || !one.extender.prioritize_verb.is_empty())
    }

    /// Whether nodes have to be sent in full.
    pub(crate) fn need_nodes(&self) -> bool {
        self.0.iter().any(|one| !one.extender.node_cache_capable)
    }

    fn of<'a>(&'a self, demand: &'a Demand) -> impl Iterator<Item = &'a Reachable> {
        self.0.iter().filter(|one| {
            let managed = &one.extender.managed_resources;
            managed.is_empty() || managed.iter().any(|resource| demand.requests(resource))
        })
    }

    /// Asks about the nodes on which a pod fits.
    pub(crate) async fn consult(
        &self,
        client: Client,
        name: &PodName,
        demand: &Demand,
        names: Vec<String>,
        nodes: &HashMap<String, Arc<Node>>,
    ) -> Result<Opinion, ExtenderError> {
        let pod: Pod = Api::namespaced(client, &name.namespace).get(&name.name).await?;
        let mut opinion = Opinion { allowed: names.into_iter().collect(), ..Opinion::default() };
        for one in self.of(demand).filter(|one| !one.extender.filter_verb.is_empty()) {
            if opinion.allowed.is_empty() {
                break;
            }
            let arguments = one.arguments(&pod, &opinion.allowed, nodes);
            let answer = one.call(&one.extender.filter_verb, &arguments).await.and_then(|answer| {
                let error = answer.get("error").and_then(Value::as_str).unwrap_or_default();
                match error.is_empty() {
                    true => Ok(answer),
                    false => Err(one.failed(&one.extender.filter_verb, error)),
                }
            });
            match answer {
                Ok(answer) => opinion.filter(&answer),
                Err(error) if one.extender.ignorable => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "an extender is skipped");
                }
                Err(error) => return Err(error),
            }
        }
        if opinion.allowed.is_empty() {
            return Ok(opinion);
        }
        for one in self.of(demand).filter(|one| !one.extender.prioritize_verb.is_empty()) {
            let arguments = one.arguments(&pod, &opinion.allowed, nodes);
            match one.post::<Vec<Value>>(&one.extender.prioritize_verb, &arguments).await {
                Ok(marks) => opinion.add_marks(&marks, one.extender.weight),
                // As upstream: marks are not worth failing for.
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "an extender gives no marks"),
            }
        }
        Ok(opinion)
    }

    /// Has a pod bound by the extender whose business that is; `None` if it is nobody's.
    pub(crate) async fn bind(&self, demand: &Demand, pod: &PodName, node: &str) -> Option<Result<(), ExtenderError>> {
        let one = self.of(demand).find(|one| !one.extender.bind_verb.is_empty())?;
        let arguments = json!({"PodName": pod.name, "PodNamespace": pod.namespace, "PodUID": *pod.uid.0, "Node": node});
        Some(one.call(&one.extender.bind_verb, &arguments).await.and_then(|answer| {
            match answer.get("error").and_then(Value::as_str).unwrap_or_default() {
                "" => Ok(()),
                error => Err(one.failed(&one.extender.bind_verb, error)),
            }
        }))
    }

    /// Whether some extender binds such pods.
    pub(crate) fn binds(&self, demand: &Demand) -> bool {
        self.of(demand).any(|one| !one.extender.bind_verb.is_empty())
    }
}

impl Opinion {
    /// Takes note of which nodes an extender leaves, and of what it says about the others.
    fn filter(&mut self, answer: &Map<String, Value>) {
        let names = answer
            .get("nodenames")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect::<BTreeSet<String>>());
        let items = answer.get("nodes").and_then(|nodes| nodes.get("items")).and_then(Value::as_array);
        let items = items.map(|items| {
            let names = items.iter().filter_map(|node| node.pointer("/metadata/name")?.as_str());
            names.map(str::to_owned).collect::<BTreeSet<String>>()
        });
        let left = names.or(items).unwrap_or_default();
        for key in ["failednodes", "failedandunresolvablenodes"] {
            for (node, reason) in answer.get(key).and_then(Value::as_object).into_iter().flatten() {
                if self.allowed.contains(node) {
                    *self.refused.entry(reason.as_str().unwrap_or_default().to_owned()).or_default() += 1;
                }
            }
        }
        self.allowed.retain(|node| left.contains(node));
    }

    fn add_marks(&mut self, marks: &[Value], weight: i64) {
        for mark in marks.iter().filter_map(Value::as_object).map(lower_case) {
            let (host, score) = (mark.get("host").and_then(Value::as_str), mark.get("score").and_then(Value::as_i64));
            if let (Some(host), Some(score)) = (host, score) {
                *self.scores.entry(host.to_owned()).or_default() += score.clamp(0, 10) * weight * SCORE_SCALE;
            }
        }
    }
}

/// Go reads field names in any case, and so do extenders expect.
fn lower_case(object: &Map<String, Value>) -> Map<String, Value> {
    object.iter().map(|(key, value)| (key.to_lowercase(), value.clone())).collect()
}

impl Reachable {
    fn arguments(&self, pod: &Pod, names: &BTreeSet<String>, nodes: &HashMap<String, Arc<Node>>) -> Value {
        if self.extender.node_cache_capable {
            return json!({"Pod": pod, "Nodes": null, "NodeNames": names});
        }
        let items: Vec<&Node> = names.iter().filter_map(|name| nodes.get(name).map(AsRef::as_ref)).collect();
        json!({"Pod": pod, "Nodes": {"metadata": {}, "items": items}, "NodeNames": null})
    }

    fn failed(&self, verb: &str, reason: &str) -> ExtenderError {
        ExtenderError::Call { url: self.extender.url_prefix.clone(), verb: verb.to_owned(), reason: reason.to_owned() }
    }

    async fn call(&self, verb: &str, arguments: &Value) -> Result<Map<String, Value>, ExtenderError> {
        self.post::<Map<String, Value>>(verb, arguments).await.map(|answer| lower_case(&answer))
    }

    async fn post<T: DeserializeOwned>(&self, verb: &str, arguments: &impl Serialize) -> Result<T, ExtenderError> {
        let failed = |reason: String| self.failed(verb, &reason);
        let body = serde_json::to_vec(arguments).map_err(|error| failed(error.to_string()))?;
        let request = Request::post(format!("/{}", verb.trim_start_matches('/')))
            .header("Content-Type", "application/json")
            .body(body)
            .map_err(|error| failed(error.to_string()))?;
        match tokio::time::timeout(self.extender.timeout, self.client.request::<T>(request)).await {
            Ok(answer) => answer.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer within {:?}", self.extender.timeout))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opinion(names: &[&str]) -> Opinion {
        Opinion { allowed: names.iter().map(|name| (*name).to_owned()).collect(), ..Opinion::default() }
    }

    #[test]
    fn answers_in_either_form_and_any_case() {
        for (answer, left) in [
            (json!({"NodeNames": ["a"], "FailedNodes": {"b": "too far"}}), vec!["a"]),
            (json!({"nodenames": ["a", "c", "z"]}), vec!["a", "c"]),
            (json!({"Nodes": {"items": [{"metadata": {"name": "b"}}]}, "NodeNames": null}), vec!["b"]),
            (json!({}), vec![]),
        ] {
            let mut opinion = opinion(&["a", "b", "c"]);
            opinion.filter(&lower_case(answer.as_object().unwrap()));
            assert_eq!(opinion.allowed.iter().collect::<Vec<_>>(), left, "{answer}");
        }
    }

    #[test]
    fn marks_are_weighed_and_added_up() {
        let mut opinion = opinion(&["a", "b"]);
        opinion.add_marks(&[json!({"Host": "a", "Score": 3}), json!({"host": "b", "score": 99})], 2);
        opinion.add_marks(&[json!({"Host": "a", "Score": 1})], 1);
        assert_eq!((opinion.scores["a"], opinion.scores["b"]), (70, 200));
    }
}
