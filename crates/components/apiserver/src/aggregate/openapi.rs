//! What other servers say of the shapes of their objects: their part of `/openapi/v2`, and where `/openapi/v3` has theirs.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use minato_schema::openapi;
use serde_json::{Map, Value};

use super::availability::get;
use super::remote::Remote;
use crate::core::Core;

/// How long a server may take over a document, as upstream gives it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest document that is read.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// References within references that are followed.
const REFERENCES_MAX: usize = 10_000;

/// The documents of one version of a group at another server.
#[derive(Clone, Default)]
pub(crate) struct OpenApi {
    /// Its entry in the index of `/openapi/v3`, if it is there.
    pub(crate) index: Option<Value>,
    /// The paths of the version and what they refer to, of the server's `/openapi/v2`.
    part: Option<Arc<Part>>,
}

struct Part {
    paths: Map<String, Value>,
    definitions: Map<String, Value>,
    /// Those that its paths refer to.
    parameters: Map<String, Value>,
    fingerprint: u64,
}

impl PartialEq for OpenApi {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.fingerprint() == other.fingerprint()
    }
}

impl OpenApi {
    /// Asks the server. What it does not tell is not there; it serves its objects all the same.
    pub(super) async fn of(core: &Core, remote: &Remote) -> Self {
        let path = format!("apis/{}/{}", remote.group, remote.version);
        let ask =
            async |document: &str| match tokio::time::timeout(ANSWER_TIMEOUT, get(core, remote, document, BYTES_MAX))
                .await
            {
                Ok(Ok(found)) => found,
                Ok(Err(error)) => {
                    tracing::debug!(
                        api_service = remote.name,
                        document,
                        error,
                        "another server does not describe itself"
                    );
                    Value::Null
                }
                Err(_) => Value::Null,
            };
        let index = ask("/openapi/v3").await["paths"][&path].take();
        let part = Part::of(ask("/openapi/v2").await, &format!("/{path}")).map(Arc::new);
        Self { index: index.is_object().then_some(index), part }
    }

    /// What this server says of an API that it aggregates without another server.
    pub(crate) fn own(paths: Value, definitions: Value) -> Self {
        let part = match (paths, definitions) {
            (Value::Object(paths), Value::Object(definitions)) => {
                Some(Arc::new(Part::new(paths, definitions, Map::new())))
            }
            _ => None,
        };
        Self { index: None, part }
    }

    /// Changes when the part in `/openapi/v2` does.
    pub(crate) fn fingerprint(&self) -> Option<u64> {
        self.part.as_ref().map(|part| part.fingerprint)
    }

    /// The server's part of `/openapi/v2`.
    pub(crate) fn part(&self) -> Option<openapi::Part<'_>> {
        let part = self.part.as_ref()?;
        Some(openapi::Part { paths: &part.paths, definitions: &part.definitions, parameters: &part.parameters })
    }
}

impl Part {
    /// Of a whole document, what stands at `prefix` and below it.
    fn of(mut document: Value, prefix: &str) -> Option<Self> {
        let Value::Object(all) = document["paths"].take() else { return None };
        let below = format!("{prefix}/");
        let paths: Map<String, Value> =
            all.into_iter().filter(|(path, _)| path == prefix || path.starts_with(&below)).collect();
        let mut wanted: Vec<String> = Vec::new();
        paths.values().for_each(|path| references(path, &mut wanted));
        let (mut definitions, mut parameters) = (Map::new(), Map::new());
        let mut seen = BTreeSet::new();
        while let Some(reference) = wanted.pop() {
            if seen.len() >= REFERENCES_MAX || !seen.insert(reference.clone()) {
                continue;
            }
            let Some((section, name)) = reference.split_once('/') else { continue };
            let found = match section {
                "definitions" => &mut definitions,
                "parameters" => &mut parameters,
                _ => continue,
            };
            let value = document[section][name].take();
            references(&value, &mut wanted);
            if !value.is_null() {
                found.insert(name.to_owned(), value);
            }
        }
        Some(Self::new(paths, definitions, parameters))
    }

    fn new(paths: Map<String, Value>, definitions: Map<String, Value>, parameters: Map<String, Value>) -> Self {
        let mut hasher = DefaultHasher::new();
        for (name, value) in paths.iter().chain(&definitions).chain(&parameters) {
            (name, value.to_string()).hash(&mut hasher);
        }
        Self { paths, definitions, parameters, fingerprint: hasher.finish() }
    }
}

/// What `value` refers to, as `definitions/Pod`.
fn references(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(name) = fields.get("$ref").and_then(Value::as_str)
                && let Some(name) = name.strip_prefix("#/")
            {
                names.push(name.to_owned());
            }
            fields.values().for_each(|value| references(value, names));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_part_is_the_paths_of_the_version_and_what_they_refer_to() {
        let document = json!({
            "paths": {
                "/apis/g/v1/": {"get": {"schema": {"$ref": "#/definitions/List"}}},
                "/apis/g/v1/things": {"get": [{"$ref": "#/definitions/Thing"}, {"$ref": "#/parameters/limit-x"}]},
                "/apis/g/v10/things": {}, "/version": {},
            },
            "definitions": {"List": {}, "Thing": {"properties": {"part": {"$ref": "#/definitions/Part"}}},
                "Part": {"$ref": "#/definitions/Thing"}, "Other": {}},
            "parameters": {"limit-x": {"in": "query"}, "other": {}},
        });
        let part = Part::of(document, "/apis/g/v1").unwrap();
        let keys = |section: &Map<String, Value>| section.keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(keys(&part.paths), "/apis/g/v1/ /apis/g/v1/things");
        assert_eq!(keys(&part.definitions), "List Part Thing");
        assert_eq!(keys(&part.parameters), "limit-x");
    }
}
