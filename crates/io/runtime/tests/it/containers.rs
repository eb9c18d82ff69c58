//! Start, output, end.

use std::fs;
use std::time::Duration;

use minato_runtime::{ContainerState, Mount, Propagation, Resources, Runtime as _, RuntimeError};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::cluster::{Cluster, eventually, shell};

#[tokio::test]
async fn a_container_runs_logs_and_exits() {
    let Some(cluster) = Cluster::start().await else { return };
    let script = "echo out; echo err >&2; hostname; pwd; echo $FROM $A; ls -d /proc/1; ip link show lo; exit 7";
    let (code, log) = cluster.script(script, |config| config.env = vec![("A".into(), "pod".into())]).await;
    assert_eq!(code, 7, "{log}");
    for line in ["out", "err", "a-pod", "/tmp", "image pod", "/proc/1"] {
        assert!(log.lines().any(|found| found == line), "{line:?} is not in {log:?}");
    }
    assert!(log.contains("LOOPBACK,UP"), "{log}");
    cluster.finish().await;
}

#[tokio::test]
async fn log_lines_have_time_stream_and_tag() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let id = cluster.run(&sandbox, shell("echo one; printf two")).await;
    cluster.exit(&id).await;
    let log = fs::read_to_string(cluster.logs().join("c.log")).unwrap();
    let fields: Vec<Vec<&str>> = log.lines().map(|line| line.split(' ').skip(1).collect()).collect();
    assert_eq!(fields, [["stdout", "F", "one"], ["stdout", "P", "two"]]);
    assert!(log.lines().all(|line| line.split(' ').next().unwrap().parse::<jiff::Timestamp>().is_ok()));
    cluster.finish().await;
}

#[tokio::test]
async fn a_command_that_cannot_run_is_told_in_runcs_words() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let cases = [
        (vec!["foo"], "exec: \"foo\": executable file not found in $PATH", 127),
        (vec!["/no/such"], "exec: \"/no/such\": stat /no/such: no such file or directory", 127),
        (vec!["/bin/not-executable"], "exec: \"/bin/not-executable\": permission denied", 126),
        (vec!["not-executable"], "exec: \"not-executable\": permission denied", 126),
        (vec!["/bin"], "exec: \"/bin\": permission denied", 126),
    ];
    for (command, expected, code) in cases {
        let mut config = shell("");
        config.command = command.iter().map(|word| (*word).to_owned()).collect();
        let id = cluster.runtime.create_container(&sandbox, config).await.unwrap();
        match cluster.runtime.start_container(&id).await {
            Err(RuntimeError::Start { message, exit_code }) => {
                assert!(message.ends_with(expected), "{message}");
                assert_eq!(exit_code, code);
            }
            other => panic!("{other:?}"),
        }
        let state = cluster.runtime.container(&id).await.unwrap().state;
        assert!(
            matches!(&state, ContainerState::Exited { exit_code: 128, message: Some(message), started_at: None, .. }
            if message.contains(expected)),
            "{state:?}"
        );
    }
    cluster.finish().await;
}

#[tokio::test]
async fn what_cannot_be_created_is_refused_and_leaves_nothing() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let mut missing = shell("");
    missing.image = "no/such:image".into();
    let error = cluster.runtime.create_container(&sandbox, missing).await.unwrap_err();
    assert!(matches!(error, RuntimeError::ImageNotFound { .. }), "{error}");
    let mut mount = shell("");
    mount.mounts = vec![bind("/no/such/source", "/x")];
    let error = cluster.runtime.create_container(&sandbox, mount).await.unwrap_err();
    assert!(error.to_string().contains("mount source /no/such/source"), "{error}");
    let mut user = shell("");
    user.security.run_as_user = Some(0);
    user.security.run_as_non_root = true;
    let error = cluster.runtime.create_container(&sandbox, user).await.unwrap_err();
    assert!(matches!(error, RuntimeError::RunAsNonRoot(_)), "{error}");
    assert!(cluster.runtime.containers().await.unwrap().is_empty());
    cluster.finish().await;
}

