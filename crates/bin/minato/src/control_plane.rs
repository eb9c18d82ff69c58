//! The control plane: store, API server, scheduler, controllers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use minato_apiserver::{ApiServer, FrontProxy, User};
use minato_pki::{Authority, Issued, SigningKey};
use minato_scope::Scope;
use minato_store::Backend;
use minato_store::embedded::{self, Options, Seal};
use tokio::net::TcpListener;

use crate::authentication::follow;
use crate::encryption;
use crate::layout::Layout;
use crate::options::Settings;

/// The user that the API server is to kubelets.
pub(crate) const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";
/// The name in the certificate that aggregated API servers are shown.
const FRONT_PROXY_CLIENT: &str = "front-proxy-client";
const MASTERS: &str = "system:masters";

/// A control plane whose port is bound and whose state is loaded.
pub(crate) struct ControlPlane {
    pub(crate) api: ApiServer,
    pub(crate) authority: Arc<Authority>,
    signer: Arc<SigningKey>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) address: SocketAddr,
    pub(crate) node_ip: Ipv4Addr,
}

/// The two things that [`ControlPlane::start`] uses up.
pub(crate) struct Door {
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
}

impl ControlPlane {
    /// Binds the port and opens the store; changes nothing outside the data directory.
    pub(crate) async fn build(
        settings: &Settings,
        layout: &Layout,
        node_ip: Ipv4Addr,
        scope: &Scope,
    ) -> anyhow::Result<(Self, Door)> {
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("cannot listen on {} (--listen)", settings.listen))?;
        let address = listener.local_addr()?;
        let authority = Arc::new(Authority::load_or_create(&layout.pki(), "minato-ca")?);
        let mut signer = SigningKey::load_or_create(&layout.pki().join("sa.key"))?;
        settings.authentication.add_keys(&mut signer)?;
        let signer = Arc::new(signer);
        let authentication = settings.authentication.load(authority.certificate_pem())?;
        let proxies = authentication.request_headers.as_ref().map(|headers| headers.client_ca_pem.as_str());
        let clients = format!("{}\n{}", authentication.client_ca_pem, proxies.unwrap_or_default());
        let defaults = minato_apiserver::Config::default();
        let mut options = Options::new(minato_apiserver::attributes_of);
        let rules = settings.encryption.as_deref().map(encryption::read).transpose()?.unwrap_or_default();
        options.seal = Some(Seal { key_file: layout.sealing_key(), resources: vec!["core/secrets".to_owned()], rules });
        let directory = layout.store();
        let backend: Arc<dyn Backend> =
            Arc::new(tokio::task::spawn_blocking(move || embedded::open(&directory, options)).await??);
        let client = authority.issue_client(KUBELET_CLIENT, Some(MASTERS))?;
        let kubelet_tls = minato_pki::client_config(authority.certificate_pem(), Some(&client), &["http/1.1"])?;
        let config = minato_apiserver::Config {
            service_cidr: settings.service_cidr.clone(),
            service_node_ports: settings.service_node_ports.clone(),
            advertise_address: node_ip,
            port: address.port(),
            requests_inflight_max: settings.requests_inflight_max,
            admission: settings.admission.clone(),
            audit: settings.audit.clone(),
            front_proxy: Some(front_proxy(layout, &authority)?),
            issuer: settings.authentication.service_account_issuer.clone().unwrap_or(defaults.issuer),
            authentication,
            authorization: settings.authorization.load()?,
        };
        let api =
            ApiServer::build(&config, Arc::clone(&backend), Arc::clone(&signer), Arc::new(kubelet_tls), scope.clone())?;
        let identity = serving_identity(&authority, &settings.node_name, &api, address.ip(), node_ip)?;
        let tls = Arc::new(minato_pki::server_config(&identity, &clients)?);
        Ok((Self { api, authority, signer, backend, address, node_ip }, Door { listener, tls }))
    }

    /// Makes what every cluster has, and starts to serve and to control.
    pub(crate) async fn start(
        &self,
        door: Door,
        settings: &Settings,
        serving: &Scope,
        components: &Scope,
    ) -> anyhow::Result<()> {
        self.api.bootstrap().await?;
        let (api, scope) = (self.api.clone(), serving.child("connections"));
        serving.spawn("accept", async move { api.serve(door.listener, door.tls, scope).await });
        let following = follow(
            settings.authentication.clone(),
            settings.authorization.clone(),
            self.authority.certificate_pem().to_owned(),
            self.api.clone(),
            serving.clone(),
        );
        serving.spawn("configuration files", following);

        let client = self.client("system:kube-scheduler", &[]);
        let config = settings.scheduler.clone();
        start("scheduler", components, |scope| minato_scheduler::run(config, client, scope));

        let config = minato_controllers::Config {
            cluster_ca_pem: self.authority.certificate_pem().to_owned(),
            authority: Some(Arc::clone(&self.authority)),
            token_signer: Some(Arc::clone(&self.signer)),
            cluster_cidr: settings.cluster_cidr.clone(),
            ..minato_controllers::Config::default()
        };
        let client = self.client("system:kube-controller-manager", &[]);
        start("controllers", components, |scope| minato_controllers::run(config, client, scope));
        Ok(())
    }

    /// A client within this process that acts as `user`.
    pub(crate) fn client(&self, user: &str, groups: &[&str]) -> kube::Client {
        kube::Client::new(self.api.service_as(User::component(user, groups)), "default")
    }

    /// Credentials for the administrator.
    pub(crate) fn administrator(&self) -> anyhow::Result<Issued> {
        Ok(self.authority.issue_client("minato-admin", Some(MASTERS))?)
    }

    /// Where clients on this machine reach the API.
    pub(crate) fn url(&self) -> String {
        let host = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        format!("https://{host}:{}", self.address.port())
    }
}

/// Runs a component in a scope of its own; that it ends by an error is logged, the others go on.
pub(crate) fn start<F, E>(name: &'static str, components: &Scope, run: impl FnOnce(Scope) -> F)
where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let future = run(components.child(name));
    components.spawn(name, async move {
        if let Err(error) = future.await {
            tracing::error!(component = name, error = format!("{:#}", anyhow::Error::new(error)), "component failed");
        }
    });
}

/// What aggregated API servers know this one by: an authority of its own vouches for it, as whoever has a certificate
/// of that authority may speak for anybody.
fn front_proxy(layout: &Layout, clients: &Authority) -> anyhow::Result<FrontProxy> {
    let authority = Authority::load_or_create(&layout.pki().join("front-proxy"), "minato-front-proxy-ca")?;
    Ok(FrontProxy {
        authority_pem: authority.certificate_pem().to_owned(),
        identity: authority.issue_client(FRONT_PROXY_CLIENT, None)?,
        name: FRONT_PROXY_CLIENT.to_owned(),
        client_authority_pem: clients.certificate_pem().to_owned(),
    })
}

/// The names and addresses by which clients know the API server.
fn serving_identity(
    authority: &Authority,
    node_name: &str,
    api: &ApiServer,
    listen: IpAddr,
    node_ip: Ipv4Addr,
) -> anyhow::Result<Issued> {
    let mut names: Vec<String> = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push(node_name.to_owned());
    names.dedup();
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(node_ip), IpAddr::V4(api.service_address())];
    if !listen.is_unspecified() {
        addresses.push(listen);
    }
    addresses.sort_unstable();
    addresses.dedup();
    Ok(authority.issue_server("kube-apiserver", &names, &addresses)?)
}
