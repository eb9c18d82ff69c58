//! `/etc/hosts`, `/etc/resolv.conf`, `/etc/hostname` and the termination message of a pod's containers.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use minato_podlife::identity::{HostName, hosts_file};
use minato_podlife::resolv::{ClusterDns, Resolv, resolv};

use crate::config::Config;

const TERMINATION_MESSAGE_BYTES_MAX: usize = 4096;
const LOG_TAIL_BYTES_MAX: u64 = 2048;
const LOG_TAIL_LINES_MAX: usize = 80;

/// The files of one pod that its containers share.
#[derive(Clone, Debug)]
pub(crate) struct HostFiles {
    pub(crate) hosts: PathBuf,
    pub(crate) resolv: PathBuf,
    pub(crate) hostname: PathBuf,
}

/// Writes them. Blocks.
pub(crate) fn write(config: &Config, pod: &Pod, name: &HostName, ips: &[String]) -> io::Result<HostFiles> {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let directory = config.pod_directory(uid).join("etc");
    fs::create_dir_all(&directory)?;
    let files = HostFiles {
        hosts: directory.join("hosts"),
        resolv: directory.join("resolv.conf"),
        hostname: directory.join("hostname"),
    };
    let host_hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    put(&files.hosts, &hosts_file(pod, name, ips, &host_hosts))?;
    let servers: Vec<String> = config.cluster_dns.iter().map(ToString::to_string).collect();
    let cluster = ClusterDns { servers: &servers, domain: &config.cluster_domain };
    put(&files.resolv, &resolv(pod, &cluster, &host_resolv()).render())?;
    put(&files.hostname, &format!("{}\n", name.hostname))?;
    Ok(files)
}

/// In place, because containers hold the file itself and not its name.
fn put(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

/// The node's resolver configuration; systemd's upstream servers instead of its stub on a loopback address, which
/// pods cannot reach.
fn host_resolv() -> Resolv {
    let read = |path: &str| fs::read_to_string(path).map(|text| Resolv::parse(&text)).ok();
    let own = read("/etc/resolv.conf").unwrap_or_default();
    let loopback = !own.name_servers.is_empty() && own.name_servers.iter().all(|server| server.starts_with("127."));
    if loopback { read("/run/systemd/resolve/resolv.conf").unwrap_or(own) } else { own }
}

/// The file that a container's attempt writes its termination message to.
pub(crate) fn termination_path(config: &Config, uid: &str, container: &str, attempt: u32) -> PathBuf {
    config.pod_directory(uid).join("termination").join(format!("{container}.{attempt}"))
}

/// Makes it, empty and writable for every user a container may run as. Blocks.
pub(crate) fn make_termination_file(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, "")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))
}

/// What an attempt left as its last words. Blocks.
pub(crate) fn termination_message(path: &Path, log: Option<&Path>, fall_back_to_log: bool) -> Option<String> {
    let message = fs::read(path).map(|bytes| text_of(&bytes)).unwrap_or_default();
    if !message.is_empty() || !fall_back_to_log {
        return Some(message).filter(|message| !message.is_empty());
    }
    let tail = log_tail(log?).unwrap_or_default();
    Some(tail).filter(|tail| !tail.is_empty())
}

fn text_of(bytes: &[u8]) -> String {
    let cut = bytes.get(..TERMINATION_MESSAGE_BYTES_MAX).unwrap_or(bytes);
    String::from_utf8_lossy(cut).into_owned()
}

fn log_tail(log: &Path) -> io::Result<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = fs::File::open(log)?;
    let length = file.metadata()?.len();
    // Every line carries a prefix of about 40 bytes, so read more than is kept.
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES_MAX * 4)))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES_MAX * 4).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).collect();
    let kept = &lines[lines.len().saturating_sub(LOG_TAIL_LINES_MAX)..];
    let mut tail = String::new();
    for line in kept {
        tail.push_str(line);
        tail.push('\n');
    }
    let mut start = tail.len().saturating_sub(LOG_TAIL_BYTES_MAX as usize);
    while !tail.is_char_boundary(start) {
        start += 1;
    }
    Ok(tail.split_off(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words() {
        let directory = tempfile::tempdir().unwrap();
        let (message, log) = (directory.path().join("m"), directory.path().join("l"));
        fs::write(
            &log,
            "2026-11-21T13:00:00.000000000Z stdout F one\n2026-11-21T13:00:01.000000000Z stderr F two words\n",
        )
        .unwrap();
        assert_eq!(termination_message(&message, Some(&log), false), None);
        assert_eq!(termination_message(&message, Some(&log), true).as_deref(), Some("one\ntwo words\n"));
        fs::write(&message, "bye").unwrap();
        assert_eq!(termination_message(&message, Some(&log), true).as_deref(), Some("bye"));
        fs::write(&message, "x".repeat(5000)).unwrap();
        assert_eq!(termination_message(&message, None, false).unwrap().len(), 4096);
    }
}
