//! What is wrong with a value, and where, in the words of Go's decoder.

use serde_json::Value;

/// A value that is not what the schema wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
pub struct TypeMismatch {
    /// What is wrong.
    pub misfit: Misfit,
    /// The Go name of the innermost struct around the value, `DeploymentSpec`; empty for the whole document.
    pub structure: String,
    /// The JSON names that lead to the value, without list indexes: `spec`, `replicas`.
    pub fields: Vec<String>,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// A value of the wrong JSON type, or a number out of range.
    #[error("json: cannot unmarshal {found} into Go value of type {wanted}")]
    Type {
        /// `string`, `object`, `array`, `bool`, `number`, or `number 1.5`.
        found: String,
        /// `int32`, `[]v1.Container`, …
        wanted: String,
    },
    /// A string that is not a time.
    #[error("{0}")]
    Time(String),
    /// A value that is not a quantity.
    #[error("{0}")]
    Quantity(String),
    /// A string that is not base64.
    #[error("illegal base64 data at input byte {0}")]
    Base64(usize),
    /// A `JSONSchemaPropsOrBool` that is neither.
    #[error("boolean or JSON schema expected")]
    NotBoolOrSchema,
}

impl Misfit {
    pub(super) fn of(found: &Value, wanted: String) -> Misfit {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        Misfit::Type { found: found.to_owned(), wanted }
    }
}

impl TypeMismatch {
    pub(super) fn boxed(misfit: Misfit) -> Box<TypeMismatch> {
        Box::new(TypeMismatch { misfit, structure: String::new(), fields: Vec::new() })
    }

    /// The same mismatch, seen from the struct around it.
    pub(super) fn inside(mut self: Box<Self>, structure: &str, field: &str) -> Box<TypeMismatch> {
        if self.structure.is_empty() {
            structure.clone_into(&mut self.structure);
        }
        self.fields.insert(0, field.to_owned());
        self
    }

    fn words(&self) -> String {
        match &self.misfit {
            Misfit::Type { found, wanted } if !self.structure.is_empty() => {
                let (structure, path) = (&self.structure, self.fields.join("."));
                format!("json: cannot unmarshal {found} into Go struct field {structure}.{path} of type {wanted}")
            }
            other => other.to_string(),
        }
    }
}