#[tokio::test]
async fn stopping_asks_first_and_then_kills() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let polite = shell("trap 'exit 3' TERM; echo ready; while true; do sleep 0.05; done");
    let deaf = shell("trap '' TERM; echo ready; while true; do sleep 0.05; done");
    for (config, grace, code) in [(polite, Duration::from_secs(30), 3), (deaf, Duration::from_millis(300), 137)] {
        let id = cluster.run(&sandbox, config).await;
        eventually("the trap", || cluster.log_text("c.log").contains("ready"));
        cluster.runtime.stop_container(&id, grace).await.unwrap();
        cluster.runtime.stop_container(&id, grace).await.unwrap();
        assert_eq!(cluster.exit(&id).await.0, code);
        cluster.runtime.remove_container(&id).await.unwrap();
        fs::remove_file(cluster.logs().join("c.log")).unwrap();
    }
    let id = cluster.run(&sandbox, shell("while true; do sleep 1; done")).await;
    let pid = match cluster.runtime.container(&id).await.unwrap().state {
        ContainerState::Running { pid, .. } => pid,
        other => panic!("{other:?}"),
    };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    assert_eq!(cluster.exit(&id).await, (137, Some(9), false));
    assert!(matches!(cluster.runtime.signal(&id, Signal::SIGHUP).await, Err(RuntimeError::NotRunning(_))));
    cluster.finish().await;
}

#[tokio::test]
async fn too_much_memory_is_an_oom_kill() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let mut config = shell("tail /dev/zero");
    // Lower scores than the parent's are not allowed everywhere; that must not keep the container from running.
    config.resources =
        Resources { memory_limit_bytes: Some(16 << 20), oom_score_adj: Some(-997), ..Default::default() };
    // Not through a shell: the process that is killed must be the init.
    config.command = vec!["/bin/tail".into(), "/dev/zero".into()];
    let id = cluster.run(&sandbox, config).await;
    assert_eq!(cluster.exit(&id).await, (137, Some(9), true));
    cluster.finish().await;
}

#[tokio::test]
async fn limits_are_set_and_can_be_changed() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let mut config = shell("cat /proc/self/oom_score_adj; echo ready; sleep 1000");
    config.resources = Resources {
        memory_limit_bytes: Some(32 << 20),
        pids_limit: Some(20),
        oom_score_adj: Some(321),
        ..Default::default()
    };
    let id = cluster.run(&sandbox, config).await;
    eventually("output", || cluster.log_text("c.log").contains("ready"));
    assert!(cluster.log_text("c.log").starts_with("321"), "{}", cluster.log_text("c.log"));
    let group = cluster.runtime.cgroup(&id).unwrap();
    let read = |files: [&str; 2]| {
        let directories = group.existing_directories();
        let mut found =
            directories.iter().flat_map(|(_, directory)| files.map(|file| fs::read_to_string(directory.join(file))));
        found.find_map(Result::ok).unwrap().trim().to_owned()
    };
    assert_eq!(read(["memory.limit_in_bytes", "memory.max"]), (32 << 20).to_string());
    assert_eq!(read(["pids.max", "pids.max"]), "20");
    let more = Resources { memory_limit_bytes: Some(64 << 20), ..Default::default() };
    cluster.runtime.update_resources(&id, more).await.unwrap();
    assert_eq!(read(["memory.limit_in_bytes", "memory.max"]), (64 << 20).to_string());
    let used = &cluster.runtime.usage().await.unwrap().containers[&id].usage;
    assert!(used.cpu.is_some() && used.memory.is_some_and(|memory| memory.bytes > 0), "{used:?}");
    assert_eq!(used.processes, Some(group.processes().len() as u64));
    cluster.finish().await;
}

