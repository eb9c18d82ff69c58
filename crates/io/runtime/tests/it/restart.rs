//! The server goes away and comes back; containers do not notice.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use minato_runtime::{ContainerState, Embedded, Runtime as _};

use crate::cluster::{Cluster, eventually, exit_of, shell};

fn pid_of(state: &ContainerState) -> i32 {
    match state {
        ContainerState::Running { pid, .. } => *pid,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_new_runtime_finds_running_and_exited_containers() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let mut waits = shell("read line; exit 9");
    waits.stdin = true;
    waits.log_path = "waits.log".into();
    let waits = cluster.run(&sandbox, waits).await;
    let created = cluster.runtime.create_container(&sandbox, shell("")).await.unwrap();
    let exited = cluster.run(&sandbox, shell("exit 4")).await;
    cluster.exit(&exited).await;
    let before = cluster.runtime.container(&waits).await.unwrap();

    let again = Embedded::open(cluster.config.clone()).await.unwrap();
    assert!(again.sandboxes().await.unwrap().iter().all(|sandbox| sandbox.ready));
    let after = again.container(&waits).await.unwrap();
    assert_eq!(pid_of(&before.state), pid_of(&after.state));
    assert_eq!(before.state, after.state);
    assert_eq!(again.container(&created).await.unwrap().state, ContainerState::Created);
    assert_eq!(exit_of(&again, &exited).await.0, 4);
    let output = again.exec_sync(&waits, vec!["true".into()], Duration::from_secs(30)).await.unwrap();
    assert_eq!(output.exit_code, 0);
    let mut events = again.events();
    drop(again.attach(&waits).await.unwrap());
    again.stop_container(&waits, Duration::ZERO).await.unwrap();
    assert!(events.recv().await.is_ok());
    assert_eq!(cluster.exit(&waits).await.0, 137);
    cluster.finish().await;
}

#[tokio::test]
async fn containers_survive_the_servers_death_and_exits_meanwhile_are_known() {
    // The test runs itself again as the server that is to be killed.
    const SERVER: &str = "MINATO_TEST_SERVER";
    if let Some(directory) = std::env::var_os(SERVER) {
        let directory = std::path::PathBuf::from(directory);
        let images = minato_images::Store::open(directory.join("node/images")).unwrap();
        let id = fs::read_to_string(directory.join("id")).unwrap();
        let mut config = minato_runtime::Config::new(id, directory.join("node"), images);
        config.shim = env!("CARGO_BIN_EXE_minato-shim").into();
        let runtime = Embedded::open(config).await.unwrap();
        let sandbox = minato_runtime::SandboxId("p".into());
        for (script, log) in
            [("sleep 1000", "stays.log"), ("while ! [ -e /signal/go ]; do sleep 0.02; done; exit 5", "goes.log")]
        {
            let mut config = shell(script);
            config.name = log.into();
            config.log_path = log.into();
            config.mounts = vec![minato_runtime::Mount {
                host_path: directory.clone(),
                container_path: "/signal".into(),
                read_only: true,
                propagation: Default::default(),
            }];
            let id = runtime.create_container(&sandbox, config).await.unwrap();
            runtime.start_container(&id).await.unwrap();
        }
        fs::write(directory.join("ready"), "").unwrap();
        std::future::pending::<()>().await;
    }
    let Some(cluster) = Cluster::start().await else { return };
    cluster.sandbox("p").await;
    fs::write(cluster.directory.path().join("id"), &cluster.config.cluster_id).unwrap();
    let mut server = std::process::Command::new(std::env::current_exe().unwrap());
    server.args(["--exact", "restart::containers_survive_the_servers_death_and_exits_meanwhile_are_known"]);
    let mut server = server.env(SERVER, cluster.directory.path()).process_group(0).spawn().unwrap();
    eventually("the server's containers", || cluster.directory.path().join("ready").exists());
    server.kill().unwrap();
    server.wait().unwrap();
    // One container ends while there is no server.
    let containers = cluster.directory.path().join("node/containers");
    let directory_of = |name: &str| {
        let mut all = fs::read_dir(&containers).unwrap().flatten().map(|entry| entry.path());
        all.find(|path| fs::read_to_string(path.join("config.json")).unwrap().contains(name)).unwrap()
    };
    let goes = directory_of("goes.log");
    fs::write(cluster.directory.path().join("go"), "").unwrap();
    eventually("the exit file", || goes.join("exit").exists());

    let runtime = Embedded::open(cluster.config.clone()).await.unwrap();
    let statuses = runtime.containers().await.unwrap();
    let stays = statuses.iter().find(|status| status.name == "stays.log").unwrap();
    let goes = statuses.iter().find(|status| status.name == "goes.log").unwrap();
    assert!(std::path::Path::new(&format!("/proc/{}", pid_of(&stays.state))).exists());
    assert_eq!(exit_of(&runtime, &goes.id).await.0, 5);
    drop(cluster.runtime);
    Cluster { runtime, config: cluster.config, directory: cluster.directory }.finish().await;
}

#[tokio::test]
async fn a_container_without_shim_is_ended_and_told() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let id = cluster.run(&sandbox, shell("sleep 1000")).await;
    let pid = pid_of(&cluster.runtime.container(&id).await.unwrap().state);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let shim: i32 = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(shim), nix::sys::signal::Signal::SIGKILL).unwrap();
    assert_eq!(cluster.exit(&id).await.0, 255);
    // Nobody may have taken its exit status yet.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    assert!(status.is_empty() || status.contains("Z (zombie)"), "{status}");
    cluster.finish().await;
}

#[tokio::test]
async fn what_a_crash_left_is_removed() {
    let Some(cluster) = Cluster::start().await else { return };
    let node = cluster.directory.path().join("node");
    // A pod whose record was not written yet, and a container without a bundle.
    let half = cluster.sandbox("half").await;
    fs::remove_file(node.join("pods/half/sandbox.json")).unwrap();
    fs::create_dir_all(node.join("containers/abc/upper")).unwrap();
    cluster.config.images.lease(crate::cluster::IMAGE, "abc").unwrap();
    let again = Embedded::open(cluster.config.clone()).await.unwrap();
    assert!(again.sandboxes().await.unwrap().is_empty());
    assert!(!node.join("pods/half/ns").exists() && !node.join("containers/abc").exists());
    // The cgroup is found again when the pod is made anew.
    again.run_sandbox(cluster.sandbox_config(&half.0)).await.unwrap();
    // As after a reboot: the record is there, the namespaces are not.
    for kind in minato_linux::namespaces::Namespace::ALL {
        minato_linux::namespaces::unpin(&node.join("pods/half/ns"), kind).unwrap();
    }
    let third = Embedded::open(cluster.config.clone()).await.unwrap();
    assert!(!third.sandboxes().await.unwrap()[0].ready);
    assert!(third.create_container(&half, shell("")).await.is_err());
    third.run_sandbox(cluster.sandbox_config(&half.0)).await.unwrap();
    assert!(third.sandboxes().await.unwrap()[0].ready);
    Cluster { runtime: third, config: cluster.config, directory: cluster.directory }.finish().await;
}
