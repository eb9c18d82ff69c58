//! The OpenAPI documents of an API server, made from what it serves.
//!
//! `kubectl explain`, `apply`, `create --validate` and client generators read them. They are made on request from
//! `k8s-openapi`'s schemas, prose and all, and nothing of them stays here: a caller that wants to answer twice keeps
//! the bytes.
//!
//! - [`v3`]: one group version, `/openapi/v3/apis/apps/v1`; [`v3_index`]: the list of them, `/openapi/v3`
//! - [`v2()`]: everything in one, `/openapi/v2`

mod definitions;
mod dialect;
mod operations;
mod parameters;
mod paths;
mod protobuf;
mod v2;

pub use v2::{Form, Part, v2};

use definitions::Definitions;
use dialect::Dialect;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Content type of [`Form::Protobuf`] in answers.
pub const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Media types that ask for [`Form::Protobuf`]. kubectl asks for the first, which is no well-formed media type; an answer
/// that carries it would be refused.
pub const V2_PROTOBUF_ACCEPTED: [&str; 2] = ["application/com.github.proto-openapi.spec.v2@v1.0+protobuf", V2_PROTOBUF];

/// The Kubernetes version whose shapes the documents describe.
const KUBERNETES: &str = "v1.36.0";

/// A resource that is served, as discovery knows it.
#[derive(Debug, Clone)]
pub struct Resource<'a> {
    /// `apps`, or `""` for the core group.
    pub group: &'a str,
    /// `v1`
    pub version: &'a str,
    /// `deployments`
    pub plural: &'a str,
    /// `Deployment`
    pub kind: &'a str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// `create`, `delete`, `deletecollection`, `get`, `list`, `patch`, `update`, `watch`
    pub verbs: &'a [&'a str],
    /// What has a URL below the object's.
    pub subresources: Vec<Subresource<'a>>,
    /// The `openAPIV3Schema` of a custom resource; absent for built-in kinds.
    pub schema: Option<&'a Value>,
    /// Changes when the schema may have: fingerprints are made without looking at schemas.
    pub edition: u64,
}

impl Hash for Resource<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let names = (self.group, self.version, self.plural, self.kind, self.namespaced);
        (names, self.verbs, &self.subresources, self.edition).hash(state);
    }
}

/// A subresource that is served.
#[derive(Debug, Clone, Hash)]
pub struct Subresource<'a> {
    /// `status`
    pub name: &'a str,
    /// `get`, `patch`, `update`, `create`, `delete`
    pub verbs: &'a [&'a str],
    /// Group, version and kind of its body where that is not the resource's.
    pub body: Option<(&'a str, &'a str, &'a str)>,
}

impl Subresource<'_> {
    /// Whether requests become a connection.
    fn connects(&self) -> bool {
        self.connection().is_some()
    }

    /// How the kind of a connection's options calls it: `PodExecOptions`.
    fn connection(&self) -> Option<&'static str> {
        match self.name {
            "exec" => Some("Exec"),
            "attach" => Some("Attach"),
            "portforward" => Some("PortForward"),
            "proxy" => Some("Proxy"),
            _ => None,
        }
    }
}

/// The OpenAPI v3 document of one group version.
pub fn v3(resources: &[Resource<'_>]) -> Value {
    let mut definitions = Definitions::of(resources, Dialect::V3);
    let mut paths = Map::new();
    paths::each(resources, Dialect::V3, &mut definitions, |path, item| drop(paths.insert(path, item)));
    let mut schemas = Map::new();
    definitions.each(|name, schema| drop(schemas.insert(name, schema)));
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": bearer_token()},
    })
}

/// The list of OpenAPI v3 documents, one per group version among `resources`, with the [`fingerprint`] of each.
pub fn v3_index(resources: &[Resource<'_>]) -> Value {
    let mut versions: BTreeMap<(&str, &str), Vec<&Resource<'_>>> = BTreeMap::new();
    for resource in resources {
        versions.entry((resource.group, resource.version)).or_default().push(resource);
    }
    let paths: Map<String, Value> = versions
        .into_iter()
        .map(|((group, version), resources)| {
            let path = paths::group_version(group, version);
            let hash = fingerprint_of(resources);
            (path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}))
        })
        .collect();
    json!({"paths": paths})
}

/// Changes when the documents made from `resources` change; costs no document.
pub fn fingerprint(resources: &[Resource<'_>]) -> String {
    fingerprint_of(resources)
}

fn fingerprint_of<'a>(resources: impl IntoIterator<Item = &'a Resource<'a>>) -> String {
    let mut hasher = DefaultHasher::new();
    (env!("CARGO_PKG_VERSION"), KUBERNETES).hash(&mut hasher);
    for resource in resources {
        resource.hash(&mut hasher);
    }
    format!("{:016X}", hasher.finish())
}

fn bearer_token() -> Value {
    json!({"BearerToken": {
        "description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey",
    }})
}

#[cfg(test)]
mod tests;
