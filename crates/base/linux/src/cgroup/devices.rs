//! Which devices the processes of a group may open.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use super::{Cgroup, Version};

/// What every container may use, besides making nodes: null, zero, full, random, urandom, tty, console, ptmx, ptys.
const DEFAULT: [&str; 11] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

impl Cgroup {
    /// Allows the devices every container needs and `further` ones (path on this machine and some of `r`, `w`, `m`),
    /// and no others. Does nothing on version 2, where devices are not a matter of files.
    ///
    /// # Errors
    /// When a device does not exist or the kernel refuses.
    pub fn allow_devices(&self, further: &[(&Path, &str)]) -> io::Result<()> {
        if self.hierarchies.version() == Version::V2 {
            return Ok(());
        }
        let (Some(deny), Some(allow)) = (self.file("devices", "devices.deny"), self.file("devices", "devices.allow"))
        else {
            return Ok(());
        };
        fs::write(deny, "a")?;
        for rule in DEFAULT {
            fs::write(&allow, rule)?;
        }
        for (path, permissions) in further {
            let metadata = fs::metadata(path)?;
            let kind = if metadata.file_type().is_block_device() { 'b' } else { 'c' };
            let (major, minor) = (nix::sys::stat::major(metadata.rdev()), nix::sys::stat::minor(metadata.rdev()));
            fs::write(&allow, format!("{kind} {major}:{minor} {permissions}"))?;
        }
        Ok(())
    }
}
