//! The last steps of a process before it becomes the user's command, the same for a container's init and for `exec`:
//! who it is, what it may do, which program.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::path::Path;

use minato_linux::capability::{self, Capabilities};
use minato_linux::process;
use nix::errno::Errno;
use nix::unistd::{Gid, Uid};

use super::{Failure, NOT_EXECUTABLE, NOT_FOUND, identity};
use crate::bundle::Process;
use crate::seccomp;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Becomes the command; returns only if that failed. The caller is inside the container's namespaces and root.
pub(super) fn become_command(command: &Process) -> Failure {
    match prepare_and_execute(command) {
        Ok(never) => match never {},
        Err(failure) => failure,
    }
}

fn prepare_and_execute(command: &Process) -> Result<std::convert::Infallible, Failure> {
    let identity = identity::look_up(&command.user, &command.groups)?;
    enter_working_directory(&command.working_dir)?;

    let mut env = command.env.clone();
    let mut add_missing = |name: &str, value: &str| {
        if !env.iter().any(|(known, _)| known == name) {
            env.push((name.to_owned(), value.to_owned()));
        }
    };
    add_missing("PATH", DEFAULT_PATH);
    add_missing("HOME", &identity.home);

    process::close_on_exec_from(3).map_err(Failure::step("mark descriptors close-on-exec"))?;
    process::reset_signals();
    process::new_session_keyring();
    // Built while we still may read files and allocate without being watched.
    let capabilities = Capabilities(command.capabilities);
    let filters = seccomp::programs(&command.seccomp, capabilities)
        .map_err(|reason| Failure::new(format!("seccomp profile: {reason}")))?;
    capability::limit_bounding_set(capabilities).map_err(Failure::step("limit the capability bounding set"))?;
    let groups: Vec<Gid> = identity.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    nix::unistd::setgroups(&groups).map_err(Failure::step("set supplementary groups"))?;
    if command.no_new_privileges {
        process::set_no_new_privileges().map_err(Failure::step("set no_new_privs"))?;
    }
    let group = Gid::from_raw(identity.group);
    nix::unistd::setresgid(group, group, group).map_err(Failure::step(format!("set group {group}")))?;
    // Without no-new-privileges the filter needs CAP_SYS_ADMIN, so it comes before the capabilities go; it must allow
    // the calls below, and any profile that can run a program does.
    for filter in &filters {
        process::install_filter(filter).map_err(Failure::step("install the seccomp filter"))?;
    }
    let user = Uid::from_raw(identity.user);
    // Leaving root clears all capabilities; what stays is the bounding set.
    nix::unistd::setresuid(user, user, user).map_err(Failure::step(format!("set user {user}")))?;
    if user.is_root() {
        capability::set(capabilities).map_err(Failure::step("set capabilities"))?;
    }
    execute(&command.command, &env)
}

/// Runtimes create a missing working directory, as root.
fn enter_working_directory(path: &str) -> Result<(), Failure> {
    let path = if path.is_empty() { "/" } else { path };
    if !Path::new(path).is_absolute() {
        return Err(Failure::new(format!("working directory {path:?} is not absolute")));
    }
    if nix::unistd::chdir(path) == Err(Errno::ENOENT) {
        fs::create_dir_all(path).map_err(Failure::step(format!("mkdir {path}")))?;
    }
    nix::unistd::chdir(path)
        .map_err(|errno| Failure::new(format!("chdir to cwd ({path:?}) set in config.json failed: {}", words(errno))))
}

fn execute(command: &[String], env: &[(String, String)]) -> Result<std::convert::Infallible, Failure> {
    let Some(program) = command.first().filter(|program| !program.is_empty()) else {
        return Err(Failure::new("no command specified"));
    };
    let text = |text: &str| CString::new(text).map_err(|_| Failure::new(format!("{text:?} has a zero byte")));
    let args: Vec<CString> = command.iter().map(|arg| text(arg)).collect::<Result<_, _>>()?;
    let variables: Vec<CString> =
        env.iter().map(|(name, value)| text(&format!("{name}={value}"))).collect::<Result<_, _>>()?;
    let failure = |reason: &str, exit_code| Failure { message: format!("exec: {program:?}: {reason}"), exit_code };
    if program.contains('/') {
        let errno = execute_file(&text(program)?, &args, &variables);
        return Err(match errno {
            Errno::ENOENT if Path::new(program).exists() => {
                failure("no such file or directory (is its interpreter or loader missing?)", NOT_FOUND)
            }
            Errno::ENOENT => failure(&format!("stat {program}: no such file or directory"), NOT_FOUND),
            errno => failure(&words(errno), NOT_EXECUTABLE),
        });
    }
    let path = env.iter().rev().find(|(name, _)| name == "PATH").map_or(DEFAULT_PATH, |(_, path)| path.as_str());
    let mut denied = None;
    for directory in path.split(':') {
        let file = Path::new(if directory.is_empty() { "." } else { directory }).join(program);
        // A directory of that name is not a program; execve would say it may not be executed.
        if file.is_dir() {
            continue;
        }
        match execute_file(&text(&file.to_string_lossy())?, &args, &variables) {
            Errno::ENOENT | Errno::ENOTDIR if !file.exists() => {}
            errno => denied = denied.or(Some(errno)),
        }
    }
    Err(match denied {
        Some(errno) => failure(&words(errno), NOT_EXECUTABLE),
        None => failure("executable file not found in $PATH", NOT_FOUND),
    })
}

fn execute_file(file: &CStr, args: &[CString], env: &[CString]) -> Errno {
    match nix::unistd::execve(file, args, env) {
        Ok(never) => match never {},
        Err(errno) => errno,
    }
}

/// An error number in C's words, as Go programs print them: `permission denied`.
fn words(errno: Errno) -> String {
    let text = io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}
