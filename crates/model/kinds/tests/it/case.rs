//! One valid object, edited, and what the API says to that.

use minato_kinds::{Declaration, FieldError, by_resource};
use serde_json::{Value, json};

/// The time of all tests.
pub(crate) fn now() -> jiff::Timestamp {
    jiff::Timestamp::UNIX_EPOCH
}

/// The kind served under `apps/deployments` or `pods`.
pub(crate) fn kind(path: &str) -> &'static Declaration {
    let (group, resource) = path.rsplit_once('/').unwrap_or(("", path));
    by_resource(group, resource).unwrap_or_else(|| panic!("no kind {path}"))
}

/// Sets, adds or (with `null`) removes what a JSON pointer names. Missing parents are made.
pub(crate) fn edit(object: &mut Value, pointer: &str, value: Value) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let mut at = object;
    for name in parent.split('/').skip(1) {
        at = match at {
            Value::Array(items) => &mut items[name.parse::<usize>().unwrap()],
            Value::Object(fields) => fields.entry(name.replace("~1", "/")).or_insert_with(|| json!({})),
            other => panic!("{pointer}: {other} has no parts"),
        };
    }
    match at {
        Value::Array(items) => {
            let index = last.parse::<usize>().unwrap();
            if index < items.len() { items[index] = value } else { items.push(value) }
        }
        Value::Object(fields) => {
            let last = last.replace("~1", "/");
            if value.is_null() {
                fields.remove(&last);
            } else {
                fields.insert(last, value);
            }
        }
        other => panic!("{pointer}: {other} has no parts"),
    }
}

/// `base` with edits.
pub(crate) fn edited(base: &Value, edits: Edits<'_>) -> Value {
    let mut object = base.clone();
    for (pointer, value) in edits {
        edit(&mut object, pointer, value.clone());
    }
    object
}

/// The object as it is just before it is stored for the first time.
pub(crate) fn created(kind: &Declaration, object: &Value) -> Value {
    let mut object = object.clone();
    kind.to_storage(&mut object);
    kind.default(&mut object);
    let once = object.clone();
    kind.default(&mut object);
    assert_eq!(object, once, "defaults of {kind:?} are idempotent");
    kind.prepare_for_create(&mut object, now());
    object
}

fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// What the API says to a new object.
pub(crate) fn create_errors(kind: &Declaration, object: &Value) -> Vec<String> {
    texts(&kind.validate(&created(kind, object)))
}

/// What the API says to a change of `old` to `new`.
pub(crate) fn update_errors(kind: &Declaration, old: &Value, new: &Value) -> Vec<String> {
    let old = created(kind, old);
    let mut new = new.clone();
    kind.to_storage(&mut new);
    kind.default(&mut new);
    kind.prepare_for_update(&mut new, &old);
    texts(&kind.validate_update(&new, &old))
}

/// What the API says to a change of the status.
pub(crate) fn status_errors(kind: &Declaration, old: &Value, new: &Value) -> Vec<String> {
    let mut old_stored = created(kind, old);
    if let Some(status) = old.get("status") {
        old_stored["status"] = status.clone();
    }
    let mut new = new.clone();
    kind.default(&mut new);
    kind.prepare_for_status_update(&mut new, &old_stored);
    texts(&kind.validate_status_update(&new, &old_stored))
}

/// Values by JSON pointer.
pub(crate) type Edits<'a> = &'a [(&'a str, Value)];

/// A table of edits to one base object, each with the complaints it must bring.
pub(crate) struct Table {
    pub(crate) kind: &'static str,
    pub(crate) base: Value,
}

impl Table {
    /// One case of creation.
    pub(crate) fn create(&self, edits: Edits<'_>, expected: &[&str]) {
        let errors = create_errors(kind(self.kind), &edited(&self.base, edits));
        assert_eq!(errors, expected, "create {} with {edits:?}", self.kind);
    }

    /// One case of update, from the base.
    pub(crate) fn update(&self, edits: Edits<'_>, expected: &[&str]) {
        self.update_from(&[], edits, expected);
    }

    /// One case of update, from the base with `old_edits`.
    pub(crate) fn update_from(&self, old_edits: Edits<'_>, edits: Edits<'_>, expected: &[&str]) {
        let old = edited(&self.base, old_edits);
        let errors = update_errors(kind(self.kind), &old, &edited(&old, edits));
        assert_eq!(errors, expected, "update {} with {edits:?}", self.kind);
    }

    /// Checks that the object, made, has these values at these pointers (`null`: not there).
    pub(crate) fn defaults(&self, edits: Edits<'_>, expected: &[(&str, Value)]) {
        let object = created(kind(self.kind), &edited(&self.base, edits));
        for (pointer, value) in expected {
            let found = object.pointer(pointer).cloned().unwrap_or(Value::Null);
            assert_eq!(found, *value, "{pointer} of {} with {edits:?}", self.kind);
        }
    }
}
