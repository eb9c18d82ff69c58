//! Places inside a layer's directory, and making things there.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, futimens, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, LinkatFlags, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};

/// The layer's directory.
pub(super) struct Root {
    directory: File,
    /// The parent used last: entries of one directory come together.
    last_parent: std::cell::RefCell<Option<(Vec<u8>, std::rc::Rc<OwnedFd>)>>,
}

/// A name in a directory of the layer.
pub(super) struct Place {
    parent: std::rc::Rc<OwnedFd>,
    name: OsString,
}

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { directory: File::open(path)?, last_parent: Default::default() })
    }

    pub(super) fn try_clone(&self) -> io::Result<File> {
        self.directory.try_clone()
    }

    /// The place of an entry, its parents made if need be; `None` is the root itself.
    pub(super) fn place(&self, path: &[u8]) -> io::Result<Option<Place>> {
        let mut parts = parts(path)?;
        let Some(name) = parts.pop() else { return Ok(None) };
        let parent = self.parent(&parts)?;
        Ok(Some(Place { parent, name: OsStr::from_bytes(name).to_owned() }))
    }

    /// Resolves the next place anew.
    pub(super) fn forget(&self) {
        *self.last_parent.borrow_mut() = None;
    }

    fn parent(&self, parts: &[&[u8]]) -> io::Result<std::rc::Rc<OwnedFd>> {
        let key = parts.join(&b'/');
        if let Some((last, parent)) = &*self.last_parent.borrow()
            && *last == key
        {
            return Ok(parent.clone());
        }
        let parent = match self.resolve(&key, OFlag::O_DIRECTORY | OFlag::O_RDONLY) {
            Ok(parent) => parent,
            Err(Errno::ENOENT) => {
                let (name, above) = parts.split_last().ok_or(io::ErrorKind::NotFound)?;
                let above = self.parent(above)?;
                mkdirat(&*above, OsStr::from_bytes(name), Mode::from_bits_truncate(0o755))?;
                let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                openat(&*above, OsStr::from_bytes(name), flags, Mode::empty())?
            }
            Err(Errno::ENOTDIR) => return Err(io::Error::other("a parent of it is not a directory")),
            Err(errno) => return Err(errno.into()),
        };
        let parent = std::rc::Rc::new(parent);
        *self.last_parent.borrow_mut() = Some((key, parent.clone()));
        Ok(parent)
    }

    /// Opens what `path` leads to when this directory is taken for `/`.
    fn resolve(&self, path: &[u8], flags: OFlag) -> nix::Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        openat2(&self.directory, OsStr::from_bytes(path), how)
    }
}

/// The names on a path; leading slashes and `.` mean nothing, `..` is refused.
fn parts(path: &[u8]) -> io::Result<Vec<&[u8]>> {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.contains(&&b".."[..]) {
        return Err(io::Error::other("its name has \"..\""));
    }
    if path.contains(&0) {
        return Err(io::Error::other("its name has a zero byte"));
    }
    Ok(parts)
}

impl Place {
    pub(super) fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }

    pub(super) fn parent(&self) -> impl AsFd + '_ {
        self.parent.as_fd()
    }

    /// Another name in the same directory.
    pub(super) fn renamed(&self, name: &[u8]) -> Self {
        Self { parent: self.parent.clone(), name: OsString::from_vec(name.to_vec()) }
    }

    /// Removes what an earlier entry put here; a directory stays if it is to be one again. Returns whether a place
    /// below may lead elsewhere now.
    pub(super) fn clear(&self, keep_directory: bool) -> io::Result<bool> {
        match unlinkat(&*self.parent, self.name.as_os_str(), UnlinkatFlags::NoRemoveDir) {
            // It may have been a symbolic link to a directory.
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(Errno::EISDIR) if keep_directory => Ok(false),
            Err(Errno::EISDIR) => fs::remove_dir_all(self.path()).map(|()| true),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(super) fn make_directory(&self) -> io::Result<File> {
        match mkdirat(&*self.parent, self.name.as_os_str(), Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(&*self.parent, self.name.as_os_str(), flags, Mode::empty())?.into())
    }

    pub(super) fn make_file(&self) -> io::Result<File> {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(&*self.parent, self.name.as_os_str(), flags, Mode::from_bits_truncate(0o600))?.into())
    }

    pub(super) fn make_symlink(&self, target: &[u8]) -> io::Result<()> {
        Ok(symlinkat(OsStr::from_bytes(target), &*self.parent, self.name.as_os_str())?)
    }

    /// Another name for what `target` leads to inside the layer.
    pub(super) fn make_link(&self, root: &Root, target: &[u8]) -> io::Result<()> {
        let mut target_parts = parts(target)?;
        let missing = || io::Error::other("the target of the hard link is not in the layer");
        let name = target_parts.pop().ok_or_else(missing)?;
        let parent = root.resolve(&target_parts.join(&b'/'), OFlag::O_PATH | OFlag::O_DIRECTORY);
        let parent = parent.map_err(|_| missing())?;
        match linkat(&parent, OsStr::from_bytes(name), &*self.parent, self.name.as_os_str(), LinkatFlags::empty()) {
            Err(Errno::ENOENT) => Err(missing()),
            result => Ok(result?),
        }
    }

    pub(super) fn make_node(&self, kind: SFlag, mode: Mode, device: u64) -> io::Result<()> {
        Ok(mknodat(&*self.parent, self.name.as_os_str(), kind, mode, device)?)
    }

    pub(super) fn set_owner(&self, (user, group): (u32, u32)) -> io::Result<()> {
        let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        Ok(fchownat(&*self.parent, self.name.as_os_str(), user, group, AtFlags::AT_SYMLINK_NOFOLLOW)?)
    }

    /// Not for symbolic links: it follows them.
    pub(super) fn set_mode(&self, mode: Mode) -> io::Result<()> {
        Ok(fchmodat(&*self.parent, self.name.as_os_str(), mode, FchmodatFlags::FollowSymlink)?)
    }

    pub(super) fn set_time(&self, seconds: u64) -> io::Result<()> {
        let time = time(seconds);
        Ok(utimensat(&*self.parent, self.name.as_os_str(), &time, &time, UtimensatFlags::NoFollowSymlink)?)
    }

    /// A path that leads here even if the directory is renamed meanwhile.
    fn path(&self) -> PathBuf {
        Path::new("/proc/self/fd").join(self.parent.as_raw_fd().to_string()).join(&self.name)
    }
}

/// Sets both times of an open file.
pub(super) fn set_time(file: &File, seconds: u64) -> io::Result<()> {
    let time = time(seconds);
    Ok(futimens(file, &time, &time)?)
}

fn time(seconds: u64) -> TimeSpec {
    TimeSpec::new(i64::try_from(seconds).unwrap_or(i64::MAX), 0)
}
