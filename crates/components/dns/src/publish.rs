//! Keeps the Service `kube-system/kube-dns` and its EndpointSlice as they must be.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::PostParams;
use minato_client::Informer;
use tokio::sync::Notify;

use crate::names::SERVICE_NAME_LABEL;
use crate::source::Source;

const NAMESPACE: &str = "kube-system";
const SERVICE: &str = "kube-dns";
const SLICE: &str = "kube-dns-minato";
const MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "dns.minato";
const UDP_PORT: &str = "dns";
const TCP_PORT: &str = "dns-tcp";

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Repairs are at least so far apart, should somebody insist on another opinion.
const REPAIR_INTERVAL: Duration = Duration::from_secs(1);

/// Where the server can be reached.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    pub(crate) service_ip: Ipv4Addr,
    pub(crate) server: SocketAddr,
    pub(crate) node_name: String,
}

/// The port that a former server had: clients that keep their UDP port would not notice a restart.
pub(crate) async fn former_port(client: &kube::Client) -> u16 {
    let slices = Api::<EndpointSlice>::namespaced(client.clone(), NAMESPACE);
    let slice = tokio::time::timeout(Duration::from_secs(2), slices.get_opt(SLICE)).await;
    let ports = slice.ok().and_then(Result::ok).flatten().and_then(|slice| slice.ports).unwrap_or_default();
    ports.iter().find_map(|port| u16::try_from(port.port?).ok()).unwrap_or(0)
}

/// Creates both objects, and repairs them whenever somebody changes them. Never ends.
pub(crate) async fn keep(client: &kube::Client, source: &Source, publication: &Publication) {
    let changed = Arc::new(Notify::new());
    let tell = |name: &'static str, changed: &Arc<Notify>| {
        let changed = Arc::clone(changed);
        move |metadata: &ObjectMeta| {
            if metadata.namespace.as_deref() == Some(NAMESPACE) && metadata.name.as_deref() == Some(name) {
                changed.notify_one();
            }
        }
    };
    let told = tell(SERVICE, &changed);
    source.services().on_change(move |change| change.latest().iter().for_each(|service| told(&service.metadata)));
    let told = tell(SLICE, &changed);
    source.slices().on_change(move |change| change.latest().iter().for_each(|slice| told(&slice.metadata)));
    source.services().synced().await;
    source.slices().synced().await;
    let mut retry = RETRY_FIRST;
    loop {
        match ensure(client, source, publication).await {
            Ok(()) => {
                retry = RETRY_FIRST;
                tokio::time::sleep(REPAIR_INTERVAL).await;
                changed.notified().await;
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "failed to publish the DNS service; trying again"
                );
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(RETRY_MAX);
            }
        }
    }
}

async fn ensure(client: &kube::Client, source: &Source, publication: &Publication) -> Result<(), kube::Error> {
    let wanted = service(publication);
    let same = |found: &Service| {
        let (found, wanted) = (found.spec.as_ref(), wanted.spec.as_ref());
        found
            .zip(wanted)
            .is_some_and(|(found, wanted)| found.ports == wanted.ports && found.selector == wanted.selector)
    };
    put(client, source.services(), &wanted, same, |found, wanted| {
        if let Some((found, wanted)) = found.spec.as_mut().zip(wanted.spec.as_ref()) {
            found.ports.clone_from(&wanted.ports);
            found.selector.clone_from(&wanted.selector);
        }
    })
    .await?;
    let wanted = slice(publication);
    let same = |found: &EndpointSlice| {
        found.endpoints == wanted.endpoints
            && found.ports == wanted.ports
            && has_labels(&found.metadata, &wanted.metadata)
    };
    put(client, source.slices(), &wanted, same, |found, wanted| {
        let wanted_labels = wanted.metadata.labels.clone().unwrap_or_default();
        found.metadata.labels.get_or_insert_default().extend(wanted_labels);
        found.endpoints.clone_from(&wanted.endpoints);
        found.ports.clone_from(&wanted.ports);
    })
    .await
}

/// Creates the object, or changes what differs.
async fn put<K>(
    client: &kube::Client,
    informer: &Informer<K>,
    wanted: &K,
    same: impl Fn(&K) -> bool,
    change: impl FnOnce(&mut K, &K),
) -> Result<(), kube::Error>
where
    K: minato_client::Watchable + serde::Serialize + kube::Resource<Scope = kube::core::NamespaceResourceScope>,
{
    let api = Api::<K>::namespaced(client.clone(), NAMESPACE);
    let name = wanted.meta().name.clone().unwrap_or_default();
    let found = informer.get(&minato_client::ObjectKey::new(NAMESPACE, &name));
    let written = match found {
        Some(found) if same(&found) => return Ok(()),
        Some(found) => {
            let mut found = K::clone(&found);
            change(&mut found, wanted);
            api.replace(&name, &PostParams::default(), &found).await?
        }
        None => api.create(&PostParams::default(), wanted).await?,
    };
    informer.observe(written);
    Ok(())
}

/// Others may add labels of their own.
fn has_labels(found: &ObjectMeta, wanted: &ObjectMeta) -> bool {
    let has = |(key, value)| found.labels.as_ref().and_then(|labels| labels.get(key)) == Some(value);
    wanted.labels.iter().flatten().all(has)
}

fn labels(pairs: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
    Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
}

fn service(publication: &Publication) -> Service {
    let ip = publication.service_ip.to_string();
    let port = |name: &str, protocol: &str| ServicePort {
        name: Some(name.to_owned()),
        port: 53,
        protocol: Some(protocol.to_owned()),
        target_port: Some(IntOrString::Int(53)),
        ..ServicePort::default()
    };
    Service {
        metadata: ObjectMeta {
            name: Some(SERVICE.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            labels: labels(&[
                ("k8s-app", "kube-dns"),
                ("kubernetes.io/cluster-service", "true"),
                ("kubernetes.io/name", "CoreDNS"),
            ]),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            cluster_ip: Some(ip.clone()),
            cluster_ips: Some(vec![ip]),
            ports: Some(vec![port(UDP_PORT, "UDP"), port(TCP_PORT, "TCP")]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn slice(publication: &Publication) -> EndpointSlice {
    let port = |name: &str, protocol: &str| EndpointPort {
        name: Some(name.to_owned()),
        port: Some(i32::from(publication.server.port())),
        protocol: Some(protocol.to_owned()),
        ..EndpointPort::default()
    };
    let conditions = EndpointConditions { ready: Some(true), serving: Some(true), terminating: Some(false) };
    EndpointSlice {
        metadata: ObjectMeta {
            name: Some(SLICE.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            labels: labels(&[("k8s-app", "kube-dns"), (SERVICE_NAME_LABEL, SERVICE), (MANAGED_BY_LABEL, MANAGER)]),
            ..ObjectMeta::default()
        },
        address_type: "IPv4".to_owned(),
        endpoints: Some(vec![Endpoint {
            addresses: vec![publication.server.ip().to_string()],
            conditions: Some(conditions),
            node_name: Some(publication.node_name.clone()),
            ..Endpoint::default()
        }]),
        ports: Some(vec![port(UDP_PORT, "UDP"), port(TCP_PORT, "TCP")]),
    }
}
