//! The kinds that are served: from the URL's group, version and resource to the declaration behind it.

use std::collections::HashMap;
use std::sync::Arc;

use minato_kinds::Declaration;
use minato_schema::Schema;
use minato_table::Printer;

use crate::status::{ApiError, Subject};

/// One resource in one served version.
pub(crate) struct Resource {
    pub(crate) declaration: &'static Declaration,
    pub(crate) version: &'static str,
    /// `v1` or `apps/v1`.
    pub(crate) api_version: String,
    /// The first part of the store's keys, such as `core/pods`.
    pub(crate) storage: Arc<str>,
}

impl Resource {
    pub(crate) fn schema(&self) -> Option<&'static Schema> {
        minato_schema::builtin(self.declaration.group, self.version, self.declaration.kind)
    }

    pub(crate) fn printer(&self) -> &'static Printer {
        minato_table::printer(self.declaration.group, self.declaration.kind)
    }

    /// Whether stored bytes are what this version shows.
    pub(crate) fn shows_stored(&self) -> bool {
        self.api_version == self.declaration.storage_api_version
    }

    /// How errors name an object of this resource.
    pub(crate) fn subject<'a>(&self, name: &'a str) -> Subject<'a> {
        Subject { group: self.declaration.group, resource: self.declaration.resource, name }
    }

    /// How errors about an object's content name it: by kind.
    pub(crate) fn subject_by_kind<'a>(&self, name: &'a str) -> Subject<'a> {
        Subject { group: self.declaration.group, resource: self.declaration.kind, name }
    }

    pub(crate) fn not_found(&self, name: &str) -> ApiError {
        ApiError::not_found(&self.subject(name))
    }
}

/// Every served resource.
pub(crate) struct Registry {
    /// By group, version and resource.
    resources: HashMap<&'static str, HashMap<&'static str, HashMap<&'static str, Arc<Resource>>>>,
    groups: Vec<Group>,
}

/// A group with its versions, the preferred one first, in the order that discovery lists them.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) versions: Vec<Version>,
}

/// A version of a group with its resources, by name.
pub(crate) struct Version {
    pub(crate) name: &'static str,
    pub(crate) resources: Vec<Arc<Resource>>,
}

impl Registry {
    /// Serves `declarations`.
    pub(crate) fn new(declarations: &'static [Declaration]) -> Self {
        let mut resources: HashMap<_, HashMap<_, HashMap<_, _>>> = HashMap::new();
        let mut groups: Vec<Group> = Vec::new();
        for declaration in declarations {
            let group = match groups.iter().position(|group| group.name == declaration.group) {
                Some(index) => index,
                None => {
                    groups.push(Group { name: declaration.group, versions: Vec::new() });
                    groups.len() - 1
                }
            };
            for version in declaration.versions {
                let resource = Arc::new(Resource {
                    declaration,
                    version,
                    api_version: declaration.api_version(version),
                    storage: declaration.storage.into(),
                });
                let of_group = resources.entry(declaration.group).or_default();
                of_group.entry(*version).or_default().insert(declaration.resource, Arc::clone(&resource));
                let versions = &mut groups[group].versions;
                match versions.iter_mut().find(|have| have.name == *version) {
                    Some(have) => have.resources.push(resource),
                    None => versions.push(Version { name: version, resources: vec![resource] }),
                }
            }
        }
        for version in groups.iter_mut().flat_map(|group| &mut group.versions) {
            version.resources.sort_by_key(|resource| resource.declaration.resource);
        }
        // Newest first, as discovery prefers them: v2 before v1.
        for group in &mut groups {
            group.versions.sort_by(|a, b| b.name.cmp(a.name));
        }
        Self { resources, groups }
    }

    pub(crate) fn find(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Resource>> {
        self.resources.get(group)?.get(version)?.get(resource)
    }

    /// A resource in its storage version, for objects that the API server itself reads or writes.
    pub(crate) fn stored(&self, group: &str, resource: &str) -> Option<&Arc<Resource>> {
        self.groups
            .iter()
            .filter(|have| have.name == group)
            .flat_map(|group| &group.versions)
            .flat_map(|version| &version.resources)
            .find(|have| have.declaration.resource == resource && have.shows_stored())
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }
}
