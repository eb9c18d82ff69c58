//! Finds out which Services, and which pods with host ports, changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::runtime::watcher;
use minato_client::{Index, Informer, Informers, ObjectKey};
use minato_podnet::NftError;
use minato_rules::{Owner, Place, ServiceRules, plan_host_ports, plan_service};
use minato_scope::Scope;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::programmer::{PacketFilter, Programmer};

/// Names the Service that a slice belongs to.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
/// The label that tells a node's zone.
const ZONE: &str = "topology.kubernetes.io/zone";
/// How often an idle proxy looks whether what it programmed is still there.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Whom to look at again.
#[derive(Debug, Default)]
struct Changed {
    owners: Mutex<BTreeSet<Owner>>,
    more: Notify,
}

impl Changed {
    fn add(&self, owner: Option<Owner>) {
        if let Some(owner) = owner {
            self.owners.lock().insert(owner);
            self.more.notify_one();
        }
    }

    fn take(&self) -> BTreeSet<Owner> {
        std::mem::take(&mut self.owners.lock())
    }
}

/// The local copies of what the proxy looks at.
struct View {
    services: Informer<Service>,
    slices: Index<EndpointSlice>,
    pods: Informer<Pod>,
    node: Informer<Node>,
    node_name: String,
}

impl View {
    fn rules(&self, owner: &Owner) -> ServiceRules {
        match owner {
            Owner::Service(namespace, name) => {
                let Some(service) = self.services.get(&ObjectKey::new(namespace, name)) else {
                    return ServiceRules::default();
                };
                let slices = self.slices.get(&format!("{namespace}/{name}"));
                let slices: Vec<&EndpointSlice> = slices.iter().map(AsRef::as_ref).collect();
                let node = self.node.get(&ObjectKey::cluster(&self.node_name));
                let zone = node.as_ref().and_then(|node| zone_of(node));
                plan_service(&service, &slices, Place { node_name: &self.node_name, zone })
            }
            Owner::Pod(namespace, name) => {
                let pod = self.pods.get(&ObjectKey::new(namespace, name));
                pod.map(|pod| plan_host_ports(&pod)).unwrap_or_default()
            }
        }
    }
}

/// The pods of this node, without what the proxy does not look at.
fn pods_of_node(client: &kube::Client, node_name: &str, scope: &Scope) -> Informer<Pod> {
    let config = watcher::Config::default().fields(&format!("spec.nodeName={node_name}"));
    Informer::start(scope, Api::all(client.clone()), config, |pod| {
        pod.metadata.annotations = None;
        if let Some(status) = &mut pod.status {
            status.container_statuses = None;
            status.conditions = None;
        }
        if let Some(spec) = &mut pod.spec {
            spec.volumes = None;
            for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
                let ports = container.ports.take();
                *container = k8s_openapi::api::core::v1::Container { ports, ..Default::default() };
            }
        }
    })
}

fn zone_of(node: &Node) -> Option<&str> {
    node.metadata.labels.as_ref()?.get(ZONE).map(String::as_str)
}

/// The node itself, for its zone.
fn own_node(client: &kube::Client, node_name: &str, scope: &Scope) -> Informer<Node> {
    let config = watcher::Config::default().fields(&format!("metadata.name={node_name}"));
    Informer::start(scope, Api::all(client.clone()), config, |node| {
        node.metadata.annotations = None;
        node.status = None;
    })
}

/// Follows the API and programs what changes until the scope is cancelled.
pub(crate) async fn follow<F, O>(client: kube::Client, node_name: &str, mut programmer: Programmer<F, O>, scope: &Scope)
where
    F: PacketFilter,
    O: Fn() -> Result<F, NftError> + Send + Sync + 'static,
{
    let pods = pods_of_node(&client, node_name, scope);
    let node = own_node(&client, node_name, scope);
    let informers = Informers::new(client, scope.clone());
    let (services, slices) = (informers.of::<Service>(), informers.of::<EndpointSlice>());
    let index = slices.index("service", |slice| match service_of(slice) {
        Some(Owner::Service(namespace, name)) => vec![format!("{namespace}/{name}")],
        _ => Vec::new(),
    });
    let view = View {
        services: services.clone(),
        slices: index,
        pods: pods.clone(),
        node: node.clone(),
        node_name: node_name.to_owned(),
    };
    let changed = Arc::new(Changed::default());
    let told = Arc::clone(&changed);
    services.on_change(move |change| {
        told.add(change.latest().and_then(|service| owner(&service.metadata, Owner::Service)))
    });
    let told = Arc::clone(&changed);
    slices.on_change(move |change| change.both().for_each(|slice| told.add(service_of(slice))));
    let told = Arc::clone(&changed);
    pods.on_change(move |change| told.add(change.latest().and_then(|pod| owner(&pod.metadata, Owner::Pod))));

    let (told, all) = (Arc::clone(&changed), services.clone());
    node.on_change(move |change| {
        let zone = |node: &Option<Arc<Node>>| node.as_ref().and_then(|node| zone_of(node).map(str::to_owned));
        if zone(&change.before) != zone(&change.after) {
            all.list().iter().for_each(|service| told.add(owner(&service.metadata, Owner::Service)));
        }
    });

    let work = async {
        // Half a picture would take endpoints away that exist.
        services.synced().await;
        slices.synced().await;
        pods.synced().await;
        node.synced().await;
        loop {
            for owner in changed.take() {
                programmer.set(&owner, view.rules(&owner));
            }
            if programmer.program().await {
                if tokio::time::timeout(CHECK_INTERVAL, changed.more.notified()).await.is_err() {
                    programmer.check();
                }
            } else {
                tokio::time::sleep(programmer.retry_after()).await;
            }
        }
    };
    tokio::select! {
        () = scope.cancelled() => {}
        () = work => {}
    }
}

fn owner(metadata: &ObjectMeta, kind: fn(String, String) -> Owner) -> Option<Owner> {
    Some(kind(metadata.namespace.clone()?, metadata.name.clone()?))
}

fn service_of(slice: &EndpointSlice) -> Option<Owner> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME_LABEL)?;
    Some(Owner::Service(slice.metadata.namespace.clone()?, name.clone()))
}
