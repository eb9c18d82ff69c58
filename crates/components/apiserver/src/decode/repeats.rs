//! Keys that a YAML document has twice, in the words of the Go parser that Kubernetes uses.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;
use serde_saphyr::options::DuplicateKeyPolicy;

/// How many repeated keys are told of; a Go API server stops at the same number.
const REPORTED_MAX: usize = 100;

/// Reads YAML, of repeated keys the last; what there is to say about repeated keys comes beside it.
pub(super) fn parse_yaml(text: &str) -> Result<(Value, Option<String>), serde_saphyr::Error> {
    let options = serde_saphyr::options! { with_snippet: false };
    let error = match serde_saphyr::from_str_with_options(text, options) {
        Ok(value) => return Ok((value, None)),
        Err(error) => error,
    };
    // Perhaps nothing but keys that repeat.
    match (serde_saphyr::from_str_with_options(text, lenient()), repeated_keys(text)) {
        (Ok(value), Some(repeated)) => Ok((value, Some(repeated))),
        _ => Err(error),
    }
}

/// `yaml: unmarshal errors:` and a line for each key of a document that was there before; `None` if all are unique.
pub(crate) fn repeated_keys(text: &str) -> Option<String> {
    let Repeated(repeated) = serde_saphyr::from_str_with_options(text, lenient()).ok()?;
    let lines: Vec<String> =
        repeated.iter().map(|(line, key)| format!("  line {line}: key {key:?} already set in map")).collect();
    (!lines.is_empty()).then(|| format!("yaml: unmarshal errors:\n{}", lines.join("\n")))
}

fn lenient() -> serde_saphyr::Options {
    serde_saphyr::options! { with_snippet: false, duplicate_keys: DuplicateKeyPolicy::PassThrough }
}

/// The keys of a value and of all below it that repeat, and their lines. What the values are does not matter.
#[derive(Default)]
struct Repeated(Vec<(u64, String)>);

impl Repeated {
    fn extend(&mut self, more: impl IntoIterator<Item = (u64, String)>) {
        let room = REPORTED_MAX.saturating_sub(self.0.len());
        self.0.extend(more.into_iter().take(room));
    }
}

impl<'de> Deserialize<'de> for Repeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Repeated;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Repeated, E> {
        Ok(Repeated::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Repeated, E> {
        Ok(Repeated::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Repeated, E> {
        Ok(Repeated::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Repeated, E> {
        Ok(Repeated::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Repeated, E> {
        Ok(Repeated::default())
    }

    fn visit_unit<E>(self) -> Result<Repeated, E> {
        Ok(Repeated::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Repeated, A::Error> {
        let mut found = Repeated::default();
        while let Some(Repeated(below)) = access.next_element()? {
            found.extend(below);
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Repeated, A::Error> {
        let (mut found, mut seen) = (Repeated::default(), HashSet::new());
        while let Some(Spanned { value: key, referenced, .. }) = access.next_key::<Spanned<String>>()? {
            if !seen.insert(key.clone()) {
                found.extend([(referenced.line(), key)]);
            }
            let Repeated(below) = access.next_value()?;
            found.extend(below);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_are_told_by_their_lines_and_the_last_one_counts() {
        let text = "\nspec:\n  a: 1\n  a: {b: c}\n  list:\n  - x: y\n    x: z\n\"spec\": null\n";
        let (value, repeated) = parse_yaml(text).unwrap();
        assert_eq!(value, serde_json::json!({"spec": null}));
        let expected = "yaml: unmarshal errors:\n  line 4: key \"a\" already set in map\n  \
            line 7: key \"x\" already set in map\n  line 8: key \"spec\" already set in map";
        assert_eq!(repeated.as_deref(), Some(expected));
        assert_eq!(repeated_keys("{\"a\": {\"a\": 1}, \"b\": [1, true, null, 2.5, \"a\"]}"), None);
        assert!(parse_yaml("a: 1\na: [").is_err());
    }
}
