//! Which pod holds which address: host-local address management, remembered in one small file.
//!
//! The file is replaced by rename, so a crash leaves the old or the new state. It is not synced to disk: after a power
//! failure no pod interface exists any more, and [`Records::open`] forgives a damaged file in just that case.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use minato_rules::Ipv4Cidr;

use crate::{Attached, NetError, PodAttachment};

/// The pods that hold an address, in memory and on disk.
#[derive(Debug)]
pub(crate) struct Records {
    path: PathBuf,
    range: Ipv4Cidr,
    prefix: String,
    pods: BTreeMap<String, Attached>,
    /// Where the search for a free address starts, so that an address rests before it is used again.
    cursor: u64,
}

impl Records {
    /// Reads the file, if there is one. `pods_connected` says whether interfaces of this cluster exist.
    pub(crate) fn open(path: PathBuf, range: Ipv4Cidr, prefix: String, pods_connected: bool) -> Result<Self, NetError> {
        let pods: Vec<Attached> = match std::fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(pods) => pods,
                Err(source) if pods_connected => return Err(NetError::Damaged { path, source }),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "starting over with damaged address records");
                    Vec::new()
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(NetError::Record { action: "read", path, source }),
        };
        let pods: BTreeMap<_, _> = pods.into_iter().map(|pod| (pod.uid.clone(), pod)).collect();
        let highest = pods.values().filter_map(|pod| offset(range, pod.ip)).max().unwrap_or(0);
        Ok(Self { path, range, prefix, pods, cursor: highest })
    }

    /// Everyone who holds an address.
    pub(crate) fn pods(&self) -> Vec<Attached> {
        self.pods.values().cloned().collect()
    }

    /// Whether some pod owns the host-side interface of that name.
    pub(crate) fn owns_interface(&self, interface: &str) -> bool {
        self.pods.values().any(|pod| pod.host_interface == interface)
    }

    /// The pod's record, made and written now if there was none. True: it is new.
    pub(crate) fn assign(&mut self, pod: &PodAttachment) -> Result<(Attached, bool), NetError> {
        if let Some(known) = self.pods.get_mut(&pod.uid) {
            if known.netns != pod.netns {
                known.netns.clone_from(&pod.netns);
                let known = known.clone();
                self.write()?;
                return Ok((known, false));
            }
            return Ok((known.clone(), false));
        }
        let attached = Attached {
            uid: pod.uid.clone(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            ip: IpAddr::V4(self.free_address()?),
            host_interface: self.free_interface(&pod.uid),
            netns: pod.netns.clone(),
        };
        self.pods.insert(pod.uid.clone(), attached.clone());
        if let Err(error) = self.write() {
            self.pods.remove(&pod.uid);
            return Err(error);
        }
        Ok((attached, true))
    }

    /// Frees a pod's address.
    pub(crate) fn release(&mut self, uid: &str) -> Result<(), NetError> {
        let Some(released) = self.pods.remove(uid) else { return Ok(()) };
        self.write().inspect_err(|_| {
            self.pods.insert(uid.to_owned(), released);
        })
    }

    /// The record of a pod.
    pub(crate) fn get(&self, uid: &str) -> Option<Attached> {
        self.pods.get(uid).cloned()
    }

    /// The first and last address of the range, and the one after the first (by custom a gateway), stay unused.
    fn free_address(&mut self) -> Result<Ipv4Addr, NetError> {
        let taken: BTreeSet<IpAddr> = self.pods.values().map(|pod| pod.ip).collect();
        let (first, last) = (2, self.range.size() - 2);
        let after_cursor = (self.cursor + 1).max(first)..=last;
        let offset = after_cursor
            .chain(first..=last)
            .find(|offset| self.range.nth(*offset).is_some_and(|ip| !taken.contains(&IpAddr::V4(ip))))
            .ok_or(NetError::NoFreeAddress(self.range))?;
        self.cursor = offset;
        self.range.nth(offset).ok_or(NetError::NoFreeAddress(self.range))
    }

    /// `mn<cluster id>` and five characters of the uid's hash: 15, the most Linux takes.
    fn free_interface(&self, uid: &str) -> String {
        let mut hash = fnv1a(uid.as_bytes());
        loop {
            let name = format!("{}{}", self.prefix, base32(hash));
            if !self.owns_interface(&name) {
                return name;
            }
            hash = hash.wrapping_add(1);
        }
    }

    fn write(&self) -> Result<(), NetError> {
        let pods: Vec<&Attached> = self.pods.values().collect();
        write_json(&self.path, &pods)
    }
}

/// Replaces a file by rename.
fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), NetError> {
    let failed = |source| NetError::Record { action: "write", path: path.to_owned(), source };
    let bytes = serde_json::to_vec_pretty(value).map_err(|error| failed(error.into()))?;
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, bytes).and_then(|()| std::fs::rename(&fresh, path)).map_err(failed)
}

fn offset(range: Ipv4Cidr, ip: IpAddr) -> Option<u64> {
    match ip {
        IpAddr::V4(ip) if range.contains(ip) => Some(u64::from(ip.to_bits() - range.network().to_bits())),
        _ => None,
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn base32(hash: u64) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    (0..5).map(|digit| char::from(ALPHABET[(hash >> (5 * digit) & 31) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(directory: &Path, range: &str) -> Records {
        Records::open(directory.join("pods.json"), range.parse().unwrap(), "mn0123abcd".to_owned(), false).unwrap()
    }

    fn pod(uid: &str) -> PodAttachment {
        PodAttachment { uid: uid.into(), namespace: "default".into(), name: uid.into(), netns: "/run/x".into() }
    }

    #[test]
    fn addresses_are_unique_remembered_and_rest_after_release() {
        let directory = tempfile::tempdir().unwrap();
        let mut all = records(directory.path(), "10.42.0.0/29");
        let ips: Vec<_> = ["a", "b", "c"].iter().map(|uid| all.assign(&pod(uid)).unwrap().0.ip.to_string()).collect();
        assert_eq!(ips, ["10.42.0.2", "10.42.0.3", "10.42.0.4"]);
        all.release("a").unwrap();
        assert_eq!(all.assign(&pod("d")).unwrap().0.ip.to_string(), "10.42.0.5");

        let mut again = records(directory.path(), "10.42.0.0/29");
        assert_eq!(again.pods(), all.pods());
        assert!(!again.assign(&pod("b")).unwrap().1, "known uids keep their record");
        again.assign(&pod("e")).unwrap();
        assert_eq!(again.assign(&pod("f")).unwrap().0.ip.to_string(), "10.42.0.2", "wraps to freed addresses");
        assert!(matches!(again.assign(&pod("g")), Err(NetError::NoFreeAddress(_))));
    }

    #[test]
    fn interfaces_fit_linux_and_never_collide() {
        let directory = tempfile::tempdir().unwrap();
        let mut all = records(directory.path(), "10.42.0.0/16");
        let names: BTreeSet<_> =
            (0..300).map(|n| all.assign(&pod(&format!("uid-{n}"))).unwrap().0.host_interface).collect();
        assert_eq!(names.len(), 300);
        assert!(names.iter().all(|name| name.len() == 15));
    }

    #[test]
    fn a_damaged_file_is_forgiven_only_when_no_pod_is_connected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pods.json");
        std::fs::write(&path, "[{").unwrap();
        let range = "10.42.0.0/24".parse().unwrap();
        assert!(matches!(Records::open(path.clone(), range, "mn".into(), true), Err(NetError::Damaged { .. })));
        assert!(Records::open(path, range, "mn".into(), false).unwrap().pods().is_empty());
    }
}
