//! Updates: of the object, of its status, and of parts of it that have a URL of their own.

use std::sync::Arc;

use minato_kinds::{FieldError, Subresource};
use minato_mvcc::{Expected, Object};
use serde_json::Value;

use super::ownership::same_but_for_times;
use super::{ATTEMPTS_MAX, Refused, Target};
use crate::admission::Operation;
use crate::core::Core;
use crate::object;
use crate::status::ApiError;

/// What a request may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpdateKind {
    /// All but the status.
    Object,
    /// The status, and labels, annotations and finalizers.
    Status,
    /// What the kind lets that URL change: finalize, approval, ephemeral containers, resize.
    Subresource(Subresource),
    /// What the change itself has limited: binding.
    Part,
}

/// From the stored object to the wanted one, both in the storage version. Called again when another write came between.
pub(crate) type Change<'a> = dyn FnMut(&Value) -> Result<Value, ApiError> + Send + 'a;

impl Core {
    /// Applies `change` to the object `name`.
    pub(crate) async fn update(
        &self,
        target: &Target<'_>,
        name: &str,
        kind: UpdateKind,
        change: &mut Change<'_>,
    ) -> Result<Arc<Object>, ApiError> {
        let resource = target.resource;
        let key = target.key_of(name);
        for _ in 0..ATTEMPTS_MAX {
            let current = self.memory().get(&key).ok_or_else(|| resource.not_found(name))?;
            let old = self.working(resource, &current).await?;
            let mut new = change(&old)?;
            carry_identity(target, name, &mut new, &old)?;
            let declaration = &resource.declaration;
            if kind != UpdateKind::Status {
                declaration.default(&mut new);
            }
            target.note_owner(kind, Some(&old), &mut new);
            let context = target.context(self, Operation::Update, name, Some(&old));
            if self.mutate(&context, &mut new).await? {
                // What others have made of it is still this object.
                carry_identity(target, name, &mut new, &old)?;
            }
            prepare(target, kind, &mut new, &old);
            let invalid = |errors: Vec<FieldError>| ApiError::invalid(&resource.subject_by_kind(name), &errors);
            let reservation = match self.reserve_of(resource) {
                Some(reserve) if kind == UpdateKind::Object => {
                    Some(reserve.reserve(&mut new, Some(&old), target.dry_run).map_err(invalid)?)
                }
                _ => None,
            };
            let errors = match kind {
                UpdateKind::Object => declaration.validate_update(&new, &old),
                UpdateKind::Status => declaration.validate_status_update(&new, &old),
                UpdateKind::Subresource(part) => declaration.validate_subresource_update(part, &new, &old),
                UpdateKind::Part => minato_kinds::metadata::validate_update(&new, &old),
            };
            if !errors.is_empty() {
                return Err(invalid(errors));
            }
            if kind == UpdateKind::Object {
                let warnings = declaration.warnings(&new, Some(&old));
                warnings.into_iter().for_each(|warning| target.remarks.warn(warning));
            }
            self.judge(&context, &new).await?;
            if same_but_for_times(&new, &old) && !self.is_stored_otherwise(resource, &current) {
                return Ok(current);
            }
            let outcome = if ends_life(declaration, &new) {
                self.remove(target, &current, &new).await
            } else {
                let companions = reservation.as_ref().map(|taken| taken.companions.as_slice()).unwrap_or_default();
                let expected = (Some(&old), Expected::Revision(current.revision));
                self.put_charged(target, key.clone(), &new, expected, companions).await
            };
            match outcome {
                Ok(written) => {
                    if let Some(reservation) = reservation {
                        reservation.keep();
                    }
                    return Ok(written);
                }
                Err(Refused::Raced | Refused::Uncharged) => {}
                Err(Refused::Failed(error)) => return Err(error),
            }
        }
        Err(ApiError::modified(&resource.subject(name)))
    }
}

/// Checks that `new` is a version of `old`, and gives it what an update cannot change.
fn carry_identity(target: &Target<'_>, name: &str, new: &mut Value, old: &Value) -> Result<(), ApiError> {
    let resource = target.resource;
    let given = object::text(new, "name");
    if given.is_empty() {
        object::metadata(new).insert("name".to_owned(), name.into());
    } else if given != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    if resource.declaration.namespaced {
        let given = object::text(new, "namespace");
        if !given.is_empty() && given != target.namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    }
    let (wanted, have) = (object::text(new, "uid"), object::text(old, "uid"));
    if !wanted.is_empty() && wanted != have {
        let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {have}");
        return Err(ApiError::conflict(&resource.subject(name), &why));
    }
    let (wanted, have) = (object::text(new, "resourceVersion"), object::text(old, "resourceVersion"));
    if !wanted.is_empty() && wanted != have {
        return Err(ApiError::modified(&resource.subject(name)));
    }
    if wanted.is_empty() && !resource.declaration.strategy.allow_unconditional_update() {
        let errors = [FieldError {
            path: minato_kinds::FieldPath::new("metadata.resourceVersion"),
            kind: minato_kinds::FieldErrorKind::Invalid,
            value: Value::from(0),
            detail: "must be specified for an update".to_owned(),
        }];
        return Err(ApiError::invalid(&resource.subject_by_kind(name), &errors));
    }
    let have = &old["metadata"];
    let metadata = object::metadata(new);
    metadata.insert("resourceVersion".to_owned(), have["resourceVersion"].clone());
    for key in ["namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        match &have[key] {
            // A time to delete is set by a deletion alone; what a client sends is not looked at.
            Value::Null if key.starts_with("deletion") => {
                metadata.remove(key);
            }
            Value::Null => {}
            value => {
                metadata.insert(key.to_owned(), value.clone());
            }
        }
    }
    Ok(())
}

fn prepare(target: &Target<'_>, kind: UpdateKind, new: &mut Value, old: &Value) {
    let declaration = &target.resource.declaration;
    match kind {
        UpdateKind::Object => declaration.prepare_for_update(new, old),
        UpdateKind::Status => declaration.prepare_for_status_update(new, old),
        UpdateKind::Subresource(part) => declaration.prepare_for_subresource_update(part, new, old),
        UpdateKind::Part => {
            let counts = declaration.strategy.has_generation() && declaration.strategy.generation_changed(new, old);
            let generation = old["metadata"]["generation"].as_i64();
            let metadata = object::metadata(new);
            if let Some(generation) = generation {
                metadata.insert("generation".to_owned(), (generation + i64::from(counts)).into());
            }
        }
    }
}

/// Whether a deletion that waited for finalizers need wait no longer.
fn ends_life(declaration: &minato_kinds::Declaration, object: &Value) -> bool {
    object::is_terminating(object)
        && object::finalizers(object).next().is_none()
        && object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && !super::delete::is_held_by_spec(declaration, object)
}
