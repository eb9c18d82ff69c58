//! Objects, owners and dependents.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::{Decision, Identity, Kind, Observed, Owner, Policy, Uid, Work};

/// Remembered objects that do not exist (any more).
const ABSENT_MAX: usize = 8192;

/// Every object with its owners and dependents.
#[derive(Default)]
pub struct Graph {
    nodes: HashMap<Uid, Node>,
    /// How many seen objects each namespace has.
    counts: HashMap<Arc<str>, usize>,
    absent: Absent,
    work: BTreeSet<Work>,
}

struct Node {
    identity: Identity,
    owners: Vec<Owner>,
    dependents: HashSet<Uid>,
    resource_version: Arc<str>,
    deleting: bool,
    foreground: bool,
    orphan: bool,
    /// Referred to, but not seen.
    is_virtual: bool,
}

impl Node {
    fn waits_for_dependents(&self) -> bool {
        self.deleting && self.foreground
    }

    /// Whether `owner`, a reference of the object `dependent`, means this node.
    fn is_meant_by(&self, owner: &Owner, dependent: &Identity) -> bool {
        let reachable = self.identity.namespace.is_empty() || self.identity.namespace == dependent.namespace;
        reachable && self.identity.name == owner.name && self.identity.kind.is_same(&owner.kind)
    }
}

/// The last so many objects that are known not to exist.
#[derive(Default)]
struct Absent {
    set: HashSet<Key>,
    order: VecDeque<Key>,
}

/// Uid, kind, group and name: a reference with another of these means another object.
type Key = (Uid, String, String, Arc<str>);

fn key(uid: &Uid, kind: &Kind, name: &Arc<str>) -> Key {
    (Arc::clone(uid), kind.kind.clone(), kind.group().to_owned(), Arc::clone(name))
}

impl Absent {
    fn insert(&mut self, key: Key) {
        if self.set.insert(key.clone()) {
            self.order.push_back(key);
        }
        while self.order.len() > ABSENT_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.set.remove(&oldest);
            }
        }
    }

    fn contains(&self, key: &Key) -> bool {
        self.set.contains(key)
    }
}

/// How an owner stands to its dependent.
enum Standing {
    /// It stays.
    Solid,
    /// It does not exist.
    Gone,
    /// It waits for its dependents to go.
    Waiting,
    /// The graph does not know.
    Unknown(Identity),
}

impl Graph {
    /// A watch shows the object as new or changed.
    pub fn observe(&mut self, observed: Observed) {
        let uid = Arc::clone(&observed.identity.uid);
        let before = self.nodes.get(&uid).filter(|node| !node.is_virtual);
        let was = before.map(|node| (node.deleting && node.foreground, node.deleting && node.orphan));
        if was.is_none() {
            *self.counts.entry(Arc::clone(&observed.identity.namespace)).or_default() += 1;
        }
        let old_owners = before.map(|node| node.owners.clone()).unwrap_or_default();
        let is_foreground = observed.deleting && observed.foreground;
        let is_orphan = observed.deleting && observed.orphan;
        let owners = observed.owners.clone();
        let node = self.nodes.entry(Arc::clone(&uid)).or_insert_with(|| Node::virtual_of(observed.identity.clone()));
        *node = Node {
            identity: observed.identity.clone(),
            owners: observed.owners,
            dependents: std::mem::take(&mut node.dependents),
            resource_version: observed.resource_version,
            deleting: observed.deleting,
            foreground: observed.foreground,
            orphan: observed.orphan,
            is_virtual: false,
        };
        self.owners_changed(&observed.identity, &old_owners, &owners);
        let (was_foreground, was_orphan) = was.unwrap_or((false, false));
        if is_orphan && !was_orphan {
            self.work.insert(Work::Orphan(Arc::clone(&uid)));
        }
        if is_foreground && !was_foreground {
            self.look_at_dependents(&uid);
            self.look(&uid);
        }
    }

