//! ServiceCIDRs and IPAddresses: the finalizers and conditions of the first, and what somebody broke of the second.
//!
//! The API server writes an IPAddress together with its Service. So there is work here only where an IPAddress was
//! deleted or left behind by hand, or where a store is older than IPAddresses.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{IPAddress, IPAddressSpec, ParentReference, ServiceCIDR};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use minato_client::{Backoff, Informer, Next, ObjectKey, Queue, Recorder};
use minato_scope::Scope;
use minato_workloads::service_cidr::{FAMILY, FINALIZER, MANAGED_BY, MANAGER, Step, cluster_ips, plan, service_of};
use serde_json::json;

use crate::Context;
use crate::error::{Error, Trying as _, is_already_exists, is_conflict, is_not_found};
use crate::reconciler::Reconciler;

/// How long a Service and its IPAddress, written at once, may take to be both seen.
const SEEN_TOGETHER: Duration = Duration::from_secs(2);
const IN_USE: &str =
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Work {
    Range(ObjectKey),
    Address(ObjectKey),
    Service(ObjectKey),
}

#[derive(Clone)]
struct Controller {
    client: Client,
    ranges: Informer<ServiceCIDR>,
    addresses: Informer<IPAddress>,
    services: Informer<Service>,
    recorder: Recorder,
    queue: Queue<Work>,
}

pub(crate) fn start(context: &Context) {
    let controller = Controller {
        client: context.client.clone(),
        ranges: context.informers.of::<ServiceCIDR>(),
        addresses: context.informers.of::<IPAddress>(),
        services: context.informers.of::<Service>(),
        recorder: context.events.recorder("ipallocator-repair-controller", None),
        queue: Queue::new("service addresses", Backoff::default()),
    };
    context.start(controller, 1);
}

impl Reconciler for Controller {
    type Key = Work;

    fn queue(&self) -> &Queue<Work> {
        &self.queue
    }

    async fn synced(&self) {
        tokio::join!(self.ranges.synced(), self.addresses.synced(), self.services.synced());
    }

    fn listen(&self, _scope: &Scope) {
        let controller = self.clone();
        self.ranges.on_change(move |change| {
            if let Some(range) = change.latest() {
                controller.queue.add(Work::Range(ObjectKey::of(&range.metadata)));
                if change.after.as_ref().is_none_or(|range| range.metadata.deletion_timestamp.is_some()) {
                    controller.look_at_ending_ranges();
                }
            }
        });
        let controller = self.clone();
        self.addresses.on_change(move |change| {
            let Some(address) = change.latest() else { return };
            match service_of(address) {
                Some(_) if change.after.is_some() => {
                    let key = ObjectKey::of(&address.metadata);
                    controller.queue.add_after(Work::Address(key), SEEN_TOGETHER);
                }
                Some((namespace, name)) => {
                    controller.queue.add_after(Work::Service(ObjectKey::new(namespace, name)), SEEN_TOGETHER);
                }
                None => {}
            }
            if change.after.is_none() {
                controller.look_at_ending_ranges();
            }
        });
        let queue = self.queue.clone();
        self.services.on_change(move |change| {
            if let Some(service) = &change.after {
                queue.add_after(Work::Service(ObjectKey::of(&service.metadata)), SEEN_TOGETHER);
            }
        });
    }

    async fn reconcile(&self, work: &Work) -> Result<Next, Error> {
        match work {
            Work::Range(key) => self.keep_range(key).await?,
            Work::Address(key) => self.check_address(key).await?,
            Work::Service(key) => self.check_service(key).await?,
        }
        Ok(Next::Done)
    }
}

impl Controller {
    /// Ranges that wait for their addresses, or for another range that has them.
    fn look_at_ending_ranges(&self) {
        for range in self.ranges.list() {
            if range.metadata.deletion_timestamp.is_some() {
                self.queue.add(Work::Range(ObjectKey::of(&range.metadata)));
            }
        }
    }

