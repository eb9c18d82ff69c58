//! The default profile as filter programs.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use minato_linux::capability::Capabilities;
use minato_linux::process::FilterInstruction;
use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

use super::syscalls::{ALWAYS, ALWAYS_BY_NUMBER, BY_CAPABILITY};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Flags of clone(2) that make namespaces.
const NEW_NAMESPACES: u64 = 0x7e02_0000;
/// Linux, UNAME26, ADDR_NO_RANDOMIZE and both, "tell me".
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
const AF_VSOCK: u64 = 40;

/// The programs, to be installed in this order. A call that they refuse fails with EPERM.
pub(super) fn runtime_default(held: Capabilities) -> Result<Vec<Vec<FilterInstruction>>, String> {
    let programs = [allowed(held), without_clone3(held)];
    let programs = programs.into_iter().filter_map(Result::transpose);
    programs.map(|program| program.map(instructions).map_err(|error| error.to_string())).collect()
}

fn allowed(held: Capabilities) -> Result<Option<BpfProgram>, BackendError> {
    let mut rules: Rules = ALWAYS.iter().chain(&ALWAYS_BY_NUMBER).map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_socket, vec![when(0, Length::Dword, Compare::Ne, AF_VSOCK)?]);
    rules.insert(libc::SYS_clone, vec![when(0, Length::Qword, Compare::MaskedEq(NEW_NAMESPACES), 0)?]);
    let personalities = PERSONALITIES.map(|value| when(0, Length::Dword, Compare::Eq, value));
    rules.insert(libc::SYS_personality, personalities.into_iter().collect::<Result<_, _>>()?);
    for (name, calls) in BY_CAPABILITY {
        if Capabilities::named(name).is_some_and(|capability| held.with(capability) == held) {
            rules.extend(calls.iter().map(|call| (*call, Vec::new())));
        }
    }
    program(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow).map(Some)
}

/// The flags of clone3 are in memory, where a filter cannot look. Told that it does not exist, C libraries use clone.
fn without_clone3(held: Capabilities) -> Result<Option<BpfProgram>, BackendError> {
    if Capabilities::named("SYS_ADMIN").is_some_and(|admin| held.with(admin) == held) {
        return Ok(None);
    }
    let rules = Rules::from([(libc::SYS_clone3, Vec::new())]);
    program(rules, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32)).map(Some)
}

fn when(argument: u8, length: Length, compare: Compare, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, length, compare, value)?])
}

fn program(rules: Rules, otherwise: SeccompAction, matching: SeccompAction) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, otherwise, matching, TargetArch::try_from(ARCH)?)?.try_into()
}

fn instructions(program: BpfProgram) -> Vec<FilterInstruction> {
    program.into_iter().map(|step| (step.code, step.jt, step.jf, step.k)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_compiles_and_grows_with_capabilities() {
        let few = runtime_default(Capabilities::default()).unwrap();
        let all = runtime_default(Capabilities::all()).unwrap();
        assert_eq!((few.len(), all.len()), (2, 1));
        assert!(all[0].len() > few[0].len());
        assert!(few.iter().all(|program| program.len() < 4096));
    }
}
