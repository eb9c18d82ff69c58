//! The pods of this node: a worker for each, and the paths by which news reach them.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher;
use kube::{Api, Client};
use minato_client::{Change, Informer};
use minato_runtime::{ContainerEvent, ContainerStatus, SandboxStatus};
use minato_scope::Scope;
use parking_lot::{Mutex, RwLock};
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;

use crate::admission;
use crate::config::{Config, Error, Parts};
use crate::inbox::Inbox;
use crate::inotify::PathWatch;
use crate::node::Node;
use crate::server;
use crate::sweep;
use crate::worker::{Adopted, Picture, PodHandle, Worker};

/// The pods that have a worker.
#[derive(Default)]
pub(crate) struct Pods {
    by_uid: RwLock<HashMap<String, Arc<PodHandle>>>,
}

impl Pods {
    /// The newest pod of that name.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<Arc<PodHandle>> {
        let pods = self.by_uid.read();
        let matching = pods.values().filter(|handle| {
            let metadata = &handle.picture.read().pod.metadata;
            metadata.namespace.as_deref() == Some(namespace) && metadata.name.as_deref() == Some(name)
        });
        matching.max_by_key(|handle| handle.picture.read().pod.metadata.creation_timestamp.clone()).cloned()
    }

    /// Every pod as its worker last saw it.
    pub(crate) fn pictures(&self) -> Vec<Picture> {
        self.by_uid.read().values().map(|handle| handle.picture.read().clone()).collect()
    }

    fn get(&self, uid: &str) -> Option<Arc<PodHandle>> {
        self.by_uid.read().get(uid).cloned()
    }

    fn tell_all(&self, note: impl Fn(&mut crate::inbox::Pending)) {
        for handle in self.by_uid.read().values() {
            handle.inbox.tell(&note);
        }
    }
}

/// Runs the kubelet until the scope ends. Containers go on running after that.
///
/// # Errors
/// When the HTTPS server cannot listen or the runtime does not answer at the start.
pub async fn run(config: Config, parts: Parts, client: Client, scope: Scope) -> Result<(), Error> {
    let address = SocketAddr::new(config.node_ip, config.port);
    let listen_error = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen_error)?;
    let port = listener.local_addr().map_err(listen_error)?.port();
    let exits = parts.runtime.events();
    let sandboxes = parts.runtime.sandboxes().await?;
    let containers = parts.runtime.containers().await?;
    let node = Arc::new(Node::new(config, parts, client.clone(), &scope, port));
    let pods = Arc::new(Pods::default());

    scope.spawn("node", Arc::clone(&node).run(scope.clone()));
    scope.spawn("exits", relay_exits(exits, Arc::clone(&pods), scope.clone()));
    scope.spawn("images", relay_images(Arc::clone(&node), Arc::clone(&pods), scope.clone()));
    scope.spawn("https", server::run(listener, Arc::clone(&node), Arc::clone(&pods), scope.child("https")));

    let selected = watcher::Config::default().fields(&format!("spec.nodeName={}", node.config.node_name));
    let informer: Informer<Pod> = Informer::start(&scope, Api::all(client), selected, |_| {});
    tokio::select! {
        () = scope.cancelled() => return Ok(()),
        () = async { tokio::join!(informer.synced(), node.itself.synced()); } => {}
    }
    let known = informer.list();
    let (adopted, orphans) = assign(&known, sandboxes, containers);
    let dispatcher = Dispatcher {
        node: Arc::clone(&node),
        pods: Arc::clone(&pods),
        scope: scope.clone(),
        adopted: Mutex::new(adopted),
    };
    informer.on_change(move |change| dispatcher.change(change));
    let alive: Vec<Arc<Pod>> = known;
    scope.spawn("sweep", sweep::run(node, alive, orphans, scope.clone()));
    scope.cancelled().await;
    Ok(())
}

