//! Values that no two objects may share, and that the server chooses where the user does not: cluster IPs, node ports.
//!
//! What is taken is kept in memory and derived from the stored objects at start, so it can never leak: an address is
//! taken exactly while an object that has it is stored or being written.

mod addresses;
mod pool;
mod services;

use minato_kinds::FieldError;
use serde_json::Value;

pub(crate) use addresses::Companion;
pub(crate) use services::{ServiceRanges, Services};

/// Completes objects of one kind with values that are theirs alone.
pub(crate) trait Reserve: Send + Sync {
    /// Takes what `new` asks for and does not already have as `old`, and writes what was chosen into `new`.
    fn reserve(&self, new: &mut Value, old: Option<&Value>, dry_run: bool) -> Result<Reservation<'_>, Vec<FieldError>>;

    /// Gives back what a removed object had.
    fn release(&self, object: &Value);

    /// What is written when `object` is removed.
    fn farewell(&self, object: &Value) -> Vec<Companion>;
}

/// Values taken for a write that is under way; given back unless the write happens.
#[must_use]
pub(crate) struct Reservation<'a> {
    /// What is written together with the object.
    pub(crate) companions: Vec<Companion>,
    settle: Option<Box<dyn FnOnce(bool) + Send + 'a>>,
}

impl<'a> Reservation<'a> {
    /// `settle` is called once, with whether the write happened.
    fn new(companions: Vec<Companion>, settle: impl FnOnce(bool) + Send + 'a) -> Self {
        Self { companions, settle: Some(Box::new(settle)) }
    }

    /// The write happened.
    pub(crate) fn keep(mut self) {
        if let Some(settle) = self.settle.take() {
            settle(true);
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(settle) = self.settle.take() {
            settle(false);
        }
    }
}
