//! Which fields differ between two versions of an object.

use crate::{
    field_set::FieldSet,
    identity::Ignored,
    path::{Division, PathElement},
    topology::Topology,
};
use minato_schema::ListType;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The fields that differ.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) added: FieldSet,
    pub(crate) modified: FieldSet,
    pub(crate) removed: FieldSet,
}

impl Comparison {
    /// What differs outside `ignored`.
    pub(crate) fn of(schema: &dyn Topology, ignored: Ignored<'_>, old: &Value, new: &Value) -> Comparison {
        let mut walk = Walk { found: Comparison::default(), path: Vec::new(), ignored };
        walk.compare(Some(schema), Some(old), Some(new));
        walk.found
    }

    /// Fields with another value than before.
    pub(crate) fn changed(&self) -> FieldSet {
        self.added.union(&self.modified)
    }
}

struct Walk<'a> {
    found: Comparison,
    path: Vec<PathElement>,
    ignored: Ignored<'a>,
}

impl Walk<'_> {
    fn compare(&mut self, schema: Option<&dyn Topology>, old: Option<&Value>, new: Option<&Value>) {
        let empty = |value: Option<&Value>| {
            value.is_none_or(|value| {
                value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
            })
        };
        if empty(old) && empty(new) {
            return self.leaf(old, new);
        }
        match (old.map(|old| Division::of(schema, old)), new.map(|new| Division::of(schema, new))) {
            (Some(Division::Object(old)), Some(Division::Object(new))) => self.objects(schema, Some(old), Some(new)),
            (Some(Division::Object(old)), None) => self.objects(schema, Some(old), None),
            (None, Some(Division::Object(new))) => self.objects(schema, None, Some(new)),
            (Some(Division::List { items: old, list_type, schema }), Some(Division::List { items: new, .. })) => {
                self.lists(list_type, schema, old, new)
            }
            (Some(Division::List { items: old, list_type, schema }), None) => self.lists(list_type, schema, old, &[]),
            (None, Some(Division::List { items: new, list_type, schema })) => self.lists(list_type, schema, &[], new),
            _ => return self.leaf(old, new),
        }
        if old.is_none() {
            self.found.added.insert(&self.path);
        } else if new.is_none() {
            self.found.removed.insert(&self.path);
        }
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, Some(_)) => self.found.added.insert(&self.path),
            (Some(_), None) => self.found.removed.insert(&self.path),
            (old, new) if old != new => self.found.modified.insert(&self.path),
            _ => {}
        }
    }

    fn objects(
        &mut self,
        schema: Option<&dyn Topology>,
        old: Option<&Map<String, Value>>,
        new: Option<&Map<String, Value>>,
    ) {
        let names = old.into_iter().flatten().map(|(name, _)| name);
        let more = new
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
            .filter(|name| old.is_none_or(|old| !old.contains_key(*name)));
        for name in names.chain(more) {
            let (old, new) = (old.and_then(|old| old.get(name)), new.and_then(|new| new.get(name)));
            if old == new || self.ignores(name) {
                continue;
            }
            self.step(PathElement::field(name), schema.and_then(|schema| schema.field(name)), old, new);
        }
    }

    fn ignores(&self, name: &str) -> bool {
        match self.path.as_slice() {
            [] => self.ignored.at_top(name),
            [only] => only.as_field() == Some("metadata") && Ignored::in_metadata(name),
            _ => false,
        }
    }

    fn lists(&mut self, list_type: &ListType, schema: Option<&dyn Topology>, old: &[Value], new: &[Value]) {
        let (old, new) = (by_element(list_type, schema, old), by_element(list_type, schema, new));
        for (element, items) in &old {
            self.items(element, schema, items, new.get(element).map_or(&[], Vec::as_slice));
        }
        for (element, items) in new.iter().filter(|(element, _)| !old.contains_key(element)) {
            self.items(element, schema, &[], items);
        }
    }

    /// The items under one element: one, unless the list has duplicates, which then are one field together.
    fn items(&mut self, element: &PathElement, schema: Option<&dyn Topology>, old: &[&Value], new: &[&Value]) {
        match (old, new) {
            ([], [new]) => self.step(element.clone(), schema, None, Some(new)),
            ([old], []) => self.step(element.clone(), schema, Some(old), None),
            ([old], [new]) => self.step(element.clone(), schema, Some(old), Some(new)),
            _ => {
                let all =
                    |items: &[&Value]| (!items.is_empty()).then(|| items.iter().copied().cloned().collect::<Value>());
                self.path.push(element.clone());
                self.leaf(all(old).as_ref(), all(new).as_ref());
                self.path.pop();
            }
        }
    }

    fn step(&mut self, element: PathElement, schema: Option<&dyn Topology>, old: Option<&Value>, new: Option<&Value>) {
        self.path.push(element);
        self.compare(schema, old, new);
        self.path.pop();
    }
}

fn by_element<'a>(
    list_type: &ListType,
    schema: Option<&dyn Topology>,
    items: &'a [Value],
) -> BTreeMap<PathElement, Vec<&'a Value>> {
    let mut found: BTreeMap<PathElement, Vec<&Value>> = BTreeMap::new();
    for item in items {
        if let Ok(element) = PathElement::item(list_type, schema, item) {
            found.entry(element).or_default().push(item);
        }
    }
    found
}
