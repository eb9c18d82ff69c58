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
//! one write.

mod cleanup;
mod conditions;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::StatusCode;
use minato_mvcc::{Event, Key, Object, Revision};
use serde_json::Value;

use super::definition::{Definition, KindNames};
use super::names::{Taken, decide};
use super::{DEFINITIONS, resources};
use crate::admission::Remarks;
use crate::core::Core;
use crate::identity::{MASTERS, User};
use crate::registry::{CUSTOM_PRIORITY, Resource};
use crate::status::ApiError;
use crate::write::{Target, UpdateKind};

/// Who the server is when it looks after definitions.
fn myself() -> User {
    User::component("system:apiserver", &[MASTERS])
}

/// What the task knows of the definitions.
pub(crate) struct Follower {
    core: Arc<Core>,
    known: HashMap<String, Known>,
    /// Definitions whose objects are being deleted.
    cleaning: HashSet<String>,
    seen: Revision,
}

struct Known {
    group: String,
    accepted: KindNames,
    shape: Shape,
    served: Vec<Arc<Resource>>,
}

/// What resources are made from: while it stays, they do.
#[derive(Clone, PartialEq)]
struct Shape {
    generation: i64,
    accepted: KindNames,
    terminating: bool,
    established: bool,
}

impl Follower {
    /// Serves every definition that was established before.
    pub(crate) fn load(core: Arc<Core>) -> Self {
        let snapshot = core.memory().snapshot(DEFINITIONS);
        let mut follower = Self { core, known: HashMap::new(), cleaning: HashSet::new(), seen: snapshot.revision() };
        for object in snapshot.iter() {
            if let Some(definition) = Definition::read(object) {
                follower.serve(&definition, object);
            }
        }
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
            self.seen = snapshot.revision();
            let gone: Vec<String> =
                self.known.keys().filter(|name| snapshot.get("", name).is_none()).cloned().collect();
            for name in gone {
                self.forget(&name).await;
            }
            for object in snapshot.iter() {
                self.reconcile(object).await;
            }
            let Ok(mut cursor) = self.core.memory().subscribe(DEFINITIONS, self.seen) else { continue };
            while let Ok(batch) = cursor.next().await {
                for event in &*batch {
                    self.changed(event).await;
                }
            }
        }
    }

    async fn changed(&mut self, event: &Event) {
        let name = event.object.key.name.to_string();
        match self.core.memory().get(&event.object.key) {
            Some(current) => self.reconcile(&current).await,
            None => self.forget(&name).await,
        }
    }

    /// Brings the status and the registry to what the definition asks for.
    async fn reconcile(&mut self, object: &Arc<Object>) {
        let Some(definition) = Definition::read(object) else { return };
        let name = definition.metadata.name.clone();
        if definition.is_terminating() {
            self.serve(&definition, object);
            if definition.awaits_cleanup() && self.cleaning.insert(name.clone()) {
                cleanup::start(Arc::clone(&self.core), definition, Arc::clone(object));
            }
            return;
        }
        let verdict = decide(&definition, &self.taken(&definition.spec.group, &name));
        let wanted = conditions::wanted(&definition, &verdict);
        let mut next = definition.clone();
        next.status.accepted_names = verdict.accepted.clone();
        let establishes = verdict.conflict.is_none() && !definition.has("Established");
        if establishes {
            next.status.conditions.retain(|condition| condition.kind != "Established");
            next.status
                .conditions
                .push(super::definition::Condition { kind: "Established".to_owned(), status: "True".to_owned() });
        }
        // Served before anybody can read that it is.
        self.serve(&next, object);
        let mut change = |old: &Value| {
            let mut new = old.clone();
            conditions::apply(&mut new, &verdict.accepted, &wanted);
            Ok(new)
        };
        match update_status(&self.core, &name, &mut change).await {
            Ok(()) => {}
            Err(error) if error.code == StatusCode::NOT_FOUND => {}
            Err(error) => tracing::warn!(name, %error, "the status of a definition cannot be written"),
        }
    }

    /// Puts the definition's versions into the registry, or takes them out.
    fn serve(&mut self, definition: &Definition, object: &Arc<Object>) {
        let name = &definition.metadata.name;
        let value: Value = serde_json::from_slice(&object.value).unwrap_or_default();
        let established = definition.has("Established");
        let shape = Shape {
            generation: value["metadata"]["generation"].as_i64().unwrap_or(0),
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
        let old = known.map(|known| known.served).unwrap_or_default();
        let new = match (established, only_ends) {
            (false, _) => Vec::new(),
            (true, true) => old.iter().map(|old| Arc::new(old.ending())).collect(),
            (true, false) => resources(definition, object, |version| version.served),
        };
        self.core.registry.change(|served| {
            let stays = |old: &Resource| {
                new.iter().any(|new| new.version == old.version && new.declaration.resource == old.declaration.resource)
            };
            for old in old.iter().filter(|old| !stays(old)) {
                served.remove(&old.declaration.group, &old.version, &old.declaration.resource);
            }
            for new in &new {
                served.put(CUSTOM_PRIORITY, Arc::clone(new));
            }
        });
        if !only_ends {
            retire(&old);
        }
        let known = Known {
            group: definition.spec.group.clone(),
            accepted: definition.status.accepted_names.clone(),
            shape,
            served: new,
        };
        self.known.insert(name.clone(), known);
    }

    /// A definition is gone: so are its resources, and its names are free.
    async fn forget(&mut self, name: &str) {
        self.cleaning.remove(name);
        let Some(known) = self.known.remove(name) else { return };
        self.core.registry.change(|served| {
            for old in &known.served {
                served.remove(&old.declaration.group, &old.version, &old.declaration.resource);
            }
        });
        retire(&known.served);
        let waiting: Vec<String> = self
            .known
            .iter()
            .filter(|(_, other)| other.group == known.group && other.served.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        for name in waiting {
            if let Some(object) = self.core.memory().get(&Key::new(DEFINITIONS, "", name.as_str())) {
                Box::pin(self.reconcile(&object)).await;
            }
        }
    }

    /// The names that other definitions of `group` have.
    fn taken(&self, group: &str, name: &str) -> Taken {
        let mut taken = Taken::default();
        let others = self.known.iter().filter(|(other, known)| known.group == group && *other != name);
        others.for_each(|(_, known)| taken.add(&known.accepted));
        taken
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
