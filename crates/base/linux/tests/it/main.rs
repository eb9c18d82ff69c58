//! What needs a real kernel and root; without root the tests say so and skip.

// Helpers of tests may panic as tests may.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use minato_linux::cgroup::{Hierarchies, Limits};
use minato_linux::namespaces::{self, Namespace, Setup};
use minato_linux::netns::in_netns;
use minato_linux::{disk, mounts};

fn root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("skipped: needs root");
    }
    root
}

#[test]
fn namespaces_live_without_a_process_and_end_with_their_pins() {
    if !root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let setup =
        Setup { hostname: "pinned".into(), sysctls: [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into() };
    namespaces::pin(directory.path(), &Namespace::ALL, &setup).unwrap();
    let net = directory.path().join("net");
    assert!(namespaces::is_pinned(&net));
    assert_ne!(fs::metadata(&net).unwrap().ino(), fs::metadata("/proc/self/ns/net").unwrap().ino());
    let (devices, forward) = in_netns(&net, || {
        (
            fs::read_to_string("/proc/thread-self/net/dev").unwrap(),
            fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(),
        )
    })
    .unwrap();
    assert!(devices.contains("lo:") && !devices.contains("eth0:"), "{devices}");
    assert_eq!(forward, "1\n");
    // A server socket on loopback works, so the device is up.
    let listener = in_netns(&net, || std::net::TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    in_netns(&net, || std::net::TcpStream::connect(address).unwrap()).unwrap();
    for kind in Namespace::ALL {
        namespaces::unpin(directory.path(), kind).unwrap();
        namespaces::unpin(directory.path(), kind).unwrap();
    }
    assert!(!net.exists());
    assert!(mounts::list().unwrap().iter().all(|point| !point.target.starts_with(directory.path())));
}

#[test]
fn a_failed_pin_leaves_nothing() {
    if !root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for name in ["net.no.such.parameter", "net/../kernel.panic", ""] {
        let setup = Setup { hostname: "x".into(), sysctls: [(name.to_owned(), "1".to_owned())].into() };
        assert!(namespaces::pin(directory.path(), &Namespace::ALL, &setup).is_err(), "{name:?}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
    assert!(in_netns(Path::new("/no/such"), || ()).is_err());
}

#[test]
fn a_cgroup_holds_limits_kills_and_removes() {
    if !root() {
        return;
    }
    let hierarchies = Hierarchies::detect().unwrap();
    let group = hierarchies.group(&format!("/minato-test-{}", std::process::id())).child("inner");
    group.create().unwrap();
    group.create().unwrap();
    let limits = Limits {
        memory_bytes: Some(64 << 20),
        pids: Some(50),
        cpu_shares: Some(512),
        cpu_quota: Some(50_000),
        cpu_period: Some(100_000),
        ..Default::default()
    };
    group.limit(&limits).unwrap();
    group.limit(&Limits { memory_bytes: Some(128 << 20), ..Default::default() }).unwrap();
    group.limit(&Limits { memory_bytes: Some(-1), pids: Some(-1), cpu_quota: Some(-1), ..Default::default() }).unwrap();
    let watch = group.watch_oom().unwrap();
    // Its children are to be born inside, so it waits until it is there itself.
    let mut command = Command::new("sh");
    let mut child = command.args(["-c", "read go; sleep 100 & sleep 100"]).stdin(Stdio::piped()).spawn().unwrap();
    group.add(child.id().cast_signed()).unwrap();
    assert_eq!(group.processes(), [child.id().cast_signed()]);
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(group.remove().is_err(), "it has processes");
    group.kill(Duration::from_secs(10)).unwrap();
    child.wait().unwrap();
    assert!(!watch.killed());
    let above = hierarchies.group(&format!("/minato-test-{}", std::process::id()));
    above.remove().unwrap();
    above.remove().unwrap();
    assert!(!above.exists() && above.processes().is_empty());
}

#[test]
fn usage_counts_hard_links_once() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("sub")).unwrap();
    fs::write(directory.path().join("sub/file"), vec![1; 100_000]).unwrap();
    let before = disk::usage(directory.path()).unwrap();
    assert!(before.bytes >= 100_000 && before.inodes == 3);
    fs::hard_link(directory.path().join("sub/file"), directory.path().join("link")).unwrap();
    assert_eq!(disk::usage(directory.path()).unwrap().inodes, 3);
    let space = disk::space(directory.path()).unwrap();
    assert!(space.available_bytes <= space.capacity_bytes);
}
