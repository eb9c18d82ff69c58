//! What admission is asked about, and what it answers besides yes or no.

use std::collections::BTreeMap;

use minato_kinds::Subresource;
use minato_mvcc::Memory;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::core::Core;
use crate::registry::Resource;
use crate::route::Query;
use crate::status::ApiError;
use crate::write::{DeleteOptions, Target};

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    /// As rules of webhooks and policies write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// What came with a request besides the object.
#[derive(Clone, Copy)]
pub(crate) enum Options<'a> {
    /// The request is the server's own.
    None,
    /// The parameters of a create or an update.
    Query(&'a Query),
    /// Those of a deletion.
    Delete(&'a DeleteOptions),
}

/// What is asked of admission (`admission.Attributes`), and where to look things up.
pub(crate) struct Context<'a> {
    pub(crate) core: &'a Core,
    pub(crate) memory: &'a Memory,
    /// Resource, subresource, namespace, user, dry run.
    pub(crate) target: &'a Target<'a>,
    pub(crate) operation: Operation,
    /// Empty where an object is created whose name is yet to be generated.
    pub(crate) name: &'a str,
    /// The stored object that is updated or deleted.
    pub(crate) old: Option<&'a Value>,
    pub(crate) options: Options<'a>,
}

impl<'a> Context<'a> {
    /// Whether the request is about the main resource, not a subresource, of `storage`, such as `core/pods`.
    pub(crate) fn is(&self, storage: &str) -> bool {
        self.target.subresource.is_empty() && &*self.target.resource.storage == storage
    }

    /// Whether an object of `storage` is created.
    pub(crate) fn creates(&self, storage: &str) -> bool {
        self.operation == Operation::Create && self.is(storage)
    }

    /// Whether what a pod's containers may use is changed in place.
    pub(crate) fn resizes_pod(&self) -> bool {
        self.target.subresource == "resize" && &*self.target.resource.storage == "core/pods"
    }

    /// Refuses the request, in the words that upstream has for its plugins.
    pub(crate) fn forbidden(&self, object: &Value, why: &str) -> ApiError {
        let given = |key: &str| crate::object::text(object, key);
        let names = [self.name, given("name"), given("generateName")];
        let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        ApiError::forbidden(&self.target.resource.subject(name), why)
    }

    /// Group, version and kind of the object that is asked about: for some subresources not that of the resource.
    pub(crate) fn kind(&self) -> (&'a str, &'a str, &'a str) {
        kind_of(self.target.resource, self.target.subresource)
    }

    /// The options as `meta.k8s.io/v1` writes them; null for connections and for the server's own requests.
    pub(crate) fn options_value(&self) -> Value {
        let mut options = Map::new();
        let kind = match (self.operation, self.options) {
            (Operation::Connect, _) | (_, Options::None) => return Value::Null,
            (Operation::Create, _) => "CreateOptions",
            (Operation::Update, _) => "UpdateOptions",
            (Operation::Delete, _) => "DeleteOptions",
        };
        options.insert("kind".to_owned(), kind.into());
        options.insert("apiVersion".to_owned(), "meta.k8s.io/v1".into());
        if self.target.dry_run {
            options.insert("dryRun".to_owned(), json!(["All"]));
        }
        match self.options {
            Options::None => {}
            Options::Query(query) => {
                for key in ["fieldManager", "fieldValidation"] {
                    if let Some(value) = query.get(key) {
                        options.insert(key.to_owned(), value.into());
                    }
                }
            }
            Options::Delete(delete) => delete.write_to(&mut options),
        }
        Value::Object(options)
    }
}

fn kind_of<'a>(resource: &'a Resource, subresource: &str) -> (&'a str, &'a str, &'a str) {
    match resource.declaration.subresource(subresource) {
        Some(Subresource::Scale) => ("autoscaling", "v1", "Scale"),
        Some(Subresource::Eviction) => ("policy", "v1", "Eviction"),
        Some(Subresource::Binding) => ("", "v1", "Binding"),
        Some(Subresource::Token) => ("authentication.k8s.io", "v1", "TokenRequest"),
        Some(Subresource::Exec) => ("", "v1", "PodExecOptions"),
        Some(Subresource::Attach) => ("", "v1", "PodAttachOptions"),
        Some(Subresource::PortForward) => ("", "v1", "PodPortForwardOptions"),
        _ => (&resource.declaration.group, &resource.version, &resource.declaration.kind),
    }
}

/// What admission leaves for the answer and for the audit log; one per request.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    warnings: Mutex<Vec<String>>,
    annotations: Mutex<BTreeMap<String, String>>,
}

/// Warnings that are kept of a request: its answer has room for far less.
const WARNINGS_MAX: usize = 1_000;

impl Remarks {
    /// Adds a `Warning` header to the answer; the same text is sent once.
    pub(crate) fn warn(&self, text: impl Into<String>) {
        let text = text.into();
        let mut warnings = self.warnings.lock();
        if warnings.len() < WARNINGS_MAX && !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// Adds an annotation to the request's audit events; the first value of a key stays.
    pub(crate) fn annotate(&self, key: impl Into<String>, value: impl Into<String>) {
        self.annotations.lock().entry(key.into()).or_insert_with(|| value.into());
    }

    /// The warnings so far, each once.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock())
    }

    /// The annotations so far, for the audit log.
    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        self.annotations.lock().clone()
    }
}
