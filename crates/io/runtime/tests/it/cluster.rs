//! A runtime of its own per test, with an image made from the machine's busybox, and a check that nothing stays behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use minato_images::Store;
use minato_linux::{cgroup::Hierarchies, mounts};
use minato_runtime::{
    Config, ContainerConfig, ContainerId, ContainerState, Embedded, Runtime as _, SandboxConfig, SandboxId, teardown,
};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

pub const IMAGE: &str = "busybox:test";
const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Cluster {
    pub config: Config,
    pub runtime: Embedded,
    pub directory: TempDir,
}

impl Cluster {
    /// `None`, and a line that says why, where real containers are not possible.
    pub async fn start() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: needs root");
            return None;
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new).into_iter().find(|path| path.exists());
        let Some(busybox) = busybox else {
            println!("skipped: needs a static busybox (Debian: apt-get install busybox-static)");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let images = Store::open(directory.path().join("node/images")).unwrap();
        images.import(&busybox_archive(busybox, directory.path())).unwrap();
        let id = format!("{:08x}", std::process::id() * 64 + COUNT.fetch_add(1, Ordering::Relaxed));
        let mut config = Config::new(id, directory.path().join("node"), images);
        config.shim = env!("CARGO_BIN_EXE_minato-shim").into();
        let runtime = Embedded::open(config.clone()).await.unwrap();
        Some(Self { config, runtime, directory })
    }

    pub fn sandbox_config(&self, uid: &str) -> SandboxConfig {
        SandboxConfig {
            uid: uid.into(),
            namespace: "default".into(),
            name: uid.into(),
            hostname: "a-pod".into(),
            cgroup_parent: format!("{}/pods/{uid}", self.config.cgroup_root()),
            log_directory: self.logs(),
            ..Default::default()
        }
    }

    pub async fn sandbox(&self, uid: &str) -> SandboxId {
        self.runtime.run_sandbox(self.sandbox_config(uid)).await.unwrap().id
    }

    pub fn logs(&self) -> PathBuf {
        self.directory.path().join("logs")
    }

    pub async fn run(&self, sandbox: &SandboxId, config: ContainerConfig) -> ContainerId {
        let id = self.runtime.create_container(sandbox, config).await.unwrap();
        self.runtime.start_container(&id).await.unwrap();
        id
    }

    /// Runs a script to its end and returns exit code and the text of its log.
    pub async fn script(&self, script: &str, change: impl FnOnce(&mut ContainerConfig)) -> (i32, String) {
        let sandbox = self.sandbox("script").await;
        let mut config = shell(script);
        change(&mut config);
        let id = self.run(&sandbox, config).await;
        let exit = self.exit(&id).await;
        let log = self.log_text("c.log");
        self.runtime.remove_sandbox(&sandbox).await.unwrap();
        let _ = fs::remove_file(self.logs().join("c.log"));
        (exit.0, log)
    }

    /// Waits for a container's end: exit code, signal, killed for lack of memory.
    pub async fn exit(&self, id: &ContainerId) -> (i32, Option<i32>, bool) {
        exit_of(&self.runtime, id).await
    }

    /// The messages of a log, without times and tags.
    pub fn log_text(&self, name: &str) -> String {
        let log = fs::read_to_string(self.logs().join(name)).unwrap_or_default();
        log.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap_or_default().to_owned() + "\n").collect()
    }

    /// Removes everything and checks that it is gone.
    pub async fn finish(self) {
        for sandbox in self.runtime.sandboxes().await.unwrap() {
            self.runtime.remove_sandbox(&sandbox.id).await.unwrap();
        }
        self.check_clean(&["shims"]);
        teardown(&self.config).unwrap();
        teardown(&self.config).unwrap();
        let root = Hierarchies::detect().unwrap().group(&self.config.cgroup_root());
        assert!(!root.exists(), "the cluster's cgroup is still there");
    }

    /// No container, pod, mount, lease or cgroup, except these groups right below the cluster's.
    fn check_clean(&self, groups: &[&str]) {
        let node = self.directory.path().join("node");
        for part in ["pods", "containers", "images/leases"] {
            let left: Vec<_> = fs::read_dir(node.join(part)).unwrap().flatten().map(|entry| entry.path()).collect();
            assert!(left.is_empty(), "left over: {left:?}");
        }
        let mounts: Vec<_> = mounts::list().unwrap();
        let left: Vec<_> = mounts.iter().filter(|point| point.target.starts_with(self.directory.path())).collect();
        assert!(left.is_empty(), "left over: {left:?}");
        let root = Hierarchies::detect().unwrap().group(&self.config.cgroup_root());
        for (name, directory) in root.existing_directories() {
            let below = fs::read_dir(&directory).unwrap().flatten().filter(|entry| entry.path().is_dir());
            for group in below.map(|entry| entry.file_name().into_string().unwrap()) {
                let allowed = groups.contains(&group.as_str()) || group == "pods";
                assert!(allowed, "left over in cgroup hierarchy {name}: {group}");
                let inner =
                    fs::read_dir(directory.join(&group)).unwrap().flatten().filter(|entry| entry.path().is_dir());
                assert_eq!(inner.count(), 0, "left over in cgroup {name}/{group}");
            }
        }
        eventually("shims to end", || root.processes().is_empty());
    }
}

