//! Finds out which Services changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use minato_client::{Index, Informer, Informers, ObjectKey};
use minato_podnet::NftError;
use minato_rules::{ServiceKey, ServiceRules, plan_service};
use minato_scope::Scope;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::programmer::{PacketFilter, Programmer};

/// Names the Service that a slice belongs to.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// The Services to look at again.
#[derive(Debug, Default)]
struct Changed {
    keys: Mutex<BTreeSet<ServiceKey>>,
    more: Notify,
}

impl Changed {
    fn add(&self, key: Option<ServiceKey>) {
        if let Some(key) = key {
            self.keys.lock().insert(key);
            self.more.notify_one();
        }
    }

    fn take(&self) -> BTreeSet<ServiceKey> {
        std::mem::take(&mut self.keys.lock())
    }
}

/// The local copies of what the proxy looks at.
struct View {
    services: Informer<Service>,
    slices: Index<EndpointSlice>,
    node_name: String,
}

impl View {
    fn rules(&self, key: &ServiceKey) -> ServiceRules {
        let Some(service) = self.services.get(&ObjectKey::new(&key.namespace, &key.name)) else {
            return ServiceRules::default();
        };
        let slices = self.slices.get(&format!("{}/{}", key.namespace, key.name));
        let slices: Vec<&EndpointSlice> = slices.iter().map(AsRef::as_ref).collect();
        plan_service(&service, &slices, &self.node_name)
    }
}

/// Follows the API and programs what changes until the scope is cancelled.
pub(crate) async fn follow<F, O>(client: kube::Client, node_name: &str, mut programmer: Programmer<F, O>, scope: &Scope)
where
    F: PacketFilter,
    O: Fn() -> Result<F, NftError> + Send + Sync + 'static,
{
    let informers = Informers::new(client, scope.clone());
    let (services, slices) = (informers.of::<Service>(), informers.of::<EndpointSlice>());
    let index = slices.index("service", |slice| {
        let key = service_of(slice);
        key.map(|key| format!("{}/{}", key.namespace, key.name)).into_iter().collect()
    });
    let view = View { services: services.clone(), slices: index, node_name: node_name.to_owned() };
    let changed = Arc::new(Changed::default());
    let told = Arc::clone(&changed);
    services.on_change(move |change| told.add(change.latest().map(|service| key(&service.metadata))));
    let told = Arc::clone(&changed);
    slices.on_change(move |change| change.both().for_each(|slice| told.add(service_of(slice))));

    let work = async {
        // Half a picture would take endpoints away that exist.
        services.synced().await;
        slices.synced().await;
        loop {
            for key in changed.take() {
                programmer.set(&key, view.rules(&key));
            }
            if programmer.program().await {
                changed.more.notified().await;
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

fn key(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> ServiceKey {
    ServiceKey {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

fn service_of(slice: &EndpointSlice) -> Option<ServiceKey> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME_LABEL)?;
    Some(ServiceKey { namespace: slice.metadata.namespace.clone()?, name: name.clone() })
}
