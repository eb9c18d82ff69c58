//! The shape check of a decoded body: what the Go decoder of Kubernetes does with types, nulls and unknown fields.

mod base64;
mod mismatch;
mod scalar;
mod time;

pub use mismatch::{Misfit, TypeMismatch};

use crate::{
    place::Place,
    shape::{Alternative, Field, List, Schema, Shape, Struct},
};
use serde_json::{Map, Value};

/// What [`conform`] has to say about an object that fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conformed {
    /// Fields that the schema does not know (`spec.foo`, `spec.containers[0].x`); they are dropped from the object.
    /// At most a hundred are named.
    pub unknown_fields: Vec<String>,
}

/// Checks that `object` has the shape of `schema` and brings it into the form the API keeps.
///
/// Unknown fields are dropped and named; a `null` counts as absent in a struct and as the zero value in a map or list;
/// empty lists and maps are absent where Go's types omit them;
/// times become UTC, quantities given as numbers become strings. The first value of a wrong type is the error; the
/// object is then half done and to be thrown away.
pub fn conform(schema: &Schema, object: &mut Value) -> Result<Conformed, TypeMismatch> {
    run(schema, object, false)
}

/// Like [`conform`], but keeps empty lists and maps: in a configuration that is applied they say that the field is to be
/// empty.
pub fn conform_configuration(schema: &Schema, object: &mut Value) -> Result<Conformed, TypeMismatch> {
    run(schema, object, true)
}

fn run(schema: &Schema, object: &mut Value, keeps_empty: bool) -> Result<Conformed, TypeMismatch> {
    let mut walk = Walk { unknown_fields: Vec::new(), keeps_empty };
    walk.value(schema, object, &Place::Root).map_err(|mismatch| *mismatch)?;
    Ok(Conformed { unknown_fields: walk.unknown_fields })
}

type Checked = Result<(), Box<TypeMismatch>>;

struct Walk {
    unknown_fields: Vec<String>,
    keeps_empty: bool,
}

impl Walk {
    fn value(&mut self, schema: &Schema, value: &mut Value, place: &Place<'_>) -> Checked {
        match (&schema.shape, value) {
            (Shape::Any, _) => Ok(()),
            (Shape::Struct(structure), Value::Object(object)) => self.structure(structure, object, place),
            (Shape::Map(values), Value::Object(object)) => self.map(values, object, place),
            (Shape::List(list), Value::Array(items)) => self.list(&list.items, items, place),
            (Shape::Scalar(scalar), value) => scalar::conform(*scalar, value).map_err(TypeMismatch::boxed),
            (Shape::SchemaOr { schema, or }, value) => self.schema_or(schema, *or, value, place),
            (Shape::Struct(_) | Shape::Map(_) | Shape::List(_), found) => {
                Err(TypeMismatch::boxed(Misfit::of(found, go_type(schema))))
            }
        }
    }

    fn structure(&mut self, structure: &Struct, object: &mut Map<String, Value>, place: &Place<'_>) -> Checked {
        let mut dropped = false;
        for (name, value) in object.iter_mut() {
            let Some(field) = structure.field(name) else {
                place.field(name).report(&mut self.unknown_fields);
                dropped = true;
                continue;
            };
            if value.is_null() {
                dropped = true;
                continue;
            }
            self.value(&field.schema, value, &place.field(name))
                .map_err(|mismatch| mismatch.inside(structure.go_name(), name))?;
            dropped |= field.omits_empty && !self.keeps_empty && is_empty(value);
        }
        if dropped {
            let keeps_empty = self.keeps_empty;
            object.retain(|name, value| {
                let omits = |field: &Field| field.omits_empty && !keeps_empty && is_empty(value);
                !value.is_null() && structure.field(name).is_some_and(|field| !omits(field))
            });
        }
        Ok(())
    }

    fn map(&mut self, values: &Schema, object: &mut Map<String, Value>, place: &Place<'_>) -> Checked {
        for (key, value) in object.iter_mut() {
            if value.is_null() {
                *value = zero(values);
            }
            self.value(values, value, &place.field(key))?;
        }
        Ok(())
    }

    fn list(&mut self, items: &Schema, values: &mut [Value], place: &Place<'_>) -> Checked {
        for (index, value) in values.iter_mut().enumerate() {
            if value.is_null() {
                *value = zero(items);
            }
            self.value(items, value, &place.item(index))?;
        }
        Ok(())
    }

    fn schema_or(&mut self, schema: &Struct, or: Alternative, value: &mut Value, place: &Place<'_>) -> Checked {
        match (or, value) {
            (_, Value::Object(object)) => self.structure(schema, object, place),
            (Alternative::Bool, Value::Bool(_)) => Ok(()),
            (Alternative::Array, Value::Array(items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    match item {
                        Value::Object(object) => self.structure(schema, object, &place.item(index))?,
                        other => return Err(TypeMismatch::boxed(Misfit::of(other, schema.go_type().to_owned()))),
                    }
                }
                Ok(())
            }
            (Alternative::StringArray, Value::Array(items)) => match items.iter().find(|item| !item.is_string()) {
                Some(other) => Err(TypeMismatch::boxed(Misfit::of(other, "string".to_owned()))),
                None => Ok(()),
            },
            (Alternative::Bool, _) => Err(TypeMismatch::boxed(Misfit::NotBoolOrSchema)),
            (_, found) => Err(TypeMismatch::boxed(Misfit::of(found, schema.go_type().to_owned()))),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

/// Go's zero value, which a `null` in a map or list becomes.
fn zero(schema: &Schema) -> Value {
    match &schema.shape {
        Shape::Struct(_) => Value::Object(Map::new()),
        Shape::Scalar(scalar) => scalar::zero(*scalar),
        Shape::Map(_) | Shape::List(_) | Shape::Any | Shape::SchemaOr { .. } => Value::Null,
    }
}

/// The Go type that a schema stands for, as its decoder prints it.
fn go_type(schema: &Schema) -> String {
    match &schema.shape {
        Shape::Struct(structure) | Shape::SchemaOr { schema: structure, .. } => structure.go_type().to_owned(),
        Shape::Map(values) => match go_type(values) {
            values if values == "resource.Quantity" => "v1.ResourceList".to_owned(),
            values => format!("map[string]{values}"),
        },
        Shape::List(list) => go_list(list),
        Shape::Scalar(scalar) => scalar::go_type(*scalar).to_owned(),
        Shape::Any => "interface {}".to_owned(),
    }
}

fn go_list(list: &List) -> String {
    format!("[]{}", go_type(&list.items))
}

#[cfg(test)]
mod tests;
