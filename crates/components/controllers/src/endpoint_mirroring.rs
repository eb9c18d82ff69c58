//! EndpointSlices of Endpoints that users write: watches these, their Services and the mirrored slices.

use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher;
use kube::{Api, Client};
use minato_client::{Backoff, Index, Informer, Next, ObjectKey, Queue};
use minato_scope::Scope;
use minato_workloads::endpoint_mirror::{self, MANAGER, is_mirrored};
use minato_workloads::endpoint_slice::{MANAGED_BY, Plan};

use crate::Context;
use crate::error::Error;
use crate::reconciler::Reconciler;
use crate::slices::{self, service_of};

#[derive(Clone)]
struct Controller {
    client: Client,
    services: Informer<Service>,
    endpoints: Informer<Endpoints>,
    slices: Informer<EndpointSlice>,
    slices_by_service: Index<EndpointSlice>,
    queue: Queue<ObjectKey>,
}

pub(crate) fn start(context: &Context) {
    let ours = watcher::Config::default().labels(&format!("{MANAGED_BY}={MANAGER}"));
    let slices = Informer::start(&context.scope, Api::all(context.client.clone()), ours, |_| {});
    let controller = Controller {
        client: context.client.clone(),
        services: context.informers.of::<Service>(),
        endpoints: context.informers.of::<Endpoints>(),
        slices_by_service: slices.index("service", |slice: &EndpointSlice| {
            service_of(slice).map(|key| key.to_string()).into_iter().collect()
        }),
        slices,
        queue: Queue::new("endpoint mirroring", Backoff::default()),
    };
    context.start(controller, context.workers);
}

impl Reconciler for Controller {
    type Key = ObjectKey;

    fn queue(&self) -> &Queue<ObjectKey> {
        &self.queue
    }

    async fn synced(&self) {
        tokio::join!(self.services.synced(), self.endpoints.synced(), self.slices.synced());
    }

    fn listen(&self, _scope: &Scope) {
        let queue = self.queue.clone();
        self.endpoints.on_change(move |change| {
            if let Some(endpoints) = change.latest() {
                queue.add(ObjectKey::of(&endpoints.metadata));
            }
        });
        let queue = self.queue.clone();
        self.services.on_change(move |change| {
            if let Some(service) = change.latest() {
                queue.add(ObjectKey::of(&service.metadata));
            }
        });
        let queue = self.queue.clone();
        self.slices.on_change(move |change| {
            if let Some(key) = change.latest().and_then(|slice| service_of(slice)) {
                queue.add(key);
            }
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let found = self.slices_by_service.get(&key.to_string());
        let (endpoints, service) = (self.endpoints.get(key), self.services.get(key));
        let plan = match endpoints.filter(|endpoints| is_mirrored(endpoints, service.as_deref())) {
            Some(endpoints) => endpoint_mirror::plan(&endpoints, &found),
            None => Plan { delete: found, ..Plan::default() },
        };
        slices::write(&self.client, &self.slices, key, plan).await?;
        Ok(Next::Done)
    }
}

impl Controller {}
