//! Against an API made of a few lists: what is bound and told.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use kube::client::Body;
use minato_scope::Scope;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;

/// Nodes and pods to list, what was asked for, and whether the first binding fails.
struct FakeApi {
    nodes: Value,
    pods: Value,
    requests: Mutex<Vec<(String, Value)>>,
    changed: watch::Sender<usize>,
    fail_first: Mutex<bool>,
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

fn answer(code: u16, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(body.to_string())).boxed_unsync();
    Response::builder().status(code).body(body).unwrap()
}

impl FakeApi {
    fn client(nodes: Value, pods: Value, fail_first: bool) -> (Arc<Self>, Client) {
        let api = Arc::new(Self {
            nodes,
            pods,
            requests: Mutex::default(),
            changed: watch::Sender::new(0),
            fail_first: Mutex::new(fail_first),
        });
        let serving = Arc::clone(&api);
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = Arc::clone(&serving);
            async move { Ok::<_, Infallible>(api.serve(request).await) }
        });
        (api, Client::new(service, "default"))
    }

    async fn serve(&self, request: Request<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default());
        if query.contains("watch=true") {
            let silence = futures::stream::pending::<Result<http_body::Frame<Bytes>, Infallible>>();
            return Response::new(StreamBody::new(silence).boxed_unsync());
        }
        if parts.method == Method::GET {
            let (kind, items) = match path.rsplit('/').next() {
                Some("nodes") => ("NodeList", self.nodes.clone()),
                Some("namespaces") => ("NamespaceList", json!([])),
                Some("poddisruptionbudgets") => ("PodDisruptionBudgetList", json!([])),
                Some("persistentvolumes") => ("PersistentVolumeList", json!([])),
                Some("persistentvolumeclaims") => ("PersistentVolumeClaimList", json!([])),
                Some("storageclasses") => ("StorageClassList", json!([])),
                Some("csinodes") => ("CSINodeList", json!([])),
                _ => ("PodList", self.pods.clone()),
            };
            let list = json!({"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items});
            return answer(200, &list);
        }
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        if path.ends_with("/binding") && std::mem::take(&mut *self.fail_first.lock()) {
            let status = json!({"kind": "Status", "status": "Failure", "reason": "InternalError", "code": 500, "message": "no", "metadata": {}});
            return answer(500, &status);
        }
        self.requests.lock().push((path.clone(), body));
        self.changed.send_modify(|count| *count += 1);
        match path.rsplit('/').next() {
            Some("binding") => answer(201, &json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})),
            Some("events") => answer(201, &json!({"metadata": {}, "involvedObject": {}})),
            _ => answer(200, &json!({"metadata": {}, "spec": {"containers": []}})),
        }
    }

    /// The bodies of the requests to paths with this end, once there are that many.
    async fn wait_for(&self, end: &str, count: usize) -> Vec<(String, Value)> {
        let mut changed = self.changed.subscribe();
        let matching = || -> Vec<(String, Value)> {
            self.requests.lock().iter().filter(|(path, _)| path.ends_with(end)).cloned().collect()
        };
        let enough = tokio::time::timeout(Duration::from_secs(20), changed.wait_for(|_| matching().len() >= count));
        assert!(enough.await.is_ok(), "waited for {count} × {end}, found {:?}", self.requests.lock());
        matching()
    }
}

fn node(name: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "10"}}})
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}")},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}], "schedulerName": "default-scheduler"},
        "status": {"phase": "Pending"},
    })
}

#[tokio::test]
async fn binds_what_fits_and_tells_what_does_not() {
    let mut bound = pod("bound", "1500m");
    bound["spec"]["nodeName"] = "a".into();
    let mut foreign = pod("foreign", "1");
    foreign["spec"]["schedulerName"] = "another".into();
    let mut gated = pod("gated", "1");
    gated["spec"]["schedulingGates"] = json!([{"name": "wait"}]);
    let pods = json!([bound, foreign, gated, pod("one", "1"), pod("two", "1"), pod("large", "3")]);
    let (api, client) = FakeApi::client(json!([node("a"), node("b")]), pods, false);
    let scope = Scope::root("test");
    let running = tokio::spawn(run(Config::default(), client, scope.clone()));

    let bindings = api.wait_for("/binding", 2).await;
    for (path, body) in &bindings {
        assert!(path.ends_with("/pods/one/binding") || path.ends_with("/pods/two/binding"), "{path}");
        assert_eq!(body["target"]["name"], "b", "a has no room");
        assert!(body["metadata"]["uid"].as_str().unwrap().starts_with("uid-"));
    }
    let told = api.wait_for("/pods/large/status", 1).await;
    let condition = &told[0].1["status"]["conditions"][0];
    assert_eq!(condition["reason"], "Unschedulable");
    assert_eq!(
        condition["message"],
        "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    );
    let mut events: Vec<String> = api
        .wait_for("/events", 3)
        .await
        .iter()
        .map(|(_, event)| event["message"].as_str().unwrap().to_owned())
        .collect();
    events.sort();
    assert_eq!(
        events,
        [
            "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
            "Successfully assigned default/one to b",
            "Successfully assigned default/two to b",
        ]
    );

    scope.shutdown(Duration::from_secs(5)).await.unwrap();
    assert!(running.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_failed_binding_is_tried_again() {
    let (api, client) = FakeApi::client(json!([node("a")]), json!([pod("one", "1")]), true);
    let scope = Scope::root("test");
    let running = tokio::spawn(run(Config::default(), client, scope.clone()));
    assert_eq!(api.wait_for("/binding", 1).await.len(), 1);
    scope.shutdown(Duration::from_secs(5)).await.unwrap();
    assert!(running.await.unwrap().is_ok());
}
