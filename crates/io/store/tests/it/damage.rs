//! Flipped bytes are refused, or change nothing that is served.

use std::path::Path;

use minato_mvcc::{Expected, Key, Object};
use minato_store::Backend;
use minato_store::embedded::{self, FILE_NAME, OpenError};

use crate::support::*;

const WAL_NAME: &str = "objects.db-wal";

async fn fill(directory: &Path) -> Vec<Object> {
    let store = open(directory);
    for number in 0..40 {
        write(&store, &format!("object-{number}"), &"text ".repeat(number * 13)).await;
    }
    write(&store, "large", &"large ".repeat(3000)).await;
    commit(&store, delete(&key("object-7"), Expected::Any)).await.unwrap();
    let objects = contents(&store);
    store.close().await;
    objects
}

fn contents(store: &embedded::Embedded) -> Vec<Object> {
    store
        .memory()
        .database()
        .objects()
        .map(|object| Object { attributes: Default::default(), ..(**object).clone() })
        .collect()
}

/// Opens a directory with these files; what is served, or why not.
async fn open_files(files: &[(&str, &[u8])]) -> Result<Vec<Object>, OpenError> {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    match embedded::open(directory.path(), options()) {
        Ok(store) => {
            let objects = contents(&store);
            store.close().await;
            Ok(objects)
        }
        Err(error) => {
            for (name, bytes) in files {
                assert!(std::fs::read(directory.path().join(name)).unwrap() == *bytes, "{name} was changed: {error}");
            }
            Err(error)
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_anywhere_is_refused_or_harmless() {
    let directory = tempfile::tempdir().unwrap();
    let objects = fill(directory.path()).await;
    let sound = std::fs::read(directory.path().join(FILE_NAME)).unwrap();
    let mut refused = 0;
    let positions = (0..200).chain((200..sound.len()).step_by(149));
    let count = positions.clone().count();
    for position in positions {
        let mut bytes = sound.clone();
        bytes[position] ^= 1 << (position % 8);
        match open_files(&[(FILE_NAME, &bytes)]).await {
            Ok(served) => assert!(served == objects, "byte {position} was served"),
            Err(OpenError::Damaged { .. } | OpenError::Foreign { .. } | OpenError::Newer { .. }) => refused += 1,
            Err(error) => panic!("byte {position}: {error:?}"),
        }
    }
    println!("{refused} of {count} refused");
    assert!(refused > count / 2);
}

#[tokio::test]
async fn a_shortened_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path()).await;
    let sound = std::fs::read(directory.path().join(FILE_NAME)).unwrap();
    for length in [1, 99, 100, 4096, sound.len() - 4096, sound.len() - 1] {
        let error = open_files(&[(FILE_NAME, &sound[..length])]).await.unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. } | OpenError::Foreign { .. }), "{length}: {error:?}");
    }
}

#[tokio::test]
async fn a_row_put_back_to_an_old_version_or_removed_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for (change, expected) in [
        ("DELETE FROM objects WHERE name = 'object-3'", "objects are there"),
        ("UPDATE objects SET revision = 1000 WHERE name = 'object-3'", "is not what was written"),
        ("UPDATE objects SET value = CAST('{}' AS BLOB) WHERE name = 'object-3'", "is not what was written"),
        ("UPDATE objects SET name = 'object-4' WHERE name = 'object-3'", "is not what was written"),
        ("UPDATE totals SET revision = revision - 1", "the totals are not what was written"),
        ("DELETE FROM totals", "the totals cannot be read"),
    ] {
        let path = directory.path().join(change.len().to_string());
        fill(&path).await;
        rusqlite::Connection::open(path.join(FILE_NAME)).unwrap().execute_batch(change).unwrap();
        let message = open_error(&path).to_string();
        assert!(message.contains(expected), "{change}: {message}");
        assert!(message.contains("Restore a backup: move "), "{message}");
    }
}

/// The log of a store that was not closed, with the end of each transaction in it.
async fn open_log() -> (Vec<u8>, Vec<u8>, Vec<usize>, Vec<Object>) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let wal = directory.path().join(WAL_NAME);
    let mut ends = Vec::new();
    for number in 0..12 {
        write(&store, &format!("object-{number}"), &"text ".repeat(number * 200)).await;
        ends.push(std::fs::metadata(&wal).unwrap().len() as usize);
    }
    let files = (std::fs::read(directory.path().join(FILE_NAME)).unwrap(), std::fs::read(&wal).unwrap());
    let objects = contents(&store);
    store.close().await;
    (files.0, files.1, ends, objects)
}

#[tokio::test]
async fn a_flipped_byte_in_the_log_does_not_undo_acknowledged_writes() {
    let (file, log, ends, objects) = open_log().await;
    assert_eq!(open_files(&[(FILE_NAME, &file), (WAL_NAME, &log)]).await.unwrap(), objects);
    let last_begins = ends[ends.len() - 2];
    for position in (0..last_begins).step_by(197) {
        let mut bytes = log.clone();
        bytes[position] ^= 4;
        match open_files(&[(FILE_NAME, &file), (WAL_NAME, &bytes)]).await {
            Err(OpenError::Damaged { .. }) => {}
            Err(error) => panic!("byte {position}: {error:?}"),
            Ok(served) => assert!(served == objects, "byte {position} was served"),
        }
    }
}

#[tokio::test]
async fn a_torn_last_transaction_is_dropped() {
    let (file, log, ends, mut objects) = open_log().await;
    objects.retain(|object| object.key != Key::new("core/configmaps", "default", "object-11"));
    let last_begins = ends[ends.len() - 2];
    for length in (last_begins..log.len()).step_by(501) {
        let served = open_files(&[(FILE_NAME, &file), (WAL_NAME, &log[..length])]).await.unwrap();
        assert!(served == objects, "cut at {length}");
    }
    let mut zeroed = log.clone();
    zeroed[last_begins..log.len() - 4000].fill(0);
    assert_eq!(open_files(&[(FILE_NAME, &file), (WAL_NAME, &zeroed)]).await.unwrap(), objects);
}

#[tokio::test]
async fn a_log_that_belongs_to_another_file_is_refused() {
    let (_, log, _, _) = open_log().await;
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("data"));
    write(&store, "a", "x").await;
    let backup = directory.path().join("backup");
    store.backup(&backup).await.unwrap();
    store.close().await;
    let backup = std::fs::read(backup).unwrap();
    for files in [vec![(WAL_NAME, &*log)], vec![(FILE_NAME, &*backup), (WAL_NAME, &*log)]] {
        let error = open_files(&files).await.unwrap_err();
        assert!(error.to_string().contains("belongs to another file"), "{error}");
    }
    assert_eq!(open_files(&[(FILE_NAME, &backup)]).await.unwrap().len(), 1);
}
