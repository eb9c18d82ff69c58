//! Kernel settings below `/proc/sys/net`.
//!
//! Settings of a pod's own interfaces die with them. Those of interfaces that were there before are remembered in a
//! file before the change, and put back by teardown.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::NetError;
use crate::records::write_json;

/// Where the original values of the settings we changed are kept.
#[derive(Debug)]
pub(crate) struct Remembered {
    path: PathBuf,
    originals: BTreeMap<PathBuf, String>,
}

impl Remembered {
    /// Reads the file, if there is one.
    pub(crate) fn open(path: PathBuf) -> Result<Self, NetError> {
        let originals = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "lost the original values of kernel settings");
                BTreeMap::new()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return Err(NetError::Record { action: "read", path, source }),
        };
        Ok(Self { path, originals })
    }

    /// Sets a value that must be put back later; the original reaches the disk first.
    pub(crate) fn set(&mut self, setting: PathBuf, value: &str) -> Result<(), NetError> {
        let Some(original) = read(&setting) else { return set(&setting, value) };
        if original == value {
            return Ok(());
        }
        if !self.originals.contains_key(&setting) {
            self.originals.insert(setting.clone(), original);
            write_json(&self.path, &self.originals)?;
        }
        set(&setting, value)
    }

    /// Puts every original back and forgets it; settings of interfaces that are gone are gone with them.
    pub(crate) fn restore(self) -> Vec<NetError> {
        let mut errors: Vec<NetError> = self
            .originals
            .iter()
            .filter(|(setting, _)| setting.exists())
            .filter_map(|(setting, original)| set(setting, original).err())
            .collect();
        match std::fs::remove_file(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                errors.push(NetError::Record { action: "remove", path: self.path, source });
            }
            _ => {}
        }
        errors
    }
}

/// `/proc/sys/net/ipv4/conf/<interface>/<name>`.
pub(crate) fn ipv4(interface: &str, name: &str) -> PathBuf {
    Path::new("/proc/sys/net/ipv4/conf").join(interface).join(name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_put_back_even_by_a_later_process() {
        let directory = tempfile::tempdir().unwrap();
        let (setting, record) = (directory.path().join("forwarding"), directory.path().join("settings.json"));
        std::fs::write(&setting, "0\n").unwrap();
        Remembered::open(record.clone()).unwrap().set(setting.clone(), "1").unwrap();
        assert_eq!(read(&setting).unwrap(), "1");
        let mut later = Remembered::open(record.clone()).unwrap();
        later.set(setting.clone(), "1").unwrap();
        assert!(later.restore().is_empty());
        assert_eq!(read(&setting).unwrap(), "0");
        assert!(!record.exists());
    }
}
