//! Putting the parts together, and serving.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use minato_http::Limits;
use minato_mvcc::Attributes;
use minato_pki::SigningKey;
use minato_scope::Scope;
use minato_store::Backend;
use rustls::{ClientConfig, ServerConfig};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::admission::Plugins;
use crate::audit::Audit;
use crate::authenticate::{Authentication, Authenticators};
use crate::authorize::{AuthorizationMode, Authorizer};
use crate::bootstrap::Advertised;
use crate::config::{Config, ConfigError, service_addresses};
use crate::core::{Core, Parts};
use crate::custom::Follower;
use crate::identity::User;
use crate::metrics::Metrics;
use crate::reserve::ServiceRanges;
use crate::service::ApiService;
use crate::status::ApiError;
use crate::tunnel::Tunnel;

/// Why an API server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What every cluster has could not be made.
    #[error("failed to create the cluster's own objects")]
    Bootstrap(#[source] ApiError),
}

/// An API server over a store.
#[derive(Clone)]
pub struct ApiServer {
    core: Arc<Core>,
    advertised: Advertised,
    bootstrapped: Arc<AtomicBool>,
}

impl ApiServer {
    /// An API server whose state is in `backend`; `kubelet_tls` proves to kubelets that it is one.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn build(
        config: &Config,
        backend: Arc<dyn Backend>,
        signer: Arc<SigningKey>,
        kubelet_tls: Arc<ClientConfig>,
        scope: Scope,
    ) -> Result<Self, ConfigError> {
        let addresses = service_addresses(&config.service_cidr)?;
        let metrics = Metrics::new();
        let audit = Audit::open(&config.audit, &metrics, backend.memory(), &scope)?;
        let authorizer = Authorizer::new(backend.memory(), &config.authorization).map_err(ConfigError::from)?;
        let (plugins, hooks) = Plugins::new(&config.admission).map_err(ConfigError::from)?;
        let core = Core::new(Parts {
            backend,
            authorizer,
            plugins,
            hooks,
            authenticators: Authenticators::new(&config.authentication).map_err(ConfigError::from)?,
            signer,
            issuer: config.issuer.clone(),
            jwks_uri: format!("https://{}:{}{}", config.advertise_address, config.port, crate::issuer::KEYS_PATH),
            tunnel: Tunnel::new(kubelet_tls),
            service_ranges: ServiceRanges { node_ports: config.service_node_ports.clone() },
            metrics,
            audit,
            front_proxy: config.front_proxy.clone(),
            requests_inflight_max: config.requests_inflight_max,
            scope,
        });
        let advertised = Advertised {
            service_cidr: config.service_cidr.clone(),
            service_address: addresses.0,
            address: config.advertise_address,
            port: config.port,
        };
        Ok(Self { core: Arc::new(core), advertised, bootstrapped: Arc::default() })
    }

    /// Takes over who may come without credentials and whose tokens are known; connections that are there stay.
    ///
    /// # Errors
    /// [`ConfigError`]; then everything stays as it was.
    pub fn configure_authentication(&self, settings: &Authentication) -> Result<(), ConfigError> {
        Ok(self.core.authenticators.configure(&settings.anonymous, &settings.issuers)?)
    }

    /// Takes over who decides what users may.
    ///
    /// # Errors
    /// [`ConfigError`]; then everything stays as it was.
    pub fn configure_authorization(&self, modes: &[AuthorizationMode]) -> Result<(), ConfigError> {
        Ok(self.core.authorizer.configure(self.core.memory(), modes)?)
    }

    /// The service for requests that come over a network, each with its own credentials.
    #[must_use]
    pub fn service(&self) -> ApiService {
        ApiService { core: Arc::clone(&self.core), user: None }
    }

    /// The service for requests of `user` from within this process.
    #[must_use]
    pub fn service_as(&self, user: User) -> ApiService {
        ApiService { core: Arc::clone(&self.core), user: Some(user) }
    }

    /// The cluster IP of the service `kubernetes`.
    #[must_use]
    pub fn service_address(&self) -> Ipv4Addr {
        self.advertised.service_address
    }

    /// Makes what every cluster has; from then on the server says that it is ready.
    ///
    /// # Errors
    /// [`StartError::Bootstrap`].
    pub async fn bootstrap(&self) -> Result<(), StartError> {
        if !self.bootstrapped.swap(true, Ordering::AcqRel) {
            self.core.bootstrap(&self.advertised).await.map_err(StartError::Bootstrap)?;
            // Served before anybody is told that the server is ready.
            let follower = Follower::load(Arc::clone(&self.core));
            self.core.scope.spawn("custom resource definitions", follower.run());
            self.core.scope.spawn("quotas", crate::quota::count(Arc::clone(&self.core)));
            self.core.set_bootstrapped();
            let scope = &self.core.scope;
            scope.spawn("flow", crate::flow::run(Arc::clone(&self.core), scope.clone()));
            scope.spawn("aggregator", crate::aggregate::run(Arc::clone(&self.core), scope.clone()));
        }
        Ok(())
    }

    /// Says from now on that it is not ready, so that clients go elsewhere; requests are still answered.
    pub fn drain(&self) {
        self.core.set_draining();
    }

    /// Writes out what is kept back, when no more requests come.
    pub async fn flush(&self) {
        if let Some(audit) = &self.core.audit {
            Arc::clone(audit).flush().await;
        }
    }

    /// Serves `listener` until `scope` is cancelled.
    pub async fn serve(&self, listener: TcpListener, tls: Arc<ServerConfig>, scope: Scope) {
        minato_http::serve(listener, tls, self.service(), Limits::default(), scope).await;
    }
}

/// What selectors look at in a stored object of `storage`: for the store to recover by.
#[must_use]
pub fn attributes_of(storage: &str, bytes: &[u8]) -> Attributes {
    match (minato_kinds::by_storage(storage), serde_json::from_slice::<Value>(bytes)) {
        (Some(declaration), Ok(object)) => crate::object::attributes(declaration, &object),
        // A custom kind: labels are the same for all kinds, its fields are looked up in the object.
        (None, Ok(object)) => crate::object::labels_of(&object),
        _ => Attributes::new([], []),
    }
}
