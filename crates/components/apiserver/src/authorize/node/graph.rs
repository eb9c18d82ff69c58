//! What the pods of each node refer to.

use std::collections::{HashMap, HashSet};

use minato_mvcc::{Cursor, EventKind, Key, Memory, Object};
use parking_lot::Mutex;
use serde_json::Value;

const PODS: &str = "core/pods";

/// What nodes ask for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Pod,
    Secret,
    ConfigMap,
    Claim,
    DeviceClaim,
    ServiceAccount,
    Volume,
    Attachment,
}

/// An object in the namespace of the pod that refers to it.
type Reference = (Kind, String);

/// Follows the pods of the store.
pub(super) struct Graph {
    memory: Memory,
    followed: Mutex<Followed>,
}

#[derive(Default)]
struct Followed {
    cursor: Option<Cursor>,
    /// By pod, its node.
    nodes: HashMap<Key, String>,
    /// By node, what each of its pods refers to.
    pods: HashMap<String, HashMap<Key, HashSet<Reference>>>,
}

impl Graph {
    pub(super) fn new(memory: Memory) -> Self {
        Self { memory, followed: Mutex::default() }
    }

    /// Whether a pod on `node` refers to the object, or is it.
    pub(super) fn refers(&self, node: &str, kind: Kind, namespace: &str, name: &str) -> bool {
        let reference = (kind, name.to_owned());
        self.with(|followed| {
            followed.pods.get(node).is_some_and(|pods| {
                pods.iter().any(|(pod, references)| &*pod.namespace == namespace && references.contains(&reference))
            })
        })
    }

    /// Namespace and name of the claims that pods on `node` use.
    pub(super) fn claims(&self, node: &str) -> Vec<(String, String)> {
        self.with(|followed| {
            let pods = followed.pods.get(node).into_iter().flatten();
            let claims = pods.flat_map(|(pod, references)| {
                let claims = references.iter().filter(|(kind, _)| *kind == Kind::Claim);
                claims.map(|(_, name)| (pod.namespace.to_string(), name.clone()))
            });
            claims.collect()
        })
    }

    /// Reads the graph as it is after the last write.
    fn with<T>(&self, read: impl FnOnce(&Followed) -> T) -> T {
        let mut followed = self.followed.lock();
        followed.catch_up(&self.memory);
        read(&followed)
    }
}

impl Followed {
    fn catch_up(&mut self, memory: &Memory) {
        loop {
            match self.cursor.as_mut().map(Cursor::try_next) {
                Some(Ok(None)) => return,
                Some(Ok(Some(batch))) => {
                    for event in batch.iter() {
                        self.forget(&event.object.key);
                        if event.kind != EventKind::Deleted {
                            self.learn(&event.object);
                        }
                    }
                }
                // The first time, or after so long that events are gone.
                None | Some(Err(_)) => {
                    let snapshot = memory.snapshot(PODS);
                    *self = Self { cursor: memory.subscribe(PODS, snapshot.revision()).ok(), ..Self::default() };
                    snapshot.iter().for_each(|pod| self.learn(pod));
                    if self.cursor.is_none() {
                        return;
                    }
                }
            }
        }
    }

    fn forget(&mut self, pod: &Key) {
        let Some(node) = self.nodes.remove(pod) else { return };
        if let Some(pods) = self.pods.get_mut(&node) {
            pods.remove(pod);
            if pods.is_empty() {
                self.pods.remove(&node);
            }
        }
    }

    fn learn(&mut self, object: &Object) {
        // Most changes are of pods that stay where they are; but what a pod refers to is not all immutable.
        let Some(node) = object.attributes.field("spec.nodeName").filter(|node| !node.is_empty()) else { return };
        let Ok(pod) = crate::write::parse(object) else { return };
        self.nodes.insert(object.key.clone(), node.to_owned());
        self.pods.entry(node.to_owned()).or_default().insert(object.key.clone(), references(&pod));
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// What a pod refers to in its namespace, and the pod itself. Mirror pods give no rights: nodes make them.
fn references(pod: &Value) -> HashSet<Reference> {
    let mut found = HashSet::new();
    let pod_name = crate::object::text(pod, "name");
    let mut refer = |kind: Kind, name: &Value| {
        if let Some(name) = name.as_str().filter(|name| !name.is_empty()) {
            found.insert((kind, name.to_owned()));
        }
    };
    refer(Kind::Pod, &pod["metadata"]["name"]);
    if !pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null() {
        return found;
    }
    let spec = &pod["spec"];
    refer(Kind::ServiceAccount, &spec["serviceAccountName"]);
    items(&spec["imagePullSecrets"]).for_each(|secret| refer(Kind::Secret, &secret["name"]));
    for container in ["initContainers", "containers", "ephemeralContainers"].iter().flat_map(|list| items(&spec[list]))
    {
        for variable in items(&container["env"]) {
            refer(Kind::Secret, &variable["valueFrom"]["secretKeyRef"]["name"]);
            refer(Kind::ConfigMap, &variable["valueFrom"]["configMapKeyRef"]["name"]);
        }
        for source in items(&container["envFrom"]) {
            refer(Kind::Secret, &source["secretRef"]["name"]);
            refer(Kind::ConfigMap, &source["configMapRef"]["name"]);
        }
    }
    for volume in items(&spec["volumes"]) {
        refer(Kind::Secret, &volume["secret"]["secretName"]);
        refer(Kind::ConfigMap, &volume["configMap"]["name"]);
        refer(Kind::Claim, &volume["persistentVolumeClaim"]["claimName"]);
        if !volume["ephemeral"].is_null() {
            let name = volume["name"].as_str().unwrap_or_default();
            refer(Kind::Claim, &Value::String(format!("{pod_name}-{name}")));
        }
        for source in items(&volume["projected"]["sources"]) {
            refer(Kind::Secret, &source["secret"]["name"]);
            refer(Kind::ConfigMap, &source["configMap"]["name"]);
        }
        volume_secrets(volume, "").iter().for_each(|(_, secret)| refer(Kind::Secret, &Value::from(*secret)));
    }
    for claim in items(&spec["resourceClaims"]) {
        refer(Kind::DeviceClaim, &claim["resourceClaimName"]);
    }
    for claim in items(&pod["status"]["resourceClaimStatuses"]) {
        refer(Kind::DeviceClaim, &claim["resourceClaimName"]);
    }
    found
}

/// Namespace and name of the secrets by which a volume, of a pod or on its own, is mounted.
pub(super) fn volume_secrets<'a>(volume: &'a Value, namespace: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut found = Vec::new();
    for source in ["cephfs", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos", "csi", "azureFile"] {
        let source = &volume[source];
        for key in ["secretRef", "nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"] {
            if let Some(name) = source[key]["name"].as_str() {
                found.push((source[key]["namespace"].as_str().unwrap_or(namespace), name));
            }
        }
        if let Some(name) = source["secretName"].as_str() {
            found.push((source["secretNamespace"].as_str().unwrap_or(namespace), name));
        }
    }
    found
}
