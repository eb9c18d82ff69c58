//! Capabilities of the calling thread, by their kernel numbers; see capabilities(7).

use std::io;

/// A set of capabilities, one bit per number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(pub u64);

/// Names without `CAP_`, in the order of their numbers.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

impl Capabilities {
    /// Every capability that has a name.
    #[must_use]
    pub fn all() -> Self {
        Self((1 << NAMES.len()) - 1)
    }

    /// One capability by its name, with or without `CAP_`, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        let bare = name.strip_prefix("CAP_").unwrap_or(&name);
        NAMES.iter().position(|known| *known == bare).map(|number| Self(1 << number))
    }

    /// What is in either set.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Nothing outside `keep` can be gained any more, also not by running a set-user-ID program.
///
/// # Errors
/// Without CAP_SETPCAP.
pub fn limit_bounding_set(keep: Capabilities) -> io::Result<()> {
    for number in (0..64).filter(|number| keep.0 & (1 << number) == 0) {
        // SAFETY: prctl with five integers.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number as libc::c_ulong, 0, 0, 0) };
        if result != 0 {
            let error = io::Error::last_os_error();
            // The kernel does not know numbers this high.
            if error.raw_os_error() == Some(libc::EINVAL) {
                break;
            }
            return Err(error);
        }
    }
    Ok(())
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// What the thread may do at most. On a machine that is a container itself, root does not hold everything.
///
/// # Errors
/// On kernels without version 3 of the interface (before 2.6.26).
pub fn permitted() -> io::Result<Capabilities> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 of the interface reads one header and writes two data blocks of these layouts, which live until
    // the call returns.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Capabilities(u64::from(data[0].permitted) | u64::from(data[1].permitted) << 32))
}

/// The thread may do what `wanted` says, as far as it may now, and passes on nothing but by the rules of execve for
/// root.
///
/// # Errors
/// Never in practice: nothing is asked for that the thread does not hold.
pub fn set(wanted: Capabilities) -> io::Result<()> {
    let held = Capabilities(wanted.0 & permitted()?.0);
    let header = Header { version: VERSION_3, pid: 0 };
    let part = |bits: u64| Data { effective: bits as u32, permitted: bits as u32, inheritable: 0 };
    let data = [part(held.0), part(held.0 >> 32)];
    // SAFETY: prctl with five integers.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    // SAFETY: version 3 of the interface reads one header and two data blocks of these layouts, which live until the
    // call returns.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_kernels_numbers() {
        for (name, number) in
            [("CAP_CHOWN", 0), ("net_admin", 12), ("SYS_ADMIN", 21), ("SETFCAP", 31), ("CHECKPOINT_RESTORE", 40)]
        {
            assert_eq!(Capabilities::named(name), Some(Capabilities(1 << number)), "{name}");
        }
        assert_eq!(Capabilities::named("CAP_NONE"), None);
    }
}
