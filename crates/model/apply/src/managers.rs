//! `metadata.managedFields`: who owns which fields.

use crate::{field_set::FieldSet, track::Track};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fmt};

/// How a manager came to own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// By applying a configuration.
    Apply,
    /// By any other write.
    Update,
}

impl Operation {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

/// Somebody who owns fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Manager {
    /// The `fieldManager` of the request.
    pub name: String,
    /// How it writes.
    pub operation: Operation,
    /// The `apiVersion` that it writes by `Update`; one that applies is the same in all versions.
    pub api_version: Option<String>,
    /// The subresource that it writes to; empty for the object itself.
    pub subresource: String,
}

/// As conflicts name managers: `"kubectl" with subresource "scale" using apps/v1`.
impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name)?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {:?}", self.subresource)?;
        }
        match &self.api_version {
            Some(api_version) if self.operation == Operation::Update => write!(f, " using {api_version}"),
            _ => Ok(()),
        }
    }
}

/// What a manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// The fields.
    pub fields: FieldSet,
    /// The `apiVersion` in whose terms they are.
    pub api_version: String,
    /// When they last changed, RFC 3339.
    pub time: Option<String>,
}

/// All managers of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Managers(pub BTreeMap<Manager, Ownership>);

/// How many managers may own fields by `Update`; beyond, the oldest become one.
pub(crate) const UPDATERS_MAX: usize = 10;
const ANCIENT: &str = "ancient-changes";

impl Managers {
    /// Reads the managers of an object; `None` if what it says is malformed.
    pub fn of(object: &Value) -> Option<Managers> {
        match object.pointer("/metadata/managedFields") {
            Some(entries) => Managers::read(entries.as_array()?),
            None => Some(Managers::default()),
        }
    }

    /// Reads entries; `None` if one is malformed.
    pub(crate) fn read(entries: &[Value]) -> Option<Managers> {
        let mut managers = Managers::default();
        for entry in entries {
            let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let operation = match text("operation").as_str() {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            };
            let api_version = text("apiVersion");
            let empty = json!({});
            let fields = FieldSet::from_fields_v1(entry.get("fieldsV1").unwrap_or(&empty))?;
            let manager = Manager {
                name: text("manager"),
                operation,
                api_version: (operation == Operation::Update).then(|| api_version.clone()),
                subresource: text("subresource"),
            };
            let time = entry.get("time").and_then(Value::as_str).map(str::to_owned);
            managers.0.insert(manager, Ownership { fields, api_version, time });
        }
        Some(managers)
    }

    /// Writes the managers to an object, those that apply first, then by age.
    pub fn write(&self, object: &mut Value) {
        let mut entries = self.entries();
        entries.sort_by(|a, b| order(a).cmp(&order(b)));
        let Value::Object(object) = object else { return };
        let metadata = object.entry("metadata").or_insert_with(|| json!({}));
        let Value::Object(metadata) = metadata else { return };
        if entries.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), entries.into());
        }
    }

    /// The entries, in no order that matters.
    pub(crate) fn entries(&self) -> Vec<Value> {
        self.0.iter().map(|(manager, ownership)| entry(manager, ownership)).collect()
    }

    /// Puts the oldest managers that own by `Update` together when there are too many.
    pub(crate) fn cap(&mut self) {
        let mut updaters: Vec<(Option<String>, Manager)> = self
            .0
            .iter()
            .filter(|(manager, _)| manager.operation == Operation::Update)
            .map(|(manager, ownership)| (ownership.time.clone(), manager.clone()))
            .collect();
        if updaters.len() <= UPDATERS_MAX {
            return;
        }
        updaters.sort();
        let surplus = updaters.len() - UPDATERS_MAX;
        for (_, manager) in updaters.into_iter().take(surplus + 1) {
            let Some(ownership) = self.0.remove(&manager) else { continue };
            let ancient = Manager { name: ANCIENT.to_owned(), subresource: String::new(), ..manager };
            match self.0.get_mut(&ancient) {
                Some(known) => known.fields = known.fields.union(&ownership.fields),
                None => drop(self.0.insert(ancient, ownership)),
            }
        }
    }

    /// Everything that somebody owns.
    pub(crate) fn all_fields(&self) -> FieldSet {
        self.0.values().fold(FieldSet::default(), |all, ownership| all.union(&ownership.fields))
    }

    /// Everybody but those that own nothing any more.
    pub(crate) fn drop_empty(&mut self) {
        self.0.retain(|_, ownership| !ownership.fields.is_empty());
    }
}

fn entry(manager: &Manager, ownership: &Ownership) -> Value {
    let mut entry = Map::from_iter([
        ("manager".to_owned(), Value::from(manager.name.as_str())),
        ("operation".to_owned(), manager.operation.as_str().into()),
        ("apiVersion".to_owned(), ownership.api_version.as_str().into()),
        ("fieldsType".to_owned(), "FieldsV1".into()),
        ("fieldsV1".to_owned(), ownership.fields.to_fields_v1()),
    ]);
    if let Some(time) = &ownership.time {
        entry.insert("time".to_owned(), time.as_str().into());
    }
    if !manager.subresource.is_empty() {
        entry.insert("subresource".to_owned(), manager.subresource.as_str().into());
    }
    Value::Object(entry)
}

/// An entry for what `write` changed.
pub(crate) fn entry_of(write: &Track<'_>, fields: Value) -> Value {
    let mut entry = Map::new();
    let texts = [
        ("manager", write.manager),
        ("operation", Operation::Update.as_str()),
        ("apiVersion", write.api_version),
        ("time", write.now),
        ("fieldsType", "FieldsV1"),
        ("subresource", write.subresource),
    ];
    for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        entry.insert(key.to_owned(), text.into());
    }
    entry.insert("fieldsV1".to_owned(), fields);
    Value::Object(entry)
}

/// By what entries are sorted: those that apply first, then by age.
pub(crate) fn order(entry: &Value) -> [&str; 5] {
    ["operation", "time", "manager", "apiVersion", "subresource"]
        .map(|key| entry.get(key).and_then(Value::as_str).unwrap_or_default())
}

/// Takes the managers out of an object.
pub(crate) fn strip(object: &mut Value) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("managedFields");
    }
}
