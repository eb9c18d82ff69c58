//! Admission: what the cluster's own rules add to, or refuse of, an object that is otherwise fine.
//!
//! A plugin is a plain function of the object and of what is in memory. All plugins stand in one list, [`PLUGINS`],
//! in the order in which they see an object.

mod certificate;
mod namespace;
mod pod;

use minato_mvcc::Memory;
use serde_json::Value;

use crate::core::Core;
use crate::status::ApiError;
use crate::write::Target;

/// What a plugin looks at.
pub(crate) struct Context<'a> {
    pub(crate) memory: &'a Memory,
    pub(crate) target: &'a Target<'a>,
    /// The stored object that is updated; absent when one is created.
    pub(crate) old: Option<&'a Value>,
}

type Plugin = fn(&Context<'_>, &mut Value) -> Result<(), ApiError>;

/// In the order of upstream's default set.
const PLUGINS: &[Plugin] =
    &[namespace::lifecycle, pod::service_account, pod::priority, pod::default_tolerations, certificate::requester];

impl Core {
    /// Runs the plugins over an object that is created or updated.
    pub(crate) fn admit(&self, target: &Target<'_>, object: &mut Value, old: Option<&Value>) -> Result<(), ApiError> {
        let context = Context { memory: self.memory(), target, old };
        PLUGINS.iter().try_for_each(|plugin| plugin(&context, object))
    }

    /// Whether an object may be deleted at all.
    pub(crate) fn admit_deletion(&self, target: &Target<'_>, name: &str) -> Result<(), ApiError> {
        namespace::deletion(target, name)
    }
}
