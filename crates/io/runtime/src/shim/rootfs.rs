//! The root file system of a container: overlayfs over the image's layers, then what libcontainer's `RootFS` mounts and
//! makes in it. Runs in the container's own mount namespace, so that everything goes with it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::OciSpecError;
use libcontainer::oci_spec::runtime::{
    LinuxBuilder, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType, Mount, MountBuilder, RootBuilder, Spec, SpecBuilder,
};
use libcontainer::rootfs::RootFS;
use minato_linux::cgroup::{Hierarchies, Version};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{major, minor};

use super::Failure;
use crate::Propagation;
use crate::bundle::Bundle;

/// Hidden from containers that are not privileged: they tell about, or control, the whole machine.
const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Makes the root below `directory`, which is the container's. Mounts are made in the calling process's namespace,
/// which must be its own already.
pub(super) fn build(bundle: &Bundle, directory: &Path, hierarchies: &Hierarchies) -> Result<PathBuf, Failure> {
    let root = directory.join("rootfs");
    // Nothing that is mounted here may travel to the host.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
        .map_err(Failure::step("make mounts private"))?;
    mount_overlay(bundle, directory, hierarchies.version())
        .map_err(Failure::step("mount the overlay of the image's layers"))?;
    let spec = spec(bundle, &root, hierarchies).map_err(Failure::step("describe the root file system"))?;
    RootFS::new().prepare_rootfs(&spec, &root, false, true).map_err(Failure::step("prepare the root file system"))?;
    Ok(root)
}

/// Links `l/<n>` keep the option string, which must fit one page, short.
fn mount_overlay(bundle: &Bundle, directory: &Path, version: Version) -> io::Result<()> {
    let links = directory.join("l");
    fs::create_dir_all(&links)?;
    let mut lower = Vec::new();
    for (number, layer) in bundle.layers.iter().enumerate() {
        let link = links.join(number.to_string());
        if fs::symlink_metadata(&link).is_err() {
            symlink(layer, &link)?;
        }
        lower.push(format!("l/{number}"));
    }
    if lower.is_empty() {
        // An image without layers still needs something below.
        fs::create_dir_all(links.join("empty"))?;
        lower.push("l/empty".to_owned());
    }
    lower.reverse();
    let options = format!("lowerdir={},upperdir=upper,workdir=work", lower.join(":"));
    // Where cgroups do not restrict devices, an image's own device nodes must not work.
    let unrestricted = version == Version::V1 || bundle.config.security.privileged;
    let flags = if unrestricted { MsFlags::empty() } else { MsFlags::MS_NODEV };
    nix::unistd::chdir(directory)?;
    mount(Some("overlay"), "rootfs", Some("overlay"), flags, Some(options.as_str()))?;
    Ok(())
}

fn spec(bundle: &Bundle, root: &Path, hierarchies: &Hierarchies) -> Result<Spec, OciSpecError> {
    let security = &bundle.config.security;
    let mut mounts = vec![
        file_system("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"])?,
        file_system("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"])?,
        file_system(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        )?,
        file_system("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"])?,
        sys(bundle, security.privileged)?,
    ];
    mounts.append(&mut cgroup_mounts(bundle, hierarchies)?);
    match &bundle.shared_memory {
        Some(directory) => mounts.push(bind(directory, Path::new("/dev/shm"), &["nosuid", "noexec", "nodev"])?),
        None => mounts.push(file_system(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        )?),
    }
    // Whatever is mounted over a directory must come after what is mounted on it.
    let mut volumes: Vec<&crate::Mount> = bundle.config.mounts.iter().collect();
    volumes.sort_by_key(|volume| volume.container_path.components().count());
    for volume in volumes {
        let options: &[&str] = if volume.read_only { &["ro"] } else { &["rw"] };
        // A volume over one of the defaults replaces it.
        mounts.retain(|mount| mount.destination() != &volume.container_path);
        mounts.push(bind(&volume.host_path, &volume.container_path, options)?);
    }
    let devices = devices(bundle)?;
    let linux = LinuxBuilder::default().devices(devices).namespaces(Vec::new());
    let root = RootBuilder::default().path(root).readonly(security.read_only_rootfs).build()?;
    SpecBuilder::default().root(root).mounts(mounts).linux(linux.build()?).build()
}

fn file_system(target: &str, kind: &str, source: &str, options: &[&str]) -> Result<Mount, OciSpecError> {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    MountBuilder::default().destination(target).typ(kind).source(source).options(options).build()
}

fn bind(source: &Path, target: &Path, options: &[&str]) -> Result<Mount, OciSpecError> {
    let options: Vec<String> = ["rbind"].iter().chain(options).map(|option| (*option).to_owned()).collect();
    MountBuilder::default().destination(target).typ("bind").source(source).options(options).build()
}

/// A new sysfs shows the devices of the network namespace; with the host's network the kernel may refuse it, and the
/// host's own is right.
fn sys(bundle: &Bundle, writable: bool) -> Result<Mount, OciSpecError> {
    let access = if writable { "rw" } else { "ro" };
    let options = ["nosuid", "noexec", "nodev", access];
    match bundle.namespaces.net {
        Some(_) => file_system("/sys", "sysfs", "sysfs", &options),
        None => bind(Path::new("/sys"), Path::new("/sys"), &options),
    }
}

