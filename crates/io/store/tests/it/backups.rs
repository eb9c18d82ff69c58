//! A backup under load is a store of one revision.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use minato_store::embedded::FILE_NAME;
use minato_store::{Backend, BackupError};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn backup_while_writing() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    let store = Arc::new(open(&directory.path().join("data")));
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (store, done) = (store.clone(), done.clone());
        async move {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                write(&store, &format!("object-{}", number % 100), &number.to_string()).await;
                number += 1;
            }
        }
    });
    let mut cursor = store.memory().subscribe("core/configmaps", Default::default()).unwrap();
    cursor.next().await.unwrap();
    let revision = store.backup(&copy.join(FILE_NAME)).await.unwrap();
    assert!(matches!(store.backup(&copy.join(FILE_NAME)).await, Err(BackupError::Exists { .. })));
    let expected: Vec<_> = store
        .memory()
        .snapshot_at("core/configmaps", revision)
        .unwrap()
        .iter()
        .map(|object| object.value.clone())
        .collect();
    done.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    store.close().await;

    let restored = open(&copy);
    assert_eq!(restored.memory().revision(), revision);
    let found: Vec<_> =
        restored.memory().snapshot("core/configmaps").iter().map(|object| object.value.clone()).collect();
    assert_eq!(found, expected);
    restored.close().await;
}

#[tokio::test]
async fn a_backup_that_cannot_be_written_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("data"));
    let path = directory.path().join("absent/copy.db");
    assert!(matches!(store.backup(&path).await, Err(BackupError::Write { .. })));
    store.close().await;
    assert!(matches!(store.backup(&path).await, Err(BackupError::Closed)));
}
