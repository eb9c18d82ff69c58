//! Watches never skip or reorder, snapshots never change, whatever is written.

use std::collections::BTreeMap;

use minato_mvcc::{Cursor, Interest, Options, Revision, Snapshot};
use proptest::prelude::*;

use crate::model::{Change, Model, NAMES, RESOURCES, key};

#[derive(Debug, Clone)]
enum Step {
    Publish(Vec<Vec<(usize, Option<u8>)>>),
    Subscribe { resource: usize, interest: usize, back: u64 },
    Poll(usize),
    Drop(usize),
    Snapshot { resource: usize, back: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let write = (0..NAMES, prop::option::weighted(0.7, 0..3_u8));
    let transaction = prop::collection::vec(write, 1..4);
    prop_oneof![
        4 => prop::collection::vec(transaction, 1..6).prop_map(Step::Publish),
        2 => (0..2_usize, 0..6_usize, 0..20_u64).prop_map(|(resource, interest, back)| Step::Subscribe { resource, interest, back }),
        4 => any::<usize>().prop_map(Step::Poll),
        1 => any::<usize>().prop_map(Step::Drop),
        2 => (0..2_usize, 0..20_u64).prop_map(|(resource, back)| Step::Snapshot { resource, back }),
    ]
}

fn interest(number: usize) -> Interest {
    let field = |value: &str| Interest::Field { path: "spec.nodeName".into(), value: value.into() };
    match number {
        0 => Interest::All,
        1 => Interest::Namespace("blue".into()),
        2 => Interest::Object { namespace: "green".into(), name: key(2).name },
        3 => field("node-0"),
        4 => field("node-1"),
        _ => field("no such node"),
    }
}

struct Watcher {
    cursor: Cursor,
    resource: &'static str,
    interest: Interest,
    position: u64,
}

impl Watcher {
    /// Pulls everything there is. False when the watcher fell behind.
    fn poll(&mut self, model: &Model) -> bool {
        loop {
            let pulled = self.cursor.try_next();
            let reached = self.cursor.revision().0;
            match pulled {
                Ok(Some(batch)) => {
                    let found: Vec<_> = batch.iter().map(|event| Change::of(event)).collect();
                    assert_eq!(found, model.changes_between(self.resource, &self.interest, self.position, reached));
                    for event in batch {
                        let frame = format!(
                            r#"{{"type":"{}","object":{}}}"#,
                            event.kind.as_str(),
                            std::str::from_utf8(&event.object.value).unwrap()
                        );
                        assert_eq!(event.frame(), frame + "\n");
                    }
                }
                Ok(None) => {
                    assert_eq!(model.changes_between(self.resource, &self.interest, self.position, u64::MAX), []);
                    assert_eq!(reached, model.memory.revision().0.max(self.position), "an idle watcher keeps up");
                    self.position = reached;
                    return true;
                }
                Err(_) => {
                    let missed = model.changes_between(self.resource, &Interest::All, self.position, u64::MAX);
                    assert!(missed.len() > LOG_EVENTS_MAX, "compacted too early: {missed:?}");
                    return false;
                }
            }
            self.position = reached;
        }
    }
}

const LOG_EVENTS_MAX: usize = 12;

fn contents(snapshot: &Snapshot) -> BTreeMap<(String, String), (u64, String)> {
    let entry = |object: &std::sync::Arc<minato_mvcc::Object>| {
        let place = (object.key.namespace.to_string(), object.key.name.to_string());
        (place, (object.revision.0, object.attributes.field("spec.nodeName").unwrap().to_owned()))
    };
    snapshot.iter().map(entry).collect()
}

fn run(steps: Vec<Step>) {
    let options = Options { log_events_max: LOG_EVENTS_MAX, ..Options::default() };
    let mut model = Model::new(options);
    let mut watchers: Vec<Watcher> = Vec::new();
    let mut snapshots: Vec<(&str, Snapshot)> = Vec::new();
    for step in steps {
        let now = model.memory.revision().0;
        match step {
            Step::Publish(transactions) => model.publish(&transactions),
            Step::Subscribe { resource, interest: number, back } => {
                let (resource, interest, position) = (RESOURCES[resource], interest(number), now.saturating_sub(back));
                match model.memory.subscribe_to(resource, Revision(position), &interest) {
                    Ok(cursor) => watchers.push(Watcher { cursor, resource, interest, position }),
                    Err(_) => {
                        let missed = model.changes_between(resource, &Interest::All, position, u64::MAX);
                        assert!(missed.len() > LOG_EVENTS_MAX);
                    }
                }
            }
            Step::Poll(number) if !watchers.is_empty() => {
                let number = number % watchers.len();
                if !watchers[number].poll(&model) {
                    watchers.remove(number);
                }
            }
            Step::Drop(number) if !watchers.is_empty() => drop(watchers.remove(number % watchers.len())),
            Step::Poll(_) | Step::Drop(_) => {}
            Step::Snapshot { resource, back } => {
                let (resource, revision) = (RESOURCES[resource], now.saturating_sub(back));
                match model.memory.snapshot_at(resource, Revision(revision)) {
                    Some(snapshot) => {
                        assert_eq!(snapshot.revision(), Revision(revision));
                        snapshots.push((resource, snapshot));
                    }
                    None => {
                        let missed = model.changes_between(resource, &Interest::All, revision, u64::MAX);
                        assert!(missed.len() > LOG_EVENTS_MAX);
                    }
                }
                assert!(model.memory.snapshot_at(resource, Revision(now + 1)).is_none());
            }
        }
    }
    for (resource, snapshot) in &snapshots {
        assert_eq!(contents(snapshot), model.state(resource, snapshot.revision().0));
        check_ranges(snapshot);
    }
    watchers.iter_mut().for_each(|watcher| {
        watcher.poll(&model);
    });
}

/// Every way to walk a snapshot tells the same.
fn check_ranges(snapshot: &Snapshot) {
    let all: Vec<_> = snapshot.iter().cloned().collect();
    assert_eq!(all.len(), snapshot.len());
    let places: Vec<_> = all.iter().map(|object| (object.key.namespace.clone(), object.key.name.clone())).collect();
    assert!(places.is_sorted());
    for (index, (namespace, name)) in places.iter().enumerate() {
        assert_eq!(snapshot.get(namespace, name), Some(&all[index]));
        assert!(snapshot.iter_after(namespace, name).eq(&all[index + 1..]));
        let same = |object: &&std::sync::Arc<minato_mvcc::Object>| object.key.namespace == *namespace;
        assert!(snapshot.iter_namespace(namespace).eq(all.iter().filter(same)));
        assert!(snapshot.iter_namespace_after(namespace, name).eq(all[index + 1..].iter().filter(same)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn agrees_with_the_list(steps in prop::collection::vec(step(), 1..80)) {
        run(steps);
    }
}

#[test]
fn the_log_is_bounded_by_bytes() {
    let mut model = Model::new(Options { log_events_max: 1000, log_bytes_max: 4096 });
    let mut cursor = model.memory.subscribe(RESOURCES[0], Revision(0)).unwrap();
    for round in 0..50 {
        model.publish(&[vec![(0, Some(round % 3))]]);
    }
    let oldest = cursor.try_next().unwrap_err().oldest;
    assert!(oldest > Revision(20) && oldest < Revision(50), "{oldest}");
    assert!(model.memory.subscribe(RESOURCES[0], oldest).is_ok());
    assert!(model.memory.subscribe(RESOURCES[0], Revision(oldest.0 - 1)).is_err());
}

#[test]
fn a_stale_draft_is_refused() {
    let (memory, mut publisher) = minato_mvcc::Memory::new([], Revision(0), Options::default());
    let (mut first, mut second) = (publisher.draft(), publisher.draft());
    first.apply(crate::model::put(key(0), "a").into()).unwrap();
    second.apply(crate::model::put(key(2), "b").into()).unwrap();
    publisher.publish(first).unwrap();
    assert!(publisher.publish(second).is_err());
    assert!(memory.get(&key(2)).is_none());
}