    async fn keep_range(&self, key: &ObjectKey) -> Result<(), Error> {
        let Some(range) = self.ranges.get(key) else { return Ok(()) };
        let condition = |status: &str, reason: &str, message: &str| {
            let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            json!({"status": {"conditions": [{"type": "Ready", "status": status, "reason": reason,
                "message": message, "lastTransitionTime": now}]}})
        };
        let finalizers = range.metadata.finalizers.clone().unwrap_or_default();
        let version = &range.metadata.resource_version;
        let with =
            |finalizers: Vec<String>| json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
        let api: Api<ServiceCIDR> = Api::all(self.client.clone());
        let parameters = PatchParams::default();
        let written = match plan(&range, &self.ranges.list(), &self.addresses.list()) {
            Step::Nothing => return Ok(()),
            Step::Protect => {
                let all = finalizers.into_iter().chain([FINALIZER.to_owned()]).collect();
                api.patch(&key.name, &parameters, &Patch::Merge(with(all))).await
            }
            Step::Release => {
                let rest = finalizers.into_iter().filter(|finalizer| finalizer != FINALIZER).collect();
                api.patch(&key.name, &parameters, &Patch::Merge(with(rest))).await
            }
            Step::SayReady => {
                let ready = condition("True", "", "Kubernetes Service CIDR is ready");
                api.patch_status(&key.name, &parameters, &Patch::Strategic(ready)).await
            }
            Step::SayTerminating => {
                let in_use = condition("False", "Terminating", IN_USE);
                api.patch_status(&key.name, &parameters, &Patch::Strategic(in_use)).await
            }
        };
        match written {
            Ok(written) => {
                self.ranges.observe(written);
                // There may be another step.
                self.queue.add(Work::Range(key.clone()));
                Ok(())
            }
            Err(error) if is_not_found(&error) || is_conflict(&error) => Ok(()),
            Err(error) => Err(error).trying(|| format!("write ServiceCIDR {}", key.name)),
        }
    }

    /// Removes an address that its Service does not have.
    async fn check_address(&self, key: &ObjectKey) -> Result<(), Error> {
        let Some(address) = self.addresses.get(key) else { return Ok(()) };
        let Some((namespace, name)) = service_of(&address) else { return Ok(()) };
        let has = |service: &Service| cluster_ips(service).iter().any(|ip| **ip == *key.name);
        if self.services.get(&ObjectKey::new(namespace, name)).is_some_and(|service| has(&service)) {
            return Ok(());
        }
        let services: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        let service = services.get_opt(name).await.trying(|| format!("read service {namespace}/{name}"))?;
        if service.is_some_and(|service| has(&service)) {
            return Ok(());
        }
        let message =
            format!("IPAddress: {} for Service {namespace}/{name} appears to have leaked: cleaning up", key.name);
        self.recorder.warning(&*address, "IPAddressNotAllocated", message);
        let uid = address.metadata.uid.clone();
        let same = DeleteParams::default().preconditions(Preconditions { uid, resource_version: None });
        match Api::<IPAddress>::all(self.client.clone()).delete(&key.name, &same).await {
            Err(error) if !is_not_found(&error) && !is_conflict(&error) => {
                Err(error).trying(|| format!("delete IPAddress {}", key.name))
            }
            _ => Ok(()),
        }
    }

    /// Makes the addresses that a Service has and nobody wrote down.
    async fn check_service(&self, key: &ObjectKey) -> Result<(), Error> {
        let Some(service) = self.services.get(key) else { return Ok(()) };
        for ip in cluster_ips(&service) {
            if self.addresses.get(&ObjectKey::cluster(&ip)).is_some() {
                continue;
            }
            let family = if ip.contains(':') { "IPv6" } else { "IPv4" };
            let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
            let address = IPAddress {
                metadata: ObjectMeta {
                    name: Some(ip.clone()),
                    labels: Some(BTreeMap::from([label(FAMILY, family), label(MANAGED_BY, MANAGER)])),
                    ..ObjectMeta::default()
                },
                spec: IPAddressSpec {
                    parent_ref: ParentReference {
                        group: None,
                        resource: "services".to_owned(),
                        namespace: Some(key.namespace.to_string()),
                        name: key.name.to_string(),
                    },
                },
            };
            match Api::all(self.client.clone()).create(&PostParams::default(), &address).await {
                Ok(created) => {
                    self.addresses.observe(created);
                    let message = format!("Cluster IP [{family}]:{ip} is not allocated; repairing");
                    self.recorder.warning(&*service, "ClusterIPNotAllocated", message);
                }
                Err(error) if is_already_exists(&error) => {}
                Err(error) => return Err(error).trying(|| format!("create IPAddress {ip}")),
            }
        }
        Ok(())
    }
}
