//! What a commit does, and what is there after a restart.

use minato_mvcc::{EventKind, Expected, Operation, Revision};
use minato_store::{Backend, CommitError};

use crate::support::*;

#[tokio::test]
async fn a_write_is_read_watched_and_recovered() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut cursor = store.memory().subscribe("core/configmaps", Revision(0)).unwrap();
    let created = write(&store, "a", "one").await;
    let modified = write(&store, "a", "two").await;
    assert_eq!((created.revision, modified.revision, modified.created), (Revision(1), Revision(2), Revision(1)));
    assert_eq!(&*modified.value, br#"{"metadata":{"resourceVersion":"2"},"text":"two"}"#);
    let events = cursor.next().await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Created, EventKind::Modified]);
    store.close().await;

    let store = open(directory.path());
    let recovered = store.memory().get(&key("a")).unwrap();
    assert_eq!((recovered.revision, recovered.created, &recovered.value), (Revision(2), Revision(1), &modified.value));
    assert_eq!(recovered.attributes.label("length"), Some(&*modified.value.len().to_string()));
    assert_eq!(recovered.attributes.field("resource"), Some("core/configmaps"));
}

#[tokio::test]
async fn revisions_go_on_after_deletions_and_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    write(&store, "a", "one").await;
    let deleted = commit(&store, delete(&key("a"), Expected::Revision(Revision(1)))).await.unwrap();
    assert_eq!(&*deleted[0].value, br#"{"metadata":{"resourceVersion":"2"},"text":"gone"}"#);
    store.close().await;

    let store = open(directory.path());
    assert_eq!(store.memory().revision(), Revision(2));
    assert!(store.memory().get(&key("a")).is_none());
    assert!(store.memory().subscribe("core/configmaps", Revision(1)).is_err());
    assert!(store.memory().subscribe("core/configmaps", Revision(2)).is_ok());
    let again = write(&store, "a", "again").await;
    assert_eq!((again.revision, again.created), (Revision(3), Revision(3)));
}

#[tokio::test]
async fn preconditions() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (a, b) = (key("a"), key("b"));
    write(&store, "a", "one").await;
    let refused: [(Vec<Operation>, Option<Revision>); 6] = [
        (vec![put(&a, "x", Expected::Absent)], Some(Revision(1))),
        (vec![put(&a, "x", Expected::Revision(Revision(7)))], Some(Revision(1))),
        (vec![put(&b, "x", Expected::Revision(Revision(1)))], None),
        (vec![delete(&b, Expected::Any)], None),
        (vec![put(&b, "x", Expected::Absent), put(&b, "y", Expected::Absent)], Some(Revision(2))),
        (
            vec![
                delete(&a, Expected::Any),
                Operation::Check { key: a.clone(), expected: Expected::Revision(Revision(1)) },
            ],
            None,
        ),
    ];
    for (operations, expected) in refused {
        let description = format!("{operations:?}");
        match commit(&store, operations).await {
            Err(CommitError::Conflict { found, .. }) => assert_eq!(found, expected, "{description}"),
            other => panic!("{description}: {other:?}"),
        }
    }
    assert_eq!(store.memory().revision(), Revision(1), "a refused transaction leaves no trace");
    assert_eq!(store.memory().snapshot("core/configmaps").len(), 1);

    let accepted = vec![
        put(&b, "x", Expected::Absent),
        delete(&b, Expected::Revision(Revision(2))),
        put(&b, "y", Expected::Absent),
    ];
    let objects = commit(&store, accepted).await.unwrap();
    assert_eq!(objects.iter().map(|object| object.revision.0).collect::<Vec<_>>(), [2, 3, 4]);
    store.close().await;
    let store = open(directory.path());
    assert_eq!(store.memory().get(&b).unwrap().revision, Revision(4));
}
