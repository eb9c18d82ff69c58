//! Laying an apply configuration over an object: maps merge by key, lists as their type says, the rest is replaced.

use minato_apply::Topology;
use minato_schema::ListType;
use serde_json::Value;

/// The paths of what `configuration` has that is one field as a whole: laid over the object's, it would take away what
/// the configuration does not say.
pub(super) fn atomics(schema: &dyn Topology, configuration: &Value) -> Vec<String> {
    let mut found = Vec::new();
    find_atomics(schema, configuration, &mut String::new(), &mut found);
    found
}

fn find_atomics(schema: &dyn Topology, value: &Value, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    match value {
        Value::Object(_) if schema.is_atomic() => found.push(path.clone()),
        Value::Object(fields) => {
            for (key, value) in fields {
                if let Some(inner) = schema.field(key) {
                    path.push('.');
                    path.push_str(key);
                    find_atomics(inner, value, path, found);
                    path.truncate(length);
                }
            }
        }
        Value::Array(items) => match (schema.list_type(), schema.items()) {
            (Some(ListType::Map { .. }), Some(inner)) => {
                for (index, value) in items.iter().enumerate() {
                    path.push_str(&format!("[{index}]"));
                    find_atomics(inner, value, path, found);
                    path.truncate(length);
                }
            }
            (Some(ListType::Map { .. } | ListType::Set), _) => {}
            _ => found.push(path.clone()),
        },
        _ => {}
    }
}

/// `object` with all that `configuration` has; nothing is taken away.
pub(super) fn lay_over(schema: Option<&dyn Topology>, object: Value, configuration: Value) -> Value {
    match (object, configuration) {
        (Value::Object(mut object), Value::Object(configuration)) => {
            for (key, value) in configuration {
                let inner = schema.and_then(|schema| schema.field(&key));
                let merged = match object.remove(&key) {
                    Some(have) => lay_over(inner, have, value),
                    None => value,
                };
                object.insert(key, merged);
            }
            Value::Object(object)
        }
        (Value::Array(have), Value::Array(configuration)) => {
            let items = schema.and_then(Topology::items);
            match schema.and_then(Topology::list_type) {
                Some(ListType::Map { keys }) => {
                    let of = |item: &Value, key: &str| {
                        let default = || items.and_then(|items| items.field(key)).and_then(Topology::default);
                        item.get(key).or_else(default).cloned()
                    };
                    let same = |a: &Value, b: &Value| keys.iter().all(|key| of(a, key) == of(b, key));
                    by(have, configuration, same, |old, new| lay_over(items, old, new))
                }
                Some(ListType::Set) => by(have, configuration, |a, b| a == b, |old, _| old),
                _ => Value::Array(configuration),
            }
        }
        (_, configuration) => configuration,
    }
}

fn by(
    mut items: Vec<Value>,
    configuration: Vec<Value>,
    same: impl Fn(&Value, &Value) -> bool,
    merge: impl Fn(Value, Value) -> Value,
) -> Value {
    for new in configuration {
        match items.iter().position(|have| same(have, &new)) {
            Some(place) => {
                let old = std::mem::take(&mut items[place]);
                items[place] = merge(old, new);
            }
            None => items.push(new),
        }
    }
    Value::Array(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_merge_by_their_keys() {
        let schema = minato_schema::builtin("", "v1", "Pod").map(|schema| schema as &dyn Topology);
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "x"}], "overhead": {"a": "1"}}});
        let change = json!({"spec": {
            "containers": [{"name": "a", "tty": true}, {"name": "b", "image": "y"}], "overhead": {"b": "2"},
        }});
        let expected = json!({"spec": {
            "containers": [{"name": "a", "image": "x", "tty": true}, {"name": "b", "image": "y"}],
            "overhead": {"a": "1", "b": "2"},
        }});
        assert_eq!(lay_over(schema, pod, change.clone()), expected);
        let found = |change: &Value| schema.map(|schema| atomics(schema, change)).unwrap_or_default();
        assert!(found(&change).is_empty());
        let whole = json!({"spec": {"nodeSelector": {"a": "b"}, "containers": [{"name": "a", "args": ["x"]}]}});
        let mut paths = found(&whole);
        paths.sort();
        assert_eq!(paths, [".spec.containers[0].args", ".spec.nodeSelector"]);
    }
}
