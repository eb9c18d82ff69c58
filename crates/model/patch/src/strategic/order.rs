//! In which order the items of a merged list stand.
//!
//! The items that the patch names keep the patch's order, all others keep the document's, and the two are interleaved
//! as the document had them, as far as that is possible.

use super::{
    directive::{DELETE, DIRECTIVE},
    patch_of,
};
use crate::error::PatchError;
use minato_schema::Schema;
use serde_json::Value;
use std::collections::HashMap;

/// What tells the items of a list apart.
pub(super) enum Identity {
    /// The value of this field.
    Key(String),
    /// The item as a whole.
    Itself,
}

impl Identity {
    pub(super) fn of(field: Option<&Schema>) -> Identity {
        match patch_of(field).and_then(|facts| facts.merge_key.as_deref()) {
            Some(key) => Identity::Key(key.to_owned()),
            None => Identity::Itself,
        }
    }

    fn value<'a>(&self, item: &'a Value) -> Result<&'a Value, PatchError> {
        match self {
            Identity::Key(key) => key_of(item, key),
            Identity::Itself => Ok(item),
        }
    }

    /// The first place of each item.
    fn places<'a>(&self, items: &'a [Value]) -> Result<HashMap<&'a Value, usize>, PatchError> {
        let mut places = HashMap::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            places.entry(self.value(item)?).or_insert(place);
        }
        Ok(places)
    }
}

/// The value of an item's merge key.
pub(super) fn key_of<'a>(item: &'a Value, key: &str) -> Result<&'a Value, PatchError> {
    item.get(key).ok_or_else(|| PatchError::NoMergeKey { map: item.clone(), key: key.to_owned() })
}

/// Checks that the items of a patch's list appear, in their order, in its `$setElementOrder`.
pub(super) fn check(patch: &[Value], wanted: &[Value], identity: &Identity) -> Result<(), PatchError> {
    let deletes = |item: &&Value| item.get(DIRECTIVE).is_some_and(|directive| directive == DELETE);
    let replaces = |item: &&Value| item.get(DIRECTIVE).is_some() && !deletes(item);
    let mut wanted_values = wanted.iter();
    for item in patch.iter().filter(|item| !deletes(item) && !replaces(item)) {
        let value = identity.value(item)?;
        if !wanted_values.any(|candidate| identity.value(candidate).is_ok_and(|candidate| candidate == value)) {
            let (patch, order) = (Value::from(patch), Value::from(wanted));
            return Err(PatchError::OrderMismatch { patch, order });
        }
    }
    Ok(())
}

/// Brings `merged` into order: items in `wanted` as they stand there, the others as they stand in `before`.
pub(super) fn enforce(
    merged: Vec<Value>,
    wanted: &[Value],
    before: &[Value],
    identity: &Identity,
) -> Result<Vec<Value>, PatchError> {
    let wanted = identity.places(wanted)?;
    let before = identity.places(before)?;
    let (mut named, mut others) = (Vec::new(), Vec::new());
    for item in merged {
        let value = identity.value(&item)?;
        let place_before = before.get(value).copied();
        match wanted.get(value) {
            Some(place) => named.push((*place, place_before, item)),
            None => others.push((place_before.unwrap_or(usize::MAX), place_before, item)),
        }
    }
    named.sort_by_key(|(place, ..)| *place);
    others.sort_by_key(|(place, ..)| *place);
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    let mut ordered = Vec::new();
    loop {
        let next = match (others.peek(), named.peek()) {
            (Some((_, Some(other), _)), Some((_, Some(named_before), _))) if other < named_before => others.next(),
            (_, Some(_)) => named.next(),
            (Some(_), None) => others.next(),
            (None, None) => return Ok(ordered),
        };
        ordered.extend(next.map(|(.., item)| item));
    }
}
