//! Control groups, the same way on version 1, version 2 and hybrid hosts; see cgroups(7).
//!
//! A [`Cgroup`] is a path such as `/minato-1a2b3c4d/pods/x`. On version 1 it is a directory in every hierarchy, on
//! version 2 in the only one.

mod devices;
mod limits;
mod oom;
mod usage;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use limits::Limits;
pub use oom::OomWatch;
pub use usage::{CpuUsage, DeviceUsage, MemoryUsage, Usage};

use crate::{mounts, process};

/// The cgroup hierarchies of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchies {
    layout: Layout,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Layout {
    /// Controllers are spread over several hierarchies. Hybrid hosts have a version 2 hierarchy without controllers
    /// besides: it is in the list too, so that processes are found in it.
    V1(Vec<Hierarchy>),
    /// One hierarchy with all controllers.
    V2(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    /// Those of version 1 have at least a name.
    controllers: Vec<String>,
}

impl Hierarchy {
    fn is_version_2(&self) -> bool {
        self.controllers.is_empty()
    }
}

/// Which version of cgroups has the controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Also hybrid hosts.
    V1,
    /// The unified hierarchy alone.
    V2,
}

/// Why the hierarchies could not be found.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// `/proc` cannot be read.
    #[error("failed to read the list of mounts")]
    Mounts(#[from] io::Error),
    /// Nothing is mounted.
    #[error("no cgroup file system is mounted; mount cgroup2 at /sys/fs/cgroup")]
    NotMounted,
}

impl Hierarchies {
    /// Finds what is mounted.
    ///
    /// # Errors
    /// [`DetectError`]
    pub fn detect() -> Result<Self, DetectError> {
        let mut v1: Vec<Hierarchy> = Vec::new();
        let mut v2 = None;
        for point in mounts::list()? {
            // The same hierarchy may be mounted several times; the first one counts.
            match point.file_system.as_str() {
                "cgroup" => {
                    let controllers: Vec<String> = point.super_options.split(',').map(str::to_owned).collect();
                    if !v1.iter().any(|known| known.controllers == controllers) {
                        v1.push(Hierarchy { mount: point.target, controllers });
                    }
                }
                "cgroup2" if v2.is_none() => v2 = Some(point.target),
                _ => {}
            }
        }
        let layout = match (v1.is_empty(), v2) {
            (true, None) => return Err(DetectError::NotMounted),
            (true, Some(mount)) => Layout::V2(mount),
            (false, v2) => {
                v1.extend(v2.map(|mount| Hierarchy { mount, controllers: Vec::new() }));
                Layout::V1(v1)
            }
        };
        Ok(Self { layout })
    }

    /// Which version has the controllers.
    #[must_use]
    pub fn version(&self) -> Version {
        match self.layout {
            Layout::V1(_) => Version::V1,
            Layout::V2(_) => Version::V2,
        }
    }

    /// The group at an absolute path such as `/minato-1a2b3c4d/pods`; it need not exist.
    #[must_use]
    pub fn group(&self, path: &str) -> Cgroup {
        Cgroup { hierarchies: self.clone(), path: path.trim_matches('/').into() }
    }

    fn mounts(&self) -> Vec<&Path> {
        match &self.layout {
            Layout::V1(hierarchies) => hierarchies.iter().map(|hierarchy| hierarchy.mount.as_path()).collect(),
            Layout::V2(mount) => vec![mount.as_path()],
        }
    }

    /// Where a controller is, if this machine has it.
    fn controller(&self, name: &str) -> Option<&Path> {
        match &self.layout {
            Layout::V1(hierarchies) => hierarchies
                .iter()
                .find(|hierarchy| hierarchy.controllers.iter().any(|controller| controller == name))
                .map(|hierarchy| hierarchy.mount.as_path()),
            Layout::V2(mount) => Some(mount),
        }
    }
}

/// One group of processes. A value is only a name; dropping it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    hierarchies: Hierarchies,
    path: PathBuf,
}

