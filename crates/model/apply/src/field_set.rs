//! Sets of fields, and the `FieldsV1` form of them.

use crate::{
    identity::Ignored,
    path::{Division, Path, PathElement, is_named},
    topology::Topology,
};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A set of fields of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet {
    members: BTreeSet<PathElement>,
    children: BTreeMap<PathElement, FieldSet>,
}

impl FieldSet {
    /// The fields that a value has. Structs are not members themselves, only what is in them; entries of maps and
    /// items of lists are.
    pub fn of(schema: Option<&dyn Topology>, value: &Value) -> FieldSet {
        let mut set = FieldSet::default();
        match Division::of(schema, value) {
            Division::Leaf => {}
            Division::Object(fields) => {
                for (name, value) in fields {
                    let inner = schema.and_then(|schema| schema.field(name));
                    let element = PathElement::field(name);
                    let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                    if empty || !is_named(schema, name) || matches!(Division::of(inner, value), Division::Leaf) {
                        set.members.insert(element.clone());
                    }
                    set.put_child(element, FieldSet::of(inner, value));
                }
            }
            Division::List { items, list_type, schema } => {
                for item in items {
                    let Ok(element) = PathElement::item(list_type, schema, item) else { continue };
                    set.members.insert(element.clone());
                    set.put_child(element, FieldSet::of(schema, item));
                }
            }
        }
        set
    }

    fn put_child(&mut self, element: PathElement, child: FieldSet) {
        if !child.is_empty() {
            let known = self.children.entry(element).or_default();
            *known = known.union(&child);
        }
    }

