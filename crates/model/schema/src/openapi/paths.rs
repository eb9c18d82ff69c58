//! The paths of a document.

use super::{Resource, definitions::Definitions, dialect::Dialect, operations, parameters};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// `api/v1`, `apis/apps/v1`
pub(super) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// Gives `sink` every path of the resources, with what stands there.
pub(super) fn each(
    resources: &[Resource<'_>],
    dialect: Dialect,
    definitions: &mut Definitions,
    mut sink: impl FnMut(String, Value),
) {
    let mut roots = HashSet::new();
    for resource in resources {
        let root = format!("/{}", group_version(resource.group, resource.version));
        if roots.insert(root.clone()) {
            sink(format!("{root}/"), operations::discovery(resource, dialect, definitions));
        }
        let mut scope = Scope { resource, dialect, root, sink: &mut sink };
        scope.collections(definitions);
        scope.object(definitions);
        scope.subresources(definitions);
    }
}

/// A resource whose paths are being made.
struct Scope<'a> {
    resource: &'a Resource<'a>,
    dialect: Dialect,
    root: String,
    sink: &'a mut dyn FnMut(String, Value),
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

    fn collections(&mut self, definitions: &mut Definitions) {
        let made = operations::on_collection(self.resource, self.dialect, definitions);
        self.put(self.collection_path(), made);
        if self.resource.namespaced {
            let made = operations::across_namespaces(self.resource, self.dialect, definitions);
            self.put(format!("{}/{}", self.root, self.resource.plural), made);
        }
    }

    fn object(&mut self, definitions: &mut Definitions) {
        let made = operations::on_object(self.resource, self.dialect, definitions);
        self.put(format!("{}/{{name}}", self.collection_path()), made);
    }

    fn subresources(&mut self, definitions: &mut Definitions) {
        for subresource in &self.resource.subresources {
            let path = format!("{}/{{name}}/{}", self.collection_path(), subresource.name);
            let made = operations::on_subresource(self.resource, subresource, self.dialect, definitions);
            if subresource.name == "proxy" {
                let below = operations::below_proxy(self.resource, subresource, self.dialect);
                self.put(format!("{path}/{{path}}"), below);
            }
            self.put(path, made);
        }
    }

    fn put(&mut self, path: String, mut operations: Map<String, Value>) {
        if !operations.is_empty() {
            let parameters = parameters::of_path(self.dialect, &path, self.resource.kind);
            operations.insert("parameters".to_owned(), Value::Array(parameters));
            (self.sink)(path, Value::Object(operations));
        }
    }
}
