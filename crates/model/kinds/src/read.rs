//! Reading objects as Go's structs would be read: what is absent, `null` or of another type is the zero value.

use serde_json::{Map, Value};

/// Zero-value readers for JSON.
pub(crate) trait Read {
    /// The property, unless absent or `null`.
    fn at(&self, name: &str) -> Option<&Value>;
    /// The string, or `""`.
    fn text(&self, name: &str) -> &str;
    /// The string, if there is one.
    fn text_if(&self, name: &str) -> Option<&str>;
    /// The integer, if there is one.
    fn int(&self, name: &str) -> Option<i64>;
    /// The boolean, if there is one.
    fn flag(&self, name: &str) -> Option<bool>;
    /// The list's elements, or none.
    fn list(&self, name: &str) -> &[Value];
    /// The map, unless absent.
    fn map(&self, name: &str) -> Option<&Map<String, Value>>;
    /// The property, or `null`.
    fn or_null(&self, name: &str) -> &Value;

    /// The boolean, or `false`.
    fn is(&self, name: &str) -> bool {
        self.flag(name).unwrap_or(false)
    }
    /// Whether the property is there.
    fn has(&self, name: &str) -> bool {
        self.at(name).is_some()
    }
    /// The map's entries that are strings.
    fn strings<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.map(name).into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }
    /// The list's elements that are strings.
    fn texts<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.list(name).iter().filter_map(Value::as_str)
    }
}

static NULL: Value = Value::Null;

impl Read for Value {
    fn at(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(map) => map.get(name).filter(|value| !value.is_null()),
            _ => None,
        }
    }

    fn text(&self, name: &str) -> &str {
        self.text_if(name).unwrap_or_default()
    }

    fn text_if(&self, name: &str) -> Option<&str> {
        self.at(name)?.as_str()
    }

    fn int(&self, name: &str) -> Option<i64> {
        self.at(name)?.as_i64()
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.at(name)?.as_bool()
    }

    fn list(&self, name: &str) -> &[Value] {
        match self.at(name) {
            Some(Value::Array(items)) => items,
            _ => &[],
        }
    }

    fn map(&self, name: &str) -> Option<&Map<String, Value>> {
        self.at(name)?.as_object()
    }

    fn or_null(&self, name: &str) -> &Value {
        self.at(name).unwrap_or(&NULL)
    }
}

/// Filling in: writers that leave alone what is set.
pub(crate) trait Fill {
    /// Sets the property if it is absent or `null`.
    fn fill(&mut self, name: &str, value: impl Into<Value>);
    /// Sets the string if it is absent or empty: for fields that are plain strings in Go.
    fn fill_text(&mut self, name: &str, text: &str);
    /// The nested object, unless absent.
    fn inside(&mut self, name: &str) -> Option<&mut Value>;
    /// The list's elements, or none.
    fn each(&mut self, name: &str) -> std::slice::IterMut<'_, Value>;
    /// The nested object, made if absent.
    fn make(&mut self, name: &str) -> Option<&mut Value>;
    /// Sets the property.
    fn set(&mut self, name: &str, value: impl Into<Value>);
    /// Removes the property and returns it.
    fn remove(&mut self, name: &str) -> Option<Value>;
    /// Makes the property what `other` has, absent included.
    fn copy(&mut self, name: &str, other: &Value);
}

impl Fill for Value {
    fn fill(&mut self, name: &str, value: impl Into<Value>) {
        if let Value::Object(map) = self
            && map.get(name).is_none_or(Value::is_null)
        {
            map.insert(name.to_owned(), value.into());
        }
    }

    fn fill_text(&mut self, name: &str, text: &str) {
        if let Value::Object(map) = self
            && map.get(name).is_none_or(|value| value.is_null() || value.as_str() == Some(""))
        {
            map.insert(name.to_owned(), Value::from(text));
        }
    }

    fn inside(&mut self, name: &str) -> Option<&mut Value> {
        match self {
            Value::Object(map) => map.get_mut(name).filter(|value| value.is_object()),
            _ => None,
        }
    }

    fn each(&mut self, name: &str) -> std::slice::IterMut<'_, Value> {
        match self {
            Value::Object(map) => match map.get_mut(name) {
                Some(Value::Array(items)) => items.iter_mut(),
                _ => [].iter_mut(),
            },
            _ => [].iter_mut(),
        }
    }

    fn make(&mut self, name: &str) -> Option<&mut Value> {
        self.fill(name, Map::new());
        self.inside(name)
    }

    fn set(&mut self, name: &str, value: impl Into<Value>) {
        if let Value::Object(map) = self {
            map.insert(name.to_owned(), value.into());
        }
    }

    fn remove(&mut self, name: &str) -> Option<Value> {
        match self {
            Value::Object(map) => map.remove(name),
            _ => None,
        }
    }

    fn copy(&mut self, name: &str, other: &Value) {
        match other.at(name) {
            Some(value) => self.set(name, value.clone()),
            None => {
                self.remove(name);
            }
        }
    }
}