/// The container's own groups, read-only, so that programs can find their limits.
fn cgroup_mounts(bundle: &Bundle, hierarchies: &Hierarchies) -> Result<Vec<Mount>, OciSpecError> {
    let group = hierarchies.group(&bundle.cgroup);
    let options = ["nosuid", "noexec", "nodev", "ro"];
    let mut mounts = Vec::new();
    if bundle.namespaces.net.is_none() && !bundle.config.security.privileged {
        // `/sys` is the host's, recursively: its cgroups are there, read-only with the rest.
        return Ok(mounts);
    }
    let directories = group.existing_directories();
    match hierarchies.version() {
        Version::V2 => {
            for (_, directory) in directories {
                mounts.push(bind(&directory, Path::new("/sys/fs/cgroup"), &options)?);
            }
        }
        Version::V1 => {
            mounts.push(file_system("/sys/fs/cgroup", "tmpfs", "cgroup", &["nosuid", "noexec", "nodev", "mode=755"])?);
            for (name, directory) in directories {
                mounts.push(bind(&directory, &Path::new("/sys/fs/cgroup").join(name), &options)?);
            }
        }
    }
    Ok(mounts)
}

/// Those of the pod; of a privileged container, all of the host's.
fn devices(bundle: &Bundle) -> Result<Vec<LinuxDevice>, OciSpecError> {
    let mut devices = Vec::new();
    let mut add = |host: &Path, inside: &Path| {
        let Ok(metadata) = fs::metadata(host) else { return Ok(()) };
        let kind = if metadata.file_type().is_char_device() {
            LinuxDeviceType::C
        } else if metadata.file_type().is_block_device() {
            LinuxDeviceType::B
        } else {
            return Ok(());
        };
        devices.retain(|known: &LinuxDevice| known.path() != inside);
        let device = LinuxDeviceBuilder::default()
            .path(inside)
            .typ(kind)
            .major(major(metadata.rdev()) as i64)
            .minor(minor(metadata.rdev()) as i64)
            .file_mode(metadata.mode() & 0o7777)
            .uid(metadata.uid())
            .gid(metadata.gid());
        devices.push(device.build()?);
        Ok::<(), OciSpecError>(())
    };
    if bundle.config.security.privileged {
        for path in host_devices() {
            add(&path, &path)?;
        }
    }
    for device in &bundle.config.devices {
        add(&device.host_path, &device.container_path)?;
    }
    Ok(devices)
}

/// Device nodes below `/dev`, without terminals, shared memory and what the container has its own of.
fn host_devices() -> Vec<PathBuf> {
    const OWN: [&str; 5] = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/.udev"];
    const OWN_NODES: [&str; 2] = ["/dev/console", "/dev/ptmx"];
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::from("/dev")];
    while let Some(directory) = pending.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            let own = |list: &[&str]| list.iter().any(|own| path == Path::new(own));
            if kind.is_dir() && !own(&OWN) {
                pending.push(path);
            } else if (kind.is_char_device() || kind.is_block_device()) && !own(&OWN_NODES) {
                found.push(path);
            }
        }
    }
    found
}

/// Makes `root` the root of the calling process and lets go of the host's; see pivot_root(2), "pivot_root(".", ".")".
pub(super) fn enter(root: &Path) -> Result<(), Failure> {
    let swap = || {
        nix::unistd::chdir(root)?;
        nix::unistd::pivot_root(".", ".")?;
        umount2(".", MntFlags::MNT_DETACH)?;
        nix::unistd::chdir("/")
    };
    swap().map_err(Failure::step("enter the root file system"))
}

/// Volumes see later mounts of the host only where that is wanted. Called inside the root.
pub(super) fn settle_propagation(bundle: &Bundle) -> Result<(), Failure> {
    let private = |path: &Path| {
        mount(None::<&str>, path, None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .map_err(Failure::step(format!("make the mount at {} private", path.display())))
    };
    let volumes = &bundle.config.mounts;
    if volumes.iter().all(|volume| volume.propagation == Propagation::None) {
        return private(Path::new("/"));
    }
    let mut alone = volumes.iter().filter(|volume| volume.propagation == Propagation::None);
    alone.try_for_each(|volume| private(&volume.container_path))
}

/// Hides and protects what is not the container's business. Called inside the root, after everything was made in it.
pub(super) fn protect(bundle: &Bundle) -> Result<(), Failure> {
    let security = &bundle.config.security;
    if security.read_only_rootfs {
        remount_read_only(Path::new("/")).map_err(Failure::step("make the root file system read-only"))?;
    }
    if security.privileged || security.unmasked_proc {
        return Ok(());
    }
    for path in READ_ONLY_PATHS.map(Path::new) {
        let protect = || {
            mount(Some(path), path, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)?;
            remount_read_only(path)
        };
        ignore_missing(protect()).map_err(Failure::step(format!("make {} read-only", path.display())))?;
    }
    for path in MASKED_PATHS.map(Path::new) {
        ignore_missing(mask(path)).map_err(Failure::step(format!("mask {}", path.display())))?;
    }
    Ok(())
}

fn mask(path: &Path) -> nix::Result<()> {
    let metadata = nix::sys::stat::lstat(path)?;
    if metadata.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR {
        mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::MS_RDONLY, Some("size=0k"))
    } else {
        mount(Some("/dev/null"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
    }
}

/// Keeps the other flags of the mount: the kernel refuses to clear some of them.
fn remount_read_only(path: &Path) -> nix::Result<()> {
    let flags = nix::sys::statvfs::statvfs(path)?.flags();
    let keep: HashMap<nix::sys::statvfs::FsFlags, MsFlags> = HashMap::from([
        (nix::sys::statvfs::FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (nix::sys::statvfs::FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (nix::sys::statvfs::FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
    ]);
    let kept = keep.into_iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, flag)| flag);
    let all = kept.fold(MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, |all, flag| all | flag);
    mount(None::<&str>, path, None::<&str>, all, None::<&str>)
}

fn ignore_missing(result: nix::Result<()>) -> nix::Result<()> {
    match result {
        Err(nix::Error::ENOENT) => Ok(()),
        result => result,
    }
}