    /// Whether no field is in the set.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(FieldSet::is_empty)
    }

    /// Adds the field at `path`.
    pub fn insert(&mut self, path: &[PathElement]) {
        match path {
            [] => {}
            [last] => drop(self.members.insert(last.clone())),
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// Whether the element itself is in the set.
    pub(crate) fn has(&self, element: &PathElement) -> bool {
        self.members.contains(element)
    }

    /// The fields below an element.
    pub(crate) fn below(&self, element: &PathElement) -> Option<&FieldSet> {
        self.children.get(element).filter(|child| !child.is_empty())
    }

    /// Fields in either set.
    pub fn union(&self, other: &FieldSet) -> FieldSet {
        let mut children = self.children.clone();
        for (element, theirs) in &other.children {
            let merged = children.get(element).map_or_else(|| theirs.clone(), |ours| ours.union(theirs));
            children.insert(element.clone(), merged);
        }
        FieldSet { members: &self.members | &other.members, children }
    }

    /// Fields in both sets.
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        let children = self.children.iter().filter_map(|(element, ours)| {
            let both = ours.intersection(other.children.get(element)?);
            (!both.is_empty()).then(|| (element.clone(), both))
        });
        FieldSet { members: &self.members & &other.members, children: children.collect() }
    }

    /// Fields in this set and not in the other.
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        let children = self.children.iter().filter_map(|(element, ours)| {
            let rest = other.children.get(element).map_or_else(|| ours.clone(), |theirs| ours.difference(theirs));
            (!rest.is_empty()).then(|| (element.clone(), rest))
        });
        FieldSet { members: &self.members - &other.members, children: children.collect() }
    }

    /// The fields of an object that somebody may own.
    pub(crate) fn without(mut self, ignored: Ignored<'_>) -> FieldSet {
        let at_top = |element: &PathElement| element.as_field().is_none_or(|name| !ignored.at_top(name));
        self.members.retain(at_top);
        self.children.retain(|element, _| at_top(element));
        if let Some(metadata) = self.children.get_mut(&PathElement::field("metadata")) {
            let kept = |element: &PathElement| element.as_field().is_none_or(|name| !Ignored::in_metadata(name));
            metadata.members.retain(kept);
            metadata.children.retain(|element, _| kept(element));
        }
        self.children.retain(|_, below| !below.is_empty());
        self
    }

    /// Takes the fields of this set out of an object in `FieldsV1`'s form.
    pub(crate) fn subtract_from(&self, fields: &mut Map<String, Value>) {
        for element in &self.members {
            if let Some(Value::Object(field)) = fields.get_mut(element.as_str())
                && (field.is_empty() || field.remove(".").is_some())
                && field.is_empty()
            {
                fields.remove(element.as_str());
            }
        }
        for (element, below) in &self.children {
            let Some(Value::Object(field)) = fields.get_mut(element.as_str()) else { continue };
            let itself = field.is_empty() || field.remove(".").is_some();
            below.subtract_from(field);
            match (itself, field.is_empty()) {
                (true, false) => drop(field.insert(".".to_owned(), Value::Object(Map::new()))),
                (false, true) => drop(fields.remove(element.as_str())),
                _ => {}
            }
        }
    }

    /// Adds the fields of this set to an object in `FieldsV1`'s form.
    pub(crate) fn add_to(&self, fields: &mut Map<String, Value>) {
        let empty = || Value::Object(Map::new());
        for element in &self.members {
            if let Value::Object(field) = fields.entry(element.as_str()).or_insert_with(empty)
                && !field.is_empty()
            {
                field.insert(".".to_owned(), empty());
            }
        }
        for (element, below) in self.children.iter().filter(|(_, below)| !below.is_empty()) {
            let known = fields.get(element.as_str()).is_some();
            if let Value::Object(field) = fields.entry(element.as_str()).or_insert_with(empty) {
                if known && field.is_empty() {
                    field.insert(".".to_owned(), empty());
                }
                below.add_to(field);
            }
        }
    }

    /// This set with the structs on the way to its members: `spec` for `spec.replicas`.
    pub(crate) fn with_named_fields(&self, schema: Option<&dyn Topology>) -> FieldSet {
        let mut members = self.members.clone();
        let named = |element: &PathElement| element.as_field().is_some_and(|name| is_named(schema, name));
        members.extend(self.children.keys().filter(|element| named(element)).cloned());
        let children = self.children.iter().map(|(element, child)| {
            let inner = match element.as_field() {
                Some(name) => schema.and_then(|schema| schema.field(name)),
                None => schema.and_then(|schema| schema.items()),
            };
            (element.clone(), child.with_named_fields(inner))
        });
        FieldSet { members, children: children.collect() }
    }

    /// The path of every member.
    pub fn paths(&self) -> Vec<Path> {
        let mut found = Vec::new();
        self.collect_paths(&mut Vec::new(), &mut found);
        found
    }

    fn collect_paths(&self, prefix: &mut Vec<PathElement>, found: &mut Vec<Path>) {
        for element in self.members.iter().chain(self.children.keys().filter(|key| !self.members.contains(key))) {
            prefix.push(element.clone());
            if self.members.contains(element) {
                found.push(Path(prefix.clone()));
            }
            if let Some(child) = self.children.get(element) {
                child.collect_paths(prefix, found);
            }
            prefix.pop();
        }
    }

    /// `FieldsV1`'s form.
    pub fn to_fields_v1(&self) -> Value {
        let mut fields = Map::new();
        for element in &self.members {
            fields.insert(element.as_str().to_owned(), Value::Object(Map::new()));
        }
        for (element, child) in self.children.iter().filter(|(_, child)| !child.is_empty()) {
            let mut inner = child.to_fields_v1();
            if let (true, Value::Object(inner)) = (self.members.contains(element), &mut inner) {
                inner.insert(".".to_owned(), Value::Object(Map::new()));
            }
            fields.insert(element.as_str().to_owned(), inner);
        }
        Value::Object(fields)
    }

    /// Reads `FieldsV1`'s form; `None` if it is malformed.
    pub fn from_fields_v1(fields: &Value) -> Option<FieldSet> {
        let mut set = FieldSet::default();
        for (key, inner) in fields.as_object()?.iter().filter(|(key, _)| *key != ".") {
            let element = PathElement::parse(key)?;
            let below = inner.as_object()?;
            if below.is_empty() || below.contains_key(".") {
                set.members.insert(element.clone());
            }
            let child = FieldSet::from_fields_v1(inner)?;
            if !child.is_empty() {
                set.children.insert(element, child);
            }
        }
        Some(set)
    }
}

#[cfg(test)]
mod tests;
