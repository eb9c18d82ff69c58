//! Creation.

use std::sync::Arc;

use jiff::Timestamp;
use minato_mvcc::{Expected, Object};
use serde_json::Value;
use uuid::Uuid;

use super::{Refused, Target, UpdateKind};
use crate::admission::Operation;
use crate::core::Core;
use crate::object;
use crate::status::ApiError;

/// How often another generated name is tried when one is taken.
const GENERATED_NAMES_MAX: usize = 8;
/// Bytes of `generateName` that are kept: five more are appended, and 63 fit.
const GENERATE_NAME_BYTES_MAX: usize = 58;
/// No vowels and nothing that looks alike, so that no words arise.
const SUFFIX_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

impl Core {
    /// Creates `object`, which is in the storage version and of the right shape.
    pub(crate) async fn create(&self, target: &Target<'_>, mut object: Value) -> Result<Arc<Object>, ApiError> {
        let resource = target.resource;
        let declaration = &resource.declaration;
        enter_namespace(target, &mut object)?;
        declaration.default(&mut object);
        target.note_owner(UpdateKind::Object, None, &mut object);
        {
            let name = object::text(&object, "name").to_owned();
            let context = target.context(self, Operation::Create, &name, None);
            self.mutate(&context, &mut object).await?;
        }
        begin_life(target, &mut object)?;
        let prefix = object::text(&object, "generateName").to_owned();
        let generates = object::text(&object, "name").is_empty() && !prefix.is_empty();
        let attempts = if generates { GENERATED_NAMES_MAX } else { 1 };
        let given = if generates { Some(object.clone()) } else { None };
        for _ in 0..attempts {
            if let Some(given) = &given {
                object.clone_from(given);
                object::metadata(&mut object).insert("name".to_owned(), generate_name(&prefix).into());
            }
            declaration.prepare_for_create(&mut object, Timestamp::now());
            let name = object::text(&object, "name").to_owned();
            let reservation = match self.reserve_of(resource) {
                Some(reserve) => Some(
                    reserve
                        .reserve(&mut object, None, target.dry_run)
                        .map_err(|errors| ApiError::invalid(&resource.subject_by_kind(&name), &errors))?,
                ),
                None => None,
            };
            let errors = declaration.validate(&object);
            if !errors.is_empty() {
                return Err(ApiError::invalid(&resource.subject_by_kind(&name), &errors));
            }
            declaration.warnings(&object, None).into_iter().for_each(|warning| target.remarks.warn(warning));
            if target.dry_run && self.memory().get(&target.key_of(&name)).is_some() {
                return Err(ApiError::already_exists(&resource.subject(&name)));
            }
            self.judge(&target.context(self, Operation::Create, &name, None), &object).await?;
            let companions = reservation.as_ref().map(|taken| taken.companions.as_slice()).unwrap_or_default();
            let (key, expected) = (target.key_of(&name), (None, Expected::Absent));
            match self.put_charged(target, key, &object, expected, companions).await {
                Ok(created) => {
                    if let Some(reservation) = reservation {
                        reservation.keep();
                    }
                    return Ok(created);
                }
                Err(Refused::Raced) if generates => {}
                Err(Refused::Raced | Refused::Uncharged) => {
                    return Err(ApiError::already_exists(&resource.subject(&name)));
                }
                Err(Refused::Failed(error)) => return Err(error),
            }
        }
        Err(ApiError::already_exists(&resource.subject(object::text(&object, "name"))))
    }
}

/// Puts the object into the namespace of the request.
fn enter_namespace(target: &Target<'_>, object: &mut Value) -> Result<(), ApiError> {
    let resource = target.resource;
    if !object::text(object, "resourceVersion").is_empty() {
        return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
    }
    if resource.declaration.namespaced {
        let given = object::text(object, "namespace");
        if !given.is_empty() && given != target.namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    }
    let metadata = object::metadata(object);
    if resource.declaration.namespaced {
        metadata.insert("namespace".to_owned(), target.namespace.into());
    }
    Ok(())
}

/// Sets what the server alone decides; admission may have changed the object since it was put into its namespace.
fn begin_life(target: &Target<'_>, object: &mut Value) -> Result<(), ApiError> {
    enter_namespace(target, object)?;
    let metadata = object::metadata(object);
    for key in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        metadata.remove(key);
    }
    metadata.insert("uid".to_owned(), Uuid::new_v4().to_string().into());
    metadata.insert("creationTimestamp".to_owned(), object::time(Timestamp::now()));
    metadata.insert("resourceVersion".to_owned(), "".into());
    Ok(())
}

/// `prefix` with five random letters.
fn generate_name(prefix: &str) -> String {
    let mut end = prefix.len().min(GENERATE_NAME_BYTES_MAX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let random = Uuid::new_v4();
    let letters = random
        .as_bytes()
        .iter()
        .take(5)
        .map(|byte| char::from(SUFFIX_ALPHABET[usize::from(*byte) % SUFFIX_ALPHABET.len()]));
    prefix[..end].chars().chain(letters).collect()
}
