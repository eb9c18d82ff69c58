//! The label selectors by which controllers know their pods.

use minato_select::LabelSelector;
use serde_json::Value;

use crate::error::Errors;
use crate::metadata;
use crate::path::At;
use crate::read::Read;

/// What a controller's selector says.
pub(crate) enum Selector {
    /// It can be read.
    Read(LabelSelector),
    /// It is not there: nothing is selected.
    Absent,
    /// It cannot be read.
    Malformed,
}

impl Selector {
    /// Reads `spec.selector`.
    pub(crate) fn of(spec: &Value) -> Selector {
        match spec.at("selector") {
            None => Selector::Absent,
            Some(selector) => LabelSelector::from_object(selector).map_or(Selector::Malformed, Selector::Read),
        }
    }

    /// Whether it accepts the labels of `template`.
    pub(crate) fn accepts(&self, template: &Value) -> bool {
        let labels = template.or_null("metadata").or_null("labels");
        match self {
            Selector::Read(selector) => selector.matches(|key| labels.text_if(key)),
            Selector::Absent => false,
            Selector::Malformed => true,
        }
    }
}

/// Checks a required, non-empty `spec.selector`.
pub(crate) fn validate(spec: &Value, empty: &str, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("selector");
    match spec.at("selector") {
        None => errors.required(&at, ""),
        Some(selector) => {
            metadata::label_selector(selector, &at, errors);
            if metadata::selects_everything(selector) {
                errors.invalid(&at, selector.clone(), empty);
            }
        }
    }
}
