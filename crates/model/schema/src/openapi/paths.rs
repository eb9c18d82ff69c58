//! The paths of a document.

use super::{Resource, definitions::Definitions, dialect::Dialect, operations, parameters};
use serde_json::{Map, Value};

/// `api/v1`, `apis/apps/v1`
pub(super) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// All paths of the resources, by path.
pub(super) fn of(resources: &[Resource<'_>], dialect: Dialect, definitions: &mut Definitions) -> Map<String, Value> {
    let mut paths = Map::new();
    for resource in resources {
        let root = format!("/{}", group_version(resource.group, resource.version));
        paths.entry(format!("{root}/")).or_insert_with(|| operations::discovery(resource, dialect, definitions));
        let scope = Scope { resource, dialect, root };
        scope.collections(&mut paths, definitions);
        scope.object(&mut paths, definitions);
        scope.subresources(&mut paths, definitions);
    }
    paths
}

/// A resource whose paths are being made.
struct Scope<'a> {
    resource: &'a Resource<'a>,
    dialect: Dialect,
    root: String,
}

impl Scope<'_> {
    fn collection_path(&self) -> String {
        let (root, plural) = (&self.root, self.resource.plural);
        if self.resource.namespaced {
            format!("{root}/namespaces/{{namespace}}/{plural}")
        } else {
            format!("{root}/{plural}")
        }
    }

    fn collections(&self, paths: &mut Map<String, Value>, definitions: &mut Definitions) {
        let made = operations::on_collection(self.resource, self.dialect, definitions);
        self.put(paths, self.collection_path(), made);
        if self.resource.namespaced {
            let made = operations::across_namespaces(self.resource, self.dialect, definitions);
            self.put(paths, format!("{}/{}", self.root, self.resource.plural), made);
        }
    }

    fn object(&self, paths: &mut Map<String, Value>, definitions: &mut Definitions) {
        let made = operations::on_object(self.resource, self.dialect, definitions);
        self.put(paths, format!("{}/{{name}}", self.collection_path()), made);
    }

    fn subresources(&self, paths: &mut Map<String, Value>, definitions: &mut Definitions) {
        for subresource in &self.resource.subresources {
            let path = format!("{}/{{name}}/{}", self.collection_path(), subresource.name);
            let made = operations::on_subresource(self.resource, subresource, self.dialect, definitions);
            if subresource.name == "proxy" {
                let below = operations::below_proxy(self.resource, subresource, self.dialect);
                self.put(paths, format!("{path}/{{path}}"), below);
            }
            self.put(paths, path, made);
        }
    }

    fn put(&self, paths: &mut Map<String, Value>, path: String, mut operations: Map<String, Value>) {
        if !operations.is_empty() {
            let parameters = parameters::of_path(self.dialect, &path, self.resource.kind);
            operations.insert("parameters".to_owned(), Value::Array(parameters));
            paths.insert(path, Value::Object(operations));
        }
    }
}
