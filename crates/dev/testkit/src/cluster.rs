//! A cluster of the real binary, of its own directory, ports and address ranges, taken down when dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{Kubectl, eventually, leaks};

/// How long a server may take to start on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(40);

/// The program under test: `MINATO_BINARY`, else what was built together with this test.
///
/// # Errors
/// When there is none.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("MINATO_BINARY") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let profile = test.ancestors().nth(2).context("the folder of the build")?; // target/…/debug/deps/it-…
    let path = profile.join("minato");
    ensure!(path.exists(), "{} is missing: build it by 'cargo build -p minato'", path.display());
    Ok(path)
}

/// What a cluster is started with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    node: bool,
    flags: Vec<String>,
}

impl Options {
    /// A control plane alone.
    #[must_use]
    pub fn control_plane() -> Self {
        Self { node: false, flags: vec!["--no-node".to_owned()] }
    }

    /// A control plane and a node. `slot` (0 to 15) tells the clusters that live side by side apart: each has address
    /// and port ranges of its own.
    #[must_use]
    pub fn with_node(slot: u16) -> Self {
        let flags = vec![
            format!("--cluster-cidr=10.{}.0.0/16", 200 + slot),
            format!("--service-cidr=10.{}.0.0/16", 220 + slot),
            format!("--service-node-port-range={}-{}", 20_000 + slot * 200, 20_199 + slot * 200),
            format!("--node-name=node-{slot}"),
        ];
        Self { node: true, flags }
    }

    /// One more flag.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    directory: TempDir,
    options: Options,
    server: Option<Child>,
}

impl Cluster {
    /// Starts one and waits until its API is ready, and its node if it has one.
    ///
    /// # Errors
    /// When it does not start; the error holds the end of the log.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        // Made by hand: a test that fails keeps nothing, the error has the log.
        let directory = tempfile::Builder::new().prefix("minato-test-").tempdir()?;
        let mut cluster = Self { directory, options, server: None };
        cluster.run()?;
        if cluster.options.node {
            cluster.wait_for_node()?;
        }
        Ok(cluster)
    }

    /// Starts the server again after [`Cluster::kill`] or [`Cluster::stop`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn run(&mut self) -> anyhow::Result<()> {
        ensure!(self.server.is_none(), "the server runs");
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let _ = std::fs::remove_file(self.kubeconfig());
        let mut command = Command::new(binary()?);
        command.arg("server").arg("--data-dir").arg(self.data_dir());
        command.arg("--write-kubeconfig").arg(self.kubeconfig());
        // A restarted server keeps its port: clients and pods know it.
        command.arg(format!("--listen={}", self.listen()?)).args(&self.options.flags);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.server = Some(command.spawn()?);
        let ready = eventually(START_PATIENCE, || {
            if let Some(status) = self.server.as_mut().and_then(|server| server.try_wait().ok().flatten()) {
                return Ok(Err(status));
            }
            ensure!(self.kubeconfig().exists(), "there is no kubeconfig");
            self.kubectl().run("get --raw /readyz")?;
            anyhow::Ok(Ok(()))
        });
        match ready {
            Ok(Ok(())) => {
                std::fs::write(self.directory.path().join("listen"), self.address()?)?;
                Ok(())
            }
            Ok(Err(status)) => bail!("the server ended: {status}\n{}", self.log_tail()),
            Err(error) => Err(error.context(format!("the server is not ready\n{}", self.log_tail()))),
        }
    }

    fn wait_for_node(&self) -> anyhow::Result<()> {
        let ready = eventually(START_PATIENCE, || {
            self.kubectl().run("wait --for=condition=Ready node --all --timeout=1s").map(drop)
        });
        ready.with_context(|| format!("the node is not Ready\n{}", self.log_tail()))
    }

    /// `0.0.0.0:0` for the first start, then what that took. Pods reach the API, so a node needs more than the loopback.
    fn listen(&self) -> anyhow::Result<String> {
        let host = if self.options.node { "0.0.0.0" } else { "127.0.0.1" };
        let known = std::fs::read_to_string(self.directory.path().join("listen")).unwrap_or_default();
        let port = known.rsplit_once(':').map_or("0", |(_, port)| port);
        Ok(format!("{host}:{port}"))
    }

    /// `127.0.0.1:PORT` of the API.
    ///
    /// # Errors
    /// When there is no kubeconfig.
    pub fn address(&self) -> anyhow::Result<String> {
        let url = self.kubectl().run("config view -o jsonpath={.clusters[0].cluster.server}")?;
        Ok(url.strip_prefix("https://").context("an https URL")?.to_owned())
    }

    /// A kubectl that is the administrator.
    #[must_use]
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.kubeconfig(), self.directory.path())
    }

    /// A client that is the administrator.
    ///
    /// # Errors
    /// When the kubeconfig is not usable.
    pub async fn client(&self) -> anyhow::Result<kube::Client> {
        use kube::config::{Config, KubeConfigOptions, Kubeconfig};
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig())?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// Runs another command of the program on this cluster's data, such as `image list`; its output.
    ///
    /// # Errors
    /// When it fails; the error is what it printed.
    pub fn minato(&self, command: &str, arguments: &[&Path]) -> anyhow::Result<String> {
        let output = Command::new(binary()?)
            .args(command.split_whitespace())
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(arguments)
            .output()?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success(), "minato {command}: {text}");
        Ok(text)
    }

    /// Its state.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A folder for files of the test, gone with the cluster.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// How to reach it.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    /// The server's process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn server_pid(&self) -> anyhow::Result<u32> {
        Ok(self.server.as_ref().context("the server does not run")?.id())
    }

    /// Kills the server with SIGKILL.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut server = self.server.take().context("the server does not run")?;
        server.kill()?;
        server.wait()?;
        Ok(())
    }

    /// Asks the server to stop and waits for it.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        let mut server = self.server.take().context("the server does not run")?;
        kill(Pid::from_raw(server.id().try_into()?), Signal::SIGTERM)?;
        let status =
            eventually(STOP_PATIENCE, || server.try_wait()?.context("the server does not end")).inspect_err(|_| {
                let _ = server.kill();
                let _ = server.wait();
            });
        status.with_context(|| self.log_tail())
    }

    /// Takes everything down and tells what is left on the host, which should be nothing.
    ///
    /// # Errors
    /// When something is left or the tear-down fails.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.take_down()?;
        let left = eventually(Duration::from_secs(10), || {
            let left = leaks::of(&self.data_dir())?;
            ensure!(left.is_empty(), "left on the host: {}", left.join(", "));
            anyhow::Ok(())
        });
        left.with_context(|| self.log_tail())
    }

    fn take_down(&mut self) -> anyhow::Result<()> {
        if self.options.node && self.data_dir().exists() {
            self.minato("down", &[])?;
            if let Some(mut server) = self.server.take() {
                server.wait()?;
            }
        } else if self.server.is_some() {
            self.stop()?;
        }
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// All that the server logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The last lines of the log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        format!("the end of the log:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.take_down() {
            eprintln!("{}: {error:#}", self.directory.path().display());
        }
        // Never a process that outlives its test, whatever happened.
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
