//! One layer: from a tar stream to a directory that overlayfs can use.
//!
//! Every path is resolved by the kernel inside the layer's own directory (`openat2` with `RESOLVE_IN_ROOT`), so
//! neither absolute names nor symbolic links lead out of it; names with `..` are refused.
//!
//! | in the tar | in the directory |
//! |---|---|
//! | `dir/.wh.name` | `dir/name`, a character device 0/0: overlayfs' whiteout |
//! | `dir/.wh..wh..opq` | `dir` with `trusted.overlay.opaque=y` |

mod place;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use nix::sys::stat::{Mode, SFlag, makedev};
use tar::{Entry, EntryType, Header};

use crate::error::one_line;
use place::{Place, Root};

const ENTRIES_MAX: usize = 2_000_000;
const LAYER_BYTES_MAX: u64 = 64 << 30;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Why a layer could not be unpacked.
pub(crate) struct Failure {
    /// The entry's name in the layer, if it is about one.
    pub(crate) entry: Option<String>,
    pub(crate) reason: String,
}

/// Unpacks `tar` to the new directory `target` and returns the bytes of its files.
pub(crate) fn unpack(tar: &mut dyn Read, target: &Path) -> Result<u64, Failure> {
    let general = |error: io::Error| Failure { entry: None, reason: one_line(&error) };
    let root = fs::create_dir(target).and_then(|()| Root::open(target)).map_err(general)?;
    let mut unpacking = Unpacking { root, bytes: 0, directories: Vec::new() };
    let mut archive = tar::Archive::new(tar);
    for (count, entry) in archive.entries().map_err(general)?.enumerate() {
        let mut entry = entry.map_err(general)?;
        if count >= ENTRIES_MAX {
            return Err(Failure { entry: None, reason: format!("more than {ENTRIES_MAX} entries") });
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        unpacking.apply(&mut entry).map_err(|error| Failure { entry: Some(name), reason: one_line(&error) })?;
    }
    unpacking.finish().map_err(general)?;
    Ok(unpacking.bytes)
}

struct Unpacking {
    root: Root,
    bytes: u64,
    /// Times of directories are set last: every file made in one would change them.
    directories: Vec<(File, u64)>,
}

const DIRECTORIES_OPEN_MAX: usize = 256;

impl Unpacking {
    fn apply(&mut self, entry: &mut Entry<'_, &mut dyn Read>) -> io::Result<()> {
        let path = entry.path_bytes().into_owned();
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
            return Ok(());
        }
        let Some(place) = self.root.place(&path)? else {
            // The layer's root itself.
            let directory = self.root.try_clone()?;
            return self.finish_directory(directory, entry);
        };
        if let Some(hidden) = place.name().strip_prefix(WHITEOUT) {
            if place.name() == OPAQUE {
                return minato_linux::xattr::set(place.parent(), "trusted.overlay.opaque", b"y");
            }
            if hidden.is_empty() || hidden == b"." || hidden == b".." || hidden.starts_with(WHITEOUT) {
                return Ok(());
            }
            let place = place.renamed(hidden);
            self.clear(&place, false)?;
            return place.make_node(SFlag::S_IFCHR, Mode::empty(), 0);
        }
        self.clear(&place, kind.is_dir())?;
        let Attributes { permissions, owner, seconds } = Attributes::of(entry.header())?;
        match kind {
            EntryType::Directory => {
                let directory = place.make_directory()?;
                return self.finish_directory(directory, entry);
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.bytes = self.bytes.saturating_add(entry.size());
                if self.bytes > LAYER_BYTES_MAX {
                    return Err(io::Error::other("the layer is larger than 64 GiB"));
                }
                let mut file = place.make_file()?;
                let written = io::copy(entry, &mut file)?;
                if written != entry.size() {
                    return Err(io::Error::other("the archive ends in the middle of it"));
                }
                std::os::unix::fs::fchown(&file, Some(owner.0), Some(owner.1))?;
                set_attributes(&file, entry)?;
                // After fchown, which clears the set-user-ID bit.
                nix::sys::stat::fchmod(&file, permissions)?;
                place::set_time(&file, seconds)?;
            }
            EntryType::Symlink => {
                let target =
                    entry.link_name_bytes().ok_or_else(|| io::Error::other("a symbolic link without target"))?;
                place.make_symlink(&target)?;
                place.set_owner(owner)?;
                place.set_time(seconds)?;
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().ok_or_else(|| io::Error::other("a hard link without target"))?;
                place.make_link(&self.root, &target)?;
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                let (flag, device) = match kind {
                    EntryType::Fifo => (SFlag::S_IFIFO, 0),
                    kind => {
                        let major = entry.header().device_major()?.unwrap_or(0);
                        let minor = entry.header().device_minor()?.unwrap_or(0);
                        let flag = if kind == EntryType::Char { SFlag::S_IFCHR } else { SFlag::S_IFBLK };
                        (flag, makedev(major.into(), minor.into()))
                    }
                };
                place.make_node(flag, permissions, device)?;
                place.set_owner(owner)?;
                place.set_mode(permissions)?;
                place.set_time(seconds)?;
            }
            other => return Err(io::Error::other(format!("unknown type {:?}", char::from(other.as_byte())))),
        }
        Ok(())
    }

    /// Makes room for an entry at a place where an earlier one may be.
    fn clear(&self, place: &Place, keep_directory: bool) -> io::Result<()> {
        if place.clear(keep_directory)? {
            self.root.forget();
        }
        Ok(())
    }

    fn finish_directory(&mut self, directory: File, entry: &mut Entry<'_, &mut dyn Read>) -> io::Result<()> {
        let Attributes { permissions, owner: (user, group), seconds } = Attributes::of(entry.header())?;
        std::os::unix::fs::fchown(&directory, Some(user), Some(group))?;
        set_attributes(&directory, entry)?;
        nix::sys::stat::fchmod(&directory, permissions)?;
        self.directories.push((directory, seconds));
        if self.directories.len() >= DIRECTORIES_OPEN_MAX {
            // Entries of one directory come together as a rule, so the earliest ones are complete.
            for (directory, seconds) in self.directories.drain(..DIRECTORIES_OPEN_MAX / 2) {
                place::set_time(&directory, seconds)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.directories.drain(..).try_for_each(|(directory, seconds)| place::set_time(&directory, seconds))
    }
}

/// Extended attributes come as pax records `SCHILY.xattr.<name>`.
fn set_attributes(file: &File, entry: &mut Entry<'_, &mut dyn Read>) -> io::Result<()> {
    const PREFIX: &str = "SCHILY.xattr.";
    let Some(extensions) = entry.pax_extensions()? else { return Ok(()) };
    for extension in extensions {
        let extension = extension?;
        let Some(name) = extension.key().ok().and_then(|key| key.strip_prefix(PREFIX)) else { continue };
        if name.starts_with("trusted.") {
            return Err(io::Error::other(format!("attribute {name:?} is not allowed in images")));
        }
        match minato_linux::xattr::set(file, name, extension.value_bytes()) {
            // Labels of a security module that is not here, or user attributes on a file system without them.
            Err(error) if error.kind() == io::ErrorKind::Unsupported && name != "security.capability" => {}
            result => result?,
        }
    }
    Ok(())
}

/// What every kind of entry has.
struct Attributes {
    permissions: Mode,
    /// User and group.
    owner: (u32, u32),
    /// Time of the last change.
    seconds: u64,
}

impl Attributes {
    fn of(header: &Header) -> io::Result<Self> {
        let old = header.as_old();
        let mode = number(&old.mode, || header.mode().map(u64::from))?;
        Ok(Self {
            permissions: Mode::from_bits_truncate((mode & 0o7777) as u32),
            owner: (
                narrow(number(&old.uid, || header.uid())?, "user")?,
                narrow(number(&old.gid, || header.gid())?, "group")?,
            ),
            seconds: number(&old.mtime, || header.mtime())?,
        })
    }
}

/// A field that was not filled in is zero, as other programs read it.
fn number(field: &[u8], parse: impl FnOnce() -> io::Result<u64>) -> io::Result<u64> {
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) { Ok(0) } else { parse() }
}

fn narrow(id: u64, what: &str) -> io::Result<u32> {
    u32::try_from(id).map_err(|_| io::Error::other(format!("{what} id {id} is too large")))
}
