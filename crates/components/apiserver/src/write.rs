//! The write path that every kind goes through: create, update and delete, as `registry/rest` defines them.
//!
//! ```text
//! create  default → mutate → name → prepare → reserve → validate → judge → commit
//! update  read → change → default → mutate → prepare → reserve → validate → judge → (nothing changed?) → commit, or again
//! delete  read → preconditions → grace, finalizers → admit → commit of the mark, or of the removal, or again
//! ```
//!
//! Nothing is changed before everything was checked; a commit is one transaction against the revision that was read,
//! so two writers never overwrite each other unseen.

mod create;
mod delete;
mod ownership;
mod update;

use std::sync::Arc;

use minato_mvcc::{Expected, Key, Object, Operation, Revision, Transaction};
use minato_store::CommitError;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use delete::{DeleteOptions, Deletion};
pub(crate) use ownership::reset_fields;
pub(crate) use update::UpdateKind;

use crate::admission::{Context, Operation as AdmissionOperation, Options, Remarks};
use crate::core::Core;
use crate::identity::User;
use crate::object;
use crate::registry::Resource;
use crate::reserve::Companion;
use crate::status::ApiError;
use crate::template::template;

/// How often a write that lost a race is tried again with what the winner wrote.
const ATTEMPTS_MAX: usize = 32;

/// What a write is about, besides the object.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) resource: &'a Resource,
    /// Empty for kinds of the cluster.
    pub(crate) namespace: &'a str,
    pub(crate) user: &'a User,
    /// Check everything, write nothing.
    pub(crate) dry_run: bool,
    /// The part of the object that the URL names; empty for the whole.
    pub(crate) subresource: &'a str,
    /// Admission has been asked already, about the body of a subresource, or is not to be asked: the server's own writes.
    pub(crate) admitted: bool,
    /// Who is noted in `metadata.managedFields` for what is written; nobody where empty.
    pub(crate) field_manager: &'a str,
    /// What came with the request.
    pub(crate) options: Options<'a>,
    /// What admission says of the request besides yes or no.
    pub(crate) remarks: &'a Remarks,
}

impl<'a> Target<'a> {
    /// A write of the server's own, which no admission may hinder.
    pub(crate) fn internal(resource: &'a Resource, namespace: &'a str, user: &'a User, remarks: &'a Remarks) -> Self {
        Self {
            resource,
            namespace,
            user,
            dry_run: false,
            subresource: "",
            admitted: true,
            field_manager: ownership::SERVER,
            options: Options::None,
            remarks,
        }
    }

    /// What admission is asked about a write of this target.
    pub(crate) fn context(
        &'a self,
        core: &'a Core,
        operation: AdmissionOperation,
        name: &'a str,
        old: Option<&'a Value>,
    ) -> Context<'a> {
        Context { core, memory: core.memory(), target: self, operation, name, old, options: self.options }
    }

    pub(crate) fn key_of(&self, name: &str) -> Key {
        Key::new(Arc::clone(&self.resource.storage), self.namespace, name)
    }
}

/// Why a commit did not happen.
enum Refused {
    /// The object is not at the expected revision any more.
    Raced,
    /// A quota is not at the revision any more at which the object was charged to it.
    Uncharged,
    /// Anything else.
    Failed(ApiError),
}

impl Core {
    /// Writes `object`; on a dry run only makes what would be answered.
    async fn put(
        &self,
        target: &Target<'_>,
        key: Key,
        object: &Value,
        expected: Expected,
        beside: Vec<Operation>,
    ) -> Result<Arc<Object>, Refused> {
        tracing::debug!(user = target.user.name, %key, dry_run = target.dry_run, "put");
        let attributes = object::attributes(&target.resource.declaration, object);
        let object = &*self.storable(target.resource, object).await.map_err(Refused::Failed)?;
        if target.dry_run {
            let revision = match expected {
                Expected::Revision(revision) => revision,
                Expected::Absent | Expected::Any => Revision(0),
            };
            let value = object.to_string().into();
            return Ok(Arc::new(Object { key, revision, created: revision, value, attributes }));
        }
        let empty = serde_json::Map::new();
        let value = template(object.as_object().unwrap_or(&empty));
        let mut operations = vec![Operation::Put { key, value, attributes, expected }];
        operations.extend(beside);
        let written = self.commit(operations.into()).await;
        self.hooks.written(&target.resource.storage);
        written
    }

