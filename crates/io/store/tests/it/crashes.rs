//! A child process writes concurrently and is killed with SIGKILL, again and again. What it was told is committed must be
//! there, and nothing must be there by half.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use minato_mvcc::{Expected, Key, Operation, Transaction};
use minato_store::Backend;
use minato_store::embedded::{self, Embedded, Options, Seal};

use crate::support;

const ROUNDS: u64 = 40;
const WRITERS: usize = 16;
/// Tells the test binary that it is the child, and where the store is.
const CHILD: &str = "MINATO_STORE_CRASH_CHILD";

fn options(directory: &Path) -> Options {
    let seal =
        Seal { key_file: directory.join("seal.key"), resources: vec!["core/secrets".to_owned()], rules: Vec::new() };
    Options { seal: Some(seal), ..support::options() }
}

fn keys(writer: usize) -> [Key; 3] {
    let name = format!("writer-{writer}");
    ["core/pods", "core/secrets", "apps/deployments"].map(|resource| Key::new(resource, "default", &*name))
}

/// The step `number` of a writer: the same number in three objects, of very different sizes; now and then a deletion.
fn step(writer: usize, number: u64) -> Transaction {
    let operation = |(index, key): (usize, &Key)| {
        let padding = "x".repeat((number as usize * 7919 + index * 104_729) % 20_000);
        match number % 7 {
            0 => Operation::Delete { key: key.clone(), expected: Expected::Any, last: support::template("") },
            _ => support::put(key, &format!("{number} {padding}"), Expected::Any),
        }
    };
    keys(writer).iter().enumerate().map(operation).collect::<Vec<_>>().into()
}

/// The number that all three objects of a writer hold; of absent ones `None`. Fails when they differ.
fn read_step(store: &Embedded, writer: usize) -> Option<u64> {
    let number = |key: &Key| {
        let object = store.memory().get(key)?;
        let text = std::str::from_utf8(&object.value).unwrap();
        let version = format!(r#""resourceVersion":"{}""#, object.revision);
        assert!(text.contains(&version), "{key} at {} holds {text:.60}", object.revision);
        let (_, rest) = text.split_once(r#""text":""#).unwrap();
        Some(rest.split_once(' ').unwrap().0.parse().unwrap())
    };
    let [first, second, third] = keys(writer).each_ref().map(number);
    assert!(first == second && second == third, "half a transaction: {first:?} {second:?} {third:?}");
    first
}

/// The child: writes until it is killed and prints what was acknowledged, as writer, step and revision.
#[test]
#[ignore = "run by survives_sigkill in a process of its own"]
fn child() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = Path::new(&directory);
        let store = Arc::new(embedded::open(&directory.join("data"), options(directory)).unwrap());
        let tasks = (0..WRITERS).map(|writer| tokio::spawn(write_for_ever(store.clone(), writer)));
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}

async fn write_for_ever(store: Arc<Embedded>, writer: usize) {
    let first_name = &keys(writer)[0];
    let counter = Key::new("counters", "", &*first_name.name);
    let mut number = store.memory().get(&counter).map_or(1, |object| {
        let text = String::from_utf8(object.value.to_vec()).unwrap();
        text.rsplit_once(r#""text":""#).unwrap().1.trim_end_matches("\"}").parse().unwrap()
    });
    loop {
        let mut transaction = step(writer, number);
        transaction.operations.push(support::put(&counter, &(number + 1).to_string(), Expected::Any));
        let objects = store.commit(transaction).await.unwrap();
        let line = format!("acknowledged {writer} {number} {}\n", objects[3].revision);
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
        number += 1;
    }
}

struct Acknowledged {
    steps: BTreeMap<usize, u64>,
    revision: u64,
}

/// Kills the child when it has acknowledged `count` writes, and tells all that it had acknowledged by then.
fn run_child_until(directory: &Path, count: usize) -> Acknowledged {
    let mut child: Child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crashes::child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Acknowledged { steps: BTreeMap::new(), revision: 0 };
    let mut seen = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((_, numbers)) = line.split_once("acknowledged ") else { continue };
        let numbers: Vec<u64> = numbers.split(' ').map_while(|word| word.parse().ok()).collect();
        let [writer, number, revision] = numbers[..] else { continue };
        acknowledged.steps.insert(writer as usize, number);
        acknowledged.revision = acknowledged.revision.max(revision);
        seen += 1;
        if seen == count {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= count, "the child ended after {seen} writes");
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_sigkill() {
    let directory = tempfile::tempdir().unwrap();
    let mut revision = 0;
    for round in 0..ROUNDS {
        let count = 1 + (round * 7919 % 400) as usize;
        let acknowledged = run_child_until(directory.path(), count);
        assert!(acknowledged.revision > revision, "round {round}: revisions went back");

        let store = embedded::open(&directory.path().join("data"), options(directory.path())).unwrap();
        revision = store.memory().revision().0;
        assert!(revision >= acknowledged.revision, "round {round}: {revision} after {}", acknowledged.revision);
        for (writer, number) in acknowledged.steps {
            // One more may have been committed without being told.
            let possible = [number, number + 1].map(|number| (number % 7 != 0).then_some(number));
            let found = read_step(&store, writer);
            assert!(possible.contains(&found), "round {round}, writer {writer}: {found:?} after {number}");
        }
        store.close().await;
    }
}
