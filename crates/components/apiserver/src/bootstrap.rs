//! What every cluster has from its first start: namespaces, the bootstrap roles, the `kubernetes` service.

use std::net::Ipv4Addr;

use futures::{StreamExt as _, TryStreamExt as _};
use http::StatusCode;
use serde_json::{Value, json};

use crate::admission::Remarks;
use crate::core::Core;
use crate::identity::{MASTERS, User};
use crate::rbac::{BootstrapObject, Replace, bootstrap_objects, reconcile};
use crate::status::ApiError;
use crate::write::{DeleteOptions, Target, UpdateKind};

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

const PRIORITY_CLASSES: [(&str, i64, &str); 2] = [
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
];

/// Objects of a kind that are written at the same time, so that they share an fsync.
const WRITES_MAX: usize = 64;

/// Where clients in the cluster reach this API server.
#[derive(Clone, Debug)]
pub(crate) struct Advertised {
    /// The range of cluster IPs.
    pub(crate) service_cidr: String,
    /// The first address of the service range.
    pub(crate) service_address: Ipv4Addr,
    /// An address of this server that pods can reach.
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
}

impl Core {
    /// Makes what is absent. Safe to run again after a start that was cut off.
    pub(crate) async fn bootstrap(&self, advertised: &Advertised) -> Result<(), ApiError> {
        let user = User::component("system:apiserver", &[MASTERS]);
        let namespaces = NAMESPACES.map(|name| {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            self.make(&user, ("", "namespaces"), "", namespace)
        });
        futures::future::try_join_all(namespaces).await?;
        // None of these needs another, and writes that wait for the disk together wait once.
        futures::try_join!(
            self.bootstrap_policy(&user),
            self.bootstrap_priorities(&user),
            self.bootstrap_flows(&user),
            self.bootstrap_front_proxy(&user),
            self.bootstrap_service(&user, advertised),
        )?;
        Ok(())
    }

    async fn bootstrap_policy(&self, user: &User) -> Result<(), ApiError> {
        let policy = bootstrap_objects().into_iter().map(|object| self.keep_policy(user, object));
        futures::stream::iter(policy).buffer_unordered(WRITES_MAX).try_collect().await
    }

    async fn bootstrap_priorities(&self, user: &User) -> Result<(), ApiError> {
        let classes = PRIORITY_CLASSES.map(|(name, value, description)| {
            let class = json!({
                "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
                "value": value, "description": description,
            });
            self.make(user, ("scheduling.k8s.io", "priorityclasses"), "", class)
        });
        futures::future::try_join_all(classes).await.map(drop)
    }

    async fn bootstrap_flows(&self, user: &User) -> Result<(), ApiError> {
        let flows = crate::flow::bootstrap_objects()
            .into_iter()
            .map(|(resource, object)| self.make(user, ("flowcontrol.apiserver.k8s.io", resource), "", object));
        futures::stream::iter(flows).buffer_unordered(WRITES_MAX).try_collect().await
    }

    async fn bootstrap_front_proxy(&self, user: &User) -> Result<(), ApiError> {
        match self.aggregator.front_proxy() {
            Some(front_proxy) => self.keep_config_map(user, front_proxy.config_map()).await,
            None => Ok(()),
        }
    }

