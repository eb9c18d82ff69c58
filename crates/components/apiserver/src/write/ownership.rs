//! `metadata.managedFields`: who is noted for what by writes that are no apply.

use jiff::Timestamp;
use minato_apply::Track;
use minato_kinds::Subresource;
use serde_json::Value;

use super::{Target, UpdateKind};
use crate::object;

/// The field manager of the server's own writes.
pub(super) const SERVER: &str = "kube-apiserver";

impl Target<'_> {
    /// Notes in `new` who changed what of `live`, or created it. What cannot be noted keeps no write from happening.
    pub(super) fn note_owner(&self, kind: UpdateKind, live: Option<&Value>, new: &mut Value) {
        // What the server does at a subresource, such as binding, is nobody's wish for the object's fields.
        if self.field_manager.is_empty() || kind == UpdateKind::Part {
            return;
        }
        let resource = self.resource;
        let Some(topology) = resource.topology() else { return };
        let now = object::time(Timestamp::now());
        let reset = reset_fields(kind, resource.declaration.has_status(), new);
        let reset: Vec<&str> = reset.iter().map(AsRef::as_ref).collect();
        let write = Track {
            manager: self.field_manager,
            api_version: &resource.api_version,
            subresource: self.subresource,
            now: now.as_str().unwrap_or_default(),
            reset: &reset,
        };
        if resource.shows_stored() {
            return minato_apply::track(topology, live, new, &write);
        }
        // The fields are those of the version in which the client wrote.
        let shown = |object: &Value| {
            let mut object = object.clone();
            resource.declaration.to_version(&mut object, &resource.api_version);
            object
        };
        let mut written = shown(new);
        minato_apply::track(topology, live.map(shown).as_ref(), &mut written, &write);
        let metadata = object::metadata(new);
        match written["metadata"]["managedFields"].take() {
            Value::Null => drop(metadata.remove("managedFields")),
            entries => drop(metadata.insert("managedFields".to_owned(), entries)),
        }
    }
}

/// The top-level fields that a write of `kind` cannot change, whatever `object` says of them.
pub(crate) fn reset_fields(kind: UpdateKind, has_status: bool, object: &Value) -> Vec<Box<str>> {
    match kind {
        UpdateKind::Status => {
            let fields = object.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
            fields.filter(|name| !matches!(*name, "metadata" | "status")).map(Box::from).collect()
        }
        UpdateKind::Subresource(Subresource::Approval) => vec!["spec".into()],
        _ if has_status => vec!["status".into()],
        _ => Vec::new(),
    }
}

/// Whether two versions of an object differ in nothing, but perhaps in when managers last changed their fields.
pub(super) fn same_but_for_times(new: &Value, old: &Value) -> bool {
    let (Value::Object(new), Value::Object(old)) = (new, old) else { return new == old };
    new.len() == old.len()
        && new.iter().all(|(name, value)| match (name.as_str(), old.get(name)) {
            ("metadata", Some(old)) => same_metadata(value, old),
            (_, old) => old == Some(value),
        })
}

fn same_metadata(new: &Value, old: &Value) -> bool {
    let (Value::Object(new), Value::Object(old)) = (new, old) else { return new == old };
    new.len() == old.len()
        && new.iter().all(|(name, value)| match (name.as_str(), value, old.get(name)) {
            ("managedFields", Value::Array(new), Some(Value::Array(old))) => {
                new.len() == old.len() && new.iter().zip(old).all(|(new, old)| same_entry(new, old))
            }
            (_, value, old) => old == Some(value),
        })
}

fn same_entry(new: &Value, old: &Value) -> bool {
    let (Value::Object(new), Value::Object(old)) = (new, old) else { return new == old };
    new.iter().all(|(name, value)| name == "time" || old.get(name) == Some(value))
        && old.keys().all(|name| new.contains_key(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_of_managers_alone_make_no_difference() {
        let object = |time: &str, manager: &str, data: &str| json!({"metadata": {"name": "a", "managedFields": [{"manager": manager, "time": time}]}, "data": data});
        assert!(same_but_for_times(&object("1", "m", "d"), &object("2", "m", "d")));
        assert!(!same_but_for_times(&object("1", "m", "d"), &object("1", "n", "d")));
        assert!(!same_but_for_times(&object("1", "m", "d"), &object("1", "m", "e")));
        assert!(!same_but_for_times(&json!({"metadata": {"name": "a"}, "data": "d"}), &object("1", "m", "d")));
    }
}
