//! Whether the kernel killed a process of a group for lack of memory.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::{Cgroup, Version};

/// Looks at a group's count of killed processes; keep it while the group may go away.
#[derive(Debug)]
pub struct OomWatch {
    events: PathBuf,
    at_start: u64,
}

impl Cgroup {
    /// Starts to watch. The group must exist.
    ///
    /// # Errors
    /// When the machine has no memory controller, or the group does not exist.
    pub fn watch_oom(&self) -> io::Result<OomWatch> {
        let file = match self.hierarchies.version() {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        let missing = || io::Error::other("this machine has no cgroup controller \"memory\"");
        let events = self.file("memory", file).ok_or_else(missing)?;
        let at_start = count(&fs::read_to_string(&events)?);
        Ok(OomWatch { events, at_start })
    }
}

impl OomWatch {
    /// Whether a process was killed since the watch began. Ask before the group is removed.
    #[must_use]
    pub fn killed(&self) -> bool {
        fs::read_to_string(&self.events).is_ok_and(|text| count(&text) > self.at_start)
    }
}

/// Both files have a line `oom_kill <count>`, version 1 since Linux 4.13.
fn count(events: &str) -> u64 {
    events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn the_count_is_found_in_both_forms() {
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), 3);
        assert_eq!(count("low 0\nhigh 0\nmax 5\noom 2\noom_kill 1\noom_group_kill 1\n"), 1);
        assert_eq!(count(""), 0);
    }
}
