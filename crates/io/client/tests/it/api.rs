//! A list, a watch and creation of objects, over HTTP types but without a network.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// A small API; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Api {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    version: u64,
    /// By resource, then by name.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    watches: Vec<Watch>,
    /// Requests of each kind so far, such as `GET configmaps` or `WATCH configmaps`.
    requests: Vec<String>,
    /// Answers to give instead, to the next requests.
    failures: Vec<StatusCode>,
}

struct Watch {
    resource: String,
    events: mpsc::UnboundedSender<Bytes>,
}

impl Api {
    pub(crate) fn client(&self) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        kube::Client::new(service, "default")
    }

    /// Creates or updates an object and tells the watches; returns it as stored.
    pub(crate) fn put(&self, resource: &str, name: &str, mut object: Value) -> Value {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        let version = state.version;
        let objects = state.objects.entry(resource.to_owned()).or_default();
        let kind = if objects.contains_key(name) { "MODIFIED" } else { "ADDED" };
        object["metadata"]["name"] = name.into();
        object["metadata"]["namespace"] = "default".into();
        object["metadata"]["uid"] = format!("uid-{name}").into();
        object["metadata"]["resourceVersion"] = version.to_string().into();
        object["metadata"]["managedFields"] = json!([{ "manager": "somebody" }]);
        objects.insert(name.to_owned(), object.clone());
        state.tell(resource, kind, &object);
        object
    }

    pub(crate) fn remove(&self, resource: &str, name: &str) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        let version = state.version;
        let mut object = state.objects.get_mut(resource).unwrap().remove(name).unwrap();
        object["metadata"]["resourceVersion"] = version.to_string().into();
        state.tell(resource, "DELETED", &object);
    }

    /// Forgets an object without telling anybody, as a watch sees it that was away for too long.
    pub(crate) fn lose(&self, resource: &str, name: &str) {
        self.state.lock().unwrap().objects.get_mut(resource).unwrap().remove(name).unwrap();
    }

    /// Tells every watch that its version is too old, and ends it.
    pub(crate) fn expire_watches(&self) {
        let mut state = self.state.lock().unwrap();
        let gone = json!({ "type": "ERROR", "object": {
            "kind": "Status", "status": "Failure", "reason": "Expired", "message": "too old resource version", "code": 410,
        }});
        for watch in state.watches.drain(..) {
            watch.events.send(line(&gone)).ok();
        }
    }

    pub(crate) fn fail_next(&self, failures: &[StatusCode]) {
        self.state.lock().unwrap().failures.extend(failures);
    }

    pub(crate) fn objects(&self, resource: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
        state.objects.get(resource).map(|objects| objects.values().cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn count(&self, request: &str) -> usize {
        self.state.lock().unwrap().requests.iter().filter(|found| *found == request).count()
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
        // /api/v1/<resource>, /api/v1/namespaces/<namespace>/<resource>[/<name>]
        let (resource, name) = match path.as_slice() {
            ["api", "v1", resource] | ["api", "v1", "namespaces", _, resource] => ((*resource).to_owned(), None),
            ["api", "v1", "namespaces", _, resource, name] => ((*resource).to_owned(), Some((*name).to_owned())),
            other => panic!("unexpected path {other:?}"),
        };
        let watches = query.contains("watch=true");
        {
            let mut state = self.state.lock().unwrap();
            let verb = if watches { "WATCH" } else { parts.method.as_str() };
            state.requests.push(format!("{verb} {resource}"));
            if !state.failures.is_empty() {
                return failure(state.failures.remove(0));
            }
        }
        match parts.method {
            Method::GET if watches => self.watch(&resource, &query),
            Method::GET => self.list(&resource),
            Method::POST => {
                let object: Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap();
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                full(StatusCode::CREATED, &self.put(&resource, &name, object))
            }
            Method::PATCH => {
                let name = name.unwrap();
                let patch: Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap();
                let found = self.objects(&resource).into_iter().find(|object| object["metadata"]["name"] == name);
                let Some(mut object) = found else { return failure(StatusCode::NOT_FOUND) };
                for (key, value) in patch.as_object().unwrap() {
                    object[key] = value.clone();
                }
                full(StatusCode::OK, &self.put(&resource, &name, object))
            }
            other => panic!("unexpected method {other}"),
        }
    }

    fn list(&self, resource: &str) -> Answer {
        let state = self.state.lock().unwrap();
        let items: Vec<&Value> = state.objects.get(resource).into_iter().flat_map(BTreeMap::values).collect();
        let list = json!({
            "apiVersion": "v1", "kind": "List",
            "metadata": { "resourceVersion": state.version.to_string() }, "items": items,
        });
        full(StatusCode::OK, &list)
    }

    fn watch(&self, resource: &str, query: &str) -> Answer {
        let from: u64 =
            query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion=")).unwrap().parse().unwrap();
        let (events, mut receiver) = mpsc::unbounded_channel::<Bytes>();
        let mut state = self.state.lock().unwrap();
        for object in state.objects.get(resource).into_iter().flat_map(BTreeMap::values) {
            if object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() > from {
                events.send(line(&json!({ "type": "MODIFIED", "object": object }))).unwrap();
            }
        }
        state.watches.push(Watch { resource: resource.to_owned(), events });
        let frames = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
        let frames = futures::StreamExt::map(frames, |bytes| Ok(http_body::Frame::data(bytes)));
        Response::new(BodyExt::boxed(StreamBody::new(frames)))
    }
}

impl State {
    fn tell(&mut self, resource: &str, kind: &str, object: &Value) {
        let event = line(&json!({ "type": kind, "object": object }));
        self.watches.retain(|watch| watch.resource != resource || watch.events.send(event.clone()).is_ok());
    }
}

fn line(event: &Value) -> Bytes {
    format!("{event}\n").into()
}

fn full(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(BodyExt::boxed(Full::new(Bytes::from(body.to_string()))));
    *answer.status_mut() = status;
    answer
}

fn failure(status: StatusCode) -> Answer {
    let reason = if status == StatusCode::NOT_FOUND { "NotFound" } else { "InternalError" };
    let body = json!({
        "kind": "Status", "status": "Failure", "reason": reason, "message": status.to_string(), "code": status.as_u16(),
    });
    full(status, &body)
}
