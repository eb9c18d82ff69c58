//! What rules could cost, from what the schema says of sizes (`apiextensions/validation`, its CEL cost limits).

use minato_cel::Program;
use minato_kinds::FieldErrorKind;
use serde_json::Value;

use super::Complaint;
use crate::schema::{Additional, Schema, Type};

/// What one rule may cost for a whole object.
const RULE_MAX: u64 = 10_000_000;
/// What all rules of a schema may cost together.
const TOTAL_MAX: u64 = 100_000_000;
/// The largest request that is read.
const REQUEST_BYTES_MAX: u64 = 3 * 1024 * 1024;

/// A step down in a schema.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Field(String),
    Values,
    Items,
}

/// Estimates, while the schema is walked.
pub(super) struct Costs<'s> {
    /// From the root to where the walk is, with how many values there can be at each place.
    places: Vec<(&'s Schema, u64)>,
    total: u64,
}

impl<'s> Costs<'s> {
    pub(super) fn new(root: &'s Schema) -> Self {
        Self { places: vec![(root, 1)], total: 0 }
    }

    pub(super) fn enter(&mut self, step: Step) {
        let Some((schema, count)) = self.places.last().copied() else { return };
        let many = count.saturating_mul(length_max(schema));
        let next = match step {
            Step::Field(name) => schema.properties.get(&name).map(|schema| (schema, count)),
            Step::Values => match &schema.additional {
                Some(Additional::Schema(values)) => Some((&**values, many)),
                _ => None,
            },
            Step::Items => schema.items.as_deref().map(|items| (items, many)),
        };
        self.places.push(next.unwrap_or((schema, count)));
    }

    pub(super) fn leave(&mut self) {
        self.places.pop();
    }

    /// Estimates a rule at the present place.
    pub(super) fn add(&mut self, program: &Program, at: &str, complaints: &mut Vec<Complaint>) {
        let Some((schema, count)) = self.places.last().copied() else { return };
        let sizes = |path: &[&str]| Some(size_max(schema, path));
        let cost = program.estimated_cost(&sizes).saturating_mul(count);
        self.total = self.total.saturating_add(cost);
        if cost > RULE_MAX {
            complaints.push(Complaint {
                path: format!("{at}.rule"),
                kind: FieldErrorKind::Forbidden,
                value: Value::Null,
                detail: format!(
                    "estimated rule cost exceeds budget by factor of {} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)",
                    factor(cost, RULE_MAX)
                ),
            });
        }
    }

    pub(super) fn judge_total(&self, at: &str, complaints: &mut Vec<Complaint>) {
        if self.total > TOTAL_MAX {
            complaints.push(Complaint {
                path: at.to_owned(),
                kind: FieldErrorKind::Forbidden,
                value: Value::Null,
                detail: format!(
                    "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of {} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)",
                    factor(self.total, TOTAL_MAX)
                ),
            });
        }
    }
}

fn factor(cost: u64, max: u64) -> String {
    let times = cost as f64 / max as f64;
    if times > 100.0 { "more than 100x".to_owned() } else { format!("{times:.1}x") }
}

/// The bound of what `path` leads to from `self` or `oldSelf`, which are of `schema`.
fn size_max(schema: &Schema, path: &[&str]) -> u64 {
    let mut place = schema;
    for step in path.iter().skip(1) {
        let next = match *step {
            "@items" => place.items.as_deref(),
            "@keys" => return REQUEST_BYTES_MAX / 2,
            "@values" => match &place.additional {
                Some(Additional::Schema(values)) => Some(&**values),
                _ => None,
            },
            name => place
                .properties
                .iter()
                .find(|(json, _)| json.as_str() == name || minato_cel::escape(json).as_deref() == Some(name))
                .map(|(_, schema)| schema),
        };
        match next {
            Some(next) => place = next,
            None => return REQUEST_BYTES_MAX,
        }
    }
    length_max(place)
}

/// The most characters, items or entries of a value.
fn length_max(schema: &Schema) -> u64 {
    let by_schema = schema.size_max;
    let by_bytes = match schema.kind {
        Some(Type::Array) => {
            REQUEST_BYTES_MAX / (schema.items.as_deref().map_or(1, bytes_min).saturating_add(1)).max(1)
        }
        Some(Type::Object) => match &schema.additional {
            // Each entry has a key in quotes, a colon and a comma.
            Some(Additional::Schema(values)) => REQUEST_BYTES_MAX / bytes_min(values).saturating_add(6).max(1),
            _ => 1,
        },
        Some(Type::String) => match schema.format() {
            "date" => 10,
            "date-time" | "datetime" | "duration" => 30,
            _ => schema
                .choices()
                .iter()
                .filter_map(Value::as_str)
                .map(|choice| choice.len() as u64)
                .max()
                .unwrap_or(REQUEST_BYTES_MAX - 2),
        },
        _ if schema.int_or_string => REQUEST_BYTES_MAX - 2,
        _ => 1,
    };
    by_schema.unwrap_or(by_bytes).min(by_bytes.max(1))
}

/// The fewest bytes that a value takes in JSON.
fn bytes_min(schema: &Schema) -> u64 {
    match schema.kind {
        Some(Type::Boolean) => 4,
        Some(Type::String | Type::Array) => 2,
        Some(Type::Object) => {
            let required = schema.required().iter().filter_map(|name| {
                let field = schema.properties.get(name)?;
                // A field that has a default need not be written.
                field.default.is_none().then(|| name.len() as u64 + 4 + bytes_min(field))
            });
            2 + required.sum::<u64>()
        }
        _ => 1,
    }
}