    fn owners_changed(&mut self, dependent: &Identity, before: &[Owner], after: &[Owner]) {
        let uid = &dependent.uid;
        for owner in before {
            let now = after.iter().find(|found| found.uid == owner.uid);
            let Some(node) = self.nodes.get_mut(&owner.uid) else { continue };
            if now.is_none() {
                node.dependents.remove(uid);
            }
            let unblocked = owner.blocks && now.is_none_or(|now| !now.blocks);
            if unblocked && node.waits_for_dependents() {
                self.work.insert(Work::Look(Arc::clone(&owner.uid)));
            }
            self.forget_virtual(&owner.uid);
        }
        let mut changed = false;
        for owner in after {
            changed |= !before.contains(owner);
            if self.nodes.contains_key(&owner.uid) {
                if let Some(node) = self.nodes.get_mut(&owner.uid) {
                    node.dependents.insert(Arc::clone(uid));
                    if node.waits_for_dependents() || !node.is_meant_by(owner, dependent) {
                        self.work.insert(Work::Look(Arc::clone(uid)));
                    }
                }
                continue;
            }
            let mut node = Node::virtual_of(Identity {
                kind: Arc::clone(&owner.kind),
                namespace: Arc::clone(&dependent.namespace),
                name: Arc::clone(&owner.name),
                uid: Arc::clone(&owner.uid),
            });
            node.dependents.insert(Arc::clone(uid));
            self.nodes.insert(Arc::clone(&owner.uid), node);
            self.work.insert(Work::Look(Arc::clone(&owner.uid)));
        }
        if changed && after.iter().any(|owner| self.absent.contains(&key(&owner.uid, &owner.kind, &owner.name))) {
            self.look(uid);
        }
    }

    /// A virtual node that nobody refers to any more is of no use.
    fn forget_virtual(&mut self, uid: &Uid) {
        if self.nodes.get(uid).is_some_and(|node| node.is_virtual && node.dependents.is_empty()) {
            self.nodes.remove(uid);
        }
    }

    /// A watch shows that the object is gone. Returns its namespace if nothing else is left there.
    pub fn remove(&mut self, uid: &str) -> Option<Arc<str>> {
        let node = self.nodes.get(uid)?;
        if node.is_virtual {
            return None;
        }
        let identity = node.identity.clone();
        self.take_out(&identity);
        let count = self.counts.get_mut(&identity.namespace)?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        self.counts.remove(&identity.namespace);
        Some(identity.namespace).filter(|namespace| !namespace.is_empty())
    }

    /// The API says that there is no such object with that uid.
    pub fn absent(&mut self, identity: &Identity) {
        self.absent.insert(key(&identity.uid, &identity.kind, &identity.name));
        if self.nodes.get(&identity.uid).is_some_and(|node| node.is_virtual) {
            self.take_out(identity);
        }
    }

    fn take_out(&mut self, identity: &Identity) {
        let Some(node) = self.nodes.remove(&identity.uid) else { return };
        self.absent.insert(key(&identity.uid, &identity.kind, &identity.name));
        for owner in &node.owners {
            if let Some(owning) = self.nodes.get_mut(&owner.uid) {
                owning.dependents.remove(&identity.uid);
                if owning.waits_for_dependents() {
                    self.work.insert(Work::Look(Arc::clone(&owner.uid)));
                }
            }
            self.forget_virtual(&owner.uid);
        }
        self.work.extend(node.dependents.into_iter().map(Work::Look));
    }

    /// Removes all objects of `kind` whose uid is not in `listed`: a fresh listing of the kind did not show them.
    /// Returns the namespaces in which nothing is left.
    pub fn retain(&mut self, kind: &Kind, listed: &HashSet<Uid>) -> Vec<Arc<str>> {
        let nodes = self.nodes.values().filter(|node| !node.is_virtual && *node.identity.kind == *kind);
        let missing: Vec<Uid> = nodes
            .filter(|node| !listed.contains(&node.identity.uid))
            .map(|node| Arc::clone(&node.identity.uid))
            .collect();
        missing.iter().filter_map(|uid| self.remove(uid)).collect()
    }

    /// What became worth a look since the last call.
    pub fn take_work(&mut self) -> BTreeSet<Work> {
        std::mem::take(&mut self.work)
    }

    fn look(&mut self, uid: &Uid) {
        self.work.insert(Work::Look(Arc::clone(uid)));
    }

    fn look_at_dependents(&mut self, uid: &Uid) {
        let dependents = self.nodes.get(uid).map(|node| node.dependents.clone()).unwrap_or_default();
        self.work.extend(dependents.into_iter().map(Work::Look));
    }

