//! What containers may not do.

use minato_runtime::{Runtime as _, RuntimeError, Seccomp};

use crate::cluster::{Cluster, shell};

#[tokio::test]
async fn users_and_groups_are_the_pods_or_the_images() {
    let Some(cluster) = Cluster::start().await else { return };
    let (code, log) = cluster.script("id -u; id -g; id -G; cat /etc/secret; echo $HOME", |_| {}).await;
    assert_eq!((code, log.as_str()), (0, "0\n0\n0\nonly for root\n/root\n"));
    let (_, log) = cluster
        .script("id -u; id -g; id -G; cat /etc/secret || echo denied; grep CapEff /proc/self/status", |config| {
            config.security.run_as_user = Some(101);
            config.security.supplemental_groups = vec![400];
        })
        .await;
    assert!(log.starts_with("101\n102\n102 300 400\n"), "{log}");
    assert!(log.contains("denied") && log.contains("CapEff:\t0000000000000000"), "{log}");
    cluster.finish().await;
}

#[tokio::test]
async fn capabilities_and_masked_paths_are_the_usual_ones() {
    let Some(cluster) = Cluster::start().await else { return };
    let script = "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; cat /proc/kcore | wc -c; \
                  echo 1 > /proc/sys/kernel/panic || echo read-only; mount -t tmpfs x /tmp || echo no-mount; \
                  mknod /tmp/disk b 8 0 && dd if=/tmp/disk of=/dev/null count=1 || echo no-device";
    let (_, log) = cluster.script(script, |_| {}).await;
    // What containerd gives: chown … audit_write.
    assert!(log.contains("CapEff:\t00000000a80425fb") && log.contains("CapBnd:\t00000000a80425fb"), "{log}");
    assert!(log.contains("NoNewPrivs:\t0") && log.contains("Seccomp:\t0"), "{log}");
    for expected in ["\n0\n", "read-only", "no-mount", "no-device"] {
        assert!(log.contains(expected), "{expected:?} is not in {log}");
    }
    let (_, log) = cluster
        .script("grep -E 'CapEff|NoNewPrivs' /proc/self/status; touch /x || echo read-only; touch /dev/shm/x && echo writable", |config| {
            config.security.drop_capabilities = vec!["ALL".into()];
            config.security.add_capabilities = vec!["NET_BIND_SERVICE".into()];
            config.security.no_new_privileges = true;
            config.security.read_only_rootfs = true;
        })
        .await;
    assert!(log.contains("CapEff:\t0000000000000400") && log.contains("NoNewPrivs:\t1"), "{log}");
    assert!(log.contains("read-only") && log.contains("writable"), "{log}");
    cluster.finish().await;
}

#[tokio::test]
async fn privileged_containers_may_do_everything() {
    let Some(cluster) = Cluster::start().await else { return };
    let script = "mount -t tmpfs x /tmp && echo mounted; ls /dev | wc -l; mount | grep -c ' /proc/'";
    let (_, log) = cluster.script(script, |config| config.security.privileged = true).await;
    assert!(log.contains("mounted"), "{log}");
    assert!(log.ends_with("\n0\n"), "{log}");
    cluster.finish().await;
}

#[tokio::test]
async fn the_default_seccomp_profile_is_installed_for_main_process_and_exec() {
    let Some(cluster) = Cluster::start().await else { return };
    let script =
        "grep -E 'Seccomp:|Seccomp_filters' /proc/self/status; unshare -m true || echo no-namespaces; echo works";
    for (user, no_new_privileges) in [(None, false), (Some(101), true), (Some(101), false)] {
        let (code, log) = cluster
            .script(script, |config| {
                config.security.seccomp = Seccomp::RuntimeDefault;
                config.security.run_as_user = user;
                config.security.no_new_privileges = no_new_privileges;
            })
            .await;
        assert_eq!(code, 0, "{log}");
        assert!(log.contains("Seccomp:\t2") && log.contains("no-namespaces") && log.contains("works"), "{log}");
    }
    let sandbox = cluster.sandbox("p").await;
    let mut config = shell("sleep 1000");
    config.security.seccomp = Seccomp::RuntimeDefault;
    let id = cluster.run(&sandbox, config).await;
    let command = ["grep", "Seccomp:", "/proc/self/status"].map(str::to_owned).to_vec();
    let output = cluster.runtime.exec_sync(&id, command, std::time::Duration::from_secs(30)).await.unwrap();
    assert_eq!(output.stdout, b"Seccomp:\t2\n");
    cluster.finish().await;
}

#[tokio::test]
async fn sysctls_belong_to_the_pod() {
    let Some(cluster) = Cluster::start().await else { return };
    let mut config = cluster.sandbox_config("sysctl");
    config.sysctls.insert("net.ipv4.ip_unprivileged_port_start".into(), "80".into());
    let sandbox = cluster.runtime.run_sandbox(config).await.unwrap().id;
    let id = cluster.run(&sandbox, shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start")).await;
    cluster.exit(&id).await;
    assert_eq!(cluster.log_text("c.log"), "80\n");
    let (_, log) = cluster.script("cat /proc/sys/net/ipv4/ip_unprivileged_port_start", |_| {}).await;
    assert_eq!(log, "80\n0\n", "after the first container's line");
    let mut wrong = cluster.sandbox_config("wrong");
    wrong.sysctls.insert("net.no.such".into(), "1".into());
    let error = cluster.runtime.run_sandbox(wrong).await.unwrap_err();
    assert!(error.to_string().contains("default/wrong"), "{error}");
    let mut outside = cluster.sandbox_config("outside");
    outside.cgroup_parent = "/system.slice".into();
    assert!(matches!(cluster.runtime.run_sandbox(outside).await, Err(RuntimeError::InvalidConfig(_))));
    cluster.finish().await;
}
