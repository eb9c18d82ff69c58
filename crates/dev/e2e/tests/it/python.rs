//! The official Python client (PyPI `kubernetes`), in an environment of its own below `target`.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};
use minato_testkit::{Cluster, Options};

/// The release that speaks this version of the API.
const CLIENT: &str = "kubernetes==37.0.2";

#[test]
fn programs_in_python() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options::control_plane())?;
    run_program("client.py", &[cluster.kubeconfig().as_ref()])?;
    cluster.finish()
}

/// Runs one of our Python programs; nothing where the client cannot be had.
pub(crate) fn run_program(name: &str, arguments: &[&OsStr]) -> anyhow::Result<()> {
    let Some(python) = python_with_client()? else { return Ok(()) };
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name);
    let output = Command::new(python).arg(program).args(arguments).output()?;
    ensure!(output.status.success(), "{}", words(&output));
    Ok(())
}

/// An interpreter that has the client; `None`, and said aloud, where it cannot be had.
fn python_with_client() -> anyhow::Result<Option<PathBuf>> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-client");
    let python = home.join("bin/python");
    // Tests run at the same time; one of them makes it, the others wait. Closing the file lets go.
    let turn = File::create(home.with_extension("lock"))?;
    turn.lock()?;
    let has_client = || {
        let version = Command::new(&python).args(["-c", "import kubernetes; print(kubernetes.__version__)"]).output();
        version.is_ok_and(|output| {
            CLIENT.ends_with(String::from_utf8_lossy(&output.stdout).trim()) && output.status.success()
        })
    };
    if has_client() {
        return Ok(Some(python));
    }
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home).output();
    if !made.is_ok_and(|output| output.status.success()) {
        println!("skipped: the Python client, there is no python3 with venv");
        return Ok(None);
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries=1", CLIENT];
    let installed = Command::new(&python).args(pip).output().context("failed to run pip")?;
    if !installed.status.success() || !has_client() {
        println!(
            "skipped: the Python client, it cannot be installed: {}",
            words(&installed).lines().last().unwrap_or_default()
        );
        return Ok(None);
    }
    Ok(Some(python))
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
