//! Whether other servers answer, and what they say they serve.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use jiff::Timestamp;
use minato_http::BoxError;
use minato_mvcc::Key;
use serde_json::{Value, json};

use super::remote::Remote;
use super::{API_SERVICES, identify, keeper};
use crate::admission::Remarks;
use crate::core::Core;
use crate::object;
use crate::registry;
use crate::status::ApiError;
use crate::write::{Target, UpdateKind, parse};

/// How often a server that answers is asked again.
pub(super) const INTERVAL: Duration = Duration::from_secs(30);
/// How long a server may take to answer, as upstream gives it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);
/// The largest list of resources that is read.
const LIST_BYTES_MAX: usize = 1024 * 1024;

/// What was found of one server: its condition and, if it answers, its `APIResourceList`.
struct Finding {
    reason: &'static str,
    message: String,
    resources: Option<Value>,
}

impl Finding {
    fn fault(reason: &'static str, message: String) -> Self {
        Self { reason, message, resources: None }
    }
}

/// Checks every other server, tells of it in its APIService and enters what it serves in discovery. Returns how many
/// there are.
pub(super) async fn check(core: &Core) -> usize {
    let services = core.memory().snapshot(API_SERVICES);
    let parsed = services.iter().filter_map(|object| parse(object).ok());
    let remotes: Vec<(Remote, Value)> =
        parsed.filter_map(|value| Remote::of(&value).map(|remote| (remote, value))).collect();
    let findings = futures::future::join_all(remotes.iter().map(|(remote, _)| find(core, remote))).await;
    let mut served = HashMap::new();
    for ((remote, value), finding) in remotes.iter().zip(&findings) {
        let gauge = core.metrics.unavailable_services.with_label_values(&[&remote.name]);
        gauge.set(i64::from(finding.resources.is_none()));
        let written = tell(core, value, finding).await.unwrap_or_else(|error| {
            tracing::warn!(api_service = remote.name, %error, "the status of an APIService cannot be written");
            None
        });
        list(core, remote, finding);
        if let Some(remote) = Remote::of(written.as_ref().unwrap_or(value)) {
            served.insert((remote.group.clone(), remote.version.clone()), Arc::new(remote));
        }
    }
    let before = core.aggregator.remotes.swap(Arc::new(served));
    let now = core.aggregator.remotes.load();
    for (group, version) in before.keys().filter(|key| !now.contains_key(*key)) {
        core.registry.change(|served| served.remove_remote(group, version));
    }
    remotes.len()
}

/// Looks at a server: its Service, its endpoints, its answer.
async fn find(core: &Core, remote: &Remote) -> Finding {
    let (namespace, service, port) = (&remote.namespace, &remote.service, remote.port);
    let place = format!("service/{service} in {namespace:?}");
    let stored = core.memory().get(&Key::new("core/services", namespace.as_str(), service.as_str()));
    let Some(stored) = stored.and_then(|object| parse(&object).ok()) else {
        return Finding::fault("ServiceNotFound", format!("{place} is not present"));
    };
    if stored["spec"]["type"] != "ExternalName" {
        let mut ports = stored["spec"]["ports"].as_array().into_iter().flatten();
        if !ports.any(|have| have["port"].as_u64() == Some(u64::from(port))) {
            return Finding::fault("ServicePortError", format!("{place} is not listening on port {port}"));
        }
        let slices = core.memory().snapshot("discovery.k8s.io/endpointslices");
        let mut of_service = slices
            .iter_namespace(namespace)
            .filter(|slice| slice.attributes.label("kubernetes.io/service-name") == Some(service.as_str()));
        let ready = |slice: &Value| {
            let mut endpoints = slice["endpoints"].as_array().into_iter().flatten();
            endpoints.any(|endpoint| endpoint["conditions"]["ready"] != false)
        };
        if !of_service.any(|slice| parse(slice).is_ok_and(|slice| ready(&slice))) {
            let message = format!("endpoints for {place} have no addresses with port name \"\"");
            return Finding::fault("MissingEndpoints", message);
        }
    }
    let url = format!("https://{}/apis/{}/{}", remote.host_name(), remote.group, remote.version);
    match tokio::time::timeout(ANSWER_TIMEOUT, resources(core, remote)).await {
        Ok(Ok(resources)) => {
            Finding { reason: "Passed", message: "all checks passed".to_owned(), resources: Some(resources) }
        }
        Ok(Err(why)) => {
            Finding::fault("FailedDiscoveryCheck", format!("failing or missing response from {url}: {why}"))
        }
        Err(_) => Finding::fault(
            "FailedDiscoveryCheck",
            format!("failing or missing response from {url}: Get {url:?}: context deadline exceeded"),
        ),
    }
}

