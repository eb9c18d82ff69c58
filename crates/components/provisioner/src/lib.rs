//! Makes volumes out of directories of this node: the provisioner of the default StorageClass `local-path`.
//!
//! ```text
//! claim ──► scheduler chooses a node ──► directory and PersistentVolume ──► the binder binds ──► the pod starts
//! claim gone ──► the binder releases ──► directory removed, then the PersistentVolume
//! ```
//!
//! It does what an external provisioner does anywhere, through the API alone: it acts on claims that are annotated with
//! its name and this node's. What is to be made and removed is decided in `minato_workloads::volume`.

mod class;
mod directory;

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::watcher;
use kube::{Api, Client};
use minato_client::{Backoff, EventSink, Informer, Informers, Next, ObjectKey, Queue, Recorder};
use minato_placement::volume::class_of_claim;
use minato_scope::Scope;
use minato_workloads::volume::{LocalPath, Provisioned, Removal, grown, is_to_provision, other_finalizers, removal};
use serde_json::json;

/// The provisioner's name in StorageClasses and annotations.
pub const PROVISIONER: &str = "minato.dev/local-path";
/// How long to wait for what is on its way: the node's registration, a class.
const SOON: Duration = Duration::from_secs(1);

/// Settings of the provisioner.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name.
    pub node_name: String,
    /// Volumes are directories in here; absolute.
    pub directory: PathBuf,
}

/// Why a claim or a volume has to wait. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API refused, or could not be reached.
    #[error("failed to {action}: {source}")]
    Api {
        /// What was tried, on what.
        action: String,
        /// The API's answer.
        source: kube::Error,
    },
    /// The file system refused.
    #[error("failed to {action} {}: {source}", path.display())]
    Disk {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The thread that waits for the disk ended early.
    #[error("disk task ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Work {
    Claim(ObjectKey),
    Volume(ObjectKey),
}

#[derive(Clone)]
struct Provisioner {
    config: Config,
    client: Client,
    node: Informer<Node>,
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<PersistentVolume>,
    classes: Informer<StorageClass>,
    recorder: Recorder,
    queue: Queue<Work>,
}

/// Provisions until the scope is cancelled.
///
/// # Errors
/// None at present: failures are told by events and tried again.
pub async fn run(config: Config, client: Client, scope: Scope) -> Result<(), Error> {
    let informers = Informers::new(client.clone(), scope.clone());
    let itself = watcher::Config::default().fields(&format!("metadata.name={}", config.node_name));
    let provisioner = Provisioner {
        node: Informer::start(&scope, Api::all(client.clone()), itself, |node: &mut Node| node.status = None),
        claims: informers.of(),
        volumes: informers.of(),
        classes: informers.of(),
        recorder: EventSink::start(client.clone(), &scope).recorder(PROVISIONER, Some(&config.node_name)),
        queue: Queue::new("local-path", Backoff::default()),
        config,
        client: client.clone(),
    };
    tokio::select! {
        () = scope.cancelled() => return Ok(()),
        () = async {
            class::ensure(&client).await;
            let Provisioner { node, claims, volumes, classes, .. } = &provisioner;
            tokio::join!(node.synced(), claims.synced(), volumes.synced(), classes.synced());
        } => {}
    }
    let queue = provisioner.queue.clone();
    provisioner.claims.on_change(move |change| {
        if let Some(claim) = &change.after {
            queue.add(Work::Claim(ObjectKey::of(&claim.metadata)));
        }
    });
    let queue = provisioner.queue.clone();
    provisioner.volumes.on_change(move |change| {
        if let Some(volume) = &change.after {
            queue.add(Work::Volume(ObjectKey::of(&volume.metadata)));
        }
    });
    let reconciler = provisioner.clone();
    provisioner.queue.work(&scope, 4, move |work| {
        let provisioner = reconciler.clone();
        async move { provisioner.reconcile(&work).await }
    });
    scope.cancelled().await;
    Ok(())
}

impl Provisioner {
    async fn reconcile(&self, work: &Work) -> Result<Next, Error> {
        let Some(node) = self.node.get(&ObjectKey::cluster(&self.config.node_name)) else {
            return Ok(Next::After(SOON));
        };
        let labels = node.metadata.labels.as_ref();
        let host_name =
            labels.and_then(|labels| labels.get("kubernetes.io/hostname")).unwrap_or(&self.config.node_name);
        let directory = self.config.directory.to_string_lossy();
        let local =
            LocalPath { provisioner: PROVISIONER, node: &self.config.node_name, host_name, directory: &directory };
        match work {
            Work::Claim(key) => match self.claims.get(key) {
                None => Ok(Next::Done),
                Some(claim) if is_to_provision(&local, &claim) => self.provision(&local, key, &claim).await,
                Some(claim) => self.grow(&local, key, &claim).await,
            },
            Work::Volume(key) => match self.volumes.get(key) {
                Some(volume) if local.has_made(&volume) => self.remove(&local, key, &volume).await,
                _ => Ok(Next::Done),
            },
        }
    }

