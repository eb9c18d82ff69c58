//! What a cluster has on the host: processes, mounts, cgroups, interfaces, packet filter tables.

use std::os::fd::AsRawFd as _;
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

/// Everything of the cluster with this data directory, one sentence each.
///
/// # Errors
/// When the host cannot be looked at.
pub fn of(data_dir: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = processes(data_dir)?;
    found.extend(mounts(data_dir)?);
    let Ok(id) = std::fs::read_to_string(data_dir.join("cluster-id")) else { return Ok(found) };
    let id = id.trim();
    cgroups(Path::new("/sys/fs/cgroup"), &format!("minato-{id}"), &mut found);
    for interface in std::fs::read_dir("/sys/class/net")?.flatten() {
        let name = interface.file_name().to_string_lossy().into_owned();
        if name.starts_with(&format!("mn{id}")) {
            found.push(format!("interface {name}"));
        }
    }
    let table = format!("minato-{id}");
    if contains(&packet_filter_tables()?, table.as_bytes()) {
        found.push(format!("nftables table {table}"));
    }
    Ok(found)
}

/// Processes of the binary that know the data directory by their command line or working directory.
fn processes(data_dir: &Path) -> anyhow::Result<Vec<String>> {
    let needle = data_dir.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc")?.flatten() {
        let path = process.path();
        // Gone meanwhile, or no process at all.
        let Ok(line) = std::fs::read(path.join("cmdline")) else { continue };
        let works_there = std::fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd.starts_with(data_dir));
        if works_there || contains(&line, needle) {
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            found.push(format!("process {} ({})", process.file_name().to_string_lossy(), line.trim()));
        }
    }
    Ok(found)
}

fn mounts(data_dir: &Path) -> anyhow::Result<Vec<String>> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    Ok(points.filter(|point| Path::new(point).starts_with(data_dir)).map(|point| format!("mount {point}")).collect())
}

fn cgroups(directory: &Path, name: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        match entry.file_name().to_string_lossy().starts_with(name) {
            true => found.push(format!("cgroup {}", entry.path().display())),
            false => cgroups(&entry.path(), name, found),
        }
    }
}

/// The kernel's list of nftables tables (NFT_MSG_GETTABLE), undecoded: a name stands in it as it is. Empty without the
/// privilege to ask.
fn packet_filter_tables() -> anyhow::Result<Vec<u8>> {
    const GET_TABLE: u16 = (10 << 8) | 1; // NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE
    const REQUEST_DUMP: u16 = 0x0301; // NLM_F_REQUEST | NLM_F_DUMP
    const DONE: [u8; 2] = 3u16.to_ne_bytes();
    const ERROR: [u8; 2] = 2u16.to_ne_bytes();
    if !nix::unistd::geteuid().is_root() {
        return Ok(Vec::new());
    }
    let protocol = SockProtocol::NetlinkNetFilter;
    let netlink = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    bind(netlink.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    let mut request = 20u32.to_ne_bytes().to_vec();
    request.extend(GET_TABLE.to_ne_bytes());
    request.extend(REQUEST_DUMP.to_ne_bytes());
    request.extend([0; 12]); // sequence, port; family unspecified, version 0, resource 0
    send(netlink.as_raw_fd(), &request, MsgFlags::empty())?;
    let (mut answer, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let length = recv(netlink.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        answer.extend_from_slice(&buffer[..length]);
        let mut rest = &buffer[..length];
        while rest.len() >= 16 {
            if rest[4..6] == DONE || rest[4..6] == ERROR {
                return Ok(answer);
            }
            let size = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
            rest = &rest[size.next_multiple_of(4).clamp(16, rest.len())..];
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_knows_the_directory_is_found() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(of(directory.path()).unwrap(), Vec::<String>::new());
        let mut child = std::process::Command::new("sleep").arg("60").current_dir(directory.path()).spawn().unwrap();
        let found = crate::eventually(std::time::Duration::from_secs(5), || {
            let found = of(directory.path()).unwrap();
            if found.is_empty() { Err("nothing found") } else { Ok(found) }
        });
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.unwrap()[0].contains(&child.id().to_string()));
    }

    #[test]
    fn the_kernel_tells_its_tables() {
        packet_filter_tables().unwrap();
    }
}
