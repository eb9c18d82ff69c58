//! Field selectors: `metadata.name=x,status.phase!=Running`, with `\,`, `\=` and `\\` escaped in values.

use std::fmt;
use std::str::FromStr;

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldOperator {
    /// `=` and `==`
    Equals,
    /// `!=`
    NotEquals,
}

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldRequirement {
    /// The field's path, such as `spec.nodeName`.
    pub path: String,
    /// The comparison.
    pub operator: FieldOperator,
    /// The unescaped value; an absent field has the empty one.
    pub value: String,
}

/// A conjunction of field requirements; the empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

/// Why a field selector was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseFieldSelectorError {
    /// A term without an operator.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    NoOperator {
        /// The whole text.
        selector: String,
        /// The term at fault.
        term: String,
    },
    /// A backslash before something that needs none.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    InvalidEscape(String),
    /// A bare `=` inside a value.
    #[error("invalid field selector: unescaped character in value: {0}")]
    Unescaped(char),
}

impl FieldSelector {
    /// The selector that matches every object.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Parses the text form, as in `?fieldSelector=`.
    ///
    /// # Errors
    /// In the words of apimachinery.
    pub fn parse(text: &str) -> Result<Self, ParseFieldSelectorError> {
        let mut terms = split_terms(text);
        terms.sort_unstable();
        let requirement = |term: &str| {
            let no_operator =
                || ParseFieldSelectorError::NoOperator { selector: text.to_owned(), term: term.to_owned() };
            let (path, operator, value) = split_term(term).ok_or_else(no_operator)?;
            Ok(FieldRequirement { path: path.to_owned(), operator, value: unescape(value)? })
        };
        let requirements = terms.into_iter().filter(|term| !term.is_empty()).map(requirement);
        Ok(Self { requirements: requirements.collect::<Result<_, _>>()? })
    }

    /// The requirements, in canonical order.
    #[must_use]
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// Whether every object matches.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The value that `path` must have, if the selector demands one.
    #[must_use]
    pub fn required_value(&self, path: &str) -> Option<&str> {
        let exact = |r: &&FieldRequirement| r.path == path && r.operator == FieldOperator::Equals;
        self.requirements.iter().find(exact).map(|requirement| requirement.value.as_str())
    }

    /// Whether an object matches whose fields `field` looks up; an absent field counts as empty.
    pub fn matches<'a>(&self, field: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|requirement| {
            let equal = field(&requirement.path).unwrap_or_default() == requirement.value;
            equal == (requirement.operator == FieldOperator::Equals)
        })
    }
}

impl FromStr for FieldSelector {
    type Err = ParseFieldSelectorError;

    fn from_str(text: &str) -> Result<Self, ParseFieldSelectorError> {
        Self::parse(text)
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, FieldRequirement { path, operator, value }) in self.requirements.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let operator = match operator {
                FieldOperator::Equals => "=",
                FieldOperator::NotEquals => "!=",
            };
            write!(f, "{comma}{path}{operator}{}", escape(value))?;
        }
        Ok(())
    }
}

/// Splits at commas that no backslash precedes.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// Splits at the first operator.
fn split_term(term: &str) -> Option<(&str, FieldOperator, &str)> {
    const OPERATORS: [(&str, FieldOperator); 3] =
        [("!=", FieldOperator::NotEquals), ("==", FieldOperator::Equals), ("=", FieldOperator::Equals)];
    term.char_indices().find_map(|(index, _)| {
        let (path, rest) = term.split_at(index);
        OPERATORS.iter().find_map(|(sign, operator)| Some((path, *operator, rest.strip_prefix(sign)?)))
    })
}

fn escape(value: &str) -> String {
    value.replace('\\', r"\\").replace(',', r"\,").replace('=', r"\=")
}

fn unescape(value: &str) -> Result<String, ParseFieldSelectorError> {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => plain.push(escaped),
                Some(other) => return Err(ParseFieldSelectorError::InvalidEscape(format!("\\{other}"))),
                None => return Err(ParseFieldSelectorError::InvalidEscape("\\".to_owned())),
            },
            ',' | '=' => return Err(ParseFieldSelectorError::Unescaped(c)),
            _ => plain.push(c),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses_and_prints() {
        let check = |text: &str, canonical: &str| match FieldSelector::parse(text) {
            Ok(selector) => assert_eq!(selector.to_string(), canonical, "{text:?}"),
            Err(error) => assert_eq!(error.to_string(), canonical, "{text:?}"),
        };
        check("", "");
        check(",", "");
        check("metadata.name=x", "metadata.name=x");
        check("metadata.name==x", "metadata.name=x");
        check("status.phase!=Running,metadata.name=x", "metadata.name=x,status.phase!=Running");
        check("a=", "a=");
        check(r"a=b\,c\=d\\", r"a=b\,c\=d\\");
        check("x", "invalid selector: 'x'; can't understand 'x'");
        check("a=b,x", "invalid selector: 'a=b,x'; can't understand 'x'");
        check("a=b=c", "invalid field selector: unescaped character in value: =");
        check(r"a=\x", r"invalid field selector: invalid escape sequence: \x");
        check("a=b\\", "invalid field selector: invalid escape sequence: \\");
        check("ä=ö", "ä=ö");
    }

    #[test]
    fn matches() {
        let check = |text: &str, expected: bool| {
            let selector = FieldSelector::parse(text).unwrap();
            let field = |path: &str| (path == "a").then_some("1");
            assert_eq!(selector.matches(field), expected, "{text}");
        };
        check("", true);
        check("a=1", true);
        check("a!=1", false);
        check("a=2", false);
        check("b=", true);
        check("b!=", false);
        check("b!=1,a=1", true);
        assert_eq!(FieldSelector::parse("a!=1,b=2").unwrap().required_value("b"), Some("2"));
        assert_eq!(FieldSelector::parse("a!=1,b=2").unwrap().required_value("a"), None);
    }

    proptest! {
        #[test]
        fn round_trips(value in "[a,=\\\\!ä]{0,12}") {
            let text = format!("a.b={}", escape(&value));
            let selector = FieldSelector::parse(&text).unwrap();
            prop_assert_eq!(selector.required_value("a.b"), Some(value.as_str()));
            prop_assert_eq!(selector.to_string(), text);
        }

        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = FieldSelector::parse(&text);
        }
    }
}