    /// The object and its dependents, if it still waits for them to be set free.
    #[must_use]
    pub fn orphans(&self, uid: &str) -> Option<(Identity, Vec<Identity>)> {
        let node = self.nodes.get(uid).filter(|node| node.deleting && node.orphan)?;
        let dependents = node.dependents.iter().filter_map(|uid| self.nodes.get(uid));
        Some((node.identity.clone(), dependents.map(|node| node.identity.clone()).collect()))
    }

    /// What to do about the object now. Of an object that waits for dependents, these are noted as work.
    pub fn decide(&mut self, uid: &str) -> Decision {
        let Some(node) = self.nodes.get(uid) else { return Decision::Nothing };
        if node.is_virtual {
            return Decision::Ask(vec![node.identity.clone()]);
        }
        if node.waits_for_dependents() {
            return self.decide_waiting(uid);
        }
        if node.deleting || node.owners.is_empty() {
            return Decision::Nothing;
        }
        let (mut solid, mut unknown, mut drop, mut waiting) = (false, Vec::new(), Vec::new(), false);
        for owner in &node.owners {
            match self.standing(node, owner) {
                Standing::Solid => solid = true,
                Standing::Gone => drop.push(Arc::clone(&owner.uid)),
                Standing::Waiting => {
                    waiting = true;
                    drop.push(Arc::clone(&owner.uid));
                }
                Standing::Unknown(identity) => unknown.push(identity),
            }
        }
        match (solid, unknown.is_empty(), drop.is_empty()) {
            (_, false, _) => Decision::Ask(unknown),
            (true, true, true) => Decision::Nothing,
            (true, true, false) => Decision::DropOwners(node.identity.clone(), drop),
            (false, true, _) => {
                let in_foreground = waiting && !node.dependents.is_empty();
                let circle = |uid: &Uid| self.nodes.get(uid).is_some_and(Node::waits_for_dependents);
                Decision::Delete {
                    identity: node.identity.clone(),
                    resource_version: Arc::clone(&node.resource_version),
                    policy: match (in_foreground, node.orphan, node.foreground) {
                        (true, _, _) | (false, false, true) => Policy::Foreground,
                        (false, true, _) => Policy::Orphan,
                        (false, false, false) => Policy::Background,
                    },
                    unblock: in_foreground && node.dependents.iter().any(circle),
                }
            }
        }
    }

    fn decide_waiting(&mut self, uid: &str) -> Decision {
        let Some(node) = self.nodes.get(uid) else { return Decision::Nothing };
        let blocking = node
            .dependents
            .iter()
            .filter_map(|dependent| self.nodes.get(dependent))
            .filter(|dependent| dependent.owners.iter().any(|owner| &*owner.uid == uid && owner.blocks));
        let blocking: Vec<&Node> = blocking.collect();
        if blocking.is_empty() {
            return Decision::Finish(node.identity.clone());
        }
        let looks: Vec<Work> = blocking
            .into_iter()
            .filter(|dependent| !dependent.deleting)
            .map(|dependent| Work::Look(Arc::clone(&dependent.identity.uid)))
            .collect();
        self.work.extend(looks);
        Decision::Nothing
    }

    fn standing(&self, node: &Node, owner: &Owner) -> Standing {
        if let Some(owning) = self.nodes.get(&owner.uid).filter(|owning| !owning.is_virtual) {
            if owning.is_meant_by(owner, &node.identity) {
                return if owning.waits_for_dependents() { Standing::Waiting } else { Standing::Solid };
            }
            if node.identity.namespace.is_empty() && !owning.identity.namespace.is_empty() {
                // A cluster-scoped object cannot be owned by a namespaced one: nobody knows which is meant, so it stays.
                return Standing::Solid;
            }
        }
        if self.absent.contains(&key(&owner.uid, &owner.kind, &owner.name)) {
            return Standing::Gone;
        }
        Standing::Unknown(Identity {
            kind: Arc::clone(&owner.kind),
            namespace: Arc::clone(&node.identity.namespace),
            name: Arc::clone(&owner.name),
            uid: Arc::clone(&owner.uid),
        })
    }

    /// How many objects are known, virtual ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

impl Node {
    fn virtual_of(identity: Identity) -> Self {
        Self {
            identity,
            owners: Vec::new(),
            dependents: HashSet::new(),
            resource_version: "".into(),
            deleting: false,
            foreground: false,
            orphan: false,
            is_virtual: true,
        }
    }
}
