//! Selectors over what the store keeps beside each object.

use minato_mvcc::{Interest, Object};
use minato_select::{FieldOperator, FieldSelector, LabelSelector};

use crate::registry::Resource;
use crate::route::Query;
use crate::status::ApiError;

/// Which objects a list, a watch or a collection's deletion is about.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// Empty for all namespaces, and for kinds of the cluster.
    pub(crate) namespace: String,
    labels: LabelSelector,
    fields: FieldSelector,
    /// Paths of `fields` as the store knows them, in the order of the requirements.
    stored: Vec<Stored>,
}

/// Where the value of a field comes from.
#[derive(Clone, Debug)]
enum Stored {
    /// The store keeps it beside the object.
    Kept(&'static str),
    /// It is looked up in the object: selectable fields of custom kinds.
    Read(String),
}

impl Filter {
    /// Reads `labelSelector` and `fieldSelector`.
    pub(crate) fn parse(resource: &Resource, namespace: &str, query: &Query) -> Result<Self, ApiError> {
        let labels = match query.get("labelSelector") {
            None => LabelSelector::everything(),
            Some(text) => LabelSelector::parse(text).map_err(|error| ApiError::bad_request(error.to_string()))?,
        };
        let fields = match query.get("fieldSelector") {
            None => FieldSelector::everything(),
            Some(text) => FieldSelector::parse(text).map_err(|error| ApiError::bad_request(error.to_string()))?,
        };
        Self::new(resource, namespace, labels, fields)
    }

    /// The one object `name`.
    pub(crate) fn one(resource: &Resource, namespace: &str, name: &str) -> Result<Self, ApiError> {
        let fields = FieldSelector::parse(&format!("metadata.name={name}"))
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        Self::new(resource, namespace, LabelSelector::everything(), fields)
    }

    fn new(
        resource: &Resource,
        namespace: &str,
        labels: LabelSelector,
        fields: FieldSelector,
    ) -> Result<Self, ApiError> {
        let stored = fields
            .requirements()
            .iter()
            .map(|requirement| {
                let path = &requirement.path;
                if let Some(kept) = resource.declaration.stored_field(path) {
                    return Ok(Stored::Kept(kept));
                }
                let custom = resource.custom.as_ref();
                let read = custom.is_some_and(|custom| custom.selectable.iter().any(|known| known == path));
                if read {
                    Ok(Stored::Read(path.clone()))
                } else {
                    Err(ApiError::bad_request(format!("field label not supported: {path}")))
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { namespace: namespace.to_owned(), labels, fields, stored })
    }

    pub(crate) fn selects_all(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// Whether `object` is in the namespace and matches both selectors.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        (self.namespace.is_empty() || *object.key.namespace == *self.namespace)
            && self.labels.matches(|key| object.attributes.label(key))
            && self.fields.requirements().iter().zip(&self.stored).all(|(requirement, stored)| {
                let read;
                let value = match stored {
                    Stored::Kept("metadata.name") => &*object.key.name,
                    Stored::Kept("metadata.namespace") => &*object.key.namespace,
                    Stored::Kept(path) => object.attributes.field(path).unwrap_or_default(),
                    Stored::Read(path) => {
                        read = field_of(object, path);
                        &read
                    }
                };
                match requirement.operator {
                    FieldOperator::Equals => value == requirement.value,
                    FieldOperator::NotEquals => value != requirement.value,
                }
            })
    }

    /// The one name that can match, where the selector gives it.
    pub(crate) fn name(&self) -> Option<&str> {
        self.fields.required_value("metadata.name")
    }

    /// What a watcher with this filter need be woken for.
    pub(crate) fn interest(&self) -> Interest {
        if let Some(name) = self.name()
            && !self.namespace.is_empty()
        {
            return Interest::Object { namespace: self.namespace.as_str().into(), name: name.into() };
        }
        let equal =
            self.fields.requirements().iter().zip(&self.stored).find_map(|(requirement, stored)| match stored {
                Stored::Kept(path)
                    if requirement.operator == FieldOperator::Equals && !path.starts_with("metadata.") =>
                {
                    Some((requirement, *path))
                }
                _ => None,
            });
        match equal {
            Some((requirement, path)) => {
                Interest::Field { path: path.into(), value: requirement.value.as_str().into() }
            }
            None if self.namespace.is_empty() => Interest::All,
            None => Interest::Namespace(self.namespace.as_str().into()),
        }
    }
}

/// The text of the field at `path` of a stored object; empty where it has none.
fn field_of(object: &Object, path: &str) -> String {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(&object.value) else { return String::new() };
    match path.split('.').try_fold(&value, |value, part| value.get(part)) {
        Some(serde_json::Value::String(text)) => text.clone(),
        None | Some(serde_json::Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}
