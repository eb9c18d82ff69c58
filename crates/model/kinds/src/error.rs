//! What is wrong with a field, in the API's words.

use std::fmt;

use serde_json::Value;

use crate::path::{At, FieldPath};

/// The kinds of field errors, one for each cause type of the API's `Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldErrorKind {
    /// A reference to something that is not there.
    NotFound,
    /// A value is missing.
    Required,
    /// A value that must be unique is not.
    Duplicate,
    /// A malformed value.
    Invalid,
    /// Values that do not go together, or one that is better not shown: `Invalid` without the value.
    InvalidUnshown,
    /// Not one of the known values.
    NotSupported,
    /// Fine in itself, but not here or not now.
    Forbidden,
    /// Too many bytes.
    TooLong,
    /// Too many items.
    TooMany,
    /// Not the fault of the object.
    Internal,
    /// Not of the type the schema says.
    TypeInvalid,
}

impl FieldErrorKind {
    /// The machine-readable reason in `Status.details.causes`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid | Self::InvalidUnshown => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::InvalidUnshown | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(self, Self::InvalidUnshown | Self::Required | Self::Forbidden | Self::TooLong | Self::Internal)
    }
}

/// One complaint about one field. Prints as `spec.x: Invalid value: "a": must be b`.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// Where.
    pub path: FieldPath,
    /// What kind of complaint.
    pub kind: FieldErrorKind,
    /// The offending value; not shown for every kind.
    pub value: Value,
    /// Why, for people.
    pub detail: String,
}

impl FieldError {
    /// The machine-readable reason in `Status.details.causes`.
    pub fn reason(&self) -> &'static str {
        self.kind.reason()
    }

    /// The message without the path, as in `Status.details.causes[].message`.
    pub fn body(&self) -> String {
        let mut body = String::from(self.kind.words());
        if self.kind.shows_value() {
            body.push_str(": ");
            match &self.value {
                // A missing pointer prints as a quoted word, a Go habit that clients have seen for ten years.
                Value::Null => body.push_str("\"null\""),
                Value::String(text) => quote_into(text, &mut body),
                value => body.push_str(&go_json(value)),
            }
        }
        if !self.detail.is_empty() {
            body.push_str(": ");
            body.push_str(&self.detail);
        }
        body
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

impl std::error::Error for FieldError {}

/// About how long a value is as JSON.
fn bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| 1 + bytes(item)).sum(),
        Value::Object(fields) => fields.iter().map(|(key, value)| 4 + key.len() + bytes(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
    }
}

/// JSON as Go writes it, with HTML's special characters escaped.
fn go_json(value: &Value) -> String {
    let text = value.to_string();
    if text.contains(['<', '>', '&']) {
        return text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    }
    text
}

/// Go's `%q`: double quotes, C escapes.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quote_into(text, &mut quoted);
    quoted
}

