//! Whether other servers answer, and what they say they serve.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use jiff::Timestamp;
use minato_http::BoxError;
use minato_mvcc::{Key, Revision};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::openapi::OpenApi;
use super::remote::Remote;
use super::{API_SERVICES, identify, keeper};
use crate::admission::Remarks;
use crate::core::Core;
use crate::object;
use crate::registry;
use crate::status::ApiError;
use crate::write::{Target, UpdateKind, parse};

/// How often a server that answers is asked again.
const INTERVAL: Duration = Duration::from_secs(30);
/// How often a server about which nothing has changed is asked for its OpenAPI documents again.
const OPENAPI_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// How long a server may take to answer, as upstream gives it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);
/// The largest list of resources that is read.
const LIST_BYTES_MAX: usize = 1024 * 1024;

/// What was found of one server: its condition and, if it answers, what it says it serves.
struct Finding {
    reason: &'static str,
    message: String,
    found: Option<Found>,
}

struct Found {
    /// An `APIResourceList`.
    resources: Value,
    openapi: OpenApi,
    /// Whether the server was asked for its OpenAPI documents this time.
    is_fresh: bool,
}

impl Finding {
    fn fault(reason: &'static str, message: String) -> Self {
        Self { reason, message, found: None }
    }
}

/// Every other server, and when it was looked at.
#[derive(Default)]
pub(super) struct Checks {
    known: BTreeMap<String, Known>,
    /// APIServices of this server's own, as they were read.
    local: HashMap<String, Revision>,
}

struct Known {
    api_service: Value,
    remote: Arc<Remote>,
    seen: Seen,
    /// A check is under way.
    running: bool,
    due: Instant,
    /// What the server said of its shapes, and until when that is good.
    openapi: Option<(OpenApi, Instant)>,
}

/// What a check depends on: where any of it changes, the server is looked at before its time.
#[derive(Clone, Default, PartialEq)]
struct Seen {
    api_service: Revision,
    service: Option<Revision>,
    endpoints: Vec<Revision>,
}

/// A check that has ended.
pub(super) struct Checked {
    name: String,
    finding: Finding,
}

impl Checks {
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// When the next server is to be looked at again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.known.values().filter(|known| !known.running).map(|known| known.due).min()
    }

    /// Looks at what is stored; the checks that are to be made now.
    pub(super) fn begin(&mut self, core: &Arc<Core>) -> Vec<impl Future<Output = Checked> + Send + use<>> {
        let services = core.memory().snapshot(API_SERVICES);
        self.known.retain(|name, _| services.get("", name).is_some());
        self.local.retain(|name, _| services.get("", name).is_some());
        let mut checks = Vec::new();
        for object in services.iter() {
            let name = &*object.key.name;
            if self.local.get(name) == Some(&object.revision) {
                continue;
            }
            let known = self.known.get(name);
            if known.is_none_or(|known| known.seen.api_service != object.revision) {
                let Ok(value) = parse(object) else { continue };
                let Some(remote) = Remote::of(&value) else {
                    self.known.remove(name);
                    self.local.insert(name.to_owned(), object.revision);
                    continue;
                };
                let (api_service, remote) = (value, Arc::new(remote));
                match self.known.get_mut(name) {
                    Some(known) => {
                        known.api_service = api_service;
                        known.remote = remote;
                    }
                    None => {
                        let due = Instant::now();
                        let new =
                            Known { api_service, remote, seen: Seen::default(), running: false, due, openapi: None };
                        self.known.insert(name.to_owned(), new);
                    }
                }
            }
            let Some(known) = self.known.get_mut(name) else { continue };
            let seen = seen(core, &known.remote, object.revision);
            if known.running || (known.seen == seen && known.due > Instant::now()) {
                continue;
            }
            let now = Instant::now();
            let openapi = known.openapi.as_ref().filter(|(_, until)| known.seen == seen && *until > now);
            let openapi = openapi.map(|(openapi, _)| openapi.clone());
            known.seen = seen;
            known.running = true;
            let (core, remote, name) = (Arc::clone(core), Arc::clone(&known.remote), name.to_owned());
            checks.push(async move { Checked { finding: find(&core, &remote, openapi).await, name } });
        }
        self.publish(core);
        checks
    }

    /// Tells of a server in its APIService and enters what it serves in discovery.
    pub(super) async fn end(&mut self, core: &Core, checked: Checked) {
        let Some(known) = self.known.get_mut(&checked.name) else { return };
        known.running = false;
        known.due = Instant::now() + INTERVAL;
        let finding = checked.finding;
        let gauge = core.metrics.unavailable_services.with_label_values(&[&checked.name]);
        gauge.set(i64::from(finding.found.is_none()));
        match tell(core, &known.api_service, &finding).await {
            Ok(Some((revision, value))) => {
                // What was written here is no news, unless somebody else wrote meanwhile: then it is looked at again.
                let checked = known.seen.api_service.0.to_string();
                let is_news = known.api_service["metadata"]["resourceVersion"] != checked
                    || known.api_service["spec"] != value["spec"];
                if let Some(remote) = Remote::of(&value) {
                    known.remote = Arc::new(remote);
                }
                known.api_service = value;
                known.seen.api_service = if is_news { Revision(0) } else { revision };
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(api_service = checked.name, %error, "the status of an APIService cannot be written");
            }
        }
        list(core, &known.remote, &finding);
        if let Some(found) = finding.found.filter(|found| found.is_fresh) {
            known.openapi = Some((found.openapi, Instant::now() + OPENAPI_INTERVAL));
        }
        self.publish(core);
    }

    /// Lets requests go to the servers as they are known now.
    fn publish(&self, core: &Core) {
        let remotes = self.known.values().map(|known| &known.remote);
        let now: HashMap<_, _> =
            remotes.map(|remote| ((remote.group.clone(), remote.version.clone()), Arc::clone(remote))).collect();
        let before = core.aggregator.remotes.load_full();
        let same = before.len() == now.len()
            && now.iter().all(|(key, remote)| before.get(key).is_some_and(|have| Arc::ptr_eq(have, remote)));
        if same {
            return;
        }
        for (group, version) in before.keys().filter(|key| !now.contains_key(*key)) {
            core.registry.change(|served| served.remove_remote(group, version));
        }
        core.aggregator.remotes.store(Arc::new(now));
    }
}

