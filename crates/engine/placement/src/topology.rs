//! The places of nodes: for each label that somebody asks about, which value each node has, as small numbers.

use std::collections::{BTreeMap, HashMap};

/// What a node without the label has.
pub(crate) const NOWHERE: u32 = u32::MAX;
/// A label with more values than this times the nodes is numbered anew.
const VALUES_PER_NODE_MAX: usize = 4;

/// One label: the number of its value on every node.
#[derive(Debug, Default)]
pub(crate) struct Column {
    values: HashMap<String, u32>,
    of: Vec<u32>,
}

impl Column {
    /// How many numbers are in use.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The number of a node's value, or [`NOWHERE`].
    pub(crate) fn at(&self, slot: usize) -> u32 {
        self.of.get(slot).copied().unwrap_or(NOWHERE)
    }

    fn set(&mut self, slot: usize, value: Option<&String>) {
        let number = match value {
            None => NOWHERE,
            Some(value) => match self.values.get(value) {
                Some(number) => *number,
                None => {
                    let number = self.values.len() as u32;
                    self.values.insert(value.clone(), number);
                    number
                }
            },
        };
        if self.of.len() <= slot {
            self.of.resize(slot + 1, NOWHERE);
        }
        self.of[slot] = number;
    }
}

/// All labels that were asked about.
#[derive(Debug, Default)]
pub(crate) struct Topology {
    by_key: HashMap<String, usize>,
    columns: Vec<Column>,
}

impl Topology {
    /// A node came, changed, or went (`None`).
    pub(crate) fn set(&mut self, slot: usize, labels: Option<&BTreeMap<String, String>>) {
        for (key, index) in &self.by_key {
            self.columns[*index].set(slot, labels.and_then(|labels| labels.get(key)));
        }
    }

    /// The number of a label's column; at first `nodes` are read.
    pub(crate) fn column<'a>(
        &mut self,
        key: &str,
        nodes: impl Iterator<Item = (usize, &'a BTreeMap<String, String>)>,
    ) -> usize {
        let known = self.by_key.get(key).copied();
        if let Some(index) = known
            && self.columns[index].len() <= 64 + VALUES_PER_NODE_MAX * self.columns[index].of.len()
        {
            return index;
        }
        let mut column = Column::default();
        nodes.for_each(|(slot, labels)| column.set(slot, labels.get(key)));
        match known {
            Some(index) => {
                self.columns[index] = column;
                index
            }
            None => {
                self.columns.push(column);
                self.by_key.insert(key.to_owned(), self.columns.len() - 1);
                self.columns.len() - 1
            }
        }
    }

    /// The number of a label's column, if somebody has asked for it.
    pub(crate) fn known(&self, key: &str) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// A column by its number.
    pub(crate) fn get(&self, index: usize) -> &Column {
        &self.columns[index]
    }
}
