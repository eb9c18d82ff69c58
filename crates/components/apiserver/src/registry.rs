//! The kinds that are served: from the URL's group, version and resource to the declaration behind it.
//!
//! What is served changes while the server runs: CustomResourceDefinitions and APIServices come and go. A request reads
//! one immutable [`Served`] without a lock; [`Registry::change`] makes the next one, which shares all that stays the
//! same, and puts it in the place of the last.

mod version;

use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};
use imbl::{HashMap, OrdMap};
use jiff::Timestamp;
use minato_apply::Topology;
use minato_kinds::{Declaration, Name, Rules, Strategy, Verbs};
use minato_schema::Schema;
use minato_table::Printer;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

use crate::aggregate::OpenApi;
use crate::custom::{Custom, DEFINITION_RULES, DEFINITIONS};
use crate::metrics::Meters;
use crate::status::{ApiError, Subject};

/// One resource in one served version.
pub(crate) struct Resource {
    pub(crate) declaration: Arc<Declaration>,
    pub(crate) version: Name,
    /// `v1` or `apps/v1`.
    pub(crate) api_version: String,
    /// The first part of the store's keys, such as `core/pods`.
    pub(crate) storage: Arc<str>,
    /// What its requests are counted in.
    pub(crate) meters: Meters,
    /// What a CustomResourceDefinition says of it, where it comes from one.
    pub(crate) custom: Option<Arc<Custom>>,
}

impl Resource {
    /// `declaration` in `version`.
    pub(crate) fn new(declaration: Arc<Declaration>, version: Name) -> Self {
        let api_version = declaration.api_version(&version);
        let storage = (*declaration.storage).into();
        Self { declaration, version, api_version, storage, meters: Meters::default(), custom: None }
    }

    /// The same resource, of which nothing can be made any more.
    pub(crate) fn ending(&self) -> Self {
        let declaration = Declaration { verbs: Verbs::Ending, ..Declaration::clone(&self.declaration) };
        Self { custom: self.custom.clone(), ..Self::new(Arc::new(declaration), self.version.clone()) }
    }

    pub(crate) fn schema(&self) -> Option<&'static Schema> {
        minato_schema::builtin(&self.declaration.group, &self.version, &self.declaration.kind)
    }

    /// How the object divides into fields that managers own.
    pub(crate) fn topology(&self) -> Option<&dyn Topology> {
        match &self.custom {
            Some(custom) => Some(custom.topology()),
            None => self.schema().map(|schema| schema as &dyn Topology),
        }
    }

    fn printer(&self) -> &'static Printer {
        minato_table::printer(&self.declaration.group, &self.declaration.kind)
    }

    /// `columnDefinitions` of its tables.
    pub(crate) fn columns(&self) -> Vec<Value> {
        if let Some(custom) = &self.custom {
            return custom.columns.definitions();
        }
        self.printer().definitions()
    }

    /// The cells of an object's row.
    pub(crate) fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        match &self.custom {
            Some(custom) => custom.columns.cells(object, now),
            None => (self.printer().cells)(object, now),
        }
    }

    /// Whether stored bytes are what this version shows.
    pub(crate) fn shows_stored(&self) -> bool {
        self.api_version == self.declaration.storage_api_version
    }

    /// How errors name an object of this resource.
    pub(crate) fn subject<'a>(&'a self, name: &'a str) -> Subject<'a> {
        Subject { group: &self.declaration.group, resource: &self.declaration.resource, name }
    }

    /// How errors about an object's content name it: by kind.
    pub(crate) fn subject_by_kind<'a>(&'a self, name: &'a str) -> Subject<'a> {
        Subject { group: &self.declaration.group, resource: &self.declaration.kind, name }
    }

    pub(crate) fn not_found(&self, name: &str) -> ApiError {
        ApiError::not_found(&self.subject(name))
    }
}

/// Built-in kinds whose rules need more than `minato-kinds` knows.
const RULES: [(&str, &dyn Strategy); 1] = [(DEFINITIONS, &DEFINITION_RULES)];

