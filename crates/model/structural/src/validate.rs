//! Validation of values against a schema, in the words of `kube-openapi/pkg/validation`.

use std::cell::Cell;

use minato_kinds::{At, Errors, FieldError, FieldErrorKind, FieldPath};
use serde_json::{Map, Number, Value};

use crate::format;
use crate::list_type::Before;
use crate::schema::{Additional, Limits, ListType, Schema, Type};

/// How many nodes of values and schemas one validation looks at: alternatives within alternatives multiply.
const STEPS_MAX: u32 = 2_000_000;
/// More errors than anybody reads.
const ERRORS_MAX: usize = 200;

/// What is wrong with a new object.
pub fn validate(schema: &Schema, object: &Value) -> Vec<FieldError> {
    Walk::default().node(schema, object, &At::Root, None).errors
}

/// What is wrong with a changed object. What did not change is allowed to be wrong (KEP-4008).
pub fn validate_update(schema: &Schema, new: &Value, old: &Value) -> Vec<FieldError> {
    Walk::default().node(schema, new, &At::Root, Some(old)).errors
}

/// Whether CEL rules cannot be asked about an object with such errors.
pub fn blocks_rules(errors: &[FieldError]) -> bool {
    use FieldErrorKind::{Required, TooLong, TooMany, TypeInvalid};
    errors.iter().any(|error| matches!(error.kind, Required | TooLong | TooMany | TypeInvalid))
}

struct Walk {
    steps_left: Cell<u32>,
}

impl Default for Walk {
    fn default() -> Self {
        Self { steps_left: Cell::new(STEPS_MAX) }
    }
}

/// The errors of a node and, to tell which of several alternatives was meant, how many checks passed.
#[derive(Default)]
struct Outcome {
    errors: Vec<FieldError>,
    passed: u32,
}

impl Outcome {
    fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    fn merge(&mut self, other: Self) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.extend(other.errors);
        }
        self.passed += other.passed;
    }

    fn push(&mut self, at: &At<'_>, kind: FieldErrorKind, value: Value, detail: String) {
        self.errors.push(FieldError { path: at.path(), kind, value, detail });
    }

    fn invalid(&mut self, at: &At<'_>, value: impl Into<Value>, detail: &str) {
        self.push(at, FieldErrorKind::Invalid, value.into(), format!("{at} in body {detail}"));
    }

    /// An error that upstream reports without a place.
    fn placeless(&mut self, detail: String) {
        let path = FieldPath::new("<nil>");
        self.errors.push(FieldError { path, kind: FieldErrorKind::Invalid, value: "".into(), detail });
    }
}

impl Walk {
    /// `old` is the value that `value` replaces, where that can be told.
    fn node(&self, schema: &Schema, value: &Value, at: &At<'_>, old: Option<&Value>) -> Outcome {
        let mut outcome = Outcome::default();
        match self.steps_left.get().checked_sub(1) {
            Some(left) => self.steps_left.set(left),
            None => {
                outcome.placeless(format!("validation gave up at {at}: the schema has too many alternatives"));
                return outcome;
            }
        }
        if old == Some(value) {
            // Whatever is wrong here was wrong before.
            return outcome;
        }
        self.kind(schema, value, at, &mut outcome);
        let limits = schema.limits.as_deref();
        if !value.is_null() {
            if let Some(limits) = limits {
                self.alternatives(limits, value, at, &mut outcome);
            }
            match value {
                Value::String(text) => strings(limits, schema, text, at, &mut outcome),
                Value::Number(number) => numbers(limits, schema, number, at, &mut outcome),
                Value::Array(items) => self.items(schema, items, at, old, &mut outcome),
                _ => {}
            }
        }
        if let Some(limits) = limits
            && !limits.choices.is_empty()
            && !(value.is_null() && schema.nullable)
            && !limits.choices.iter().any(|choice| same(choice, value))
        {
            let choices: Vec<String> = limits.choices.iter().map(written).collect();
            let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
            let mut errors = Errors::new();
            errors.not_supported(at, value.clone(), &choices);
            outcome.errors.extend(errors.into_vec());
        }
        if let Value::Object(fields) = value {
            self.fields(schema, fields, at, old, &mut outcome);
        }
        outcome.passed += u32::from(outcome.is_valid());
        outcome
    }

