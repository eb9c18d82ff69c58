//! What is not ours, or not now, is not opened, and the message says what to do.

use std::path::Path;

use minato_store::Backend;
use minato_store::embedded::{FILE_NAME, OpenError};

use crate::support::*;

#[tokio::test]
async fn a_second_server_is_told_of_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let message = open_error(directory.path()).to_string();
    let expected =
        format!("the data directory {} is in use by process {}", directory.path().display(), std::process::id());
    assert_eq!(message, expected);
    store.close().await;
    open(directory.path()).close().await;
}

#[tokio::test]
async fn a_file_of_a_newer_version() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).close().await;
    set(directory.path(), "PRAGMA user_version = 7");
    let error = open_error(directory.path());
    assert!(matches!(error, OpenError::Newer { found: 7, supported: 1, .. }), "{error:?}");
    assert!(error.to_string().ends_with(
        "has format 7, this version of Minato reads formats up to 1; start the newer version, or restore a backup made by this one"
    ));
}

#[tokio::test]
async fn a_file_of_another_application() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    set(directory.path(), "CREATE TABLE t (x)");
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(open_error(directory.path()), OpenError::Foreign { .. }));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    for content in ["", "hello", &"hello ".repeat(100)] {
        std::fs::write(&path, content).unwrap();
        assert!(matches!(open_error(directory.path()), OpenError::Foreign { .. }), "{content:.10}");
        assert_eq!(std::fs::read(&path).unwrap(), content.as_bytes());
    }
}

#[tokio::test]
async fn commits_after_close() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.close().await;
    let operation = put(&key("a"), "x", minato_mvcc::Expected::Any);
    assert!(matches!(commit(&store, operation).await, Err(minato_store::CommitError::Closed)));
}

#[tokio::test]
async fn a_transaction_larger_than_the_queue() {
    let directory = tempfile::tempdir().unwrap();
    let options = minato_store::embedded::Options { queue_bytes_max: 1000, ..options() };
    let store = minato_store::embedded::open(directory.path(), options).unwrap();
    let operation = put(&key("a"), &"x".repeat(1000), minato_mvcc::Expected::Any);
    let error = commit(&store, operation).await.unwrap_err();
    assert!(matches!(error, minato_store::CommitError::TooLarge { bytes_max: 1000, .. }), "{error:?}");
    write(&store, "a", "fits").await;
    store.close().await;
}

fn set(directory: &Path, statement: &str) {
    rusqlite::Connection::open(directory.join(FILE_NAME)).unwrap().execute_batch(statement).unwrap();
}
