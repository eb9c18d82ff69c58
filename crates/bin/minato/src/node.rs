//! The node: containers, pod network, service proxy, cluster DNS and the kubelet that drives them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use futures::FutureExt as _;
use minato_dns as dns;
use minato_images::Store;
use minato_kubelet::{OpenNetwork, Parts};
use minato_podnet::{Network, PodNetwork};
use minato_proxy as proxy;
use minato_rules::Ipv4Cidr;
use minato_runtime::Embedded;
use minato_scope::Scope;
use tokio::sync::watch;

use crate::control_plane::{ControlPlane, KUBELET_CLIENT, start};
use crate::layout::Layout;
use crate::options::Settings;

/// The domain of the cluster's names.
const CLUSTER_DOMAIN: &str = "cluster.local";
/// Which address of the service range is the cluster DNS's, by custom.
const DNS_OFFSET: u32 = 10;

/// Starts the node's parts as components.
pub(crate) async fn run(
    plane: &ControlPlane,
    settings: &Settings,
    layout: &Layout,
    components: &Scope,
) -> anyhow::Result<()> {
    let cluster_id = layout.cluster_id()?;
    let images = Store::open(layout.images())?;
    let runtime = minato_runtime::Config::new(&cluster_id, layout.node(), images.clone());
    let cgroup_root = runtime.cgroup_root();
    let runtime = Embedded::open(runtime).await?;
    let cluster_cidr: Ipv4Cidr = settings.cluster_cidr.parse()?;
    let service_cidr: Ipv4Cidr = settings.service_cidr.parse()?;
    let dns_address = Ipv4Addr::from_bits(service_cidr.network().to_bits() + DNS_OFFSET);
    let node = &settings.node_name;

    // The node's share of the pod range is known once the control plane has given it; the proxy waits for it.
    let (range_sender, range) = watch::channel(None::<Ipv4Cidr>);
    let network = minato_podnet::Config {
        cluster_id: cluster_id.clone(),
        data_dir: settings.data_dir.clone(),
        pod_cidr: cluster_cidr,
        cluster_cidr,
        service_cidr,
        node_ip: plane.node_ip,
    };
    let open_network: OpenNetwork = Arc::new(move |pod_cidr| {
        let (mut network, range_sender) = (network.clone(), range_sender.clone());
        async move {
            network.pod_cidr = pod_cidr.parse().map_err(minato_podnet::NetError::from)?;
            let opened: Arc<dyn PodNetwork> = Arc::new(Network::open(network.clone()).await?);
            range_sender.send_replace(Some(network.pod_cidr));
            Ok(opened)
        }
        .boxed()
    });

    let names = [node.clone(), "localhost".to_owned()];
    let identity = plane.authority.issue_server(
        &format!("system:node:{node}"),
        &names,
        &[IpAddr::V4(plane.node_ip), IpAddr::V4(Ipv4Addr::LOCALHOST)],
    )?;
    let tls = Arc::new(minato_pki::server_config(&identity, plane.authority.certificate_pem())?);
    let kubelet = minato_kubelet::Config {
        cluster_dns: vec![IpAddr::V4(dns_address)],
        cluster_domain: CLUSTER_DOMAIN.to_owned(),
        allowed_sysctls: settings.allowed_sysctls.clone(),
        api_server_user: KUBELET_CLIENT.to_owned(),
        ..minato_kubelet::Config::new(node, IpAddr::V4(plane.node_ip), &settings.data_dir, &cluster_id, tls)
    };
    let parts = Parts { runtime: Arc::new(runtime), images, open_network };
    let client = plane.client(&format!("system:node:{node}"), &["system:nodes"]);
    start("kubelet", components, |scope| minato_kubelet::run(kubelet, parts, client, scope));

    let provisioner =
        minato_provisioner::Config { node_name: node.clone(), directory: std::path::absolute(layout.volumes())? };
    let client = plane.client("system:local-path-provisioner", &[]);
    start("provisioner", components, |scope| minato_provisioner::run(provisioner, client, scope));

    let resolver_cgroup = format!("{cgroup_root}/resolver");
    let client = plane.client("system:kube-proxy", &[]);
    let proxy = proxy::Config {
        cluster_id,
        node_name: node.clone(),
        node_ip: plane.node_ip,
        pod_cidr: cluster_cidr,
        cluster_cidr,
        service_cidr,
    };
    start("proxy", components, |scope| run_proxy(proxy, range, client, scope));

    let client = plane.client("system:kube-dns", &[]);
    let dns = dns::Config {
        cluster_domain: CLUSTER_DOMAIN.to_owned(),
        service_ip: dns_address,
        node_ip: plane.node_ip,
        node_name: node.clone(),
        resolv_conf: PathBuf::from("/etc/resolv.conf"),
        directory: layout.dns(),
        cgroup: resolver_cgroup,
    };
    start("dns", components, |scope| dns::run(dns, client, scope));
    Ok(())
}

async fn run_proxy(
    config: proxy::Config,
    mut range: watch::Receiver<Option<Ipv4Cidr>>,
    client: kube::Client,
    scope: Scope,
) -> Result<(), proxy::Error> {
    let known = tokio::select! {
        known = range.wait_for(Option::is_some) => known.ok().and_then(|known| *known),
        () = scope.cancelled() => None,
    };
    match known {
        Some(pod_cidr) => proxy::run(proxy::Config { pod_cidr, ..config }, client, scope).await,
        None => Ok(()),
    }
}

/// Takes everything of a cluster's node off this host: containers, DNS, mounts, cgroups, interfaces, packet filter. Runs to
/// its end; what could not be removed is told at the end.
pub(crate) async fn teardown(layout: &Layout, data_dir: &std::path::Path) -> anyhow::Result<()> {
    let cluster_id = layout.cluster_id()?;
    let images = Store::open(layout.images())?;
    let mut problems = Vec::new();
    if let Err(error) = minato_runtime::teardown(&minato_runtime::Config::new(&cluster_id, layout.node(), images)) {
        problems.push(format!("{:#}", anyhow::Error::new(error)));
    }
    // Volumes are mounted below the pods' directories.
    if let Err(error) = minato_linux::mounts::unmount_below(&layout.node()) {
        problems.push(format!("failed to unmount what is below {}: {error}", layout.node().display()));
    } else {
        for directory in [layout.node().join("pods"), layout.node().join("containers"), layout.dns()] {
            match std::fs::remove_dir_all(&directory) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    problems.push(format!("failed to remove {}: {error}", directory.display()));
                }
                _ => {}
            }
        }
    }
    let errors = minato_podnet::teardown(&cluster_id, data_dir).await;
    problems.extend(errors.into_iter().map(|error| format!("{:#}", anyhow::Error::new(error))));
    match problems.as_slice() {
        [] => Ok(()),
        problems => Err(anyhow::anyhow!("{}", problems.join("; "))).context("not everything could be removed"),
    }
}