    fn kind(&self, schema: &Schema, value: &Value, at: &At<'_>, outcome: &mut Outcome) {
        let mut fail = |wanted: &str, found: &str| {
            let detail = format!("{at} in body must be of type {wanted}: {found:?}");
            outcome.push(at, FieldErrorKind::TypeInvalid, found.into(), detail);
        };
        let wanted = match (schema.kind, schema.int_or_string) {
            (_, true) => "integer,string",
            (Some(kind), _) => kind.name(),
            (None, _) => return,
        };
        let (found, found_format) = name_of(value);
        let fits = match value {
            Value::Null => schema.nullable,
            _ if schema.int_or_string => matches!(value, Value::String(_)) || is_integer(value),
            _ => {
                schema.kind.is_some_and(|kind| kind.name() == found)
                    || (schema.kind == Some(Type::Integer) && is_integer(value))
                    || (schema.kind == Some(Type::Number) && value.is_number())
            }
        };
        if fits {
            return;
        }
        let format = schema.format();
        let shows_format = !format.is_empty() && !matches!(value, Value::Null | Value::String(_) | Value::Array(_));
        let is_numeric = matches!(schema.kind, Some(Type::Integer | Type::Number)) || schema.int_or_string;
        if shows_format && found_format != format {
            fail(format, found_format);
        } else if value.is_null()
            || format.is_empty()
            || is_numeric
            || !matches!(value, Value::String(_) | Value::Array(_))
        {
            fail(wanted, found);
        }
    }

    fn alternatives(&self, limits: &Limits, value: &Value, at: &At<'_>, outcome: &mut Outcome) {
        let name = at.to_string();
        if !limits.any_of.is_empty() {
            let mut best: Option<Outcome> = None;
            let mut matched = false;
            for schema in &limits.any_of {
                let found = self.node(schema, value, at, None);
                if found.is_valid() {
                    matched = true;
                    break;
                }
                if best.as_ref().is_none_or(|best| found.passed > best.passed) {
                    best = Some(found);
                }
            }
            if !matched {
                outcome.placeless(format!("{name:?} must validate at least one schema (anyOf)"));
                outcome.merge(best.unwrap_or_default());
            }
        }
        if !limits.one_of.is_empty() {
            let mut best: Option<Outcome> = None;
            let mut matched = 0;
            for schema in &limits.one_of {
                let found = self.node(schema, value, at, None);
                if found.is_valid() {
                    matched += 1;
                    best = None;
                } else if matched == 0 && best.as_ref().is_none_or(|best| found.passed > best.passed) {
                    best = Some(found);
                }
            }
            if matched != 1 {
                let found = if matched == 0 {
                    "Found none valid".to_owned()
                } else {
                    format!("Found {matched} valid alternatives")
                };
                outcome.placeless(format!("{name:?} must validate one and only one schema (oneOf). {found}"));
                outcome.merge(best.unwrap_or_default());
            }
        }
        if !limits.all_of.is_empty() {
            let mut matched = 0;
            for schema in &limits.all_of {
                let found = self.node(schema, value, at, None);
                matched += usize::from(found.is_valid());
                outcome.merge(found);
            }
            if matched < limits.all_of.len() {
                let found = if matched == 0 { ". None validated" } else { "" };
                outcome.placeless(format!("{name:?} must validate all the schemas (allOf){found}"));
            }
        }
        if let Some(schema) = &limits.not
            && self.node(schema, value, at, None).is_valid()
        {
            outcome.placeless(format!("{name:?} must not validate the schema (not)"));
        }
    }

    fn items(&self, schema: &Schema, items: &[Value], at: &At<'_>, old: Option<&Value>, outcome: &mut Outcome) {
        if let Some(schema_of_items) = schema.items.as_deref() {
            let old_items = old.and_then(Value::as_array).filter(|_| schema.list_type == ListType::Map);
            let old_items = old_items.map(|items| Before::of(schema, items));
            for (index, item) in items.iter().enumerate() {
                let before = old_items.as_ref().and_then(|all| all.find(schema, item));
                outcome.merge(self.node(schema_of_items, item, &at.index(index), before));
            }
        }
        let Some(limits) = schema.limits.as_deref() else { return };
        let count = items.len() as u64;
        if let Some(min) = limits.min_items.filter(|min| count < *min) {
            outcome.invalid(at, count, &format!("should have at least {min} items"));
        }
        if let Some(max) = limits.max_items.filter(|max| count > *max) {
            too_many(at, items.len(), max, outcome);
        }
        if limits.unique_items {
            let mut seen = std::collections::HashSet::new();
            if !items.iter().all(|item| seen.insert(item.to_string())) {
                outcome.invalid(at, "", "shouldn't contain duplicates");
            }
        }
    }

