//! The table of messages, read from its text once.

use std::collections::HashMap;
use std::sync::OnceLock;

/// A message: its fields by number.
#[derive(Debug)]
pub(crate) struct Message {
    #[cfg(test)]
    name: &'static str,
    fields: Vec<Field>,
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// The name in JSON.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The struct's fields stand in the parent's JSON.
    pub(crate) inline: bool,
    /// Zero means absent.
    pub(crate) zero_is_absent: bool,
}

/// Whether a field is one value, many, or a map with text keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    One(Type),
    List(Type),
    Map(Type),
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Int,
    Bool,
    Double,
    Bytes,
    Message(&'static str),
}

impl Message {
    /// The message of that name, such as `core.v1.Pod`.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        table().get(name)
    }

    /// By number.
    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub(crate) fn field(&self, number: u32) -> Option<&Field> {
        self.fields.iter().find(|field| field.number == number)
    }
}

fn table() -> &'static HashMap<&'static str, Message> {
    static TABLE: OnceLock<HashMap<&'static str, Message>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table: HashMap<&'static str, Message> = HashMap::new();
        let mut name = "";
        for line in include_str!("messages.txt").lines() {
            match line.strip_prefix(' ') {
                None => {
                    name = line;
                    let message = Message {
                        #[cfg(test)]
                        name,
                        fields: Vec::new(),
                    };
                    table.insert(name, message);
                }
                Some(line) => {
                    if let (Some(field), Some(message)) = (field(line), table.get_mut(name)) {
                        message.fields.push(field);
                    }
                }
            }
        }
        table
    })
}

fn field(line: &'static str) -> Option<Field> {
    let mut words = line.split(' ');
    let (number, name, kind) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
    let inline = kind.ends_with('~');
    let zero_is_absent = kind.ends_with('?');
    let kind = kind.trim_end_matches(['~', '?']);
    let kind = if let Some(items) = kind.strip_prefix("[]") {
        Kind::List(type_of(items))
    } else if let Some(values) = kind.strip_prefix("map<string,").and_then(|kind| kind.strip_suffix('>')) {
        Kind::Map(type_of(values))
    } else {
        Kind::One(type_of(kind))
    };
    Some(Field { number, name, kind, inline, zero_is_absent })
}

fn type_of(name: &'static str) -> Type {
    match name {
        "string" => Type::Text,
        "int32" | "int64" => Type::Int,
        "bool" => Type::Bool,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        message => Type::Message(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_that_a_field_names_is_there() {
        for message in table().values() {
            for field in &message.fields {
                let (Kind::One(of) | Kind::List(of) | Kind::Map(of)) = field.kind;
                if let Type::Message(name) = of {
                    assert!(Message::find(name).is_some(), "{}.{}: {name}", message.name, field.name);
                }
            }
        }
        assert!(table().len() > 400);
    }
}
