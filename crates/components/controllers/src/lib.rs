//! The controllers that keep workloads, namespaces and nodes as their owners asked for.
//!
//! Each controller is thin: it watches, queues keys, asks `minato-workloads` for a plan, carries it out and reports.
//!
//! | controller | keeps |
//! |---|---|
//! | [`autoscaler`] | the scale of HorizontalPodAutoscalers' targets |
//! | [`bootstrap_token`] | no expired bootstrap token; `cluster-info` signed by the others |
//! | [`certificates`] | certificates for CertificateSigningRequests |
//! | [`cluster_role`] | the rules of aggregated ClusterRoles |
//! | [`deployment`] | ReplicaSets of a Deployment's revisions |
//! | [`disruption`] | how many pods each PodDisruptionBudget lets go |
//! | [`replica_set`] | pods of ReplicaSets and ReplicationControllers |
//! | [`daemon_set`] | a pod of a DaemonSet on every node it belongs on |
//! | [`stateful_set`] | named pods of StatefulSets with their claims |
//! | [`endpoints`] | EndpointSlices and Endpoints of Services |
//! | [`cron_job`] | a Job at every time that a CronJob's schedule names |
//! | [`job`] | the pods of a Job, each counted once; no finished Job past its time |
//! | [`endpoint_mirroring`] | EndpointSlices of Endpoints that users write |
//! | [`ephemeral_volume`] | the claims of pods' ephemeral volumes |
//! | [`garbage`] | nothing whose owners are gone |
//! | [`namespace`] | nothing of a deleted namespace |
//! | [`node_ipam`] | the pod address range of every node |
//! | [`node_lifecycle`] | taints and conditions of nodes; no pod on a node that it may not stay on |
//! | [`policy_status`] | what expressions of admission policies get wrong about the kinds they match |
//! | [`pod_gc`] | no pod of a node that is gone; not too many finished ones |
//! | [`service_addresses`] | ServiceCIDRs while they are used; an IPAddress for every cluster IP |
//! | [`service_account`] | the ServiceAccount `default` in every namespace |
//! | [`token_secret`] | a token in every Secret that is for one |
//! | [`volumes`] | claims and volumes bound to each other |
//! | [`volume_protection`] | finalizers of claims and volumes, while they are used |
//! | [`root_ca`] | the ConfigMap `kube-root-ca.crt` in every namespace |
//!
//! All share one watch per kind and read their own writes ([`minato_client::Informer::observe`]), so a plan is never
//! made from a state older than the controller's last action.

mod autoscaler;
mod batch;
mod bootstrap_token;
mod certificates;
mod cluster_role;
mod cron_job;
mod daemon_set;
mod deployment;
mod discovery;
mod disruption;
mod endpoint_mirroring;
mod endpoints;
mod ephemeral_volume;
mod error;
mod garbage;
mod history;
mod job;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod patience;
mod pod_gc;
mod pods;
mod policy_status;
mod reconciler;
mod replica_set;
mod root_ca;
mod service_account;
mod service_addresses;
mod slices;
mod stateful_set;
mod token_secret;
mod volume_protection;
mod volumes;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::ReplicationController;
use kube::Client;
use minato_client::{EventSink, Informers};
use minato_scope::Scope;

pub use error::Error;

/// Settings of the controllers.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// PEM of the CA that signs the API server's certificate; published to every namespace.
    pub cluster_ca_pem: String,
    /// Signs approved CertificateSigningRequests; without one, nobody does.
    #[serde(skip)]
    pub authority: Option<Arc<minato_pki::Authority>>,
    /// Signs the tokens of service accounts' Secrets; without one, they stay empty.
    #[serde(skip)]
    pub token_signer: Option<Arc<minato_pki::SigningKey>>,
    /// Addresses of all pods, as `10.42.0.0/16`.
    pub cluster_cidr: String,
    /// Bits of prefix of the part that each node gets.
    pub node_cidr_mask_size: u8,
    /// Seconds that a node may be silent before it counts as unreachable.
    pub node_monitor_grace_period_seconds: u64,
    /// Keys of one controller that are worked on at the same time.
    pub workers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster_ca_pem: String::new(),
            authority: None,
            token_signer: None,
            cluster_cidr: "10.42.0.0/16".to_owned(),
            node_cidr_mask_size: 24,
            node_monitor_grace_period_seconds: 40,
            workers: 8,
        }
    }
}

/// What every controller gets.
#[derive(Clone)]
struct Context {
    client: Client,
    informers: Informers,
    events: EventSink,
    scope: Scope,
    workers: usize,
}

/// Runs all controllers until the scope is cancelled. They outlive any failure of the API: they back off and try again.
///
/// # Errors
/// If the configuration is wrong.
pub async fn run(config: Config, client: Client, scope: Scope) -> Result<(), Error> {
    let ranges = node_ipam::Ranges { cluster: config.cluster_cidr.parse()?, node_prefix: config.node_cidr_mask_size };
    let scope = scope.child("controllers");
    let context = Context {
        client: client.clone(),
        informers: Informers::new(client.clone(), scope.clone()),
        events: EventSink::start(client, &scope),
        scope: scope.clone(),
        workers: config.workers.max(1),
    };
    bootstrap_token::start(&context);
    certificates::start(&context, config.authority);
    token_secret::start(&context, config.token_signer, config.cluster_ca_pem.clone());
    cluster_role::start(&context);
    cron_job::start(&context);
    daemon_set::start(&context);
    deployment::start(&context);
    // Asked anew where a kind is not known; the garbage collector must see for itself what has changed.
    let scalable = discovery::Resources::default();
    disruption::start(&context, &scalable);
    endpoints::start(&context);
    ephemeral_volume::start(&context);
    job::start(&context);
    endpoint_mirroring::start(&context);
    node_ipam::start(&context, ranges);
    node_lifecycle::start(&context, Duration::from_secs(config.node_monitor_grace_period_seconds));
    pod_gc::start(&context);
    policy_status::start(&context);
    autoscaler::start(&context, &scalable);
    let resources = discovery::Resources::default();
    let emptied = namespace::start(&context, &resources);
    garbage::start(&context, &resources, emptied);
    replica_set::start::<ReplicaSet>(&context);
    replica_set::start::<ReplicationController>(&context);
    service_account::start(&context);
    service_addresses::start(&context);
    stateful_set::start(&context);
    root_ca::start(&context, config.cluster_ca_pem);
    volume_protection::start(&context);
    volumes::start(&context);
    scope.cancelled().await;
    Ok(())
}