#[tokio::test]
async fn volumes_are_mounted() {
    let Some(cluster) = Cluster::start().await else { return };
    let volume = cluster.directory.path().join("volume");
    fs::create_dir_all(volume.join("sub")).unwrap();
    fs::write(volume.join("file"), "contents\n").unwrap();
    let source = |path: &str| cluster.directory.path().join(path).display().to_string();
    let mounts = vec![
        bind(&source("volume"), "/data"),
        Mount { read_only: true, ..bind(&source("volume/file"), "/etc/one/file") },
        bind(&source("volume/sub"), "/data/sub/deep"),
    ];
    let script = "cat /data/file /etc/one/file; echo new > /data/new; echo x > /etc/one/file || echo read-only; ls -d /data/sub/deep; \
                  ls -la /dev/shm /dev/null /dev/pts/ptmx /sys/fs/cgroup > /dev/null && echo standard";
    let (code, log) = cluster.script(script, |config| config.mounts = mounts).await;
    assert_eq!(code, 0, "{log}");
    assert_eq!(log.matches("contents").count(), 2, "{log}");
    assert!(log.contains("read-only") && log.contains("/data/sub/deep") && log.contains("standard"), "{log}");
    assert_eq!(fs::read_to_string(volume.join("new")).unwrap(), "new\n");
    cluster.finish().await;
}

#[tokio::test]
async fn containers_of_a_pod_share_what_pods_share() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let mut one = shell("touch /dev/shm/shared; echo ready; sleep 1000");
    one.log_path = "one.log".into();
    cluster.run(&sandbox, one).await;
    eventually("the first container", || cluster.log_text("one.log").contains("ready"));
    let two = cluster.run(&sandbox, shell("ls /dev/shm; ls -l /proc/self/ns | grep -E 'net|ipc|uts' > /dev/null; ls /proc | grep -c '^1$'; touch /root/x")).await;
    assert_eq!(cluster.exit(&two).await.0, 0);
    assert!(cluster.log_text("c.log").contains("shared"));
    cluster.finish().await;
}

#[tokio::test]
async fn the_host_s_network_and_processes_can_be_shared() {
    let Some(cluster) = Cluster::start().await else { return };
    let mut config = cluster.sandbox_config("host");
    config.host_network = true;
    config.host_pid = true;
    config.host_ipc = true;
    let sandbox = cluster.runtime.run_sandbox(config).await.unwrap();
    assert_eq!(sandbox.netns, None);
    let host = fs::read_link("/proc/self/ns/net").unwrap();
    let id = cluster
        .run(
            &sandbox.id,
            shell(&format!(
                "stat -L -c %i /proc/self/ns/net; ls -d /proc/{}; sleep 1000 & sleep 1000 & echo ready; wait",
                std::process::id()
            )),
        )
        .await;
    eventually("output", || cluster.log_text("c.log").contains("ready"));
    let log = cluster.log_text("c.log");
    assert!(host.display().to_string().contains(log.lines().next().unwrap()), "{log}");
    assert!(log.contains(&format!("/proc/{}", std::process::id())), "{log}");
    let group = cluster.runtime.cgroup(&id).unwrap();
    assert!(group.processes().len() >= 3);
    cluster.runtime.stop_container(&id, Duration::ZERO).await.unwrap();
    assert!(group.processes().is_empty(), "its other processes were killed too");
    cluster.finish().await;
}

