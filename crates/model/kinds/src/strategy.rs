//! What a kind knows about itself beyond its names.

use jiff::Timestamp;
use serde_json::Value;

use crate::declaration::Subresource;
use crate::error::FieldError;

/// The rules of one kind. All methods are plain functions of their arguments; the methods of
/// [`Declaration`](crate::Declaration) add to them what is the same for every kind.
pub trait Strategy: Sync + Send {
    /// Fills in what the API defaults. Idempotent.
    fn default(&self, _object: &mut Value) {}

    /// Makes a new object as it begins its life: status as the API server sets it, fields that users may not choose.
    fn prepare_for_create(&self, _object: &mut Value, _now: Timestamp) {}

    /// Whether a new object may bring its status along. Nearly none may.
    fn keeps_status_on_create(&self) -> bool {
        false
    }

    /// Puts back what an update may not touch.
    fn prepare_for_update(&self, _new: &mut Value, _old: &Value) {}

    /// Puts back what a status update may not touch, besides everything outside `metadata` and `status`.
    fn prepare_for_status_update(&self, _new: &mut Value, _old: &Value) {}

    /// Puts back what an update through `subresource` (other than `status`) may not touch.
    fn prepare_for_subresource_update(&self, _subresource: Subresource, _new: &mut Value, _old: &Value) {}

    /// What is wrong with a new object, besides its metadata.
    fn validate(&self, _object: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    /// What is wrong with a change, besides the metadata.
    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    /// What is wrong with a change of the status.
    fn validate_status_update(&self, _new: &Value, _old: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    /// What is wrong with a change through `subresource` (other than `status`).
    fn validate_subresource_update(&self, _subresource: Subresource, new: &Value, old: &Value) -> Vec<FieldError> {
        self.validate_update(new, old)
    }

    /// What the user should know though the object, new or changed from `old`, is valid.
    fn warnings(&self, _new: &Value, _old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }

    /// Whether `metadata.generation` counts changes of the object's wishes.
    fn has_generation(&self) -> bool {
        false
    }

    /// Whether between `old` and `new` the object's wishes changed, so that its generation goes up.
    fn generation_changed(&self, new: &Value, old: &Value) -> bool {
        crate::declaration::wishes_differ(new, old)
    }

    /// Seconds between the request to delete and the end, where deletion is graceful when nothing else is asked for.
    fn default_grace_period(&self, _object: &Value) -> Option<i64> {
        None
    }

    /// Whether what belongs to a deleted object stays when the request does not say: so it was when kinds began to have
    /// dependents.
    fn orphans_dependents(&self) -> bool {
        false
    }

    /// Whether PUT on a name that is not there creates.
    fn allow_create_on_update(&self) -> bool {
        false
    }

    /// Marks an object that somebody asked to delete, before it is decided what becomes of it.
    fn prepare_for_delete(&self, _object: &mut Value) {}

    /// Whether finalizers without a domain must be the well-known ones.
    fn restricts_finalizers(&self) -> bool {
        true
    }

    /// Whether PUT without a `resourceVersion` overwrites.
    fn allow_unconditional_update(&self) -> bool {
        true
    }
}

/// A kind without rules of its own.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Strategy for Plain {}