/// What a check of `remote` depends on, as it is now.
fn seen(core: &Core, remote: &Remote, api_service: Revision) -> Seen {
    let service = Key::new("core/services", remote.namespace.as_str(), remote.service.as_str());
    let slices = core.memory().snapshot("discovery.k8s.io/endpointslices");
    let of_service = slices
        .iter_namespace(&remote.namespace)
        .filter(|slice| slice.attributes.label("kubernetes.io/service-name") == Some(remote.service.as_str()));
    Seen {
        api_service,
        service: core.memory().get(&service).map(|service| service.revision),
        endpoints: of_service.map(|slice| slice.revision).collect(),
    }
}

/// Looks at a server: its Service, its endpoints, its answer. What is `known` of its shapes is not asked for again.
async fn find(core: &Core, remote: &Remote, known: Option<OpenApi>) -> Finding {
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
    let path = format!("/apis/{}/{}", remote.group, remote.version);
    let url = format!("https://{}{path}", remote.host_name());
    match tokio::time::timeout(ANSWER_TIMEOUT, get(core, remote, &path, LIST_BYTES_MAX)).await {
        Ok(Ok(resources)) if resources["resources"].is_array() => {
            let is_fresh = known.is_none();
            let openapi = match known {
                Some(openapi) => openapi,
                None => OpenApi::of(core, remote).await,
            };
            let found = Some(Found { resources, openapi, is_fresh });
            Finding { reason: "Passed", message: "all checks passed".to_owned(), found }
        }
        Ok(Ok(_)) => Finding::fault(
            "FailedDiscoveryCheck",
            format!("failing or missing response from {url}: the answer is not an APIResourceList"),
        ),
        Ok(Err(why)) => {
            Finding::fault("FailedDiscoveryCheck", format!("failing or missing response from {url}: {why}"))
        }
        Err(_) => Finding::fault(
            "FailedDiscoveryCheck",
            format!("failing or missing response from {url}: Get {url:?}: context deadline exceeded"),
        ),
    }
}

/// What the server answers to a question of this one's own, as JSON.
pub(super) async fn get(core: &Core, remote: &Remote, path: &str, bytes_max: usize) -> Result<Value, String> {
    let backend = remote.backend(core.memory(), core.aggregator.front_proxy())?;
    let mut request = Request::new(Empty::new().map_err(|never| -> BoxError { match never {} }).boxed_unsync());
    *request.method_mut() = Method::GET;
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
    let body = Limited::new(response.into_body(), bytes_max).collect().await.map_err(|error| error.to_string())?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())
}

/// `Available` as a condition.
pub(super) fn condition(available: bool, reason: &str, message: &str) -> Value {
    json!({
        "type": "Available", "status": if available { "True" } else { "False" },
        "lastTransitionTime": object::time(Timestamp::now()), "reason": reason, "message": message,
    })
}

/// Writes the condition where it changed; the APIService as it is then, if it was written.
async fn tell(core: &Core, api_service: &Value, finding: &Finding) -> Result<Option<(Revision, Value)>, ApiError> {
    let available = finding.found.is_some();
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
    Ok(Some((written.revision, parse(&written)?)))
}

/// Enters what the server serves in discovery; a server that does not answer keeps what it said before, as stale.
fn list(core: &Core, remote: &Remote, finding: &Finding) {
    let before = {
        let served = core.registry.served();
        let versions = served.group(&remote.group).map(|group| group.versions.clone()).unwrap_or_default();
        versions.into_iter().find(|version| version.name == *remote.version).and_then(|version| version.remote)
    };
    let (classic, aggregated, openapi) = match (&finding.found, &before) {
        (Some(found), _) => {
            let classic = found.resources["resources"].as_array().cloned().unwrap_or_default();
            let aggregated = aggregated(remote, &classic);
            (classic, aggregated, found.openapi.clone())
        }
        (None, Some(before)) => (before.classic.clone(), before.aggregated.clone(), before.openapi.clone()),
        (None, None) => (Vec::new(), Vec::new(), OpenApi::default()),
    };
    let current = finding.found.is_some();
    let same = before
        .is_some_and(|before| before.classic == classic && before.current == current && before.openapi == openapi);
    if !same {
        let entry = registry::Remote { classic, aggregated, openapi, current };
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