#[tokio::test]
async fn volumes_see_later_mounts_only_where_wanted() {
    use nix::mount::{MsFlags, mount};
    let Some(cluster) = Cluster::start().await else { return };
    let host = cluster.directory.path().join("host");
    fs::create_dir_all(host.join("later")).unwrap();
    mount(Some(&host), &host, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    mount(None::<&str>, &host, None::<&str>, MsFlags::MS_SHARED, None::<&str>).unwrap();
    let sandbox = cluster.sandbox("p").await;
    let mut config = shell("sleep 1000");
    config.mounts = vec![
        Mount { propagation: Propagation::HostToContainer, ..bind(&host.display().to_string(), "/follows") },
        bind(&host.display().to_string(), "/alone"),
    ];
    let id = cluster.run(&sandbox, config).await;
    mount(Some("t"), &host.join("later"), Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    fs::write(host.join("later/file"), "").unwrap();
    let command = ["sh", "-c", "ls /follows/later; echo -; ls /alone/later"].map(str::to_owned).to_vec();
    let output = cluster.runtime.exec_sync(&id, command, Duration::from_secs(30)).await.unwrap();
    minato_linux::mounts::unmount_below(&host).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "file\n-\n");
    cluster.finish().await;
}

#[tokio::test]
async fn many_containers_start_and_end_at_once() {
    let Some(cluster) = Cluster::start().await else { return };
    let runs = (0..20).map(async |number| {
        let sandbox = cluster.sandbox(&format!("pod-{number}")).await;
        let mut config = shell(&format!("echo {number}; exit {number}"));
        config.log_path = format!("{number}.log").into();
        let id = cluster.run(&sandbox, config).await;
        assert_eq!(cluster.exit(&id).await.0, number);
        assert_eq!(cluster.log_text(&format!("{number}.log")), format!("{number}\n"));
        cluster.runtime.remove_sandbox(&sandbox).await.unwrap();
    });
    futures::future::join_all(runs).await;
    cluster.finish().await;
}

#[tokio::test]
async fn clients_attach_to_pipes_and_terminals() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let mut config = shell("while read line; do echo got $line; done; echo end");
    config.stdin = true;
    config.stdin_once = true;
    let id = cluster.run(&sandbox, config).await;
    let mut session = cluster.runtime.attach(&id).await.unwrap();
    let mut stdin = session.stdin.take().unwrap();
    stdin.write_all(b"one\ntwo\n").await.unwrap();
    drop(stdin);
    let mut text = String::new();
    session.stdout.unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "got one\ngot two\nend\n");
    assert_eq!(cluster.exit(&id).await.0, 0);

    let mut config =
        shell("stty size; read line; echo got $line; stty size; ls -la /dev/console > /dev/null && exit 4");
    config.stdin = true;
    config.tty = true;
    config.log_path = "tty.log".into();
    let id = cluster.run(&sandbox, config).await;
    let mut session = cluster.runtime.attach(&id).await.unwrap();
    session.resizer.take().unwrap().resize(minato_runtime::TerminalSize { columns: 100, rows: 40 }).unwrap();
    session.stdin.as_mut().unwrap().write_all(b"hello\n").await.unwrap();
    let mut text = String::new();
    session.stdout.unwrap().read_to_string(&mut text).await.unwrap();
    assert!(text.contains("got hello") && text.contains("40 100"), "{text:?}");
    assert_eq!(cluster.exit(&id).await.0, 4);
    assert!(cluster.log_text("tty.log").contains("got hello"));
    cluster.finish().await;
}

#[tokio::test]
async fn a_rotated_log_is_opened_anew() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let mut config = shell("echo before; read line; echo after");
    config.stdin = true;
    let id = cluster.run(&sandbox, config).await;
    eventually("output", || cluster.log_text("c.log").contains("before"));
    fs::rename(cluster.logs().join("c.log"), cluster.logs().join("c.log.1")).unwrap();
    cluster.runtime.reopen_log(&id).await.unwrap();
    cluster.runtime.attach(&id).await.unwrap().stdin.unwrap().write_all(b"go\n").await.unwrap();
    cluster.exit(&id).await;
    assert_eq!(cluster.log_text("c.log"), "after\n");
    cluster.finish().await;
}

fn bind(host: &str, container: &str) -> Mount {
    Mount { host_path: host.into(), container_path: container.into(), read_only: false, propagation: Propagation::None }
}
