//! The task that follows CustomResourceDefinitions.
//!
//! | definition | what is done |
//! |---|---|
//! | new or changed | names are compared with those of the group's other definitions; conditions `NamesAccepted`, `Established` |
//! | established | its served versions are in the registry |
//! | being deleted | nothing can be created any more; all objects are deleted, then the finalizer goes |
//! | gone | its versions leave the registry, watches end, names are free for others |
//!
//! Upstream has a controller for each line; here one task does them in order, so that a definition is established with
//! one write, and a heap of definitions with one change of the registry.

mod cleanup;
mod conditions;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures::StreamExt as _;
use http::StatusCode;
use minato_mvcc::{Key, Object};
use serde_json::Value;

use super::definition::{Definition, KindNames};
use super::names::{Taken, Verdict, decide};
use super::{DEFINITIONS, resources};
use crate::admission::Remarks;
use crate::core::Core;
use crate::identity::{MASTERS, User};
use crate::registry::{CUSTOM_PRIORITY, Resource};
use crate::status::ApiError;
use crate::write::{Target, UpdateKind};
use conditions::Condition;

/// Who the server is when it looks after definitions.
fn myself() -> User {
    User::component("system:apiserver", &[MASTERS])
}

/// Statuses that are written at once: they share the store's commits.
const WRITES_MAX: usize = 64;

/// What the task knows of the definitions.
pub(crate) struct Follower {
    core: Arc<Core>,
    known: HashMap<String, Known>,
    /// The names that definitions have, by group.
    taken: HashMap<String, Taken>,
    /// Definitions whose objects are being deleted, with their UIDs.
    cleaning: HashMap<String, String>,
}

struct Known {
    group: String,
    shape: Shape,
    served: Vec<Arc<Resource>>,
}

/// What resources are made from: while it stays, they do.
#[derive(Clone, PartialEq)]
struct Shape {
    uid: String,
    generation: i64,
    accepted: KindNames,
    terminating: bool,
    established: bool,
}

/// What changes in the registry.
#[derive(Default)]
struct Shift {
    out: Vec<Arc<Resource>>,
    new: Vec<Arc<Resource>>,
    /// Those of which watches end.
    retired: Vec<Arc<Resource>>,
}

/// A status to be written.
struct Saying {
    name: String,
    accepted: KindNames,
    conditions: Vec<Condition>,
}

impl Follower {
    /// Serves every definition that was established before.
    pub(crate) fn load(core: Arc<Core>) -> Self {
        let snapshot = core.memory().snapshot(DEFINITIONS);
        let mut follower = Self { core, known: HashMap::new(), taken: HashMap::new(), cleaning: HashMap::new() };
        let mut shift = Shift::default();
        for object in snapshot.iter() {
            if let Some(definition) = Definition::read(object) {
                follower.serve(&definition, object, &mut shift);
            }
        }
        follower.change_registry(shift);
        follower
    }

