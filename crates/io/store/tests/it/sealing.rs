//! Secrets are unreadable without the key file, in the database, its log and its backups.

use std::path::Path;

use minato_mvcc::{Expected, Key};
use minato_store::Backend;
use minato_store::embedded::{self, Embedded, OpenError, Options, Seal, SealKey, SealRule};

use crate::support::*;

const TEXT: &str = "correct horse battery staple";

fn open_sealed(data: &Path, key_file: &Path) -> Result<Embedded, OpenError> {
    let seal = Seal { key_file: key_file.to_owned(), resources: vec!["core/secrets".to_owned()], rules: Vec::new() };
    embedded::open(data, Options { seal: Some(seal), ..options() })
}

fn contains_text(directory: &Path) -> bool {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| bytes.windows(TEXT.len()).any(|window| window == TEXT.as_bytes()))
}

/// What is sealed, by which key and whether it can be read, follows the rules at each start.
#[tokio::test]
async fn rules_apply_to_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let (data, key_file) = (directory.path().join("data"), directory.path().join("seal.key"));
    let key = |secret: &str| SealKey::derived("test", secret.as_bytes());
    let open = |rules: Vec<SealRule>| {
        let seal = Seal { key_file: key_file.clone(), resources: vec!["core/secrets".to_owned()], rules };
        embedded::open(&data, Options { seal: Some(seal), ..options() })
    };
    let rule = |resources: &[&str], sealed_by: Option<&str>, opened_by: &[&str]| SealRule {
        resources: resources.iter().map(|resource| (*resource).to_owned()).collect(),
        sealed_by: sealed_by.map(key),
        opened_by: opened_by.iter().map(|secret| key(secret)).collect(),
    };
    let secret = Key::new("core/secrets", "default", "password");
    let store = open(Vec::new()).unwrap();
    commit(&store, put(&secret, TEXT, Expected::Absent)).await.unwrap();
    store.close().await;
    for (step, rules, is_sealed) in [
        ("another key", vec![rule(&["core/secrets"], Some("a"), &[])], true),
        ("rotation", vec![rule(&["core/*"], Some("b"), &["a"])], true),
        ("the old key is not needed any more", vec![rule(&["core/*"], Some("b"), &[])], true),
        ("the first rule decides", vec![rule(&["core/secrets"], None, &["b"]), rule(&["*"], Some("b"), &[])], false),
        ("back to the cluster's key", Vec::new(), true),
    ] {
        let store = open(rules).unwrap_or_else(|error| panic!("{step}: {error}"));
        assert!(std::str::from_utf8(&store.memory().get(&secret).unwrap().value).unwrap().contains(TEXT), "{step}");
        let copy = directory.path().join(step);
        std::fs::create_dir(&copy).unwrap();
        store.backup(&copy.join(embedded::FILE_NAME)).await.unwrap();
        store.close().await;
        assert_eq!(contains_text(&copy), !is_sealed, "{step}");
        assert_eq!(contains_text(&data), !is_sealed, "{step}: what was readable is still in the file");
    }
    let store = open(vec![rule(&["core/secrets"], Some("c"), &[])]).unwrap();
    store.close().await;
    assert!(matches!(open(Vec::new()), Err(OpenError::KeyMissing { .. })));
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
