//! The process that answers: `minato resolver …`.
//!
//! It outlives the server that started it, as containers do, and goes on answering from what it was last told. It has
//! no credentials for the API, no rights on the host, and one thread.
//!
//! A server finds it by its socket, takes copies of the sockets on which questions come, and tells it everything anew;
//! until that is complete, the old answers stand. A server of another release starts a resolver of its own on the same
//! sockets, and retires this one when that one answers. As a question waits in a socket that both have, none is lost;
//! nor when a resolver dies while there is a server: that holds the sockets until the next one answers.

mod log;
mod serve;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use minato_linux::capability::{self, Capabilities};
use minato_linux::cgroup::Hierarchies;
use minato_linux::process;
use minato_linux::readiness;
use nix::unistd::{Gid, Uid};

use crate::protocol::{self, Buffer, Link, Order, Settings};
use crate::sockets::Sockets;

pub(crate) use serve::serve;

/// Nobody, on every Linux system.
const NOBODY: u32 = 65_534;
/// As the shims have it: names are as needed as containers.
const OOM_SCORE: &str = "-998";

/// Runs a resolver: `args` are the command line's words after `resolver`, its directory and its cgroup. Must be called
/// before any thread is started.
///
/// Orders come over a socket on standard input, later over a socket in the directory. Only the server starts resolvers.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let [directory, cgroup] = args.as_slice() else {
        eprintln!("minato resolver is started by minato server only");
        return ExitCode::from(2);
    };
    log::start();
    match run(Path::new(directory), &cgroup.to_string_lossy()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the resolver ended");
            ExitCode::FAILURE
        }
    }
}

/// Why a resolver ended.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("failed to {what}")]
    Step { what: &'static str, source: io::Error },
    #[error("the server hung up before it said what to do")]
    NoOrder,
    #[error("cluster domain {domain:?} is not a domain name")]
    Domain { domain: String, source: hickory_proto::ProtoError },
}

fn step<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> RunError {
    move |error| RunError::Step { what, source: error.into() }
}

fn run(directory: &Path, cgroup: &str) -> Result<(), RunError> {
    let owner = nix::unistd::geteuid();
    let control = control_socket().map_err(step("find the control socket on standard input"))?;
    leave_the_server(cgroup).map_err(step("leave the server's session and cgroup"))?;
    // From here on by relative names: a socket's is limited to 108 bytes.
    nix::unistd::chdir(directory).map_err(step("enter the resolver's directory"))?;
    let (settings, sockets) = first_order(&control)?;
    let domain = crate::domain(&settings.cluster_domain)
        .map_err(|source| RunError::Domain { domain: settings.cluster_domain.clone(), source })?;
    let listener = protocol::listen_in(Path::new(".")).map_err(step("open the resolver's socket"))?;
    give_up_rights(owner).map_err(step("give up rights"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(step("start a runtime"))?.block_on(async {
        let listener = readiness::watch(listener).map_err(step("watch the resolver's socket"))?;
        let first = Link::new(control).map_err(step("watch the control socket"))?;
        let serving = serve::Serving { settings, domain, sockets, owner: owner.as_raw() };
        serve(serving, first, &listener).await.map_err(step("serve"))
    })
}

/// The socket on standard input, moved away from there.
fn control_socket() -> io::Result<OwnedFd> {
    let control = io::stdin().as_fd().try_clone_to_owned()?;
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    Ok(control)
}

fn leave_the_server(cgroup: &str) -> io::Result<()> {
    // Fails only if it leads a process group already, which is as good.
    let _ = nix::unistd::setsid();
    let hierarchies = Hierarchies::detect().map_err(io::Error::other)?;
    let group = hierarchies.group(cgroup);
    group.create()?;
    group.add(std::process::id().cast_signed())?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    // Not allowed in every sandbox, and only a precaution.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    Ok(())
}

fn first_order(control: &OwnedFd) -> Result<(Settings, Sockets), RunError> {
    let received = protocol::receive_blocking::<Order>(control, &mut Buffer::new());
    match received.map_err(step("hear from the server"))? {
        Some((Order::Serve(settings), descriptors)) => {
            let sockets = Sockets::received(descriptors).map_err(step("take over the sockets"))?;
            Ok((settings, sockets))
        }
        _ => Err(RunError::NoOrder),
    }
}

/// Whatever a packet might make this process do, it can do little.
fn give_up_rights(owner: Uid) -> io::Result<()> {
    if owner.is_root() {
        capability::limit_bounding_set(Capabilities::default())?;
        nix::unistd::setgroups(&[])?;
        let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        nix::unistd::setresgid(group, group, group)?;
        // Leaving root clears all capabilities.
        nix::unistd::setresuid(user, user, user)?;
    }
    process::set_no_new_privileges()
}
