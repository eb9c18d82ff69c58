//! The table of a custom kind: `additionalPrinterColumns`, or name and age.

use jiff::Timestamp;
use minato_table::{JsonPath, human_duration};
use serde_json::{Value, json};

use super::definition::PrinterColumn;

/// The columns of one version.
pub(crate) struct Columns {
    columns: Vec<Column>,
}

struct Column {
    definition: Value,
    kind: String,
    path: Option<JsonPath>,
}

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources \
     may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for \
     creation idempotence and configuration definition. Cannot be updated. More info: \
     https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is \
     not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is \
     represented in RFC3339 form and is in UTC.";

impl Columns {
    pub(super) fn new(columns: &[PrinterColumn]) -> Self {
        let age;
        let columns = if columns.is_empty() {
            age = [PrinterColumn {
                name: "Age".to_owned(),
                kind: "date".to_owned(),
                description: CREATED.to_owned(),
                json_path: ".metadata.creationTimestamp".to_owned(),
                ..PrinterColumn::default()
            }];
            &age[..]
        } else {
            columns
        };
        let columns = columns.iter().map(|column| {
            let description = if column.description.is_empty() {
                format!("Custom resource definition column (in JSONPath format): {}", column.json_path)
            } else {
                column.description.clone()
            };
            Column {
                definition: json!({"name": column.name, "type": column.kind, "format": column.format,
                    "description": description, "priority": column.priority}),
                kind: column.kind.clone(),
                path: JsonPath::parse(&column.json_path).ok(),
            }
        });
        Self { columns: columns.collect() }
    }

    /// `columnDefinitions` of a table.
    pub(crate) fn definitions(&self) -> Vec<Value> {
        let name = json!({"name": "Name", "type": "string", "format": "name", "description": NAME, "priority": 0});
        std::iter::once(name).chain(self.columns.iter().map(|column| column.definition.clone())).collect()
    }

    /// The cells of one row.
    pub(crate) fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let name = object["metadata"]["name"].clone();
        std::iter::once(name).chain(self.columns.iter().map(|column| column.cell(object, now))).collect()
    }
}

impl Column {
    /// What the path finds first, if it is of the column's type.
    fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let Some(path) = &self.path else { return Value::Null };
        let found = path.find(object);
        let Some(first) = found.first() else { return Value::Null };
        match self.kind.as_str() {
            "integer" => match first.as_i64().or_else(|| first.as_f64().map(|number| number as i64)) {
                Some(number) => number.into(),
                None => Value::Null,
            },
            "number" => first.as_f64().map_or(Value::Null, |number| match first.as_i64() {
                Some(whole) => whole.into(),
                None => number.into(),
            }),
            "boolean" => first.as_bool().map_or(Value::Null, Value::from),
            "date" => match first.as_str().map(str::parse::<Timestamp>) {
                Some(Ok(time)) => human_duration(now.duration_since(time)).into(),
                Some(Err(_)) => "<invalid>".into(),
                None => Value::Null,
            },
            "string" => written(first).into(),
            _ => Value::Null,
        }
    }
}

fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
