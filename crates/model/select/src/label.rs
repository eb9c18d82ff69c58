//! Label selectors: requirements, what they match, how they print.

mod parser;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use serde_json::Value;

use crate::syntax::{label_key_errors, label_value_errors};

/// How a requirement compares a label with its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    /// `key=value`
    Equals,
    /// `key==value`, the same with another spelling
    DoubleEquals,
    /// `key!=value`; holds when the key is absent
    NotEquals,
    /// `key in (a,b)`
    In,
    /// `key notin (a,b)`; holds when the key is absent
    NotIn,
    /// `key`
    Exists,
    /// `!key`
    DoesNotExist,
    /// `key>3`, for labels that are integers
    GreaterThan,
    /// `key<3`, for labels that are integers
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

/// A conjunction of requirements, or the selector that matches nothing.
///
/// The default is the empty conjunction: it matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LabelSelector {
    nothing: bool,
    requirements: Vec<Requirement>,
}

/// Why a label selector was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseLabelSelectorError {
    /// A requirement is malformed.
    #[error("unable to parse requirement: {0}")]
    Requirement(RequirementError),
    /// Something else stands where a requirement should.
    #[error("found '{found}', expected: {expected}")]
    Unexpected {
        /// The token that was there.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
}

/// Why a requirement was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequirementError {
    /// A token that may not stand there.
    #[error("found '{found}', expected: {expected}")]
    Unexpected {
        /// The token that was there.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// `in` or `notin` without a list.
    #[error("found '{found}' expected: '('")]
    NoList {
        /// The token that was there.
        found: String,
    },
    /// The key or the values are not what the operator or the label syntax demands.
    #[error("{}", aggregate(.0))]
    Invalid(Vec<InvalidField>),
    /// A `matchExpressions` operator that does not exist.
    #[error("{0:?} is not a valid label selector operator")]
    UnknownOperator(String),
    /// The selector object has the wrong shape.
    #[error("{path}: must be {expected}")]
    Shape {
        /// Where.
        path: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

/// One wrong part of a requirement, printed like apimachinery's `field.Error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    /// `key`, `values`, `values[0]`, …; `<nil>` for the key of a parsed selector, as upstream prints it.
    pub path: String,
    /// The value as JSON.
    pub value: String,
    /// What is wrong with it.
    pub detail: String,
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: Invalid value: {}: {}", self.path, self.value, self.detail)
    }
}