/// Gives each pod what the runtime has of it; sandboxes of no pod are orphans.
fn assign(
    pods: &[Arc<Pod>],
    sandboxes: Vec<SandboxStatus>,
    containers: Vec<ContainerStatus>,
) -> (HashMap<String, Adopted>, Vec<SandboxStatus>) {
    let mut by_sandbox: BTreeMap<String, Vec<ContainerStatus>> = BTreeMap::new();
    for container in containers {
        by_sandbox.entry(container.sandbox.0.clone()).or_default().push(container);
    }
    let mut adopted = HashMap::new();
    let mut orphans = Vec::new();
    for sandbox in sandboxes {
        let uid = sandbox.id.0.clone();
        if pods.iter().any(|pod| pod.metadata.uid.as_deref() == Some(uid.as_str())) {
            let containers = by_sandbox.remove(&uid).unwrap_or_default();
            adopted.insert(uid, Adopted { sandbox_exists: true, sandbox_ready: sandbox.ready, containers });
        } else {
            orphans.push(sandbox);
        }
    }
    (adopted, orphans)
}

struct Dispatcher {
    node: Arc<Node>,
    pods: Arc<Pods>,
    scope: Scope,
    adopted: Mutex<HashMap<String, Adopted>>,
}

impl Dispatcher {
    fn change(&self, change: &Change<Pod>) {
        // A pod that was deleted and made again between two looks is two pods.
        if let Some(before) = &change.before {
            let uid = before.metadata.uid.as_deref().unwrap_or_default();
            let same = change.after.as_ref().is_some_and(|after| after.metadata.uid.as_deref() == Some(uid));
            if !same && let Some(handle) = self.pods.get(uid) {
                let last = Arc::clone(before);
                handle.inbox.tell(|pending| {
                    pending.pod.get_or_insert(last);
                    pending.gone = true;
                });
            }
        }
        let Some(pod) = &change.after else { return };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        match self.pods.get(&uid) {
            Some(handle) => handle.inbox.tell(|pending| pending.pod = Some(Arc::clone(pod))),
            None => self.start(uid, pod),
        }
    }

    fn start(&self, uid: String, pod: &Arc<Pod>) {
        let picture = Picture { pod: Arc::clone(pod), containers: Vec::new() };
        let adopted = self.adopted.lock().remove(&uid).unwrap_or_default();
        let mut pods = self.pods.by_uid.write();
        let rejection = if adopted.sandbox_exists { None } else { admission::judge(&self.node, pod, &pods) };
        let handle = Arc::new(PodHandle {
            inbox: Arc::new(Inbox::default()),
            picture: RwLock::new(picture),
            admitted: rejection.is_none(),
        });
        pods.insert(uid.clone(), Arc::clone(&handle));
        drop(pods);
        let name = pod.metadata.name.clone().unwrap_or_default();
        let scope = self.scope.child(&format!("pod {name}"));
        let worker = Worker::new(Arc::clone(&self.node), scope.clone(), handle, Arc::clone(pod), adopted, rejection);
        let pods = Arc::clone(&self.pods);
        scope.spawn("worker", async move {
            worker.run().await;
            pods.by_uid.write().remove(&uid);
        });
    }
}

async fn relay_exits(mut exits: tokio::sync::broadcast::Receiver<ContainerEvent>, pods: Arc<Pods>, scope: Scope) {
    loop {
        let event = tokio::select! {
            () = scope.cancelled() => return,
            event = exits.recv() => event,
        };
        match event {
            Ok(ContainerEvent::Exited { id, sandbox }) => {
                if let Some(handle) = pods.get(&sandbox.0) {
                    handle.inbox.tell(|pending| {
                        pending.containers.insert(id);
                    });
                }
            }
            Err(RecvError::Lagged(_)) => pods.tell_all(|pending| pending.all_containers = true),
            Err(RecvError::Closed) => return,
        }
    }
}

/// An imported image may be what a pod waits for.
async fn relay_images(node: Arc<Node>, pods: Arc<Pods>, scope: Scope) {
    /// The index is replaced by a rename; the rest of an import is of no interest.
    const SETTLE: Duration = Duration::from_millis(50);
    let directory = node.config.data_dir.join("node/images");
    let watch = match PathWatch::new(&directory) {
        Ok(watch) => watch,
        Err(error) => {
            tracing::warn!(path = %directory.display(), %error, "cannot watch the images; pods learn of them by back-off");
            return;
        }
    };
    loop {
        tokio::select! {
            () = scope.cancelled() => return,
            changed = watch.changed() => if changed.is_err() { return },
        }
        tokio::time::sleep(SETTLE).await;
        pods.tell_all(|pending| pending.images_changed = true);
    }
}
