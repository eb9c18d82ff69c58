//! Between the version that is stored and the version that a request names.
//!
//! Reading: convert, drop what the version does not specify, fill in its defaults. An object that was written in this
//! version since the definition last changed needs none of it, and its stored bytes are sent as they are.

mod webhook;

use std::borrow::Cow;
use std::sync::Arc;

use minato_mvcc::Object;
use minato_structural as structural;
use serde_json::Value;

use super::Custom;
use super::definition::Definition;
use crate::core::Core;
use crate::registry::Resource;
use crate::status::ApiError;
use crate::write::parse;

pub(crate) use webhook::Webhook;

/// How an object of one version becomes one of another.
pub(crate) enum Conversion {
    /// By its `apiVersion` alone.
    None,
    /// By asking.
    Webhook(Box<Webhook>),
}

impl Conversion {
    pub(super) fn of(definition: &Definition) -> Self {
        let Some(conversion) = &definition.spec.conversion else { return Self::None };
        match (conversion.strategy.as_str(), &conversion.webhook) {
            ("Webhook", Some(webhook)) => Self::Webhook(Box::new(Webhook::new(webhook))),
            _ => Self::None,
        }
    }
}

impl Core {
    /// A stored object as the value that requests for `resource` work on.
    pub(crate) async fn working(&self, resource: &Resource, object: &Object) -> Result<Value, ApiError> {
        let value = parse(object)?;
        match &resource.custom {
            Some(custom) if !custom.shows(object) => {
                let mut converted = self.converted(resource, custom, vec![value], &resource.api_version).await?;
                let mut value = converted.pop().unwrap_or_default();
                normalise(custom, &mut value);
                Ok(value)
            }
            _ => Ok(value),
        }
    }

    /// A worked-on object as it is stored.
    pub(crate) async fn storable<'a>(
        &self,
        resource: &Resource,
        object: &'a Value,
    ) -> Result<Cow<'a, Value>, ApiError> {
        match &resource.custom {
            Some(custom) if object["apiVersion"] != *custom.stored_api_version => {
                let stored = &custom.stored_api_version;
                let mut converted = self.converted(resource, custom, vec![object.clone()], stored).await?;
                Ok(Cow::Owned(converted.pop().unwrap_or_default()))
            }
            _ => Ok(Cow::Borrowed(object)),
        }
    }

    /// Whether an update that changes nothing else changes the version in which the object is stored.
    pub(crate) fn is_stored_otherwise(&self, resource: &Resource, object: &Object) -> bool {
        match &resource.custom {
            Some(custom) if !custom.shows(object) => {
                parse(object).is_ok_and(|value| value["apiVersion"] != *custom.stored_api_version)
            }
            _ => false,
        }
    }

    /// Stored objects as `resource` shows them.
    pub(crate) async fn presented(
        &self,
        resource: &Resource,
        objects: Vec<Arc<Object>>,
    ) -> Result<Vec<Arc<Object>>, ApiError> {
        let Some(custom) = &resource.custom else { return Ok(objects) };
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        for (index, object) in objects.iter().enumerate() {
            if !custom.shows(object) {
                indices.push(index);
                values.push(parse(object)?);
            }
        }
        let mut objects = objects;
        let converted = self.converted(resource, custom, values, &resource.api_version).await?;
        for (index, mut value) in indices.into_iter().zip(converted) {
            normalise(custom, &mut value);
            let object = &objects[index];
            objects[index] = Arc::new(Object { value: value.to_string().into(), ..Object::clone(object) });
        }
        Ok(objects)
    }

    /// One stored object as `resource` shows it.
    pub(crate) async fn presented_one(
        &self,
        resource: &Resource,
        object: Arc<Object>,
    ) -> Result<Arc<Object>, ApiError> {
        match &resource.custom {
            Some(custom) if !custom.shows(&object) => {
                let mut presented = self.presented(resource, vec![object]).await?;
                presented.pop().ok_or_else(|| ApiError::internal("a conversion lost an object"))
            }
            _ => Ok(object),
        }
    }

    /// A worked-on object as another version of its kind shows it, or an object of that version as this one does.
    pub(crate) async fn between(&self, resource: &Resource, object: Value) -> Result<Value, ApiError> {
        let Some(custom) = &resource.custom else { return Ok(object) };
        let mut converted = self.converted(resource, custom, vec![object], &resource.api_version).await?;
        let mut value = converted.pop().unwrap_or_default();
        normalise(custom, &mut value);
        Ok(value)
    }

    async fn converted(
        &self,
        resource: &Resource,
        custom: &Custom,
        mut objects: Vec<Value>,
        api_version: &str,
    ) -> Result<Vec<Value>, ApiError> {
        match &custom.conversion {
            Conversion::Webhook(webhook) if objects.iter().any(|object| object["apiVersion"] != api_version) => {
                webhook.convert(self, &resource.declaration.kind, objects, api_version).await
            }
            _ => {
                objects.iter_mut().for_each(|object| object["apiVersion"] = api_version.into());
                Ok(objects)
            }
        }
    }
}

/// Brings an object to the shape that its version has now.
fn normalise(custom: &Custom, object: &mut Value) {
    let schema = custom.schema();
    structural::prune(schema, object);
    structural::default(schema, object);
    structural::drop_nulls(schema, object);
}