    /// Charges `object`, which was `old`, to the quotas of its namespace and writes it, in one transaction.
    async fn put_charged(
        &self,
        target: &Target<'_>,
        key: Key,
        object: &Value,
        (old, expected): (Option<&Value>, Expected),
        companions: &[Companion],
    ) -> Result<Arc<Object>, Refused> {
        for _ in 0..ATTEMPTS_MAX {
            let mut beside = self.charge(target, &key.name, object, old).await.map_err(Refused::Failed)?.operations;
            self.accompany(companions, &mut beside).map_err(Refused::Failed)?;
            match self.put(target, key.clone(), object, expected, beside).await {
                Err(Refused::Uncharged) => {}
                outcome => return outcome,
            }
        }
        Err(Refused::Failed(ApiError::modified(&target.resource.subject(&key.name))))
    }

    /// Adds what is written together with an object.
    fn accompany(&self, companions: &[Companion], operations: &mut Vec<Operation>) -> Result<(), ApiError> {
        for companion in companions {
            operations.extend(companion.operation(self.memory())?);
        }
        Ok(())
    }

    /// Removes the object; watchers are sent `last`.
    async fn remove(&self, target: &Target<'_>, current: &Arc<Object>, last: &Value) -> Result<Arc<Object>, Refused> {
        tracing::debug!(user = target.user.name, key = %current.key, dry_run = target.dry_run, "remove");
        if target.dry_run {
            return Ok(Arc::clone(current));
        }
        let last = &*self.storable(target.resource, last).await.map_err(Refused::Failed)?;
        let empty = serde_json::Map::new();
        let last = template(last.as_object().unwrap_or(&empty));
        let expected = Expected::Revision(current.revision);
        let mut operations = vec![Operation::Delete { key: current.key.clone(), expected, last }];
        let reserved = match self.reserve_of(target.resource) {
            Some(reserve) => Some((reserve, parse(current).map_err(Refused::Failed)?)),
            None => None,
        };
        if let Some((reserve, object)) = &reserved {
            self.accompany(&reserve.farewell(object), &mut operations).map_err(Refused::Failed)?;
        }
        let removed = self.commit(operations.into()).await?;
        self.hooks.written(&target.resource.storage);
        if let Some((reserve, object)) = &reserved {
            reserve.release(object);
        }
        Ok(removed)
    }

    /// Answers with what the first operation wrote.
    async fn commit(&self, transaction: Transaction) -> Result<Arc<Object>, Refused> {
        let key = transaction.operations.first().map(|operation| operation.key().clone());
        match self.backend.commit(transaction).await {
            Ok(written) => written.into_iter().next().ok_or_else(|| {
                Refused::Failed(ApiError::internal("the store acknowledged a write without saying what it wrote"))
            }),
            Err(CommitError::Conflict { key: raced, .. }) if Some(&raced) != key.as_ref() => Err(Refused::Uncharged),
            Err(CommitError::Conflict { .. }) => Err(Refused::Raced),
            Err(CommitError::Full { .. }) => Err(Refused::Failed(ApiError::insufficient_storage())),
            Err(CommitError::Closed) => Err(Refused::Failed(ApiError::unavailable("the server is shutting down"))),
            Err(CommitError::TooLarge { bytes_max, .. }) => Err(Refused::Failed(ApiError::too_large(bytes_max))),
            Err(error) => {
                if matches!(error, CommitError::Disk { .. }) {
                    self.set_failed();
                }
                tracing::error!(error = %chain(&error), "a write failed");
                Err(Refused::Failed(ApiError::internal(error)))
            }
        }
    }
}

/// The value of a stored object.
pub(crate) fn parse(object: &Object) -> Result<Value, ApiError> {
    parse_as(object)
}

/// What `T` wants to know of a stored object.
pub(crate) fn parse_as<T: DeserializeOwned>(object: &Object) -> Result<T, ApiError> {
    serde_json::from_slice(&object.value).map_err(|error| {
        tracing::error!(key = %object.key, %error, "a stored object cannot be read");
        ApiError::internal(format!("the stored object {} cannot be read: {error}", object.key))
    })
}

/// An error with its sources, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
