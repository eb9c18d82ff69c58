//! Looking into a running pod: commands, connections, debuggers.

use std::io::{BufRead as _, BufReader};
use std::process::Command;

use anyhow::{Context as _, ensure};
use minato_testkit::Kubectl;

use super::{IMAGE, becomes, get};

/// kubectl over WebSocket, or over SPDY as it was before 1.31 (which does not know the switch).
fn kubectl_over(kubectl: &Kubectl, websockets: bool, arguments: &[&str]) -> Command {
    let mut command = kubectl.command(arguments);
    for name in ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS"] {
        command.env(name, websockets.to_string());
    }
    command
}

/// `exec` with output and exit code, and `port-forward` with connections one after another and at once.
pub(super) fn commands_and_connections(kubectl: &Kubectl, pod: &str) -> anyhow::Result<()> {
    for websockets in [true, false] {
        let failing = ["exec", pod, "--", "/http-debug-server", "--no-such-option"];
        let output = kubectl_over(kubectl, websockets, &failing).output()?;
        let printed = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(1) && printed.contains("unknown option --no-such-option"), "{output:?}");
        ensure!(printed.contains("exit code 1"), "{printed}");

        let mut forwarder = kubectl_over(kubectl, websockets, &["port-forward", pod, ":8080"]).spawn()?;
        let told = forwarded(&mut forwarder);
        forwarder.kill()?;
        forwarder.wait()?;
        told.with_context(|| format!("port-forward with websockets={websockets}"))?;
    }
    Ok(())
}

fn forwarded(forwarder: &mut std::process::Child) -> anyhow::Result<()> {
    let mut line = String::new();
    // Kept open: kubectl tells of every connection and ends if nobody can hear it.
    let mut printed = BufReader::new(forwarder.stdout.take().context("its output")?);
    printed.read_line(&mut line)?;
    let address = line.split_whitespace().nth(2).with_context(|| line.clone())?.to_owned();
    for _ in 0..3 {
        get(&address, "/hostname")?;
    }
    let slow: Vec<_> = (0..8)
        .map(|_| {
            let address = address.clone();
            std::thread::spawn(move || get(&address, "/slow?ms=200"))
        })
        .collect();
    for answer in slow {
        answer.join().map_err(|_| anyhow::anyhow!("a connection panicked"))??;
    }
    Ok(())
}

/// `kubectl debug`: a container beside the others, which sees the processes of its target.
pub(super) fn debugger(kubectl: &Kubectl, pod: &str, ip: &str) -> anyhow::Result<()> {
    let object = format!("pod/{pod}");
    kubectl.run(&format!(
        "debug {object} -c debugger --image={IMAGE} --image-pull-policy=IfNotPresent --target=server \
         -- /http-debug-server --listen=0.0.0.0:8090"
    ))?;
    let started = ".status.ephemeralContainerStatuses[0].state.running.startedAt";
    minato_testkit::eventually(crate::PATIENCE, || {
        let at = kubectl.run(&format!("get {object} -o jsonpath={{{started}}}"))?;
        ensure!(!at.is_empty(), "not running");
        let told: serde_json::Value = serde_json::from_str(&get(&format!("{ip}:8090"), "/")?)?;
        ensure!(told["process"]["id"].as_u64() > Some(1), "a process namespace of its own: {told}");
        anyhow::Ok(())
    })?;
    // The pod is what it was.
    becomes(kubectl, &object, ".status.containerStatuses[0].ready", "true")?;
    get(&format!("{ip}:8090"), "/exit?code=4")?;
    becomes(kubectl, &object, ".status.ephemeralContainerStatuses[0].state.terminated.exitCode", "4")?;
    becomes(kubectl, &object, ".status.phase", "Running")
}