    /// The service `kubernetes` and where it leads.
    async fn bootstrap_service(&self, user: &User, advertised: &Advertised) -> Result<(), ApiError> {
        self.keep_service_range(user, &advertised.service_cidr).await?;
        let labels = json!({"component": "apiserver", "provider": "kubernetes"});
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
            "spec": {
                "type": "ClusterIP", "clusterIP": advertised.service_address.to_string(), "sessionAffinity": "None",
                "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": advertised.port}],
            },
        });
        self.keep(user, ("", "services"), service, |new, wanted| {
            new["spec"]["ports"] = wanted["spec"]["ports"].clone();
        })
        .await?;
        let subsets = json!([{
            "addresses": [{"ip": advertised.address.to_string()}],
            "ports": [{"name": "https", "port": advertised.port, "protocol": "TCP"}],
        }]);
        let endpoints = json!({
            "apiVersion": "v1", "kind": "Endpoints", "subsets": subsets,
            "metadata": {"name": "kubernetes", "namespace": "default",
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        });
        self.keep(user, ("", "endpoints"), endpoints, |new, wanted| new["subsets"] = wanted["subsets"].clone()).await?;
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "kubernetes", "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "endpoints": [{"addresses": [advertised.address.to_string()], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "port": advertised.port, "protocol": "TCP"}],
        });
        self.keep(user, ("discovery.k8s.io", "endpointslices"), slice, |new, wanted| {
            for key in ["endpoints", "ports"] {
                new[key] = wanted[key].clone();
            }
        })
        .await
    }

    /// Creates `object` unless it is there.
    async fn make(
        &self,
        user: &User,
        (group, resource): (&str, &str),
        namespace: &str,
        object: Value,
    ) -> Result<(), ApiError> {
        let resource = self.registry.stored(group, resource).ok_or_else(ApiError::no_route)?;
        let remarks = Remarks::default();
        let target = Target::internal(&resource, namespace, user, &remarks);
        let name = crate::object::text(&object, "name").to_owned();
        if self.memory().get(&target.key_of(&name)).is_some() {
            return Ok(());
        }
        match self.create(&target, object).await {
            Err(error) if error.code == StatusCode::CONFLICT => Ok(()),
            other => other.map(drop),
        }
    }

    /// Creates a bootstrap role or binding, or gives the one that is there what it lacks.
    async fn keep_policy(&self, user: &User, wanted: BootstrapObject) -> Result<(), ApiError> {
        const GROUP: &str = "rbac.authorization.k8s.io";
        let BootstrapObject { resource, namespace, object } = wanted;
        let served = self.registry.stored(GROUP, resource).ok_or_else(ApiError::no_route)?;
        let remarks = Remarks::default();
        let target = Target::internal(&served, namespace, user, &remarks);
        let name = crate::object::text(&object, "name").to_owned();
        let Some(stored) = self.memory().get(&target.key_of(&name)) else {
            return self.make(user, (GROUP, resource), namespace, object).await;
        };
        match reconcile(&crate::write::parse(&stored)?, &object) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => {
                let mut change = |old: &Value| match reconcile(old, &object) {
                    Ok(Some(new)) => Ok(new),
                    _ => Ok(old.clone()),
                };
                self.update(&target, &name, UpdateKind::Object, &mut change).await.map(drop)
            }
            Err(Replace) => {
                self.delete(&target, &name, &DeleteOptions::default()).await?;
                self.make(user, (GROUP, resource), namespace, object).await
            }
        }
    }

    /// Creates the ServiceCIDR `kubernetes` and says that it is ready.
    async fn keep_service_range(&self, user: &User, cidr: &str) -> Result<(), ApiError> {
        const KIND: (&str, &str) = ("networking.k8s.io", "servicecidrs");
        let range = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": [cidr]},
        });
        self.make(user, KIND, "", range).await?;
        let resource = self.registry.stored(KIND.0, KIND.1).ok_or_else(ApiError::no_route)?;
        let remarks = Remarks::default();
        let target = Target::internal(&resource, "", user, &remarks);
        let mut change = |old: &Value| {
            if old["spec"]["cidrs"][0] != cidr {
                tracing::warn!(stored = %old["spec"]["cidrs"], configured = cidr, "the ServiceCIDR kubernetes is not the configured one");
            }
            let mut new = old.clone();
            let conditions = old["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
            if !conditions.iter().any(|condition| condition["type"] == "Ready") {
                let mut conditions = conditions.to_vec();
                conditions.push(json!({
                    "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready",
                    "lastTransitionTime": crate::object::time(jiff::Timestamp::now()),
                }));
                new["status"] = json!({"conditions": conditions});
            }
            Ok(new)
        };
        self.update(&target, "kubernetes", UpdateKind::Status, &mut change).await.map(drop)
    }

    /// Creates a ConfigMap in `kube-system`, or brings its data up to date.
    async fn keep_config_map(&self, user: &User, wanted: Value) -> Result<(), ApiError> {
        let name = crate::object::text(&wanted, "name").to_owned();
        self.make(user, ("", "configmaps"), "kube-system", wanted.clone()).await?;
        let resource = self.registry.stored("", "configmaps").ok_or_else(ApiError::no_route)?;
        let remarks = Remarks::default();
        let target = Target::internal(&resource, "kube-system", user, &remarks);
        let mut change = |old: &Value| {
            let mut new = old.clone();
            new["data"] = wanted["data"].clone();
            Ok(new)
        };
        self.update(&target, &name, UpdateKind::Object, &mut change).await.map(drop)
    }

    /// Creates `object` in `default`, or brings the one that is there up to date by `merge`.
    async fn keep(
        &self,
        user: &User,
        (group, resource): (&str, &str),
        object: Value,
        merge: fn(&mut Value, &Value),
    ) -> Result<(), ApiError> {
        self.make(user, (group, resource), "default", object.clone()).await?;
        let resource = self.registry.stored(group, resource).ok_or_else(ApiError::no_route)?;
        let remarks = Remarks::default();
        let target = Target::internal(&resource, "default", user, &remarks);
        let mut change = |old: &Value| {
            let mut new = old.clone();
            merge(&mut new, &object);
            Ok(new)
        };
        self.update(&target, "kubernetes", UpdateKind::Object, &mut change).await.map(drop)
    }
}
