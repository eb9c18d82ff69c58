//! The machine's kubectl.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, bail, ensure};

/// kubectl with a kubeconfig, and a cache of its own: another cluster had the same port before.
#[derive(Clone, Debug)]
pub struct Kubectl {
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Kubectl {
    /// One that keeps its files in `home`.
    #[must_use]
    pub fn new(kubeconfig: &Path, home: &Path) -> Self {
        Self { kubeconfig: kubeconfig.to_owned(), home: home.to_owned() }
    }

    /// The command, for what the other methods do not do.
    #[must_use]
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new("kubectl");
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", &self.home).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command line, split at spaces; its output.
    ///
    /// # Errors
    /// When it fails; the error is what it printed.
    pub fn run(&self, line: &str) -> anyhow::Result<String> {
        self.args(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs a command whose arguments have spaces.
    ///
    /// # Errors
    /// When it fails; the error is what it printed.
    pub fn args(&self, arguments: &[&str]) -> anyhow::Result<String> {
        succeeded(arguments, self.command(arguments).output().context("cannot run kubectl")?)
    }

    /// Runs a command line that reads `input`, e.g. `apply -f -`.
    ///
    /// # Errors
    /// When it fails; the error is what it printed.
    pub fn feed(&self, line: &str, input: &str) -> anyhow::Result<String> {
        let arguments: Vec<_> = line.split_whitespace().collect();
        let mut child = self.command(&arguments).stdin(Stdio::piped()).spawn().context("cannot run kubectl")?;
        child.stdin.take().context("its input")?.write_all(input.as_bytes())?;
        succeeded(&arguments, child.wait_with_output()?)
    }

    /// Runs a command line that must fail; what it printed.
    ///
    /// # Errors
    /// When it succeeds.
    pub fn fails(&self, line: &str) -> anyhow::Result<String> {
        match self.run(line) {
            Ok(output) => bail!("kubectl {line} succeeded: {output}"),
            Err(error) => Ok(format!("{error:#}")),
        }
    }

    /// As [`Kubectl::feed`], for what must fail.
    ///
    /// # Errors
    /// When it succeeds.
    pub fn feed_fails(&self, line: &str, input: &str) -> anyhow::Result<String> {
        match self.feed(line, input) {
            Ok(output) => bail!("kubectl {line} succeeded: {output}"),
            Err(error) => Ok(format!("{error:#}")),
        }
    }

    /// Its version as major and minor number.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn version(&self) -> anyhow::Result<(u32, u32)> {
        let version: serde_json::Value = serde_json::from_str(&self.run("version --client -o json")?)?;
        let number = |name: &str| {
            let text = version["clientVersion"][name].as_str().context("a version")?;
            anyhow::Ok(text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse()?)
        };
        Ok((number("major")?, number("minor")?))
    }
}

fn succeeded(arguments: &[impl AsRef<str>], output: Output) -> anyhow::Result<String> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let line = arguments.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    ensure!(output.status.success(), "kubectl {line}: {}\n{out}{err}", output.status);
    Ok(out)
}
