//! Pruning: what a schema does not specify is dropped.

use serde_json::{Map, Value};

use crate::schema::{Additional, Schema};

/// Removes from `object`, a resource, what `schema` does not specify; returns the paths of what was removed, as
/// `spec.list[0].name`. `apiVersion`, `kind` and `metadata` stay, here and in embedded resources.
pub fn prune(schema: &Schema, object: &mut Value) -> Vec<String> {
    prune_and_visit(schema, object, &mut |_, _| {})
}

/// As [`prune`], and shows the `metadata` of each embedded resource, with its path, to `visit`, which may change it.
pub fn prune_and_visit(schema: &Schema, object: &mut Value, visit: &mut dyn FnMut(&str, &mut Value)) -> Vec<String> {
    let mut walk = Walk { path: String::new(), removed: Vec::new(), visit };
    walk.value(Some(schema), object, true);
    walk.removed
}

struct Walk<'a> {
    path: String,
    removed: Vec<String>,
    visit: &'a mut dyn FnMut(&str, &mut Value),
}

impl Walk<'_> {
    fn value(&mut self, schema: Option<&Schema>, value: &mut Value, resource: bool) {
        match value {
            Value::Object(fields) => self.object(schema, fields, resource),
            Value::Array(items) => {
                if schema.is_some_and(|schema| schema.preserve_unknown && schema.items.is_none()) {
                    return;
                }
                let schema = schema.and_then(|schema| schema.items.as_deref());
                for (index, item) in items.iter_mut().enumerate() {
                    let length = self.path.len();
                    self.path.push_str(&format!("[{index}]"));
                    self.value(schema, item, schema.is_some_and(|schema| schema.embedded));
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
    }

    fn object(&mut self, schema: Option<&Schema>, fields: &mut Map<String, Value>, resource: bool) {
        let length = self.path.len();
        fields.retain(|name, value| {
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(name);
            let stays = self.field(schema, (name, value), resource, length == 0);
            self.path.truncate(length);
            stays
        });
    }

    /// Whether the field at the path stays.
    fn field(
        &mut self,
        schema: Option<&Schema>,
        (name, value): (&str, &mut Value),
        resource: bool,
        outermost: bool,
    ) -> bool {
        if resource && matches!(name, "apiVersion" | "kind" | "metadata") {
            if name == "metadata" && !outermost {
                (self.visit)(&self.path, value);
            }
            return true;
        }
        let field = schema.and_then(|schema| schema.field(name));
        let preserved = schema.is_some_and(|schema| schema.preserve_unknown);
        match (field, schema.and_then(|schema| schema.additional.as_ref())) {
            (Some(field), _) => {
                self.value(Some(field), value, field.embedded);
                true
            }
            _ if preserved => true,
            (None, Some(Additional::Any(_))) => {
                self.value(None, value, false);
                true
            }
            _ => {
                self.removed.push(self.path.clone());
                false
            }
        }
    }
}