    /// Follows the definitions until the server ends.
    pub(crate) async fn run(mut self) {
        let scope = self.core.scope.clone();
        tokio::select! {
            () = scope.cancelled() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&mut self) {
        loop {
            let snapshot = self.core.memory().snapshot(DEFINITIONS);
            let mut names: BTreeSet<String> = self.known.keys().cloned().collect();
            names.extend(snapshot.iter().map(|object| object.key.name.to_string()));
            self.look_at(names).await;
            let Ok(mut cursor) = self.core.memory().subscribe(DEFINITIONS, snapshot.revision()) else { continue };
            drop(snapshot);
            while let Ok(batch) = cursor.next().await {
                self.look_at(batch.iter().map(|event| event.object.key.name.to_string()).collect()).await;
            }
        }
    }

    /// Brings registry and statuses to what these definitions ask for, as they are now: one change of the registry, and
    /// writes side by side. Definitions come in heaps.
    async fn look_at(&mut self, mut names: BTreeSet<String>) {
        let mut shift = Shift::default();
        let mut sayings = Vec::new();
        // Those that are gone free names that others wait for.
        for name in names.clone() {
            if self.stored(&name).is_none() {
                names.remove(&name);
                names.extend(self.forget(&name, &mut shift));
            }
        }
        for name in &names {
            if let Some(object) = self.stored(name) {
                sayings.extend(self.reconcile(&object, &mut shift));
            }
        }
        // Served before anybody can read that it is.
        self.change_registry(shift);
        let core = &self.core;
        futures::stream::iter(sayings).for_each_concurrent(WRITES_MAX, |saying| say(core, saying)).await;
    }

    fn stored(&self, name: &str) -> Option<Arc<Object>> {
        self.core.memory().get(&Key::new(DEFINITIONS, "", name))
    }

    /// Decides about one definition; what is to be said in its status, if it does not say it yet.
    fn reconcile(&mut self, object: &Arc<Object>, shift: &mut Shift) -> Option<Saying> {
        let definition = Definition::read(object)?;
        let name = definition.metadata.name.clone();
        if definition.is_terminating() {
            self.serve(&definition, object, shift);
            let uid = definition.metadata.uid.clone();
            if definition.awaits_cleanup() && self.cleaning.insert(name, uid.clone()) != Some(uid) {
                cleanup::start(Arc::clone(&self.core), definition, Arc::clone(object));
            }
            return None;
        }
        let verdict = self.judge(&definition);
        let conditions = conditions::wanted(&definition, &verdict);
        let says = conditions::says(&definition, &verdict.accepted, &conditions);
        let mut next = definition;
        let establishes = verdict.conflict.is_none() && !next.has("Established");
        next.status.accepted_names = verdict.accepted.clone();
        if establishes {
            let established = super::definition::Condition {
                kind: "Established".to_owned(),
                status: "True".to_owned(),
                ..Default::default()
            };
            next.status.conditions.retain(|condition| condition.kind != established.kind);
            next.status.conditions.push(established);
        }
        self.serve(&next, object, shift);
        (!says).then_some(Saying { name, accepted: verdict.accepted, conditions })
    }

    /// Compares the definition's names with those of all others of its group.
    fn judge(&mut self, definition: &Definition) -> Verdict {
        let taken = self.taken.entry(definition.spec.group.clone()).or_default();
        let known = self.known.get(&definition.metadata.name);
        if let Some(known) = known {
            taken.remove(&known.shape.accepted);
        }
        let verdict = decide(definition, taken);
        if let Some(known) = known {
            taken.add(&known.shape.accepted);
        }
        verdict
    }

    /// Notes how the definition's versions come into the registry, or leave it.
    fn serve(&mut self, definition: &Definition, object: &Arc<Object>, shift: &mut Shift) {
        let name = &definition.metadata.name;
        let established = definition.has("Established");
        let shape = Shape {
            uid: definition.metadata.uid.clone(),
            generation: definition.metadata.generation,
            accepted: definition.status.accepted_names.clone(),
            terminating: definition.is_terminating(),
            established,
        };
        if self.known.get(name).is_some_and(|known| known.shape == shape) {
            return;
        }
        let known = self.known.remove(name);
        // A definition that begins to end is still what it was: its watches go on and tell of the end of its objects.
        let only_ends =
            known.as_ref().is_some_and(|known| known.shape == Shape { terminating: false, ..shape.clone() });
        let group = &definition.spec.group;
        let taken = self.taken.entry(group.clone()).or_default();
        taken.add(&shape.accepted);
        let old = match known {
            Some(known) => {
                taken.remove(&known.shape.accepted);
                known.served
            }
            None => Vec::new(),
        };
        let new = match (established, only_ends) {
            (false, _) => Vec::new(),
            (true, true) => old.iter().map(|old| Arc::new(old.ending())).collect(),
            (true, false) => resources(definition, object, |version| version.served),
        };
        let stays = |old: &Resource| {
            new.iter().any(|new| new.version == old.version && new.declaration.resource == old.declaration.resource)
        };
        shift.out.extend(old.iter().filter(|old| !stays(old)).cloned());
        shift.new.extend(new.iter().cloned());
        if !only_ends {
            shift.retired.extend(old);
        }
        self.known.insert(name.clone(), Known { group: group.clone(), shape, served: new });
    }

    /// A definition is gone: so are its resources, and its names are free for those that are given back.
    fn forget(&mut self, name: &str, shift: &mut Shift) -> Vec<String> {
        self.cleaning.remove(name);
        let Some(known) = self.known.remove(name) else { return Vec::new() };
        if let Some(taken) = self.taken.get_mut(&known.group) {
            taken.remove(&known.shape.accepted);
            if taken.is_empty() {
                self.taken.remove(&known.group);
            }
        }
        shift.out.extend(known.served.iter().cloned());
        shift.retired.extend(known.served);
        let waiting = self.known.iter().filter(|(_, other)| other.group == known.group && other.served.is_empty());
        waiting.map(|(name, _)| name.clone()).collect()
    }

    fn change_registry(&self, shift: Shift) {
        if !shift.out.is_empty() || !shift.new.is_empty() {
            self.core.registry.change(|served| {
                for old in &shift.out {
                    served.remove(&old.declaration.group, &old.version, &old.declaration.resource);
                }
                for new in &shift.new {
                    served.put(CUSTOM_PRIORITY, Arc::clone(new));
                }
            });
        }
        retire(&shift.retired);
    }
}

async fn say(core: &Core, saying: Saying) {
    let mut change = |old: &Value| {
        let mut new = old.clone();
        conditions::apply(&mut new, &saying.accepted, &saying.conditions);
        Ok(new)
    };
    match update_status(core, &saying.name, &mut change).await {
        Ok(()) => {}
        Err(error) if error.code == StatusCode::NOT_FOUND => {}
        Err(error) => tracing::warn!(name = saying.name, %error, "the status of a definition cannot be written"),
    }
}

/// Ends the watches of resources that are replaced or gone.
fn retire(resources: &[Arc<Resource>]) {
    for custom in resources.iter().filter_map(|resource| resource.custom.as_ref()) {
        custom.retired.cancel();
    }
}

/// From the stored definition to the wanted one.
type Change<'a> = dyn FnMut(&Value) -> Result<Value, ApiError> + Send + 'a;

async fn update_status(core: &Core, name: &str, change: &mut Change<'_>) -> Result<(), ApiError> {
    update(core, name, UpdateKind::Status, change).await
}

async fn update(core: &Core, name: &str, kind: UpdateKind, change: &mut Change<'_>) -> Result<(), ApiError> {
    let resource =
        core.registry.stored("apiextensions.k8s.io", "customresourcedefinitions").ok_or_else(ApiError::no_route)?;
    let (user, remarks) = (myself(), Remarks::default());
    let target = Target::internal(&resource, "", &user, &remarks);
    core.update(&target, name, kind, change).await.map(drop)
}
