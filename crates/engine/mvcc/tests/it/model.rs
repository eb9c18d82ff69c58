//! Every change ever made, in a list. Questions are answered by walking it.

use std::collections::BTreeMap;

use minato_mvcc::{
    Attributes, Event, EventKind, Expected, Interest, Key, Memory, Object, Operation, Options, Publisher, Revision,
    Template, Transaction,
};

pub(crate) const RESOURCES: [&str; 2] = ["core/pods", "core/nodes"];
pub(crate) const NAMES: usize = 12;

/// The `number`th key: two resources, two namespaces, a few names.
pub(crate) fn key(number: usize) -> Key {
    let (resource, rest) = (RESOURCES[number % 2], number / 2);
    Key::new(resource, ["blue", "green"][rest % 2], format!("name-{}", rest / 2))
}

pub(crate) fn put(key: Key, node: &str) -> Operation {
    let start = r#"{"resourceVersion":""#;
    let value = Template { bytes: format!(r#"{start}","node":"{node}"}}"#).into_bytes(), revision_at: start.len() };
    Operation::Put { key, value, attributes: Attributes::new([], [("spec.nodeName", node)]), expected: Expected::Any }
}

pub(crate) fn delete(key: Key) -> Operation {
    Operation::Delete { key, expected: Expected::Any, last: Template { bytes: b"{}".to_vec(), revision_at: 1 } }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: Key,
    /// The node of the object from now on; `None` once it is deleted.
    pub(crate) node: Option<String>,
    /// The node of the object until now.
    pub(crate) previous: Option<String>,
}

impl Change {
    pub(crate) fn of(event: &Event) -> Self {
        let node = |object: &Object| object.attributes.field("spec.nodeName").unwrap().to_owned();
        Self {
            revision: event.revision.0,
            key: event.object.key.clone(),
            node: (event.kind != EventKind::Deleted).then(|| node(&event.object)),
            previous: event.previous.as_deref().map(node),
        }
    }

    fn concerns(&self, interest: &Interest) -> bool {
        match interest {
            Interest::All => true,
            Interest::Namespace(namespace) => self.key.namespace == *namespace,
            Interest::Object { namespace, name } => self.key.namespace == *namespace && self.key.name == *name,
            Interest::Field { value, .. } => {
                self.node.as_deref() == Some(&**value) || self.previous.as_deref() == Some(&**value)
            }
        }
    }
}

/// The store under test and the list beside it.
pub(crate) struct Model {
    pub(crate) memory: Memory,
    publisher: Publisher,
    pub(crate) changes: Vec<Change>,
}

impl Model {
    pub(crate) fn new(options: Options) -> Self {
        let (memory, publisher) = Memory::new([], Revision(0), options);
        Self { memory, publisher, changes: Vec::new() }
    }

    /// The objects of a resource at `revision`, as place to revision and node.
    pub(crate) fn state(&self, resource: &str, revision: u64) -> BTreeMap<(String, String), (u64, String)> {
        let mut state = BTreeMap::new();
        for change in
            self.changes.iter().filter(|change| change.revision <= revision && &*change.key.resource == resource)
        {
            let place = (change.key.namespace.to_string(), change.key.name.to_string());
            match &change.node {
                Some(node) => state.insert(place, (change.revision, node.clone())),
                None => state.remove(&place),
            };
        }
        state
    }

    pub(crate) fn changes_between(&self, resource: &str, interest: &Interest, after: u64, until: u64) -> Vec<Change> {
        let wanted = |change: &&Change| {
            change.revision > after
                && change.revision <= until
                && &*change.key.resource == resource
                && change.concerns(interest)
        };
        self.changes.iter().filter(wanted).cloned().collect()
    }

    /// Applies transactions of (key, node or deletion) in one draft.
    pub(crate) fn publish(&mut self, transactions: &[Vec<(usize, Option<u8>)>]) {
        let mut draft = self.publisher.draft();
        for steps in transactions {
            let mut changes = Vec::new();
            let mut possible = true;
            for (revision, (number, node)) in (draft.revision().0 + 1..).zip(steps) {
                let key = key(*number);
                let earlier =
                    changes.iter().chain(self.changes.iter().rev()).find(|change: &&Change| change.key == key);
                let previous = earlier.and_then(|change| change.node.clone());
                possible &= node.is_some() || previous.is_some();
                changes.insert(0, Change { revision, key, node: node.map(|node| format!("node-{node}")), previous });
            }
            let operations: Vec<_> = steps
                .iter()
                .map(|(number, node)| match node {
                    Some(node) => put(key(*number), &format!("node-{node}")),
                    None => delete(key(*number)),
                })
                .collect();
            let before = draft.revision();
            let applied = draft.apply(Transaction::from(operations));
            assert_eq!(applied.is_ok(), possible, "{steps:?}: {applied:?}");
            match applied {
                Ok(_) => self.changes.extend(changes.into_iter().rev()),
                Err(_) => assert_eq!(draft.revision(), before),
            }
        }
        self.publisher.publish(draft).unwrap();
    }
}
