//! What all requests share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use minato_mvcc::Memory;
use minato_pki::SigningKey;
use minato_scope::Scope;
use minato_store::Backend;

use crate::admission::{Hooks, Plugins};
use crate::aggregate::{Aggregator, FrontProxy};
use crate::aside::Aside;
use crate::audit::Audit;
use crate::authenticate::Authenticators;
use crate::authorize::Authorizer;
use crate::flow::Flow;
use crate::metrics::Metrics;
use crate::openapi::Documents;
use crate::proxy::Proxy;
use crate::quota::Turns;
use crate::registry::{Registry, Resource};
use crate::reserve::{Reserve, ServiceRanges, Services};
use crate::tunnel::Tunnel;
use crate::usage::Scraper;

/// The state behind every request; one per API server.
pub(crate) struct Core {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) registry: Registry,
    pub(crate) authenticators: Authenticators,
    pub(crate) authorizer: Authorizer,
    /// The built-in admission plugins.
    pub(crate) plugins: Plugins,
    /// Webhooks and policies.
    pub(crate) hooks: Hooks,
    pub(crate) signer: Arc<SigningKey>,
    pub(crate) issuer: String,
    /// Where the issuer's keys are, for others.
    pub(crate) jwks_uri: String,
    pub(crate) tunnel: Tunnel,
    /// Asks kubelets what is used.
    pub(crate) scraper: Scraper,
    pub(crate) proxy: Proxy,
    pub(crate) aggregator: Aggregator,
    /// Who runs and who waits.
    pub(crate) flow: Flow,
    /// Where large requests are computed.
    pub(crate) aside: Aside,
    pub(crate) documents: Documents,
    pub(crate) metrics: Metrics,
    /// Absent where no audit log is kept.
    pub(crate) audit: Option<Arc<Audit>>,
    /// Running watches end with this.
    pub(crate) scope: Scope,
    /// Who charges and counts quotas.
    pub(crate) turns: Turns,
    reserves: HashMap<&'static str, Box<dyn Reserve>>,
    bootstrapped: AtomicBool,
    draining: AtomicBool,
    failed: AtomicBool,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Self {
        let memory = parts.backend.memory();
        let services: Box<dyn Reserve> = Box::new(Services::new(parts.service_ranges, memory));
        Self {
            registry: Registry::new(minato_kinds::builtins()),
            authenticators: parts.authenticators,
            authorizer: parts.authorizer,
            plugins: parts.plugins,
            hooks: parts.hooks,
            signer: parts.signer,
            issuer: parts.issuer,
            jwks_uri: parts.jwks_uri,
            tunnel: parts.tunnel,
            scraper: Scraper::default(),
            proxy: Proxy::new(),
            flow: Flow::new(parts.requests_inflight_max),
            aside: Aside::new(),
            aggregator: Aggregator::new(parts.front_proxy),
            documents: Documents::default(),
            metrics: parts.metrics,
            audit: parts.audit,
            scope: parts.scope,
            turns: Turns::default(),
            reserves: HashMap::from([("core/services", services)]),
            bootstrapped: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            backend: parts.backend,
        }
    }

    pub(crate) fn memory(&self) -> &Memory {
        self.backend.memory()
    }

    /// Who gives out the values that objects of `resource` may not share.
    pub(crate) fn reserve_of(&self, resource: &Resource) -> Option<&dyn Reserve> {
        self.reserves.get(&*resource.storage).map(AsRef::as_ref)
    }

    /// Whether what every cluster has is there.
    pub(crate) fn is_bootstrapped(&self) -> bool {
        self.bootstrapped.load(Ordering::Acquire)
    }

    pub(crate) fn set_bootstrapped(&self) {
        self.bootstrapped.store(true, Ordering::Release);
    }

    /// Whether clients should go elsewhere: the server is about to end.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire) || self.scope.is_cancelled()
    }

    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the disk has refused a write in a way that only a restart, or a person, can mend.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(crate) fn set_failed(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// How many objects are stored of each resource, by the names that metrics have: `pods`, `deployments.apps`.
    pub(crate) fn stored_objects(&self) -> Vec<(String, usize)> {
        let served = self.registry.served();
        let stored = served.resources().filter(|resource| resource.shows_stored());
        stored
            .map(|resource| (resource.subject("").qualified(), self.memory().snapshot(&resource.storage).len()))
            .collect()
    }
}

/// What a [`Core`] is made of.
pub(crate) struct Parts {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) authenticators: Authenticators,
    pub(crate) authorizer: Authorizer,
    pub(crate) plugins: Plugins,
    pub(crate) hooks: Hooks,
    pub(crate) signer: Arc<SigningKey>,
    pub(crate) issuer: String,
    pub(crate) jwks_uri: String,
    pub(crate) tunnel: Tunnel,
    pub(crate) service_ranges: ServiceRanges,
    pub(crate) metrics: Metrics,
    pub(crate) audit: Option<Arc<Audit>>,
    pub(crate) front_proxy: Option<FrontProxy>,
    pub(crate) requests_inflight_max: u32,
    pub(crate) scope: Scope,
}
