//! The files stay in proportion to the data.

use std::path::Path;

use minato_mvcc::{Expected, Operation};
use minato_store::Backend;

use crate::support::*;

fn bytes(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).unwrap();
    files.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

fn puts(count: usize, text: &str) -> Vec<Operation> {
    (0..count).map(|number| put(&key(&format!("object-{number}")), text, Expected::Any)).collect()
}

#[tokio::test]
async fn overwriting_does_not_grow_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for round in 0..60 {
        commit(&store, puts(1000, &format!("{round} {}", "x".repeat(900)))).await.unwrap();
    }
    // A megabyte of data, rewritten sixty times.
    let open_bytes = bytes(directory.path());
    store.close().await;
    let closed_bytes = bytes(directory.path());
    assert!(open_bytes < 48 << 20, "{open_bytes}");
    assert!(closed_bytes < 3 << 20, "{closed_bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_gives_the_space_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for first in 0..16 {
        let operations =
            (0..1000).map(|number| put(&key(&format!("{first}-{number}")), &"x".repeat(1800), Expected::Any));
        commit(&store, operations.collect::<Vec<_>>()).await.unwrap();
    }
    for first in 0..16 {
        let operations = (0..1000).map(|number| delete(&key(&format!("{first}-{number}")), Expected::Any));
        commit(&store, operations.collect::<Vec<_>>()).await.unwrap();
    }
    write(&store, "last", "one").await;
    let file = directory.path().join(minato_store::embedded::FILE_NAME);
    let size = || std::fs::metadata(&file).unwrap().len();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while size() > 8 << 20 {
        assert!(std::time::Instant::now() < deadline, "still {} bytes", size());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    store.close().await;
    let store = open(directory.path());
    assert_eq!(store.memory().snapshot("core/configmaps").len(), 1);
    store.close().await;
}
