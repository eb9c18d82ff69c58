//! What dies comes back, and the server's death is no pod's death.

use anyhow::{Context as _, ensure};
use minato_testkit::{Kubectl, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{cluster, deployment, get, rolled_out};
use crate::PATIENCE;

/// Name, restarts and first container's id of every pod.
fn lives(kubectl: &Kubectl) -> anyhow::Result<String> {
    let path = r"{range .items[*]}{.metadata.name} {.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].containerID}{end}";
    kubectl.args(&["get", "pods", "-o", &format!("jsonpath={path}")])
}

/// The process on this machine that calls itself by a pod's name, seen from its own UTS namespace.
fn process_of(pod: &str) -> anyhow::Result<Pid> {
    for process in std::fs::read_dir("/proc")?.flatten() {
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        let name = format!("HOSTNAME={pod}");
        if environment.split(|byte| *byte == 0).any(|variable| variable == name.as_bytes()) {
            return Ok(Pid::from_raw(process.file_name().to_string_lossy().parse()?));
        }
    }
    anyhow::bail!("no process of {pod}")
}

#[test]
fn what_dies_comes_back() -> anyhow::Result<()> {
    let Some(mut cluster) = cluster(2)? else { return Ok(()) };
    let kubectl = cluster.kubectl();
    kubectl.feed("apply -f -", &deployment("web", 2))?;
    kubectl.run("expose deployment web --port=80 --target-port=http")?;
    rolled_out(&kubectl, "web")?;
    let service = format!("{}:80", kubectl.run("get service web -o jsonpath={.spec.clusterIP}")?);
    eventually(PATIENCE, || get(&service, "/hostname"))?;

    // The server is killed: containers go on, and so do services.
    let before = lives(&kubectl)?;
    cluster.kill()?;
    get(&service, "/hostname").context("while the server is away")?;
    cluster.run()?;
    get(&service, "/hostname").context("after the server came back")?;
    rolled_out(&kubectl, "web")?;
    assert_eq!(lives(&kubectl)?, before);

    // A container is killed: it is started again.
    let pod = kubectl.run("get pods -o jsonpath={.items[0].metadata.name}")?;
    kill(process_of(&pod)?, Signal::SIGKILL)?;
    eventually(PATIENCE, || {
        let path = "{.status.containerStatuses[0].restartCount}{.status.containerStatuses[0].ready}";
        let state = kubectl.run(&format!("get pod {pod} -o jsonpath={path}"))?;
        ensure!(state == "1true", "{state}");
        anyhow::Ok(())
    })?;

    // A pod is deleted: another takes its place.
    kubectl.run(&format!("delete pod {pod} --timeout=60s"))?;
    rolled_out(&kubectl, "web")?;
    let names = kubectl.run("get pods -o name")?;
    ensure!(names.lines().count() == 2 && !names.contains(&pod), "{names}");
    cluster.finish()
}
