//! What operators ask a server: how it is, what it counts, who did what, and what lies behind it.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use minato_testkit::{Cluster, Options, eventually};
use serde_json::Value;

use crate::PATIENCE;

const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- {level: RequestResponse, verbs: [create], resources: [{group: '', resources: [configmaps]}], users: [minato-admin]}
";

#[test]
fn a_server_tells_how_it_is_and_what_was_done() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let (policy, log) = (directory.path().join("policy.yaml"), directory.path().join("audit.log"));
    std::fs::write(&policy, POLICY)?;
    let options = Options::control_plane()
        .flag(&format!("--audit-policy-file={}", policy.display()))
        .flag(&format!("--audit-log-path={}", log.display()));
    let mut cluster = Cluster::start(options)?;
    let kubectl = cluster.kubectl();
    kubectl.run("create configmap a --from-literal=k=v")?;
    for (line, expected) in [
        ("get --raw /readyz?verbose", "readyz check passed"),
        ("get --raw /livez/ping", "ok"),
        ("get --raw /metrics", "apiserver_request_total{"),
        ("cluster-info dump", "EventList"),
    ] {
        let printed = kubectl.run(line)?;
        ensure!(printed.contains(expected), "{line}: {printed}");
    }
    eventually(PATIENCE, || {
        let services = kubectl.run("get apiservices v1. v1.apps --no-headers")?;
        ensure!(services.matches("Local").count() == 2 && services.matches("True").count() == 2, "{services}");
        let schemas = kubectl.run("get flowschemas --no-headers")?;
        ensure!(schemas.lines().count() >= 13 && schemas.lines().all(|line| line.ends_with("False")), "{schemas}");
        anyhow::Ok(())
    })?;

    // kubectl's own proxy, to the API and on to nothing.
    let mut proxy = kubectl.command(["proxy", "--port=0"]).stdout(Stdio::piped()).spawn()?;
    let said = proxy.stdout.take().context("its output")?;
    let mut first = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(said), &mut first)?;
    proxy.kill()?;
    proxy.wait()?;
    ensure!(first.contains("Starting to serve on 127.0.0.1:"), "{first}");

    cluster.stop()?;
    let told = std::fs::read_to_string(&log)?;
    let event: Value = serde_json::from_str(told.lines().last().context("an event")?)?;
    ensure!(event["stage"] == "ResponseComplete" && event["responseObject"]["data"]["k"] == "v", "{told}");
    ensure!(event["user"]["username"] == "minato-admin" && event["verb"] == "create", "{told}");
    ensure!(told.lines().count() == 2, "{told}");
    cluster.finish()
}
