//! EndpointSlices and Endpoints: watches Services, pods, nodes and what it wrote, and writes what changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::runtime::watcher;
use kube::{Api, Client};
use minato_client::{Backoff, Change, Index, Informer, Next, ObjectKey, Queue, Recorder};
use minato_scope::Scope;
use minato_workloads::endpoint_slice::{self, MANAGED_BY, MANAGER, Observed};
use minato_workloads::pod::{is_finished, is_ready};
use minato_workloads::{endpoints, service};

use crate::Context;
use crate::error::{Error, Trying as _, is_already_exists, is_namespace_terminating, is_not_found};
use crate::reconciler::Reconciler;
use crate::slices::{self, service_of};

const ZONE: &str = "topology.kubernetes.io/zone";

#[derive(Clone)]
struct Controller {
    client: Client,
    services: Informer<Service>,
    services_by_namespace: Index<Service>,
    pods: Informer<Pod>,
    pods_by_label: Index<Pod>,
    nodes: Informer<Node>,
    slices: Informer<EndpointSlice>,
    slices_by_service: Index<EndpointSlice>,
    endpoints: Informer<Endpoints>,
    recorder: Recorder,
    queue: Queue<ObjectKey>,
}

pub(crate) fn start(context: &Context) {
    let services = context.informers.of::<Service>();
    let pods = context.informers.of::<Pod>();
    let ours = watcher::Config::default().labels(&format!("{MANAGED_BY}={MANAGER}"));
    let slices = Informer::start(&context.scope, Api::all(context.client.clone()), ours, |_| {});
    let controller = Controller {
        client: context.client.clone(),
        services_by_namespace: services.by_namespace(),
        pods_by_label: pods.by_label(),
        slices_by_service: slices.index("service", |slice: &EndpointSlice| {
            service_of(slice).map(|key| key.to_string()).into_iter().collect()
        }),
        recorder: context.events.recorder("endpoint-slice-controller", None),
        queue: Queue::new("endpoints", Backoff::default()),
        nodes: context.informers.of::<Node>(),
        endpoints: context.informers.of::<Endpoints>(),
        services,
        pods,
        slices,
    };
    context.start(controller, context.workers);
}

/// Whether a change of the pod can change an endpoint. Most changes (container states, probes) do not.
fn matters(before: &Pod, after: &Pod) -> bool {
    let of_spec = |pod: &Pod| {
        pod.spec.as_ref().map(|spec| (spec.node_name.clone(), spec.hostname.clone(), spec.subdomain.clone()))
    };
    before.metadata.labels != after.metadata.labels
        || before.metadata.uid != after.metadata.uid
        || before.metadata.deletion_timestamp.is_some() != after.metadata.deletion_timestamp.is_some()
        || is_ready(before) != is_ready(after)
        || is_finished(before) != is_finished(after)
        || service::pod_addresses(before) != service::pod_addresses(after)
        || of_spec(before) != of_spec(after)
}

fn zone_of(node: &Node) -> Option<&String> {
    node.metadata.labels.as_ref()?.get(ZONE)
}

impl Reconciler for Controller {
    type Key = ObjectKey;

    fn queue(&self) -> &Queue<ObjectKey> {
        &self.queue
    }

    async fn synced(&self) {
        tokio::join!(
            self.services.synced(),
            self.pods.synced(),
            self.slices.synced(),
            self.nodes.synced(),
            self.endpoints.synced()
        );
    }

