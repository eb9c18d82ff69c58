//! The processes between the server and containers: `minato shim …`.
//!
//! A shim has one thread, from its first instruction on: [`main`] must be called before any other is started. It is the
//! parent of the container's init (or of an `exec`'d command) and the only one who knows how that ended.

mod command;
mod exec;
mod hold;
mod identity;
mod init;
mod log;
mod output;
mod rootfs;
mod run;
mod serve;
mod start;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::protocol::Report;

/// Runs a shim: `args` are the command line's words after `shim`.
///
/// | words | what |
/// |---|---|
/// | `run <container directory>` | runs the container to its end |
/// | `exec` | runs one command in a container |
/// | `hold <directory of pins> <cgroup>` | begins a process namespace for a pod |
/// | `hold` | is the first process of one |
///
/// Orders come, and reports go, over a socket on standard input. Only the server starts shims.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let words: Vec<Option<&str>> = args.iter().map(|word| word.to_str()).collect();
    match words.as_slice() {
        [Some("run"), _] => run::run(PathBuf::from(&args[1])),
        [Some("exec")] => exec::run(),
        [Some("hold")] => hold::hold(),
        [Some("hold"), _, Some(group)] => hold::run(Path::new(&args[1]), group),
        _ => {
            eprintln!("minato shim is started by minato server only");
            ExitCode::from(2)
        }
    }
}

/// The socket on standard input, moved away so that children do not get it.
fn control_socket() -> io::Result<OwnedFd> {
    let control = io::stdin().as_fd().try_clone_to_owned()?;
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    Ok(control)
}

/// Why a command could not be run, in the words of runc and with its exit codes.
#[derive(Debug)]
struct Failure {
    message: String,
    exit_code: i32,
}

/// runc's and containerd's exit code for a container that could not be started.
const START_ERROR: i32 = 128;
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: START_ERROR }
    }

    /// For `map_err`: what was tried, then the error and everything below it.
    fn step<E: std::error::Error>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |error| {
            let mut message = format!("failed to {what}: {error}");
            let mut source = error.source();
            while let Some(below) = source {
                message.push_str(&format!(": {below}"));
                source = below.source();
            }
            Self::new(message)
        }
    }
}

impl From<Failure> for Report {
    fn from(failure: Failure) -> Self {
        Self::Failed { message: failure.message, exit_code: failure.exit_code }
    }
}
