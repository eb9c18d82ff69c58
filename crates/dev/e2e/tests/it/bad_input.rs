//! What is wrong is refused with a clear error that names it, and leaves no trace.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use minato_testkit::{Cluster, Options, cluster::binary};

/// A manifest and what kubectl must print about it.
const MANIFESTS: &[(&str, &str)] = &[
    ("{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: [}", "error"),
    ("{apiVersion: v1, kind: Harbour, metadata: {name: x}}", "no matches for kind \"Harbour\""),
    ("{apiVersion: v1, kind: ConfigMap, metadata: {name: Not_A_Name}}", "a lowercase RFC 1123 subdomain"),
    (
        "{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {ports: [{port: 99999}]}}",
        "must be between 1 and 65535",
    ),
    ("{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: []}}", "spec.containers: Required value"),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: c, image: i, resources: {limits: {cpu: lots}}}]}}",
        "quantities must match the regular expression",
    ),
    (
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: c, image: i}]}}}}",
        "`selector` does not match template `labels`",
    ),
    ("{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: nowhere}}", "namespaces \"nowhere\" not found"),
];

#[test]
fn manifests() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    for (manifest, complaint) in MANIFESTS {
        let printed = kubectl.feed_fails("apply --validate=false -f -", &format!("---\n{manifest}"))?;
        ensure!(printed.contains(complaint), "{manifest}\ngave {printed}\nwithout {complaint:?}");
    }
    // Field validation by the server, as kubectl has it by default since 1.27.
    let typo = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, daat: {k: v}}";
    let printed = kubectl.feed_fails("apply -f -", typo)?;
    ensure!(printed.contains("unknown field \"daat\""), "{printed}");
    assert_eq!(kubectl.run("get configmaps,pods,services,deployments -o name")?.matches("/x").count(), 0);
    cluster.finish()
}

#[test]
fn raw_requests() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    let config_maps = "/api/v1/namespaces/default/configmaps";
    let post = |path: &str, body: &str| kubectl.feed_fails(&format!("create --raw {path} -f -"), body);
    let object = |data: &str| {
        format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"x"}},"data":{{"k":{data}}}}}"#)
    };
    let huge = object(&format!("\"{}\"", "a".repeat(3 * 1024 * 1024)));
    let cases = [
        (config_maps, huge, "limit is 3145728"),
        (config_maps, "{".to_owned(), "BadRequest"),
        (config_maps, object("1"), "cannot unmarshal number into Go struct field ConfigMap.data of type string"),
        ("/api/v1/namespaces/default/harbours", object("\"v\""), "the server could not find the requested resource"),
        (config_maps, object(&format!("\"{}\"", "a".repeat(1_100_000))), "Too long"),
        (config_maps, r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"}}"#.to_owned(), "BadRequest"),
    ];
    for (path, body, complaint) in cases {
        let printed = post(path, &body)?;
        let sent = &body[..body.len().min(80)];
        ensure!(
            printed.contains(complaint),
            "{sent}\ngave {}\nwithout {complaint:?}",
            &printed[..printed.len().min(500)]
        );
    }
    kubectl.fails("get configmap x")?;
    cluster.finish()
}

/// Runs the server until it ends; its standard error.
fn server_fails(arguments: &[&str]) -> anyhow::Result<String> {
    let mut child = Command::new(binary()?)
        .args(["server", "--no-node"])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let status = minato_testkit::eventually(crate::PATIENCE, || child.try_wait()?.context("the server still runs"));
    if status.is_err() {
        child.kill()?;
        child.wait()?;
    }
    let mut printed = String::new();
    child.stderr.take().context("its errors")?.read_to_string(&mut printed)?;
    let status = status.with_context(|| printed.clone())?;
    assert_eq!(status.code(), Some(1), "{printed}");
    Ok(printed)
}

#[test]
fn a_port_that_is_taken() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let data = directory.path().join("data").display().to_string();
    let printed = server_fails(&["--data-dir", &data, "--listen", &address])?;
    ensure!(printed.contains(&address) && printed.contains("in use"), "{printed}");
    Ok(())
}

#[test]
fn options_that_make_no_sense() -> anyhow::Result<()> {
    let printed = server_fails(&["--listen", "nowhere", "--cluster-cidr", "10.43.0.0/16"])?;
    ensure!(printed.contains("listen") && printed.contains("overlap"), "{printed}");
    Ok(())
}

#[test]
fn data_of_a_newer_version() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Options::control_plane())?;
    cluster.stop()?;
    let store = std::fs::read_dir(cluster.data_dir().join("store"))?.flatten().map(|entry| entry.path());
    let database = store.into_iter().find(|path| is_database(path)).context("the database")?;
    // SQLite keeps the version that an application gives its data in bytes 60 to 63 of the file ("user_version").
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(&database)?;
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(60))?;
    file.write_all(&1000u32.to_be_bytes())?;
    drop(file);
    let data = cluster.data_dir().display().to_string();
    let printed = server_fails(&["--data-dir", &data, "--listen", "127.0.0.1:0"])?;
    ensure!(printed.contains("newer") && printed.contains(&data), "{printed}");
    Ok(())
}

fn is_database(path: &std::path::Path) -> bool {
    let mut start = [0; 15];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && &start == b"SQLite format 3"
}

#[test]
fn a_data_directory_that_cannot_be_one() -> anyhow::Result<()> {
    // Below a file nothing can be made, whoever asks; permissions would not stop root.
    let file = tempfile::NamedTempFile::new()?;
    let data = file.path().join("data").display().to_string();
    let printed = server_fails(&["--data-dir", &data, "--listen", "127.0.0.1:0"])?;
    ensure!(printed.contains(&data), "{printed}");
    // A read-only file system does.
    let data = "/proc/minato".to_owned();
    let printed = server_fails(&["--data-dir", &data, "--listen", "127.0.0.1:0"])?;
    ensure!(printed.contains(&data), "{printed}");
    Ok(())
}

#[test]
fn archives_that_are_none() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let archive = directory.path().join("broken.tar");
    std::fs::write(&archive, b"this is no archive")?;
    for path in [archive, directory.path().join("missing.tar")] {
        let output = Command::new(binary()?)
            .args(["image", "import", "--data-dir"])
            .arg(directory.path().join("data"))
            .arg(&path)
            .output()?;
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{printed}");
        ensure!(printed.contains(&path.display().to_string()), "{printed}");
    }
    Ok(())
}