    fn listen(&self, _scope: &Scope) {
        let queue = self.queue.clone();
        self.services.on_change(move |change| {
            if let Some(service) = change.latest() {
                queue.add(ObjectKey::of(&service.metadata));
            }
        });
        let controller = self.clone();
        self.pods.on_change(move |change| controller.pod_changed(change));
        let queue = self.queue.clone();
        self.slices.on_change(move |change| {
            if let Some(key) = change.latest().and_then(|slice| service_of(slice)) {
                queue.add(key);
            }
        });
        let queue = self.queue.clone();
        self.endpoints.on_change(move |change| {
            if let Some(endpoints) = change.latest() {
                queue.add(ObjectKey::of(&endpoints.metadata));
            }
        });
        let controller = self.clone();
        self.nodes.on_change(move |change| {
            let zone = |node: &Option<Arc<Node>>| node.as_ref().and_then(|node| zone_of(node)).cloned();
            if zone(&change.before) != zone(&change.after) {
                for service in controller.services.list() {
                    controller.queue.add(ObjectKey::of(&service.metadata));
                }
            }
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(service) = self.services.get(key) else {
            self.remove_endpoints(key).await?;
            return Ok(Next::Done); // the slices go with their owner
        };
        let Some(pods) = self.pods_of(&service) else { return Ok(Next::Done) };
        let slices = self.slices_by_service.get(&key.to_string());
        let zones = self.zones_of(&pods);
        let plan = endpoint_slice::plan(&Observed { service: &service, pods: &pods, slices: &slices, zones: &zones });
        let outcome = slices::write(&self.client, &self.slices, key, plan).await;
        if let Err(error) = &outcome {
            self.recorder.warning(
                &*service,
                "FailedToUpdateEndpointSlices",
                format!("Error updating Endpoint Slices for Service {key}: {error}"),
            );
        }
        outcome?;
        self.write_endpoints(key, &service, &pods).await?;
        Ok(Next::Done)
    }
}

impl Controller {
    fn pod_changed(&self, change: &Change<Pod>) {
        if let Change { before: Some(before), after: Some(after) } = change
            && !matters(before, after)
        {
            return;
        }
        let Some(pod) = change.latest() else { return };
        for service in self.services_by_namespace.get(pod.metadata.namespace.as_deref().unwrap_or_default()) {
            let Some(selector) = service::pod_selector(&service) else { continue };
            if change.both().any(|pod| service::selects(selector, pod)) {
                self.queue.add(ObjectKey::of(&service.metadata));
            }
        }
    }

    /// The pods that the Service selects; none if it selects by other means.
    fn pods_of(&self, service: &Service) -> Option<Vec<Arc<Pod>>> {
        let selector = service::pod_selector(service)?;
        let (key, value) = selector.iter().next()?;
        let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        let mut pods = self.pods_by_label.get(&format!("{namespace}/{key}={value}"));
        pods.retain(|pod| service::selects(selector, pod));
        Some(pods)
    }

    fn zones_of(&self, pods: &[Arc<Pod>]) -> BTreeMap<String, String> {
        let mut zones = BTreeMap::new();
        for name in pods.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.as_ref()) {
            if !zones.contains_key(name)
                && let Some(zone) = self.nodes.get(&ObjectKey::cluster(name)).and_then(|node| zone_of(&node).cloned())
            {
                zones.insert(name.clone(), zone);
            }
        }
        zones
    }

    async fn write_endpoints(&self, key: &ObjectKey, service: &Service, pods: &[Arc<Pod>]) -> Result<(), Error> {
        let current = self.endpoints.get(key);
        let Some(wanted) = endpoints::plan(service, pods, current.as_deref()) else { return Ok(()) };
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), &key.namespace);
        let written = match current {
            Some(_) => api.replace(&key.name, &PostParams::default(), &wanted).await,
            None => api.create(&PostParams::default(), &wanted).await,
        };
        match written {
            Ok(written) => self.endpoints.observe(written),
            Err(error) if is_namespace_terminating(&error) => {}
            Err(error) if is_already_exists(&error) => {} // the watch will bring it
            Err(error) => return Err(error).trying(|| format!("write endpoints {key}")),
        }
        Ok(())
    }

    /// Endpoints have no owner: they go when their Service has gone.
    async fn remove_endpoints(&self, key: &ObjectKey) -> Result<(), Error> {
        let Some(found) = self.endpoints.get(key) else { return Ok(()) };
        let ours = found.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(endpoints::MANAGED_BY));
        if !ours {
            return Ok(());
        }
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), &key.namespace);
        let uid = found.metadata.uid.clone();
        let same = DeleteParams::default().preconditions(Preconditions { uid, resource_version: None });
        match api.delete(&key.name, &same).await {
            Err(error) if !is_not_found(&error) => Err(error).trying(|| format!("delete endpoints {key}")),
            _ => {
                self.endpoints.observe_gone(key, found.metadata.uid.as_deref().unwrap_or_default());
                Ok(())
            }
        }
    }
}
