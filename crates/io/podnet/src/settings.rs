//! Kernel settings below `/proc/sys/net`.
//!
//! Settings of a pod's own interfaces die with them. Interfaces that were there before get one setting changed,
//! forwarding; the packet filter's table remembers where it was off, and teardown switches it off again.

use std::path::{Path, PathBuf};

use crate::NetError;

/// `/proc/sys/net/ipv4/conf/<interface>/<name>`.
pub(crate) fn ipv4(interface: &str, name: &str) -> PathBuf {
    Path::new("/proc/sys/net/ipv4/conf").join(interface).join(name)
}

/// Whether packets that come in through the interface are sent on.
pub(crate) fn forwards(interface: &str) -> bool {
    read(&ipv4(interface, "forwarding")).as_deref() == Some("1")
}

/// Has packets that come in through the interface sent on, or not. An interface that is gone is no error.
pub(crate) fn set_forwarding(interface: &str, on: bool) -> Result<(), NetError> {
    let setting = ipv4(interface, "forwarding");
    if setting.exists() { set(&setting, if on { "1" } else { "0" }) } else { Ok(()) }
}

/// Sets a value unless it is already so (`/proc/sys` may be read-only where the host has prepared it).
pub(crate) fn set(setting: &Path, value: &str) -> Result<(), NetError> {
    if read(setting).as_deref() == Some(value) {
        return Ok(());
    }
    std::fs::write(setting, value).map_err(|source| NetError::Setting {
        path: setting.to_owned(),
        value: value.to_owned(),
        source,
    })
}

/// Keeps an interface free of IPv6, where the kernel has IPv6 at all: no pod address is of that family yet.
pub(crate) fn without_ipv6(interface: &str) -> Result<(), NetError> {
    let setting = Path::new("/proc/sys/net/ipv6/conf").join(interface).join("disable_ipv6");
    if setting.exists() { set(&setting, "1") } else { Ok(()) }
}

fn read(setting: &Path) -> Option<String> {
    std::fs::read_to_string(setting).ok().map(|text| text.trim().to_owned())
}
