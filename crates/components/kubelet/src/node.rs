//! This node: what its workers share, and its object in the API.

mod lease;
mod status;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node as NodeObject, ObjectReference, Service};
use kube::api::PostParams;
use kube::runtime::watcher;
use kube::{Api, Client};
use minato_client::{EventKind, EventSink, Informer, Recorder};
use minato_podnet::PodNetwork;
use minato_runtime::Runtime;
use minato_scope::Scope;
use tokio::sync::watch;

use crate::config::{Config, Parts};
use crate::machine::Machine;
use crate::prober::ProbeSeries;
use crate::references::ObjectWatches;

const RETRY_MIN: std::time::Duration = std::time::Duration::from_millis(50);
const RETRY_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// What everything in the kubelet shares.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) client: Client,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) images: minato_images::Store,
    pub(crate) machine: Machine,
    pub(crate) host_ips: Vec<String>,
    pub(crate) recorder: Recorder,
    pub(crate) watches: ObjectWatches,
    pub(crate) probes: ProbeSeries,
    /// When this kubelet started: what ran before was adopted.
    pub(crate) started_at: Timestamp,
    services: Informer<Service>,
    /// The node's own object.
    pub(crate) itself: Informer<NodeObject>,
    network: watch::Sender<Option<Arc<dyn PodNetwork>>>,
    open_network: crate::config::OpenNetwork,
    /// Where the HTTPS server listens.
    pub(crate) port: u16,
}

impl Node {
    pub(crate) fn new(config: Config, parts: Parts, client: Client, scope: &Scope, port: u16) -> Self {
        let machine = Machine::read(&config.data_dir, config.max_pods);
        let events = EventSink::start(client.clone(), scope);
        let trim = |service: &mut Service| service.status = None;
        let services = Informer::start(scope, Api::all(client.clone()), watcher::Config::default(), trim);
        let itself = watcher::Config::default().fields(&format!("metadata.name={}", config.node_name));
        let itself = Informer::start(scope, Api::all(client.clone()), itself, |_| {});
        Self {
            recorder: events.recorder("kubelet", Some(&config.node_name)),
            watches: ObjectWatches::new(client.clone(), scope.child("references")),
            host_ips: vec![config.node_ip.to_string()],
            probes: ProbeSeries::new(),
            runtime: parts.runtime,
            images: parts.images,
            open_network: parts.open_network,
            network: watch::Sender::new(None),
            started_at: Timestamp::now(),
            services,
            itself,
            machine,
            client,
            config,
            port,
        }
    }

    /// The services of the cluster, for environment variables.
    pub(crate) fn services(&self) -> Vec<Arc<Service>> {
        self.services.list()
    }

    /// The pod network; waits until it is open.
    pub(crate) async fn network(&self) -> Arc<dyn PodNetwork> {
        let mut network = self.network.subscribe();
        loop {
            let open = network.borrow_and_update().clone();
            if let Some(network) = open {
                return network;
            }
            // `self` holds the sender, so this cannot fail.
            let _ = network.changed().await;
        }
    }

    /// The pod network, if it is open.
    pub(crate) fn open_network(&self) -> Option<Arc<dyn PodNetwork>> {
        self.network.borrow().clone()
    }

    /// Registers the node, opens its network, and keeps its object and lease up to date until the scope ends.
    pub(crate) async fn run(self: Arc<Self>, scope: Scope) {
        let work = async {
            let selected = watcher::Config::default().fields(&format!("metadata.name={}", self.config.node_name));
            let own: Informer<NodeObject> = Informer::start(&scope, Api::all(self.client.clone()), selected, |_| {});
            self.register().await;
            let leasing = Arc::clone(&self);
            let ending = scope.clone();
            scope.spawn("lease", async move {
                tokio::select! {
                    () = ending.cancelled() => {}
                    () = leasing.renew_lease() => {}
                }
            });
            let (changed, mut changes) = watch::channel(());
            own.on_change(move |_| changed.send_replace(()));
            let range = loop {
                let range = own
                    .list()
                    .first()
                    .and_then(|node| node.spec.as_ref()?.pod_cidr.clone())
                    .filter(|range| !range.is_empty());
                if let Some(range) = range {
                    break range;
                }
                if changes.changed().await.is_err() {
                    return;
                }
            };
            self.bring_up_network(range).await;
            self.keep_status().await;
        };
        tokio::select! {
            () = scope.cancelled() => {}
            () = work => {}
        }
    }

    async fn register(&self) {
        let api: Api<NodeObject> = Api::all(self.client.clone());
        let object = self.object();
        let mut delay = RETRY_MIN;
        loop {
            match api.create(&PostParams::default(), &object).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => match self.update_labels().await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "failed to update the node's labels");
                    }
                },
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "failed to register the node; trying again"
                    );
                }
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(RETRY_MAX);
        }
    }

    async fn bring_up_network(&self, range: String) {
        let mut delay = RETRY_MIN;
        loop {
            match (self.open_network)(range.clone()).await {
                Ok(network) => {
                    self.network.send_replace(Some(network));
                    return;
                }
                Err(error) => {
                    tracing::error!(
                        range,
                        error = &error as &dyn std::error::Error,
                        "failed to open the pod network; trying again"
                    );
                }
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(RETRY_MAX);
        }
    }

    /// The node as events refer to it: upstream puts the name where the uid belongs.
    fn reference(&self) -> ObjectReference {
        ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(self.config.node_name.clone()),
            uid: Some(self.config.node_name.clone()),
            ..ObjectReference::default()
        }
    }

    fn event(&self, reason: &str, message: impl Into<String>) {
        self.recorder.record(&self.reference(), EventKind::Normal, reason, message);
    }
}
