//! Columns and the constants that tables share.

use jiff::Timestamp;
use serde_json::{Value, json};

/// A column as `meta.k8s.io/v1` `TableColumnDefinition` describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading, such as `Up-to-date`; kubectl prints it in capitals.
    pub name: &'static str,
    /// The OpenAPI type: `string`, `integer`, `boolean` or `date`.
    pub kind: &'static str,
    /// The OpenAPI format; `name` marks the object's name.
    pub format: &'static str,
    /// What the column shows.
    pub description: &'static str,
    /// Zero is always shown, above that only in wide output.
    pub priority: i32,
}

/// How objects of a kind become rows.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    /// The headings.
    pub columns: &'static [Column],
    /// The cells of an object at a moment, as many as there are columns.
    pub cells: fn(&Value, Timestamp) -> Vec<Value>,
}

impl Printer {
    /// `columnDefinitions` of a table.
    #[must_use]
    pub fn definitions(&self) -> Vec<Value> {
        let columns = self.columns.iter().map(|column| {
            json!({"name": column.name, "type": column.kind, "format": column.format,
                "description": column.description, "priority": column.priority})
        });
        columns.collect()
    }
}

impl Column {
    pub(crate) const fn string(name: &'static str, description: &'static str) -> Self {
        Self { name, kind: "string", format: "", description, priority: 0 }
    }

    pub(crate) const fn integer(name: &'static str, description: &'static str) -> Self {
        Self { name, kind: "integer", format: "", description, priority: 0 }
    }

    pub(crate) const fn boolean(name: &'static str, description: &'static str) -> Self {
        Self { name, kind: "boolean", format: "", description, priority: 0 }
    }

    /// The same column, in wide output only.
    pub(crate) const fn wide(self) -> Self {
        Self { priority: 1, ..self }
    }
}

pub(crate) const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    description: "Name must be unique within a namespace. Is required when creating resources, although some resources \
         may allow a client to request the generation of an appropriate name automatically. Name is primarily intended \
         for creation idempotence and configuration definition. Cannot be updated. More info: \
         https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    priority: 0,
};

pub(crate) const AGE: Column = Column::string(
    "Age",
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to \
     be set in happens-before order across separate operations. Clients may not set this value. It is represented in \
     RFC3339 form and is in UTC.",
);

pub(crate) const CREATED_AT: Column = Column { name: "Created At", kind: "date", ..AGE };

pub(crate) const CONTAINERS: Column = Column::string("Containers", "Names of each container in the template.").wide();
pub(crate) const IMAGES: Column =
    Column::string("Images", "Images referenced by each container in the template.").wide();
pub(crate) const SELECTOR: Column =
    Column::string("Selector", "Label selector of the pods that belong to the object.").wide();