impl Cgroup {
    /// The path below the hierarchies' roots, with a slash in front.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new("/").join(&self.path)
    }

    /// The group `name` in this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self { hierarchies: self.hierarchies.clone(), path: self.path.join(name) }
    }

    /// Creates the group and those above it, in every hierarchy. Idempotent.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn create(&self) -> io::Result<()> {
        for mount in self.hierarchies.mounts() {
            fs::create_dir_all(mount.join(&self.path))?;
        }
        match &self.hierarchies.layout {
            Layout::V2(mount) => self.enable_controllers(mount),
            Layout::V1(_) => self.inherit_cpuset(),
        }
    }

    /// On version 2 a group has the controllers that the group above passes down.
    fn enable_controllers(&self, mount: &Path) -> io::Result<()> {
        let mut above = mount.to_owned();
        for part in &self.path {
            let controllers = fs::read_to_string(above.join("cgroup.controllers"))?;
            for controller in controllers.split_whitespace() {
                // One at a time: a controller that cannot be passed down (such as cpu beside real-time processes)
                // must not keep the others away. A limit that needs it fails later and says so.
                let _ = fs::write(above.join("cgroup.subtree_control"), format!("+{controller}"));
            }
            above.push(part);
        }
        Ok(())
    }

    /// On version 1 a new cpuset is empty, and nobody can enter it until it has CPUs and memory nodes.
    fn inherit_cpuset(&self) -> io::Result<()> {
        let Some(mount) = self.hierarchies.controller("cpuset") else { return Ok(()) };
        let mut above = mount.to_owned();
        for part in &self.path {
            let group = above.join(part);
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if fs::read_to_string(group.join(file))?.trim().is_empty() {
                    fs::write(group.join(file), fs::read_to_string(above.join(file))?.trim())?;
                }
            }
            above = group;
        }
        Ok(())
    }

    /// Whether the group exists in any hierarchy.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.directories().any(|directory| directory.is_dir())
    }

    /// Moves a process into the group, in every hierarchy.
    ///
    /// # Errors
    /// When the group does not exist, or the process.
    pub fn add(&self, pid: i32) -> io::Result<()> {
        for directory in self.directories() {
            fs::write(directory.join("cgroup.procs"), pid.to_string())?;
        }
        Ok(())
    }

    /// Moves the calling process, which must have one thread, into the group in the hierarchies of version 1.
    ///
    /// The kernel moves a thread that moves itself at once. Before it moves a process, it waits until every processor
    /// has noticed (an RCU grace period, some 20 ms), so [`Self::add`] and [`Self::enter_version_2`] take that long.
    ///
    /// # Errors
    /// When the group does not exist.
    pub fn enter_version_1(&self) -> io::Result<()> {
        match &self.hierarchies.layout {
            Layout::V1(hierarchies) => hierarchies
                .iter()
                .filter(|hierarchy| !hierarchy.is_version_2())
                .try_for_each(|hierarchy| fs::write(hierarchy.mount.join(&self.path).join("tasks"), "0")),
            Layout::V2(_) => Ok(()),
        }
    }

    /// Moves the calling process into the group in the hierarchy of version 2, if there is one.
    ///
    /// # Errors
    /// When the group does not exist.
    pub fn enter_version_2(&self) -> io::Result<()> {
        match self.version_2_directory() {
            Some(directory) => fs::write(directory.join("cgroup.procs"), "0"),
            None => Ok(()),
        }
    }

    /// The group in the hierarchy of version 2, to start processes in with [`process::fork_into_group`].
    ///
    /// # Errors
    /// When the group does not exist.
    pub fn open_version_2(&self) -> io::Result<Option<fs::File>> {
        self.version_2_directory().map(fs::File::open).transpose()
    }

    fn version_2_directory(&self) -> Option<PathBuf> {
        let mount = match &self.hierarchies.layout {
            Layout::V1(hierarchies) => &hierarchies.iter().find(|hierarchy| hierarchy.is_version_2())?.mount,
            Layout::V2(mount) => mount,
        };
        Some(mount.join(&self.path))
    }

    /// Moves a process into the group in those hierarchies where the group exists.
    ///
    /// # Errors
    /// When the process does not exist, or the group does not exist anywhere.
    pub fn add_where_present(&self, pid: i32) -> io::Result<()> {
        let present: Vec<PathBuf> = self.directories().filter(|directory| directory.is_dir()).collect();
        if present.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        present.iter().try_for_each(|directory| fs::write(directory.join("cgroup.procs"), pid.to_string()))
    }

    /// The processes in the group and in all below it; none if it does not exist.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let mut processes = Vec::new();
        for directory in self.directories() {
            collect_processes(&directory, &mut processes);
        }
        processes.sort_unstable();
        processes.dedup();
        processes
    }

    /// Kills every process in the group and in all below it, and waits until they are gone.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when some are left after `timeout`.
    pub fn kill(&self, timeout: Duration) -> io::Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let processes = self.processes();
            if processes.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("processes {processes:?} of cgroup {} are still there", self.path().display()),
                ));
            }
            // Version 2 kills a whole group at once; otherwise a fork may outrun us, so look again.
            if let Layout::V2(mount) = &self.hierarchies.layout {
                let _ = fs::write(mount.join(&self.path).join("cgroup.kill"), "1");
            }
            for pid in processes {
                let _ = process::kill(pid, libc::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Removes the group and all below it from every hierarchy. Idempotent. The groups must be empty.
    ///
    /// # Errors
    /// When processes are left; the other directories are removed nevertheless.
    pub fn remove(&self) -> io::Result<()> {
        // A group whose last process has just died is busy for a moment longer.
        let deadline = Instant::now() + BUSY_TIMEOUT;
        self.directories().map(|directory| remove_tree(&directory, deadline)).fold(Ok(()), Result::and)
    }

    /// The group's directories that exist, with the name of each hierarchy's mount point.
    #[must_use]
    pub fn existing_directories(&self) -> Vec<(String, PathBuf)> {
        let named = self.hierarchies.mounts().into_iter().filter_map(|mount| {
            let directory = mount.join(&self.path);
            let name = mount.file_name()?.to_string_lossy().into_owned();
            directory.is_dir().then_some((name, directory))
        });
        named.collect()
    }

    fn directories(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.hierarchies.mounts().into_iter().map(|mount| mount.join(&self.path))
    }

    fn file(&self, controller: &str, file: &str) -> Option<PathBuf> {
        self.hierarchies.controller(controller).map(|mount| mount.join(&self.path).join(file))
    }

    /// A number in one of the group's files; the first of these names that exists.
    fn number(&self, controller: &str, files: &[&str]) -> Option<u64> {
        files.iter().find_map(|file| fs::read_to_string(self.file(controller, file)?).ok()?.trim().parse().ok())
    }
}

fn collect_processes(directory: &Path, processes: &mut Vec<i32>) {
    if let Ok(text) = fs::read_to_string(directory.join("cgroup.procs")) {
        processes.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid != 0));
    }
    for below in subdirectories(directory) {
        collect_processes(&below, processes);
    }
}

const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Groups are removed by rmdir, the lowest first; their files cannot be removed one by one.
fn remove_tree(directory: &Path, deadline: Instant) -> io::Result<()> {
    let below = subdirectories(directory);
    let below = below.iter().map(|below| remove_tree(below, deadline)).fold(Ok(()), Result::and);
    loop {
        match fs::remove_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return below,
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline && below.is_ok() => {
                std::thread::sleep(Duration::from_millis(1));
            }
            result => return below.and(result),
        }
    }
}

fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
