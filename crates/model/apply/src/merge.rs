//! Laying a configuration over an object.

use crate::{
    path::{Division, Path, PathElement},
    topology::Topology,
};
use minato_schema::ListType;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) path: Path,
    pub(crate) reason: String,
}

/// Checks that the items of every list of a configuration can be told apart.
pub(crate) fn check(schema: Option<&dyn Topology>, value: &Value) -> Result<(), Malformed> {
    let at = |element: PathElement| {
        move |mut inner: Malformed| {
            inner.path.0.insert(0, element);
            inner
        }
    };
    let here = |reason: String| Malformed { path: Path::default(), reason };
    match Division::of(schema, value) {
        Division::Leaf => Ok(()),
        Division::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            check(schema.and_then(|schema| schema.field(name)), value).map_err(at(PathElement::field(name)))
        }),
        Division::List { items, list_type, schema } => {
            let mut seen = HashSet::new();
            for (index, item) in items.iter().enumerate() {
                let element = PathElement::item(list_type, schema, item)
                    .map_err(|error| here(format!("element {index}: {error}")))?;
                if !seen.insert(element.clone()) {
                    return Err(here(format!("duplicate entries for key {element}")));
                }
                check(schema, item).map_err(at(element))?;
            }
            Ok(())
        }
    }
}

/// The object with the configuration laid over it: the configuration has precedence, nothing is taken away.
pub(crate) fn merge(schema: Option<&dyn Topology>, live: Value, config: Value) -> Value {
    let divides = !matches!(Division::of(schema, &live), Division::Leaf);
    match (live, config) {
        (Value::Object(live), Value::Object(config)) if divides => Value::Object(objects(schema, live, config)),
        (Value::Array(live), Value::Array(config)) if divides => {
            let items = schema.and_then(|schema| schema.items());
            match schema.and_then(|schema| schema.list_type()) {
                Some(list_type) => Value::Array(lists(list_type, items, live, config)),
                None => Value::Array(config),
            }
        }
        (_, config) => config,
    }
}

fn objects(
    schema: Option<&dyn Topology>,
    mut live: Map<String, Value>,
    config: Map<String, Value>,
) -> Map<String, Value> {
    for (name, value) in config {
        let merged = match live.remove(&name) {
            Some(before) => merge(schema.and_then(|schema| schema.field(&name)), before, value),
            None => value,
        };
        live.insert(name, merged);
    }
    live
}

/// Merges lists whose items have an identity. The configuration's items keep its order, the object's own items stay
/// where they were among those that both have.
fn lists(list_type: &ListType, schema: Option<&dyn Topology>, live: Vec<Value>, config: Vec<Value>) -> Vec<Value> {
    let element = |item: &Value| PathElement::item(list_type, schema, item).ok();
    let config: Vec<(Option<PathElement>, Value)> = config.into_iter().map(|item| (element(&item), item)).collect();
    let live: Vec<(Option<PathElement>, Value)> = live.into_iter().map(|item| (element(&item), item)).collect();
    let in_config: HashSet<PathElement> = config.iter().filter_map(|(element, _)| element.clone()).collect();
    let mut in_live: HashMap<PathElement, Value> = HashMap::new();
    for (element, item) in &live {
        if let Some(element) = element.as_ref().filter(|element| in_config.contains(element)) {
            in_live.entry(element.clone()).or_insert_with(|| item.clone());
        }
    }
    let shared: Vec<PathElement> = config
        .iter()
        .filter_map(|(element, _)| element.clone().filter(|element| in_live.contains_key(element)))
        .collect();
    let mut next_shared = shared.into_iter().peekable();
    let mut merged_already = HashSet::new();
    let (mut live, mut config) = (live.into_iter().peekable(), config.into_iter().peekable());
    let mut merged = Vec::new();
    loop {
        if let Some((own, _)) = live.peek() {
            let own_is_shared = own.as_ref().is_some_and(|own| in_config.contains(own));
            let wanted_now = match config.peek() {
                Some((wanted, _)) => own.is_some() && own == wanted,
                None => false,
            };
            if !own_is_shared {
                merged.extend(live.next().map(|(_, item)| item));
                continue;
            }
            let done = own.as_ref().is_some_and(|own| merged_already.contains(own));
            let out_of_turn = next_shared.peek().is_some_and(|next| Some(next) != own.as_ref());
            if done || (!wanted_now && out_of_turn) {
                live.next();
                continue;
            }
            if wanted_now {
                live.next();
            }
        }
        let Some((element, item)) = config.next() else { break };
        if next_shared.peek() == element.as_ref() {
            next_shared.next();
        }
        let before = element.as_ref().and_then(|element| in_live.remove(element));
        merged_already.extend(element);
        merged.push(match before {
            Some(before) => merge(schema, before, item),
            None => item,
        });
    }
    merged
}