/// What is served now. Reading takes no lock.
pub(crate) struct Registry {
    current: ArcSwap<Served>,
    /// Held while the next state is made.
    changing: Mutex<()>,
    /// Wakes those who follow what is served.
    pub(crate) changed: Notify,
}

impl Registry {
    /// Serves `declarations`, and whatever [`Registry::change`] adds.
    pub(crate) fn new(declarations: &[Declaration]) -> Self {
        let mut served = Served::default();
        for declaration in declarations {
            let mut declaration = declaration.clone();
            if let Some((_, rules)) = RULES.iter().find(|(storage, _)| *storage == declaration.storage) {
                declaration.strategy = Rules::Fixed(*rules);
            }
            let declaration = Arc::new(declaration);
            for version in declaration.versions.iter() {
                let version = Name::Owned(version.to_owned());
                let priority = builtin_priority(&declaration.group);
                served.put(priority, Arc::new(Resource::new(Arc::clone(&declaration), version)));
            }
        }
        Self { current: ArcSwap::from_pointee(served), changing: Mutex::new(()), changed: Notify::new() }
    }

    /// What is served at this moment, for as long as it is looked at.
    pub(crate) fn served(&self) -> Guard<Arc<Served>> {
        self.current.load()
    }

    pub(crate) fn find(&self, group: &str, version: &str, resource: &str) -> Option<Arc<Resource>> {
        self.served().find(group, version, resource).cloned()
    }

    /// A resource in its storage version, for objects that the API server itself reads or writes.
    pub(crate) fn stored(&self, group: &str, resource: &str) -> Option<Arc<Resource>> {
        let served = self.served();
        let versions = &served.groups.get(group)?.versions;
        let mut found = versions.iter().filter_map(|version| version.resources.get(resource));
        found.find(|have| have.shows_stored()).cloned()
    }

    /// Changes what is served, for requests that come from now on. Changes happen one after the other.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Served) -> T) -> T {
        let _alone = self.changing.lock();
        let mut next = Served { groups: self.served().groups.clone(), ..Served::default() };
        let result = change(&mut next);
        self.current.store(Arc::new(next));
        self.changed.notify_waiters();
        result
    }
}

/// One state of what is served.
#[derive(Default)]
pub(crate) struct Served {
    groups: HashMap<Name, Arc<Group>>,
    listed: OnceLock<Vec<Arc<Group>>>,
    /// What was made of this state and is asked for often.
    pub(crate) documents: crate::discovery::Documents,
}

/// A group with its versions, the preferred one first.
#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) name: Name,
    /// `groupPriorityMinimum` of its APIServices: groups with a higher one are listed first, and `kubectl get` looks for
    /// a resource in the first group that has it.
    pub(crate) priority: u32,
    pub(crate) versions: Vec<Version>,
}

/// A version of a group.
#[derive(Clone)]
pub(crate) struct Version {
    pub(crate) name: Name,
    /// By name.
    pub(crate) resources: OrdMap<Name, Arc<Resource>>,
    /// Resources that another server answers for, as that server describes them.
    pub(crate) remote: Option<Arc<Remote>>,
}

/// What another server says it serves in one version of a group.
pub(crate) struct Remote {
    /// `APIResource`s, for the classic form of discovery.
    pub(crate) classic: Vec<Value>,
    /// `APIResourceDiscovery`s, for the aggregated form.
    pub(crate) aggregated: Vec<Value>,
    /// The shapes of its objects.
    pub(crate) openapi: OpenApi,
    /// Whether it was asked lately and answered.
    pub(crate) current: bool,
}

