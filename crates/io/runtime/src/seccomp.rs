//! System call filters, compiled in this process.

mod profile;
mod syscalls;

use minato_linux::capability::Capabilities;
use minato_linux::process::FilterInstruction;

use crate::Seccomp;

/// The programs of a profile for a process that will hold these capabilities; none if everything is allowed.
///
/// # Errors
/// When a profile is not understood; the text says why.
pub(crate) fn programs(seccomp: &Seccomp, held: Capabilities) -> Result<Vec<Vec<FilterInstruction>>, String> {
    match seccomp {
        Seccomp::Unconfined => Ok(Vec::new()),
        Seccomp::RuntimeDefault => profile::runtime_default(held),
    }
}
