//! A control plane in memory and on a temporary disk, with controllers that can be killed.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use minato_apiserver::{ApiServer, User};
use minato_client::{Informer, Next, ObjectKey, Queue};
use minato_controllers::Config;
use minato_pki::{Authority, SigningKey};
use minato_scope::Scope;
use minato_store::Backend;
use minato_store::embedded::{self, Options};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Cluster {
    pub(crate) client: Client,
    api: ApiServer,
    scope: Scope,
    controllers: Scope,
    config: Config,
    _directory: tempfile::TempDir,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::start_with(Config { cluster_ca_pem: "the CA".to_owned(), ..Config::default() }).await
    }

    pub(crate) async fn start_with(config: Config) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(&directory.path().join("pki"), "test").unwrap();
        let signer = SigningKey::load_or_create(&directory.path().join("sa.key")).unwrap();
        let options = Options::new(minato_apiserver::attributes_of);
        let store: Arc<dyn Backend> = Arc::new(embedded::open(&directory.path().join("store"), options).unwrap());
        let tls = minato_pki::client_config(authority.certificate_pem(), None, &["http/1.1"]).unwrap();
        let scope = Scope::root("test");
        let settings = minato_apiserver::Config {
            advertise_address: std::net::Ipv4Addr::new(192, 0, 2, 1),
            ..minato_apiserver::Config::default()
        };
        let api = ApiServer::build(&settings, store, Arc::new(signer), Arc::new(tls), scope.clone()).unwrap();
        api.bootstrap().await.unwrap();
        let client = Client::new(api.service_as(User::component("admin", &["system:masters"])), "default");
        let mut cluster = Self { client, api, controllers: scope.child("first"), scope, config, _directory: directory };
        cluster.start_controllers();
        let accounts = cluster.api::<k8s_openapi::api::core::v1::ServiceAccount>();
        until("the default service account", || accounts.get_opt("default"), Option::is_some).await;
        cluster
    }

    pub(crate) fn start_controllers(&mut self) {
        self.controllers = self.scope.child("controllers");
        let user = User::component("system:kube-controller-manager", &[]);
        let client = Client::new(self.api.service_as(user), "default");
        let (config, scope) = (self.config.clone(), self.controllers.clone());
        self.controllers
            .spawn("controllers", async move { minato_controllers::run(config, client, scope).await.unwrap() });
    }

    /// Ends the controllers in the middle of whatever they do.
    pub(crate) async fn kill_controllers(&self) {
        self.controllers.shutdown(Duration::from_secs(10)).await.unwrap();
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    pub(crate) async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Serialize,
    {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
    }

    /// Registers a node that is ready now and will stay silent.
    pub(crate) async fn create_node(&self, name: &str) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node = json!({ "metadata": { "name": name, "labels": { "topology.kubernetes.io/zone": "zone-a" } } });
        nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
        let ready =
            json!({ "status": { "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady" }] } });
        nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(ready)).await.unwrap();
    }

    /// Plays scheduler and kubelet: pods whose image is not `broken` run on `node-1`, terminating ones end.
    pub(crate) fn play_kubelet(&self) {
        let pods: Informer<Pod> =
            Informer::start(&self.scope, Api::all(self.client.clone()), Default::default(), |_| {});
        let queue: Queue<ObjectKey> = Queue::new("kubelet", minato_client::Backoff::default());
        let added = queue.clone();
        pods.on_change(move |change| {
            if let Some(pod) = &change.after {
                added.add(ObjectKey::of(&pod.metadata));
            }
        });
        let client = self.client.clone();
        queue.work(&self.scope, 4, move |key| {
            let (pods, client) = (pods.clone(), client.clone());
            async move {
                if let Some(pod) = pods.get(&key) {
                    run_pod(&Api::namespaced(client, &key.namespace), &pod).await?;
                }
                Ok::<_, kube::Error>(Next::Done)
            }
        });
    }

    pub(crate) async fn deployment(&self, name: &str, replicas: i32) -> Deployment {
        self.create(deployment(name, replicas, "image:1")).await
    }

    /// Names of all objects of a kind in the namespace `default`, sorted.
    pub(crate) async fn names<K>(&self) -> Vec<String>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned,
    {
        let list = self.api::<K>().list(&ListParams::default()).await.unwrap();
        let mut names: Vec<_> = list.items.iter().map(|item| item.meta().name.clone().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.scope.cancel();
    }
}

async fn run_pod(api: &Api<Pod>, pod: &Pod) -> Result<(), kube::Error> {
    let name = pod.metadata.name.as_deref().unwrap();
    if pod.metadata.deletion_timestamp.is_some() {
        return ignore_gone(api.delete(name, &DeleteParams::default().grace_period(0)).await.map(drop));
    }
    let spec = pod.spec.as_ref().unwrap();
    if spec.containers[0].image.as_deref() == Some("broken") {
        return Ok(());
    }
    if spec.node_name.is_none() {
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
            "target": { "apiVersion": "v1", "kind": "Node", "name": "node-1" },
        });
        let once = PostParams::default();
        return match api.create_subresource::<Value, DynamicObject>("binding", name, &once, &binding).await {
            Err(kube::Error::SerdeError(_)) => Ok(()), // the answer is a Status
            bound => ignore_gone(bound.map(drop)),
        };
    }
    if minato_workloads::pod::is_ready(pod) || minato_workloads::pod::phase(pod) == "Running" {
        return Ok(());
    }
    let number = name.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let ip = format!("10.42.{}.{}", (number >> 8) % 250, number % 250);
    let status = json!({ "status": {
        "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }],
        "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" }],
    }});
    ignore_gone(api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.map(drop))
}

fn ignore_gone(result: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => result,
    }
}

pub(crate) fn deployment(name: &str, replicas: i32, image: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "c", "image": image }], "terminationGracePeriodSeconds": 0 },
            },
        },
    })
}

/// Asks until the answer is as wanted; fails with the last answer.
pub(crate) async fn until<T, F>(what: &str, ask: impl Fn() -> F, wanted: impl Fn(&T) -> bool) -> T
where
    T: Debug,
    F: Future<Output = Result<T, kube::Error>>,
{
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let answer = ask().await;
        match answer {
            Ok(answer) if wanted(&answer) => return answer,
            answer if std::time::Instant::now() > deadline => {
                panic!("waited too long for {what}; last seen: {answer:?}")
            }
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