impl Served {
    pub(crate) fn find(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Resource>> {
        let versions = &self.groups.get(group)?.versions;
        versions.iter().find(|have| have.name == version)?.resources.get(resource)
    }

    pub(crate) fn group(&self, name: &str) -> Option<&Arc<Group>> {
        self.groups.get(name)
    }

    /// All groups in the order that discovery lists them.
    pub(crate) fn groups(&self) -> &[Arc<Group>] {
        self.listed.get_or_init(|| {
            let mut groups: Vec<_> = self.groups.values().cloned().collect();
            groups.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(&b.name)));
            groups
        })
    }

    /// Every resource in every version.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.groups().iter().flat_map(|group| &group.versions).flat_map(|version| version.resources.values())
    }

    /// What other servers serve, with group and version.
    pub(crate) fn remotes(&self) -> impl Iterator<Item = (&str, &str, &Remote)> {
        let versions = self.groups().iter().flat_map(|group| group.versions.iter().map(move |have| (group, have)));
        versions.filter_map(|(group, version)| Some((&*group.name, &*version.name, &**version.remote.as_ref()?)))
    }

    /// Serves `resource`, instead of one of the same group, version and name if there is one. `priority` counts where
    /// the group is new.
    pub(crate) fn put(&mut self, priority: u32, resource: Arc<Resource>) {
        let declaration = &resource.declaration;
        let version = self.version_mut(&declaration.group, priority, &resource.version);
        version.resources.insert(declaration.resource.clone(), Arc::clone(&resource));
    }

    /// Serves a resource no longer.
    pub(crate) fn remove(&mut self, group: &str, version: &str, resource: &str) {
        self.change_version(group, version, |version| {
            version.resources.remove(resource);
        });
    }

    /// Lists what another server serves in a version of a group; [`Served::find`] does not find it.
    pub(crate) fn put_remote(&mut self, group: &str, priority: u32, version: &str, remote: Remote) {
        self.version_mut(&Name::Owned(group.to_owned()), priority, &Name::Owned(version.to_owned())).remote =
            Some(Arc::new(remote));
    }

    /// Lists another server's resources no longer.
    pub(crate) fn remove_remote(&mut self, group: &str, version: &str) {
        self.change_version(group, version, |version| version.remote = None);
    }

    fn version_mut(&mut self, group: &Name, priority: u32, version: &Name) -> &mut Version {
        let new = || Arc::new(Group { name: group.clone(), priority, versions: Vec::new() });
        let group = Arc::make_mut(self.groups.entry(group.clone()).or_insert_with(new));
        let index = match group.versions.iter().position(|have| have.name == *version) {
            Some(index) => index,
            None => {
                let place = group.versions.partition_point(|have| version::prefers(&have.name, version));
                let new = Version { name: version.clone(), resources: OrdMap::new(), remote: None };
                group.versions.insert(place, new);
                place
            }
        };
        &mut group.versions[index]
    }

    /// Changes a version that is there; one that became empty goes, and so does its group.
    fn change_version(&mut self, group: &str, version: &str, change: impl FnOnce(&mut Version)) {
        let Some(found) = self.groups.get_mut(group) else { return };
        let found = Arc::make_mut(found);
        if let Some(version) = found.versions.iter_mut().find(|have| have.name == version) {
            change(version);
        }
        found.versions.retain(|version| !version.resources.is_empty() || version.remote.is_some());
        if found.versions.is_empty() {
            self.groups.remove(group);
        }
    }
}

/// Of groups that CustomResourceDefinitions bring: behind all built-in ones.
pub(crate) const CUSTOM_PRIORITY: u32 = 1000;

/// `groupPriorityMinimum` of the built-in groups, as upstream registers them.
fn builtin_priority(group: &str) -> u32 {
    const PRIORITIES: [(&str, u32); 20] = [
        ("", 18_000),
        ("apiregistration.k8s.io", 18_000),
        ("apps", 17_800),
        ("events.k8s.io", 17_750),
        ("authentication.k8s.io", 17_700),
        ("authorization.k8s.io", 17_600),
        ("autoscaling", 17_500),
        ("batch", 17_400),
        ("certificates.k8s.io", 17_300),
        ("networking.k8s.io", 17_200),
        ("policy", 17_100),
        ("rbac.authorization.k8s.io", 17_000),
        ("storage.k8s.io", 16_800),
        ("apiextensions.k8s.io", 16_700),
        ("admissionregistration.k8s.io", 16_700),
        ("scheduling.k8s.io", 16_600),
        ("coordination.k8s.io", 16_500),
        ("node.k8s.io", 16_300),
        ("discovery.k8s.io", 16_200),
        ("flowcontrol.apiserver.k8s.io", 16_100),
    ];
    PRIORITIES.iter().find(|(name, _)| *name == group).map_or(16_000, |(_, priority)| *priority)
}