    fn fields(
        &self,
        schema: &Schema,
        fields: &Map<String, Value>,
        at: &At<'_>,
        old: Option<&Value>,
        outcome: &mut Outcome,
    ) {
        if let Some(limits) = schema.limits.as_deref() {
            let count = fields.len() as u64;
            if let Some(min) = limits.min_properties.filter(|min| count < *min) {
                outcome.invalid(at, count, &format!("should have at least {min} properties"));
            }
            if let Some(max) = limits.max_properties.filter(|max| count > *max) {
                too_many(at, fields.len(), max, outcome);
            }
            for name in limits.required.iter().filter(|name| !fields.contains_key(*name)) {
                let mut errors = Errors::new();
                errors.required(&at.field(name), "");
                outcome.errors.extend(errors.into_vec());
            }
        }
        let old = old.filter(|_| !schema.atomic_map);
        for (name, value) in fields {
            let before = old.and_then(|old| old.get(name));
            match (schema.field(name), &schema.additional) {
                (Some(field), _) => outcome.merge(self.node(field, value, &at.field(name), before)),
                (None, Some(Additional::Any(false))) => {
                    let detail = format!("{at}.{name} in body is a forbidden property");
                    outcome.push(at, FieldErrorKind::Invalid, "".into(), detail);
                }
                _ => {}
            }
        }
    }
}

fn too_many(at: &At<'_>, count: usize, max: u64, outcome: &mut Outcome) {
    let mut errors = Errors::new();
    errors.too_many(at, count, usize::try_from(max).unwrap_or(usize::MAX));
    outcome.errors.extend(errors.into_vec());
}

fn strings(limits: Option<&Limits>, schema: &Schema, text: &str, at: &At<'_>, outcome: &mut Outcome) {
    let Some(limits) = limits else { return };
    if limits.max_length.is_some() || limits.min_length.is_some() {
        let length = text.chars().count() as u64;
        if let Some(max) = limits.max_length.filter(|max| length > *max) {
            let mut errors = Errors::new();
            errors.too_long(at, usize::try_from(max).unwrap_or(usize::MAX));
            outcome.errors.extend(errors.into_vec());
        }
        if let Some(min) = limits.min_length.filter(|min| length < *min) {
            outcome.invalid(at, text, &format!("should be at least {min} chars long"));
        }
    }
    if let Some(pattern) = limits.pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
        outcome.invalid(at, text, &format!("should match '{}'", pattern.text));
    }
    let is_text = matches!(schema.kind, None | Some(Type::String));
    if is_text && !limits.format.is_empty() && !format::matches(&limits.format, text) {
        let detail = format!("{at} in body must be of type {}: {text:?}", limits.format);
        outcome.push(at, FieldErrorKind::TypeInvalid, text.into(), detail);
    }
}

fn numbers(limits: Option<&Limits>, schema: &Schema, number: &Number, at: &At<'_>, outcome: &mut Outcome) {
    let Some(limits) = limits else { return };
    let value = number.as_f64().unwrap_or_default();
    let shown = || Value::Number(number.clone());
    let in_range = match (schema.kind, limits.format.as_str()) {
        (Some(Type::Integer), "int32") => (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value),
        (Some(Type::Number), "float") => value.abs() <= f64::from(f32::MAX),
        _ => true,
    };
    if !in_range {
        let kind = schema.kind.map_or("", Type::name);
        let format = &limits.format;
        outcome.placeless(format!("Checked value must be of type {kind} with format {format} in {at}"));
    }
    if let Some(factor) = limits.multiple_of.filter(|factor| *factor > 0.0) {
        let times = value / factor;
        if (times - times.round()).abs() > f64::EPSILON * times.abs().max(1.0) {
            outcome.invalid(at, shown(), &format!("should be a multiple of {}", go_float(factor)));
        }
    }
    if let Some(max) = limits.maximum {
        let (fits, words) = if limits.exclusive_maximum {
            (value < max, "should be less than")
        } else {
            (value <= max, "should be less than or equal to")
        };
        if !fits {
            outcome.invalid(at, shown(), &format!("{words} {}", go_float(max)));
        }
    }
    if let Some(min) = limits.minimum {
        let (fits, words) = if limits.exclusive_minimum {
            (value > min, "should be greater than")
        } else {
            (value >= min, "should be greater than or equal to")
        };
        if !fits {
            outcome.invalid(at, shown(), &format!("{words} {}", go_float(min)));
        }
    }
}

/// The type and the format that a value has by itself.
fn name_of(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Number(_) if is_integer(value) => ("integer", "int64"),
        Value::Number(_) => ("number", "float64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    }
}

/// Whether a value is a whole number, however it is written.
fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// Equal as JSON, where `1` is `1.0`.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        _ => a == b,
    }
}

fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A number as Go's `%v` prints a `float64`.
fn go_float(number: f64) -> String {
    let exponent = if number == 0.0 { 0 } else { number.abs().log10().floor() as i32 };
    if (-4..6).contains(&exponent) {
        return format!("{number}");
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}
