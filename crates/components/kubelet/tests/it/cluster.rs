//! A control plane on a temporary disk and a kubelet that can be killed.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ServiceAccount};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use minato_apiserver::{ApiServer, User};
use minato_kubelet::{Config, OpenNetwork, Parts};
use minato_pki::{Authority, SigningKey};
use minato_podnet::PodNetwork;
use minato_scope::Scope;
use minato_store::Backend;
use minato_store::embedded::{self, Options};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::fake::{FakeNetwork, FakeRuntime};

const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const IMAGE: &str = "example.test/app:1";

pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) runtime: FakeRuntime,
    pub(crate) network: Arc<FakeNetwork>,
    api: ApiServer,
    authority: Authority,
    scope: Scope,
    kubelet: Scope,
    directory: tempfile::TempDir,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::start_with(FakeRuntime::new()).await
    }

    pub(crate) async fn start_with(runtime: FakeRuntime) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(&directory.path().join("pki"), "test").unwrap();
        let signer = SigningKey::load_or_create(&directory.path().join("sa.key")).unwrap();
        let options = Options::new(minato_apiserver::attributes_of);
        let store: Arc<dyn Backend> = Arc::new(embedded::open(&directory.path().join("store"), options).unwrap());
        let identity = authority.issue_client("kube-apiserver-kubelet-client", Some("system:masters")).unwrap();
        let tls = minato_pki::client_config(authority.certificate_pem(), Some(&identity), &["http/1.1"]).unwrap();
        let scope = Scope::root("test");
        let settings = minato_apiserver::Config {
            advertise_address: Ipv4Addr::new(192, 0, 2, 1),
            ..minato_apiserver::Config::default()
        };
        let api = ApiServer::build(&settings, store, Arc::new(signer), Arc::new(tls), scope.clone()).unwrap();
        api.bootstrap().await.unwrap();
        let client = Client::new(api.service_as(User::component("admin", &["system:masters"])), "default");
        import_image(directory.path());
        let network = Arc::new(FakeNetwork::default());
        let kubelet = scope.child("kubelet");
        let mut cluster = Self { client, runtime, network, api, authority, scope, kubelet, directory };
        cluster.prepare().await;
        cluster.start_kubelet();
        cluster.give_range().await;
        cluster
    }

    /// What controllers do in a real cluster.
    async fn prepare(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let leases = json!({"metadata": {"name": "kube-node-lease"}});
        // The API server may have made it already.
        let _ = namespaces.create(&PostParams::default(), &serde_json::from_value(leases).unwrap()).await;
        let accounts: Api<ServiceAccount> = Api::default_namespaced(self.client.clone());
        let account = json!({"metadata": {"name": "default"}});
        let _ = accounts.create(&PostParams::default(), &serde_json::from_value(account).unwrap()).await;
    }

    async fn give_range(&self) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        until("the node", || nodes.get_opt("n1"), Option::is_some).await;
        let range = json!({"spec": {"podCIDR": "10.42.0.0/24", "podCIDRs": ["10.42.0.0/24"]}});
        nodes.patch("n1", &PatchParams::default(), &Patch::Merge(range)).await.unwrap();
    }

    pub(crate) fn start_kubelet(&mut self) {
        self.kubelet = self.scope.child("kubelet");
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let identity = self.authority.issue_server("system:node:n1", &["n1".to_owned()], &[ip]).unwrap();
        let tls = Arc::new(minato_pki::server_config(&identity, self.authority.certificate_pem()).unwrap());
        let config = Config::new("n1", ip, self.directory.path(), "00000000", tls);
        let network: Arc<dyn PodNetwork> = Arc::clone(&self.network) as Arc<dyn PodNetwork>;
        let open_network: OpenNetwork = Arc::new(move |_range| {
            let network = Arc::clone(&network);
            async move { Ok(network) }.boxed()
        });
        let images = minato_images::Store::open(self.directory.path().join("node/images")).unwrap();
        let parts = Parts { runtime: Arc::new(self.runtime.clone()), images, open_network };
        let client = Client::new(self.api.service_as(User::component("system:node:n1", &["system:nodes"])), "default");
        let scope = self.kubelet.clone();
        self.kubelet.spawn("kubelet", async move { minato_kubelet::run(config, parts, client, scope).await.unwrap() });
    }

    pub(crate) async fn kill_kubelet(&self) {
        self.kubelet.shutdown(Duration::from_secs(10)).await.unwrap();
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    /// Makes a pod with one container that is bound to the node already.
    pub(crate) async fn create_pod(&self, name: &str, spec: Value, container: Value) {
        let mut pod = json!({"metadata": {"name": name}, "spec": {
            "nodeName": "n1", "automountServiceAccountToken": false, "containers": [{"name": "c", "image": IMAGE}],
        }});
        merge(&mut pod["spec"], spec);
        merge(&mut pod["spec"]["containers"][0], container);
        self.pods().create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }

    /// Waits until the pod is as wanted.
    pub(crate) async fn until_pod(&self, name: &str, what: &str, wanted: impl Fn(&Pod) -> bool) -> Pod {
        let pods = self.pods();
        until(what, || pods.get_opt(name), |pod| pod.as_ref().is_some_and(&wanted)).await.unwrap()
    }

    pub(crate) async fn until_gone(&self, name: &str) {
        let pods = self.pods();
        until("the end of the pod", || pods.get_opt(name), Option::is_none).await;
    }

    pub(crate) fn pod_directories(&self) -> usize {
        std::fs::read_dir(self.directory.path().join("node/pods")).map_or(0, Iterator::count)
    }
}

fn merge(into: &mut Value, from: Value) {
    for (key, value) in from.as_object().unwrap() {
        into[key] = value.clone();
    }
}

/// Asks again until the answer fits; says what it last was when it never does.
pub(crate) async fn until<T, F>(what: &str, ask: impl Fn() -> F, fits: impl Fn(&T) -> bool) -> T
where
    T: std::fmt::Debug,
    F: Future<Output = Result<T, kube::Error>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = ask().await.unwrap();
        if fits(&answer) {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what} did not come; last seen: {answer:#?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An image without layers, as an OCI layout.
fn import_image(directory: &Path) {
    let layout = directory.join("layout");
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |value: &Value| {
        let bytes = serde_json::to_vec(value).unwrap();
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(blobs.join(&digest), &bytes).unwrap();
        (format!("sha256:{digest}"), bytes.len())
    };
    let (config, config_size) = put(&json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["app"]}, "rootfs": {"type": "layers", "diff_ids": []},
    }));
    let (manifest, manifest_size) = put(&json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [],
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
    }));
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": manifest_size,
        "annotations": {"io.containerd.image.name": IMAGE, "org.opencontainers.image.ref.name": IMAGE},
    }]});
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
    let store = minato_images::Store::open(directory.join("node/images")).unwrap();
    let imported = store.import(&layout).unwrap();
    assert_eq!(imported[0].names, [IMAGE]);
}
