//! Real containers on this machine. Each test takes its cluster down and looks for what is left on the host.

mod admission;
mod healing;
mod jobs;
mod pods;
mod services;
mod streams;
mod usage;
mod volumes;
mod workloads;

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use minato_testkit::{Cluster, Kubectl, Options, cluster::binary, eventually};

use crate::PATIENCE;

/// The tests' workhorse, see `examples/http-debug-server`.
const IMAGE: &str = "minato.local/http-debug-server:latest";

/// A cluster with a node and the image; nothing without root. `slot` is the test's own.
fn cluster(slot: u16) -> anyhow::Result<Option<Cluster>> {
    if !minato_testkit::netlab::available() {
        return Ok(None);
    }
    let cluster = Cluster::start(Options::with_node(slot))?;
    let archive = archive("http-debug-server")?;
    cluster.minato("image import", &[&archive])?;
    Ok(Some(cluster))
}

/// `target/images-dev/PROGRAM.tar`, as `make test` makes it from the programs that were built with this test.
fn archive(program: &str) -> anyhow::Result<PathBuf> {
    let binary = binary()?;
    let target = binary.ancestors().nth(3).context("the target folder")?;
    let path = target.join("images-dev").join(format!("{program}.tar"));
    let make = "cargo xtask images --profile dev --out target/images-dev";
    ensure!(path.exists(), "{} is missing: make it by '{make}'", path.display());
    Ok(path)
}

/// A Deployment of the workhorse that is ready when it says so, and stops gracefully.
fn deployment(name: &str, replicas: u32) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  strategy: {{rollingUpdate: {{maxUnavailable: 0, maxSurge: 1}}}}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 15
      containers:
      - name: server
        image: {IMAGE}
        imagePullPolicy: IfNotPresent
        env: [{{name: COLOUR, value: blue}}]
        ports: [{{name: http, containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /readyz, port: http}}, periodSeconds: 1}}
"#
    )
}

fn rolled_out(kubectl: &Kubectl, name: &str) -> anyhow::Result<()> {
    kubectl.run(&format!("rollout status deployment/{name} --timeout=120s")).map(drop)
}

/// Sends a request; the body of a 200.
fn get(address: &str, path: &str) -> anyhow::Result<String> {
    request(address, "GET", path)
}

fn request(address: &str, method: &str, path: &str) -> anyhow::Result<String> {
    let (head, body) = exchange(address, &format!("{method} {path} HTTP/1.1"), "", "")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    Ok(body)
}

/// Posts what a browser would of a form, which is answered by another page to look at.
fn post_form(address: &str, path: &str, form: &str) -> anyhow::Result<()> {
    let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
    let (head, _) = exchange(address, &format!("POST {path} HTTP/1.1"), kind, form)?;
    ensure!(head.starts_with("HTTP/1.1 303 "), "{head}");
    Ok(())
}

/// Sends a request and reads the answer's head and body.
fn exchange(address: &str, line: &str, headers: &str, body: &str) -> anyhow::Result<(String, String)> {
    let limit = Duration::from_secs(5);
    let socket = address.to_socket_addrs()?.next().context("an address")?;
    let mut stream = TcpStream::connect_timeout(&socket, limit)?;
    stream.set_read_timeout(Some(limit))?;
    let length = body.len();
    let head = format!("{line}\r\nHost: {address}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all((head + body).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer")?;
    Ok((head.to_owned(), body.to_owned()))
}

/// Waits until a field of an object has a value.
fn becomes(kubectl: &Kubectl, object: &str, path: &str, expected: &str) -> anyhow::Result<()> {
    eventually(PATIENCE, || {
        let value = kubectl.run(&format!("get {object} -o jsonpath={{{path}}}"))?;
        ensure!(value == expected, "{object} {path} is {value:?}, not {expected:?}");
        anyhow::Ok(())
    })
    .with_context(|| kubectl.run(&format!("describe {object}")).unwrap_or_default())
}
