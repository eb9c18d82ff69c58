//! The types that schemas give to CEL (`apiserver/schema/cel/model.SchemaDeclType`).

use minato_cel::{ListKind, Type};

use crate::schema::{self, Additional, ListType, Schema};

/// The type of values of `schema`; none where they cannot be named in an expression. A resource has more fields than its
/// schema says.
pub(super) fn of(schema: &Schema, resource: bool) -> Option<Type> {
    if schema.int_or_string {
        return Some(Type::int_or_string());
    }
    Some(match schema.kind? {
        schema::Type::Boolean => Type::Bool,
        schema::Type::Integer => Type::Int,
        schema::Type::Number => Type::Double,
        schema::Type::String => match schema.format() {
            "byte" => Type::Bytes,
            "duration" => Type::Duration,
            "date" | "date-time" | "datetime" => Type::Timestamp,
            _ => Type::String,
        },
        schema::Type::Array => {
            let items = schema.items.as_deref()?;
            let kind = match schema.list_type {
                ListType::Atomic => ListKind::Atomic,
                ListType::Set => ListKind::Set,
                ListType::Map => ListKind::Map(schema.list_map_keys.clone()),
            };
            Type::list_of(of(items, items.embedded)?, kind)
        }
        schema::Type::Object => match &schema.additional {
            Some(Additional::Schema(values)) => Type::map(of(values, values.embedded)?),
            _ => {
                let own = schema.properties.iter();
                let own = own.filter_map(|(name, field)| Some((name.clone(), of(field, field.embedded)?)));
                let mut fields: Vec<(String, Type)> = own.collect();
                if resource || schema.embedded {
                    let names = ["name", "generateName"].map(|name| (name.to_owned(), Type::String));
                    fields.retain(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"));
                    fields.push(("apiVersion".to_owned(), Type::String));
                    fields.push(("kind".to_owned(), Type::String));
                    fields.push(("metadata".to_owned(), Type::object("object", names)));
                }
                Type::object("object", fields)
            }
        },
    })
}
