//! Short words for what every test does.

use std::path::Path;
use std::sync::Arc;

use minato_mvcc::{Attributes, Expected, Key, Object, Operation, Template, Transaction};
use minato_store::embedded::{self, Embedded, OpenError, Options};
use minato_store::{Backend, CommitError};

pub(crate) fn options() -> Options {
    Options::new(|resource, value| Attributes::new([("length", &*value.len().to_string())], [("resource", resource)]))
}

pub(crate) fn open(directory: &Path) -> Embedded {
    embedded::open(directory, options()).unwrap()
}

pub(crate) fn open_error(directory: &Path) -> OpenError {
    match embedded::open(directory, options()) {
        Ok(_) => panic!("the store was opened"),
        Err(error) => error,
    }
}

pub(crate) fn key(name: &str) -> Key {
    Key::new("core/configmaps", "default", name)
}

pub(crate) fn template(text: &str) -> Template {
    let start = r#"{"metadata":{"resourceVersion":""#;
    Template { bytes: format!(r#"{start}"}},"text":"{text}"}}"#).into_bytes(), revision_at: start.len() }
}

pub(crate) fn put(key: &Key, text: &str, expected: Expected) -> Operation {
    Operation::Put { key: key.clone(), value: template(text), attributes: Attributes::default(), expected }
}

pub(crate) fn delete(key: &Key, expected: Expected) -> Operation {
    Operation::Delete { key: key.clone(), expected, last: template("gone") }
}

pub(crate) async fn write(store: &Embedded, name: &str, text: &str) -> Arc<Object> {
    commit(store, put(&key(name), text, Expected::Any)).await.unwrap().remove(0)
}

pub(crate) async fn commit(
    store: &Embedded,
    transaction: impl Into<Transaction>,
) -> Result<Vec<Arc<Object>>, CommitError> {
    store.commit(transaction.into()).await
}
