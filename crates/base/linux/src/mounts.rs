//! What is mounted in this process's mount namespace.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

/// One line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPoint {
    /// The part of the file system that is seen.
    pub root: PathBuf,
    /// Where.
    pub target: PathBuf,
    /// Such as `overlay`.
    pub file_system: String,
    /// What was mounted.
    pub source: OsString,
    /// Options of the file system, such as `rw,memory`.
    pub super_options: String,
    /// Mounts below it are seen by peers.
    pub shared: bool,
}

/// All mounts, in the order they were made.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn list() -> io::Result<Vec<MountPoint>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

fn parse(mountinfo: &[u8]) -> Vec<MountPoint> {
    mountinfo.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

/// See proc_pid_mountinfo(5): `36 35 98:0 /root /target opts optional… - type source superopts`.
fn parse_line(line: &[u8]) -> Option<MountPoint> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let dash = fields.iter().position(|field| *field == b"-")?;
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    Some(MountPoint {
        root: unescape(fields.get(3)?).into(),
        target: unescape(fields.get(4)?).into(),
        file_system: text(fields.get(dash + 1)?),
        source: unescape(fields.get(dash + 2)?),
        super_options: text(fields.get(dash + 3).unwrap_or(&&b""[..])),
        shared: fields.get(6..dash)?.iter().any(|field| field.starts_with(b"shared:")),
    })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| first == b'\\').and_then(|digits| {
            digits.iter().try_fold(0u8, |value, digit| match digit {
                b'0'..=b'7' => value.checked_mul(8)?.checked_add(digit - b'0'),
                _ => None,
            })
        });
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

/// Unmounts everything at and below `directory`, the latest first, also what is in use. Idempotent; goes on after a
/// failure.
///
/// # Errors
/// The first failure.
pub fn unmount_below(directory: &Path) -> io::Result<()> {
    let directory = match directory.canonicalize() {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut result = Ok(());
    for point in list()?.into_iter().rev().filter(|point| point.target.starts_with(&directory)) {
        match umount2(&point.target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
            Err(errno) => result = result.and(Err(errno.into())),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let lines = b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n\
                      37 36 0:5 / / rw - tmpfs tmpfs rw\nnonsense\n";
        let mounts = parse(lines);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].target, Path::new("/mnt 2"));
        assert_eq!(mounts[0].root, Path::new("/mnt1"));
        assert_eq!(mounts[0].super_options, "rw,errors=continue");
        assert!(mounts[0].shared && !mounts[1].shared);
    }

    #[test]
    fn this_machine_has_a_root() {
        assert!(list().unwrap().iter().any(|point| point.target == Path::new("/")));
    }
}