fn aggregate(errors: &[InvalidField]) -> String {
    match errors {
        [only] => only.to_string(),
        many => format!("[{}]", many.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

fn invalid_key(path: &str, key: &str) -> Option<InvalidField> {
    let errors = label_key_errors(key);
    let error = || InvalidField { path: path.to_owned(), value: format!("{key:?}"), detail: errors.join("; ") };
    (!errors.is_empty()).then(error)
}

impl Requirement {
    /// A checked requirement; values are sorted and deduplicated.
    ///
    /// # Errors
    /// [`RequirementError::Invalid`] with everything that is wrong.
    pub fn new(
        key: impl Into<String>,
        operator: Operator,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, RequirementError> {
        let key = key.into();
        let values: Vec<String> = values.into_iter().map(Into::into).collect::<BTreeSet<_>>().into_iter().collect();
        let mut errors: Vec<_> = invalid_key("key", &key).into_iter().collect();
        let mut invalid = |path: String, value: String, detail: &str| {
            errors.push(InvalidField { path, value, detail: detail.to_owned() });
        };
        let wrong_count = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                Some("for 'in', 'notin' operators, values set can't be empty")
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                Some("exact-match compatibility requires one single value")
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                Some("values set must be empty for exists and does not exist")
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
                Some("for 'Gt', 'Lt' operators, exactly one value is required")
            }
            _ => None,
        };
        if let Some(detail) = wrong_count {
            invalid("values".to_owned(), Value::from(values.clone()).to_string(), detail);
        }
        for (index, value) in values.iter().enumerate() {
            if matches!(operator, Operator::GreaterThan | Operator::LessThan) && value.parse::<i64>().is_err() {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                invalid(format!("values[{index}]"), format!("{value:?}"), detail);
            }
            let syntax = label_value_errors(value);
            if !syntax.is_empty() {
                invalid(format!("values[{index}][{key}]"), format!("{value:?}"), &syntax.join("; "));
            }
        }
        if errors.is_empty() { Ok(Self { key, operator, values }) } else { Err(RequirementError::Invalid(errors)) }
    }

    /// The label's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The comparison.
    #[must_use]
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// What the label is compared with, sorted.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Whether an object with this value of the label (`None`: it does not have it) satisfies the requirement.
    #[must_use]
    pub fn holds(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|allowed| allowed == value);
        let compared = || {
            let limit = self.values.first()?.parse::<i64>().ok()?;
            Some(value?.parse::<i64>().ok()?.cmp(&limit))
        };
        match self.operator {
            Operator::Equals | Operator::DoubleEquals | Operator::In => value.is_some_and(listed),
            Operator::NotEquals | Operator::NotIn => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => compared().is_some_and(std::cmp::Ordering::is_gt),
            Operator::LessThan => compared().is_some_and(std::cmp::Ordering::is_lt),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let values = self.values.join(",");
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

impl LabelSelector {
    /// The selector that matches every object.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// The selector that matches no object.
    #[must_use]
    pub fn nothing() -> Self {
        Self { nothing: true, requirements: Vec::new() }
    }

    /// All of `requirements`, sorted by key as upstream keeps them.
    #[must_use]
    pub fn from_requirements(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { nothing: false, requirements }
    }

    /// Parses the text form, as in `?labelSelector=`; the empty text matches everything.
    ///
    /// # Errors
    /// In the words of apimachinery.
    pub fn parse(text: &str) -> Result<Self, ParseLabelSelectorError> {
        parser::parse(text).map(Self::from_requirements)
    }

    /// From a `LabelSelector` object (`matchLabels`, `matchExpressions`): `null` matches nothing, `{}` everything.
    ///
    /// # Errors
    /// If the shape, an operator, a key or a value is wrong.
    pub fn from_object(object: &Value) -> Result<Self, RequirementError> {
        if object.is_null() {
            return Ok(Self::nothing());
        }
        let mut requirements = Vec::new();
        let labels = match &object["matchLabels"] {
            Value::Null => None,
            Value::Object(labels) => Some(labels),
            _ => return Err(RequirementError::Shape { path: "matchLabels", expected: "an object" }),
        };
        for (key, value) in labels.into_iter().flatten() {
            let shape = RequirementError::Shape { path: "matchLabels", expected: "an object of strings" };
            requirements.push(Requirement::new(key, Operator::Equals, [value.as_str().ok_or(shape)?])?);
        }
        let expressions = match &object["matchExpressions"] {
            Value::Null => None,
            Value::Array(expressions) => Some(expressions),
            _ => return Err(RequirementError::Shape { path: "matchExpressions", expected: "an array" }),
        };
        for expression in expressions.into_iter().flatten() {
            let text = |field: &str| expression[field].as_str().unwrap_or_default();
            let values = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str);
            requirements.push(Requirement::new(text("key"), expression_operator(text("operator"))?, values)?);
        }
        Ok(Self::from_requirements(requirements))
    }

    /// From a set of labels that must all be there, as a Service's or ReplicationController's selector.
    ///
    /// # Errors
    /// If a key or value is not a label's.
    pub fn from_labels<K: AsRef<str>, V: AsRef<str>>(
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, RequirementError> {
        let one = |(key, value): (K, V)| Requirement::new(key.as_ref(), Operator::Equals, [value.as_ref()]);
        Ok(Self::from_requirements(labels.into_iter().map(one).collect::<Result<_, _>>()?))
    }

    /// The requirements, sorted by key.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether every object matches.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether no object can match.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// Whether an object matches whose labels `label` looks up.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.holds(label(&requirement.key)))
    }

    /// Whether an object with these labels matches.
    #[must_use]
    pub fn matches_labels(&self, labels: &std::collections::BTreeMap<String, String>) -> bool {
        self.matches(|key| labels.get(key).map(String::as_str))
    }
}

fn expression_operator(name: &str) -> Result<Operator, RequirementError> {
    match name {
        "In" => Ok(Operator::In),
        "NotIn" => Ok(Operator::NotIn),
        "Exists" => Ok(Operator::Exists),
        "DoesNotExist" => Ok(Operator::DoesNotExist),
        other => Err(RequirementError::UnknownOperator(other.to_owned())),
    }
}

impl TryFrom<&meta::LabelSelector> for LabelSelector {
    type Error = RequirementError;

    /// The empty object matches everything. (An absent one matches nothing: see [`LabelSelector::nothing`].)
    fn try_from(selector: &meta::LabelSelector) -> Result<Self, RequirementError> {
        let labels = selector.match_labels.iter().flatten();
        let labels = labels.map(|(key, value)| Requirement::new(key, Operator::Equals, [value]));
        let expressions = selector.match_expressions.iter().flatten().map(|expression| {
            let values = expression.values.iter().flatten();
            Requirement::new(&expression.key, expression_operator(&expression.operator)?, values)
        });
        Ok(Self::from_requirements(labels.chain(expressions).collect::<Result<_, _>>()?))
    }
}

impl FromStr for LabelSelector {
    type Err = ParseLabelSelectorError;

    fn from_str(text: &str) -> Result<Self, ParseLabelSelectorError> {
        Self::parse(text)
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
