//! What was acknowledged survives the death of the server.

use anyhow::ensure;
use minato_testkit::{Cluster, Options};

#[test]
fn kill_nine_loses_nothing() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    let ca = kubectl.run("config view --raw -o jsonpath={.clusters[0].cluster.certificate-authority-data}")?;
    let mut revision = 0;
    for round in 0..3 {
        for number in 0..10 {
            kubectl.run(&format!("create configmap r{round}-{number} --from-literal=round={round}"))?;
        }
        cluster.kill()?;
        cluster.run()?;
        let names = kubectl.run("get configmaps -o name")?;
        let kept = names.lines().filter(|name| name.starts_with("configmap/r")).count();
        assert_eq!(kept, (round + 1) * 10, "{names}");
        let now: u64 =
            kubectl.run(&format!("get configmap r{round}-9 -o jsonpath={{.metadata.resourceVersion}}"))?.parse()?;
        ensure!(now > revision, "resource versions went back from {revision} to {now}");
        revision = now;
    }
    let after = kubectl.run("config view --raw -o jsonpath={.clusters[0].cluster.certificate-authority-data}")?;
    ensure!(ca == after, "the authority changed");
    cluster.finish()
}

#[test]
fn a_stop_is_orderly() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    // An open watch does not keep the server from stopping.
    let mut watch = kubectl.command(["get", "configmaps", "--watch"]).spawn()?;
    let status = cluster.stop()?;
    ensure!(status.success(), "{status}");
    watch.kill()?;
    watch.wait()?;
    ensure!(cluster.log().contains("stopped"), "{}", cluster.log_tail());
    cluster.finish()
}

#[test]
fn secrets_do_not_lie_in_the_file_as_they_are() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    kubectl.run("create secret generic sealed --from-literal=password=correct-horse-battery")?;
    kubectl.run("create configmap open --from-literal=text=correct-horse-battery")?;
    cluster.stop()?;
    let mut open = false;
    for file in std::fs::read_dir(cluster.data_dir().join("store"))?.flatten() {
        let bytes = std::fs::read(file.path())?;
        let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        // base64 of the password, as the API has it
        ensure!(!holds(b"Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"), "{} holds the password", file.path().display());
        open |= holds(b"correct-horse-battery");
    }
    ensure!(open, "the ConfigMap is not in the file: this test looks in the wrong place");
    cluster.finish()
}
