//! What a request about many objects is limited to, as authorisers see it (KEP-4601).
//!
//! Requests carry their selectors unparsed; only an authoriser that looks at them pays for the parsing.

use std::borrow::Cow;

use minato_select::{FieldOperator, FieldSelector, LabelSelector, Operator};
use serde::{Deserialize, Serialize};

/// One requirement of a selector, as in a SubjectAccessReview.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SelectorRequirement {
    pub(crate) key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub(crate) operator: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) values: Vec<String>,
}

/// Field and label selector.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Selectors<'a> {
    pub(crate) field: Selector<'a>,
    pub(crate) label: Selector<'a>,
}

/// One selector.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Selector<'a> {
    /// Everything.
    #[default]
    None,
    /// As it stands in a request's query.
    Raw(&'a str),
    /// As it stands in a review.
    Parsed(&'a [SelectorRequirement]),
}

impl<'a> Selector<'a> {
    /// The text of a query's parameter.
    pub(crate) fn raw(text: Option<&'a str>) -> Self {
        text.filter(|text| !text.is_empty()).map_or(Self::None, Self::Raw)
    }
}

impl<'a> Selectors<'a> {
    /// What fields must be; nothing where the text cannot be parsed, for then it limits nothing that one could rely on.
    pub(crate) fn fields(&self) -> Cow<'a, [SelectorRequirement]> {
        match self.field {
            Selector::None => Cow::Borrowed(&[]),
            Selector::Parsed(requirements) => Cow::Borrowed(requirements),
            Selector::Raw(text) => Cow::Owned(parse_fields(text).unwrap_or_default()),
        }
    }

    /// What labels must be; see [`Self::fields`].
    pub(crate) fn labels(&self) -> Cow<'a, [SelectorRequirement]> {
        match self.label {
            Selector::None => Cow::Borrowed(&[]),
            Selector::Parsed(requirements) => Cow::Borrowed(requirements),
            Selector::Raw(text) => Cow::Owned(parse_labels(text).unwrap_or_default()),
        }
    }
}

pub(crate) fn parse_fields(text: &str) -> Option<Vec<SelectorRequirement>> {
    let selector = FieldSelector::parse(text).ok()?;
    let requirements = selector.requirements().iter().map(|requirement| SelectorRequirement {
        key: requirement.path.clone(),
        operator: match requirement.operator {
            FieldOperator::Equals => "In",
            FieldOperator::NotEquals => "NotIn",
        }
        .to_owned(),
        values: vec![requirement.value.clone()],
    });
    Some(requirements.collect())
}

/// Comparisons with `<` and `>` cannot be told in a review and are left out: the rest limits no more than was asked.
pub(crate) fn parse_labels(text: &str) -> Option<Vec<SelectorRequirement>> {
    let selector = LabelSelector::parse(text).ok()?;
    let requirements = selector.requirements().iter().filter_map(|requirement| {
        let operator = match requirement.operator() {
            Operator::In | Operator::Equals | Operator::DoubleEquals => "In",
            Operator::NotIn | Operator::NotEquals => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            Operator::GreaterThan | Operator::LessThan => return None,
        };
        Some(SelectorRequirement {
            key: requirement.key().to_owned(),
            operator: operator.to_owned(),
            values: requirement.values().to_vec(),
        })
    });
    Some(requirements.collect())
}