fn quote_into(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0b' => out.push_str("\\v"),
            '\x0c' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// What the complaints about one object may weigh, in bytes: nobody reads more, and an object may have a hundred thousand
/// wrong items, each of which is shown.
const BYTES_MAX: usize = 256 * 1024;
/// What a complaint weighs besides its texts.
const COMPLAINT_BYTES: usize = 64;

/// The complaints gathered on a walk, as many as are worth reading. Costs nothing while there are none.
#[derive(Debug, Default)]
pub struct Errors {
    list: Vec<FieldError>,
    bytes: usize,
    left_out: usize,
}

impl Errors {
    /// None yet.
    pub fn new() -> Errors {
        Errors::default()
    }

    /// What was gathered, in order.
    pub fn into_vec(mut self) -> Vec<FieldError> {
        if self.left_out > 0 {
            self.list.push(FieldError {
                path: FieldPath::new("<nil>"),
                kind: FieldErrorKind::TooMany,
                value: Value::from(self.left_out),
                detail: "these further errors are not listed".to_owned(),
            });
        }
        self.list
    }

    /// Whether nothing was wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many complaints there are.
    pub fn len(&self) -> usize {
        self.list.len() + self.left_out
    }

    /// Whether further complaints are only counted: who would have to make a large value for one need not.
    pub fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX
    }

    /// Adds complaints that were gathered elsewhere.
    pub fn extend(&mut self, errors: impl IntoIterator<Item = FieldError>) {
        errors.into_iter().for_each(|error| self.add(error));
    }

    #[cold]
    fn push(&mut self, at: &At<'_>, kind: FieldErrorKind, value: Value, detail: String) {
        if self.is_full() {
            self.left_out += 1;
        } else {
            self.add(FieldError { path: at.path(), kind, value, detail });
        }
    }

    #[cold]
    fn add(&mut self, error: FieldError) {
        if self.is_full() {
            self.left_out += 1;
            return;
        }
        self.bytes += COMPLAINT_BYTES + error.path.as_str().len() + error.detail.len() + bytes(&error.value);
        self.list.push(error);
    }

    /// A value is missing.
    #[cold]
    pub fn required(&mut self, at: &At<'_>, detail: &str) {
        self.push(at, FieldErrorKind::Required, Value::String(String::new()), detail.to_owned());
    }

    /// A malformed value.
    #[cold]
    pub fn invalid(&mut self, at: &At<'_>, value: impl Into<Value>, detail: impl Into<String>) {
        self.push(at, FieldErrorKind::Invalid, value.into(), detail.into());
    }

    /// Values that do not go together; none of them is shown.
    #[cold]
    pub fn invalid_unshown(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.push(at, FieldErrorKind::InvalidUnshown, Value::Null, detail.into());
    }

    /// A value that must be unique is not.
    #[cold]
    pub fn duplicate(&mut self, at: &At<'_>, value: impl Into<Value>) {
        self.push(at, FieldErrorKind::Duplicate, value.into(), String::new());
    }

    /// Not allowed here or now.
    #[cold]
    pub fn forbidden(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.push(at, FieldErrorKind::Forbidden, Value::String(String::new()), detail.into());
    }

    /// Not one of `supported`, which is listed in the order given.
    #[cold]
    pub fn not_supported(&mut self, at: &At<'_>, value: impl Into<Value>, supported: &[&str]) {
        let supported: Vec<String> = supported.iter().map(|value| quote(value)).collect();
        let detail =
            if supported.is_empty() { String::new() } else { format!("supported values: {}", supported.join(", ")) };
        self.push(at, FieldErrorKind::NotSupported, value.into(), detail);
    }

    /// More than `bytes_max` bytes.
    #[cold]
    pub fn too_long(&mut self, at: &At<'_>, bytes_max: usize) {
        let detail = format!("may not be more than {bytes_max} bytes");
        self.push(at, FieldErrorKind::TooLong, Value::String(String::new()), detail);
    }

    /// More than `items_max` items.
    #[cold]
    pub fn too_many(&mut self, at: &At<'_>, items: usize, items_max: usize) {
        let noun = if items_max == 1 { "item" } else { "items" };
        let detail = format!("must have at most {items_max} {noun}");
        self.push(at, FieldErrorKind::TooMany, Value::from(items), detail);
    }

    /// A reference to something that is not there.
    #[cold]
    pub fn not_found(&mut self, at: &At<'_>, value: impl Into<Value>) {
        self.push(at, FieldErrorKind::NotFound, value.into(), String::new());
    }

    /// A reference to something that is not there, with the reason.
    #[cold]
    pub fn not_found_because(&mut self, at: &At<'_>, value: impl Into<Value>, detail: impl Into<String>) {
        self.push(at, FieldErrorKind::NotFound, value.into(), detail.into());
    }

    /// A value that must be unique is not, with the reason.
    #[cold]
    pub fn duplicate_because(&mut self, at: &At<'_>, value: impl Into<Value>, detail: impl Into<String>) {
        self.push(at, FieldErrorKind::Duplicate, value.into(), detail.into());
    }

    /// Not the fault of the object.
    #[cold]
    pub fn internal(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.push(at, FieldErrorKind::Internal, Value::Null, detail.into());
    }

    /// One `Invalid` for each of `messages`: what the checks of [`crate::names`] answer.
    pub fn each_invalid(&mut self, at: &At<'_>, value: &str, messages: Vec<&'static str>) {
        for message in messages {
            self.invalid(at, value, message);
        }
    }
}