    async fn provision(
        &self,
        local: &LocalPath<'_>,
        key: &ObjectKey,
        claim: &PersistentVolumeClaim,
    ) -> Result<Next, Error> {
        let class_name = class_of_claim(claim);
        let Some(class) = self.classes.get(&ObjectKey::cluster(class_name)) else { return Ok(Next::After(SOON)) };
        let failed = |message: &str| {
            let message = format!("failed to provision volume with StorageClass {class_name:?}: {message}");
            self.recorder.warning(claim, "ProvisioningFailed", message);
        };
        let Provisioned { path, volume } = match local.provision(claim, &class) {
            Ok(provisioned) => provisioned,
            Err(message) => {
                failed(&message);
                return Ok(Next::Done);
            }
        };
        let name = volume.metadata.name.clone().unwrap_or_default();
        if self.volumes.get(&ObjectKey::cluster(&name)).is_some() {
            return Ok(Next::Done); // the binder's turn
        }
        let message = format!("External provisioner is provisioning volume for claim \"{key}\"");
        self.recorder.normal(claim, "Provisioning", message);
        if let Err(error) = directory::make(path.into()).await {
            failed(&error.to_string());
            return Err(error);
        }
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        match api.create(&PostParams::default(), &volume).await {
            Ok(made) => self.volumes.observe(made),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(source) => {
                failed(&source.to_string());
                return Err(Error::Api { action: format!("create volume {name}"), source });
            }
        }
        self.recorder.normal(claim, "ProvisioningSucceeded", format!("Successfully provisioned volume {name}"));
        Ok(Next::Done)
    }

    /// A directory has no size: what is asked for is granted.
    async fn grow(&self, local: &LocalPath<'_>, key: &ObjectKey, claim: &PersistentVolumeClaim) -> Result<Next, Error> {
        let Some(size) = grown(claim) else { return Ok(Next::Done) };
        let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
        let volume = self.volumes.get(&ObjectKey::cluster(named)).filter(|volume| local.has_made(volume));
        if volume.is_none() {
            return Ok(Next::Done);
        }
        self.recorder.normal(claim, "Resizing", format!("External resizer is resizing volume {named}"));
        let failed = |source| Error::Api { action: format!("grow the volume of claim {key}"), source };
        let how = PatchParams::default();
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let larger = json!({"spec": {"capacity": {"storage": &size}}});
        volumes.patch(named, &how, &Patch::Merge(larger)).await.map_err(failed)?;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &key.namespace);
        let larger = json!({"status": {"capacity": {"storage": &size}}});
        self.claims.observe(claims.patch_status(&key.name, &how, &Patch::Merge(larger)).await.map_err(failed)?);
        self.recorder.normal(claim, "VolumeResizeSuccessful", "Resize volume succeeded");
        Ok(Next::Done)
    }

    async fn remove(&self, local: &LocalPath<'_>, key: &ObjectKey, volume: &PersistentVolume) -> Result<Next, Error> {
        let removal = removal(volume);
        if removal == Removal::Keep {
            return Ok(Next::Done);
        }
        if removal == Removal::WithDirectory
            && let Some(path) = local.path_of(volume)
            && let Err(error) = directory::remove(path.into()).await
        {
            self.recorder.warning(volume, "VolumeFailedDelete", error.to_string());
            return Err(error);
        }
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let failed = |source| Error::Api { action: format!("delete volume {key}"), source };
        if volume.metadata.deletion_timestamp.is_none() {
            let same = Preconditions { uid: volume.metadata.uid.clone(), resource_version: None };
            match api.delete(&key.name, &DeleteParams::default().preconditions(same)).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(Next::Done),
                Err(source) => return Err(failed(source)),
            }
            return Ok(Next::Done); // its finalizer goes when the watch shows that it is to go
        }
        let rest = other_finalizers(volume);
        if rest.len() == volume.metadata.finalizers.as_ref().map_or(0, Vec::len) {
            return Ok(Next::Done);
        }
        let finalizers = Some(rest).filter(|rest| !rest.is_empty());
        let metadata = json!({"resourceVersion": volume.metadata.resource_version, "finalizers": finalizers});
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        match api.patch(&key.name, &PatchParams::default(), &patch).await {
            Ok(_) => Ok(Next::Done),
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(Next::Done),
            Err(source) => Err(failed(source)),
        }
    }
}
