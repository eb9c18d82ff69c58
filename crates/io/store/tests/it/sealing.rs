//! Secrets are unreadable without the key file, in the database, its log and its backups.

use std::path::Path;

use minato_mvcc::{Expected, Key};
use minato_store::Backend;
use minato_store::embedded::{self, Embedded, OpenError, Options, Seal};

use crate::support::*;

const TEXT: &str = "correct horse battery staple";

fn open_sealed(data: &Path, key_file: &Path) -> Result<Embedded, OpenError> {
    let seal = Seal { key_file: key_file.to_owned(), resources: vec!["core/secrets".to_owned()] };
    embedded::open(data, Options { seal: Some(seal), ..options() })
}

fn contains_text(directory: &Path) -> bool {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| bytes.windows(TEXT.len()).any(|window| window == TEXT.as_bytes()))
}

#[tokio::test]
async fn secrets_at_rest() {
    let directory = tempfile::tempdir().unwrap();
    let (data, key_file) = (directory.path().join("data"), directory.path().join("keys/seal.key"));
    let secret = Key::new("core/secrets", "default", "password");
    let store = open_sealed(&data, &key_file).unwrap();
    commit(&store, put(&secret, TEXT, Expected::Absent)).await.unwrap();
    write(&store, "plain", "not secret").await;
    assert!(!contains_text(&data), "the text is in the log");
    let copies = directory.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    store.backup(&copies.join(embedded::FILE_NAME)).await.unwrap();
    store.close().await;
    assert!(!contains_text(&data) && !contains_text(&copies));

    let store = open_sealed(&data, &key_file).unwrap();
    let value = store.memory().get(&secret).unwrap().value.clone();
    assert!(std::str::from_utf8(&value).unwrap().contains(TEXT));
    store.close().await;
    open_sealed(&copies, &key_file).unwrap().close().await;

    assert!(matches!(open_error(&data), OpenError::NotConfigured { .. }));
    let other = directory.path().join("other.key");
    assert!(matches!(open_sealed(&data, &other), Err(OpenError::KeyMissing { .. })));
    assert!(!other.exists(), "a lost key must not be replaced by a new one");
    open_sealed(&directory.path().join("fresh"), &other).unwrap().close().await;
    let error = open_sealed(&data, &other).map(drop).unwrap_err();
    assert!(error.to_string().contains("put the right key file there"), "{error}");

    // Rotation: a new first key, the old one below it.
    let both = [std::fs::read_to_string(&other).unwrap(), std::fs::read_to_string(&key_file).unwrap()].concat();
    std::fs::write(&other, both).unwrap();
    let store = open_sealed(&data, &other).unwrap();
    assert_eq!(store.memory().get(&secret).unwrap().value, value);
    store.close().await;
}
