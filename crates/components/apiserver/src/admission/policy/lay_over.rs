//! Laying an apply configuration over an object: maps merge by key, lists as their type says, the rest is replaced.

use minato_schema::{ListType, Schema};
use serde_json::Value;

/// `object` with all that `configuration` has; nothing is taken away.
pub(super) fn lay_over(schema: Option<&Schema>, object: Value, configuration: Value) -> Value {
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
            let items = schema.and_then(Schema::items);
            match schema.and_then(Schema::list_type) {
                Some(ListType::Map { keys }) => {
                    let same = |a: &Value, b: &Value| keys.iter().all(|key| a.get(&**key) == b.get(&**key));
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
        let schema = minato_schema::builtin("", "v1", "Pod");
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "x"}], "nodeSelector": {"a": "1"}}});
        let change = json!({"spec": {
            "containers": [{"name": "a", "tty": true}, {"name": "b", "image": "y"}], "nodeSelector": {"b": "2"},
        }});
        let expected = json!({"spec": {
            "containers": [{"name": "a", "image": "x", "tty": true}, {"name": "b", "image": "y"}],
            "nodeSelector": {"a": "1", "b": "2"},
        }});
        assert_eq!(lay_over(schema, pod, change), expected);
    }
}