/// The server's `APIResourceList`.
async fn resources(core: &Core, remote: &Remote) -> Result<Value, String> {
    let backend = remote.backend(core.memory(), core.aggregator.front_proxy())?;
    let mut request = Request::new(Empty::new().map_err(|never| -> BoxError { match never {} }).boxed_unsync());
    *request.method_mut() = Method::GET;
    let path = format!("/apis/{}/{}", remote.group, remote.version);
    *request.uri_mut() = path.parse().map_err(|_| format!("{path:?} is not a path"))?;
    let mut headers = HeaderMap::new();
    identify(&mut headers, &keeper());
    crate::relay::set(&mut headers, "accept", "application/json");
    crate::relay::set(&mut headers, "host", remote.host_name());
    *request.headers_mut() = headers;
    let response = backend.ask(request).await.map_err(|error| error.to_string())?;
    let code = response.status();
    if code != StatusCode::OK {
        return Err(format!("bad status from the server: {}", code.as_u16()));
    }
    let body = Limited::new(response.into_body(), LIST_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
    let list: Value = serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())?;
    if list["resources"].is_array() { Ok(list) } else { Err("the answer is not an APIResourceList".to_owned()) }
}

/// `Available` as a condition.
pub(super) fn condition(available: bool, reason: &str, message: &str) -> Value {
    json!({
        "type": "Available", "status": if available { "True" } else { "False" },
        "lastTransitionTime": object::time(Timestamp::now()), "reason": reason, "message": message,
    })
}

/// Writes the condition where it changed; the APIService as it is then, if it was written.
async fn tell(core: &Core, api_service: &Value, finding: &Finding) -> Result<Option<Value>, ApiError> {
    let available = finding.resources.is_some();
    let wanted = condition(available, finding.reason, &finding.message);
    let conditions = api_service["status"]["conditions"].as_array().into_iter().flatten();
    let have = conditions.into_iter().find(|have| have["type"] == "Available").cloned().unwrap_or_default();
    if ["status", "reason", "message"].iter().all(|key| have[*key] == wanted[*key]) {
        return Ok(None);
    }
    let Some(resource) = core.registry.stored("apiregistration.k8s.io", "apiservices") else { return Ok(None) };
    let (user, remarks) = (keeper(), Remarks::default());
    let target = Target::internal(&resource, "", &user, &remarks);
    let mut change = |old: &Value| {
        let mut new = old.clone();
        let mut wanted = wanted.clone();
        if have["status"] == wanted["status"] {
            wanted["lastTransitionTime"] = have["lastTransitionTime"].clone();
        }
        new["status"] = json!({"conditions": [wanted]});
        Ok(new)
    };
    let name = object::text(api_service, "name");
    let written = core.update(&target, name, UpdateKind::Status, &mut change).await?;
    parse(&written).map(Some)
}

/// Enters what the server serves in discovery; a server that does not answer keeps what it said before, as stale.
fn list(core: &Core, remote: &Remote, finding: &Finding) {
    let before = {
        let served = core.registry.served();
        let versions = served.group(&remote.group).map(|group| group.versions.clone()).unwrap_or_default();
        versions.into_iter().find(|version| version.name == *remote.version).and_then(|version| version.remote)
    };
    let (classic, aggregated) = match (&finding.resources, &before) {
        (Some(list), _) => {
            let classic = list["resources"].as_array().cloned().unwrap_or_default();
            let aggregated = aggregated(remote, &classic);
            (classic, aggregated)
        }
        (None, Some(before)) => (before.classic.clone(), before.aggregated.clone()),
        (None, None) => (Vec::new(), Vec::new()),
    };
    let current = finding.resources.is_some();
    let same = before.is_some_and(|before| before.classic == classic && before.current == current);
    if !same {
        let entry = registry::Remote { classic, aggregated, current };
        core.registry.change(|served| served.put_remote(&remote.group, remote.priority, &remote.version, entry));
    }
}

/// `APIResource`s as `APIResourceDiscovery`s, subresources below their resources.
fn aggregated(remote: &Remote, classic: &[Value]) -> Vec<Value> {
    let kind = |resource: &Value| {
        let own = |key: &str, given: &str| resource[key].as_str().unwrap_or(given).to_owned();
        json!({"group": own("group", &remote.group), "version": own("version", &remote.version), "kind": resource["kind"]})
    };
    let name = |resource: &Value| resource["name"].as_str().unwrap_or_default().to_owned();
    let resources = classic.iter().filter(|resource| !name(resource).contains('/'));
    resources
        .map(|resource| {
            let prefix = format!("{}/", name(resource));
            let subresources = classic.iter().filter_map(|below| {
                let subresource = name(below).strip_prefix(&prefix)?.to_owned();
                Some(json!({"subresource": subresource, "responseKind": kind(below), "verbs": below["verbs"]}))
            });
            let subresources: Vec<Value> = subresources.collect();
            let scope = if resource["namespaced"] == true { "Namespaced" } else { "Cluster" };
            let mut entry = json!({
                "resource": resource["name"], "responseKind": kind(resource), "scope": scope,
                "singularResource": resource["singularName"], "verbs": resource["verbs"],
            });
            for key in ["shortNames", "categories"] {
                if resource[key].is_array() {
                    entry[key] = resource[key].clone();
                }
            }
            if !subresources.is_empty() {
                entry["subresources"] = subresources.into();
            }
            entry
        })
        .collect()
}
