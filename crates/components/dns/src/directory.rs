//! Where the zone looks up Services and endpoints: the API's informers, or a test's lists.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::runtime::watcher;
use minato_client::{Index, Informer, ObjectKey};
use minato_scope::Scope;

/// Names the Service that a slice belongs to.
pub(crate) const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// What the zone is made of.
pub(crate) trait Directory: Send + Sync + 'static {
    fn is_complete(&self) -> bool;
    fn has_namespace(&self, namespace: &str) -> bool;
    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>>;
    fn slices(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>>;
    fn services_at(&self, address: IpAddr) -> Vec<Arc<Service>>;
    fn slices_with(&self, address: IpAddr) -> Vec<Arc<EndpointSlice>>;
}

/// The API's objects, always current.
pub(crate) struct Watched {
    namespaces: Informer<Namespace>,
    services: Informer<Service>,
    services_by_address: Index<Service>,
    slices: Informer<EndpointSlice>,
    slices_by_service: Index<EndpointSlice>,
    slices_by_address: Index<EndpointSlice>,
}

impl Watched {
    pub(crate) fn start(client: &kube::Client, scope: &Scope) -> Self {
        let config = watcher::Config::default;
        let namespaces = Informer::<Namespace>::start(scope, Api::all(client.clone()), config(), |_| {});
        let services = Informer::<Service>::start(scope, Api::all(client.clone()), config(), |_| {});
        let slices = Informer::<EndpointSlice>::start(scope, Api::all(client.clone()), config(), |_| {});
        Self {
            services_by_address: services.index("address", |service| {
                let spec = service.spec.iter();
                spec.flat_map(|spec| spec.cluster_ips.iter().flatten().cloned()).collect()
            }),
            slices_by_service: slices.index("service", |slice| {
                let name = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME_LABEL));
                let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
                name.map(|name| format!("{namespace}/{name}")).into_iter().collect()
            }),
            slices_by_address: slices.index("address", |slice| {
                let endpoints = slice.endpoints.iter().flatten();
                endpoints.flat_map(|endpoint| endpoint.addresses.first().cloned()).collect()
            }),
            namespaces,
            services,
            slices,
        }
    }

    pub(crate) fn services(&self) -> &Informer<Service> {
        &self.services
    }

    pub(crate) fn slice_informer(&self) -> &Informer<EndpointSlice> {
        &self.slices
    }
}

impl Directory for Watched {
    fn is_complete(&self) -> bool {
        self.namespaces.is_synced() && self.services.is_synced() && self.slices.is_synced()
    }

    fn has_namespace(&self, namespace: &str) -> bool {
        self.namespaces.get(&ObjectKey::cluster(namespace)).is_some()
    }

    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        self.services.get(&ObjectKey::new(namespace, name))
    }

    fn slices(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>> {
        self.slices_by_service.get(&format!("{namespace}/{service}"))
    }

    fn services_at(&self, address: IpAddr) -> Vec<Arc<Service>> {
        self.services_by_address.get(&address.to_string())
    }

    fn slices_with(&self, address: IpAddr) -> Vec<Arc<EndpointSlice>> {
        self.slices_by_address.get(&address.to_string())
    }
}