/// A container that runs a script in busybox' shell and logs to `c.log`.
pub fn shell(script: &str) -> ContainerConfig {
    ContainerConfig {
        name: "c".into(),
        image: IMAGE.into(),
        command: vec!["/bin/sh".into(), "-c".into(), script.into()],
        log_path: "c.log".into(),
        ..Default::default()
    }
}

pub async fn exit_of(runtime: &Embedded, id: &ContainerId) -> (i32, Option<i32>, bool) {
    let mut events = runtime.events();
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let status = runtime.container(id).await.unwrap();
        if let ContainerState::Exited { exit_code, signal, oom_killed, .. } = status.state {
            return (exit_code, signal, oom_killed);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let event = tokio::time::timeout(left.min(Duration::from_secs(1)), events.recv()).await;
        assert!(event.is_ok() || Instant::now() < deadline, "no exit; last state {:?}", status.state);
    }
}

/// Waits for a condition.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// As `docker save` would write an image with nothing but busybox.
fn busybox_archive(busybox: &Path, directory: &Path) -> PathBuf {
    let mut layer = tar::Builder::new(Vec::new());
    for name in ["bin", "tmp", "etc", "root", "proc", "sys", "dev"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(if name == "tmp" { 0o1777 } else { 0o755 });
        header.set_size(0);
        layer.append_data(&mut header, format!("{name}/"), std::io::empty()).unwrap();
    }
    append(&mut layer, "bin/busybox", 0o755, &fs::read(busybox).unwrap());
    append(&mut layer, "etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/home/web:/bin/sh\n");
    append(&mut layer, "etc/group", 0o644, b"root:x:0:\nweb:x:102:\nextra:x:300:web\n");
    append(&mut layer, "etc/secret", 0o600, b"only for root\n");
    append(&mut layer, "bin/not-executable", 0o644, b"#!/bin/sh\n");
    for name in [
        "sh", "cat", "sleep", "true", "false", "id", "ls", "stat", "hostname", "kill", "head", "grep", "env", "pwd",
        "mount", "touch", "mknod", "chroot", "unshare", "dd", "tr", "echo", "wc", "stty", "ps", "seq", "tail",
        "printf", "ip",
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        layer.append_link(&mut header, format!("bin/{name}"), "busybox").unwrap();
    }
    let layer = layer.into_inner().unwrap();
    let hex = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Env":["PATH=/bin","FROM=image"],"Cmd":["sh"],"WorkingDir":"/tmp"}},
            "rootfs":{{"type":"layers","diff_ids":["sha256:{}"]}}}}"#,
        hex(&layer)
    );
    let config_name = format!("{}.json", hex(config.as_bytes()));
    let manifest = format!(r#"[{{"Config":"{config_name}","RepoTags":["{IMAGE}"],"Layers":["l/layer.tar"]}}]"#);
    let mut archive = tar::Builder::new(Vec::new());
    append(&mut archive, &config_name, 0o644, config.as_bytes());
    append(&mut archive, "l/layer.tar", 0o644, &layer);
    append(&mut archive, "manifest.json", 0o644, manifest.as_bytes());
    let path = directory.join("busybox.tar");
    fs::write(&path, archive.into_inner().unwrap()).unwrap();
    path
}

fn append(archive: &mut tar::Builder<Vec<u8>>, name: &str, mode: u32, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, name, bytes).unwrap();
}
