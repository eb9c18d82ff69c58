//! From a container's configuration and its image to a bundle.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use jiff::Timestamp;
use minato_images::{Image, ImageError};
use minato_linux::capability::Capabilities;
use minato_linux::cgroup::Version;
use nix::libc;

use super::containers::Container;
use super::{Embedded, file, lock, system};
use crate::bundle::{Bundle, Process, User};
use crate::container::parse_signal;
use crate::{
    ContainerConfig, ContainerId, ContainerState, Propagation, RuntimeError, SandboxId, SandboxStatus, Security,
};

/// What containerd gives every container.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

impl Embedded {
    /// Blocks.
    pub(super) fn make_container(
        &self,
        sandbox: &SandboxId,
        config: ContainerConfig,
    ) -> Result<ContainerId, RuntimeError> {
        let sandbox = self.find_sandbox(sandbox)?;
        if !sandbox.ready {
            return Err(RuntimeError::SandboxNotReady(sandbox.id));
        }
        let id = new_id().map_err(|error| system("get random bytes for a container id", error))?;
        let image = match self.inner.config.images.lease(&config.image, &id.0) {
            Ok(image) => image,
            Err(ImageError::NotFound { name }) => return Err(RuntimeError::ImageNotFound { image: name }),
            Err(error) => return Err(error.into()),
        };
        let made = self.make_bundle(&id, &sandbox, config, &image);
        if made.is_err() {
            let _ = fs::remove_dir_all(self.inner.config.container(&id).path());
            let _ = self.inner.config.images.release(&image.digest, &id.0);
        }
        let container = Container::new(made?, ContainerState::Created);
        lock(&self.inner.containers).insert(id.clone(), Arc::new(container));
        Ok(id)
    }

    fn make_bundle(
        &self,
        id: &ContainerId,
        sandbox: &SandboxStatus,
        config: ContainerConfig,
        image: &Image,
    ) -> Result<Bundle, RuntimeError> {
        let invalid = |reason: String| Err(RuntimeError::InvalidConfig(reason));
        for mount in &config.mounts {
            if !mount.container_path.is_absolute() {
                return invalid(format!("mount path {} is not absolute", mount.container_path.display()));
            }
            if mount.propagation == Propagation::Bidirectional {
                return invalid(format!(
                    "mount {}: bidirectional mount propagation is not supported",
                    mount.container_path.display()
                ));
            }
            if let Err(error) = fs::metadata(&mount.host_path) {
                return invalid(format!("mount source {}: {error}", mount.host_path.display()));
            }
        }
        let stop_signal = config.stop_signal.as_deref().filter(|name| !name.is_empty());
        let stop_signal =
            stop_signal.or(Some(&image.config.stop_signal).filter(|name| !name.is_empty()).map(|name| &**name));
        let stop_signal = match stop_signal {
            None => libc::SIGTERM,
            Some(name) => match parse_signal(name) {
                Some(number) => number,
                None => return invalid(format!("stop signal {name:?} is unknown")),
            },
        };
        let processes_of = match &config.processes_of {
            None => None,
            Some(target) if self.find(target)?.bundle().sandbox == sandbox.id => {
                Some(self.inner.config.container(target).path().to_owned())
            }
            Some(target) => return invalid(format!("container {target} is of another pod")),
        };
        let mut process = process(&config, sandbox, image)?;
        if self.inner.hierarchies.version() == Version::V2 && !config.security.privileged {
            // There, cgroups restrict devices by programs that we do not load; so nobody makes device nodes.
            let mknod = Capabilities::named("MKNOD").unwrap_or_default();
            process.capabilities = Capabilities(process.capabilities).without(mknod).0;
        }
        let (namespaces, shared_memory) = self.joined(sandbox);
        let log =
            (!config.log_path.as_os_str().is_empty()).then(|| sandbox.config.log_directory.join(&config.log_path));
        let bundle = Bundle {
            id: id.0.clone(),
            sandbox: sandbox.id.clone(),
            created_at: Timestamp::now(),
            image_id: image.digest.clone(),
            layers: image.layers.clone(),
            process,
            namespaces,
            own_pid_namespace: !sandbox.config.host_pid,
            processes_of,
            shared_memory,
            cgroup: format!("{}/{}", sandbox.config.cgroup_parent.trim_end_matches('/'), id.0),
            shim_cgroup: self.inner.config.shim_cgroup(),
            log,
            stop_signal,
            config,
        };
        let directory = self.inner.config.container(id);
        for part in ["rootfs", "upper", "work"] {
            let path = directory.path().join(part);
            fs::create_dir_all(&path).map_err(file("create", path))?;
        }
        directory.write_bundle(&bundle).map_err(file("write", directory.path().join("config.json")))?;
        Ok(bundle)
    }
}

/// What is run, as whom, and with which rights.
fn process(config: &ContainerConfig, sandbox: &SandboxStatus, image: &Image) -> Result<Process, RuntimeError> {
    let command = command(config, image);
    if command.is_empty() {
        return Err(RuntimeError::InvalidConfig("no command specified".to_owned()));
    }
    let security = &config.security;
    let working_dir =
        if config.working_dir.is_empty() { &image.config.working_dir } else { &config.working_dir }.clone();
    Ok(Process {
        command,
        env: environment(config, sandbox, image),
        working_dir,
        user: user(security, image)?,
        groups: security.supplemental_groups.clone(),
        capabilities: capabilities(security)?.0,
        no_new_privileges: security.no_new_privileges,
        // A filter would be pointless beside all capabilities.
        seccomp: if security.privileged { Default::default() } else { security.seccomp.clone() },
    })
}

/// Kubernetes' rules: a command replaces the image's entrypoint and command, arguments only the latter.
fn command(config: &ContainerConfig, image: &Image) -> Vec<String> {
    let (first, rest) = match (config.command.is_empty(), config.args.is_empty()) {
        (false, _) => (&config.command, &config.args),
        (true, false) => (&image.config.entrypoint, &config.args),
        (true, true) => (&image.config.entrypoint, &image.config.command),
    };
    first.iter().chain(rest).cloned().collect()
}

/// The image's variables, then the pod's; of a name only the last value.
fn environment(config: &ContainerConfig, sandbox: &SandboxStatus, image: &Image) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    if !sandbox.config.host_network && !sandbox.config.hostname.is_empty() {
        all.push(("HOSTNAME".to_owned(), sandbox.config.hostname.clone()));
    }
    if config.tty {
        all.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    let of_image = image.config.env.iter().filter_map(|pair| pair.split_once('='));
    all.extend(of_image.map(|(name, value)| (name.to_owned(), value.to_owned())));
    all.extend(config.env.iter().cloned());
    let last: BTreeMap<String, usize> =
        all.iter().enumerate().map(|(position, (name, _))| (name.clone(), position)).collect();
    let keep = all.into_iter().enumerate().filter(|(position, (name, _))| last.get(name) == Some(position));
    keep.map(|(_, pair)| pair).collect()
}

/// The pod's user, else the image's.
fn user(security: &Security, image: &Image) -> Result<User, RuntimeError> {
    let user = match security.run_as_user {
        Some(user) => User::Id { user, group: security.run_as_group },
        None => User::Image { user: image.config.user.clone(), group: security.run_as_group },
    };
    if security.run_as_non_root {
        match &user {
            User::Id { user: 0, .. } => {
                let message = "container's runAsUser breaks non-root policy".to_owned();
                return Err(RuntimeError::RunAsNonRoot(message));
            }
            User::Image { user, .. } => match user.split(':').next().unwrap_or_default() {
                "" | "0" => {
                    let message = "container has runAsNonRoot and image will run as root".to_owned();
                    return Err(RuntimeError::RunAsNonRoot(message));
                }
                name if name.parse::<u32>().is_err() => {
                    return Err(RuntimeError::RunAsNonRoot(format!(
                        "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
                    )));
                }
                _ => {}
            },
            User::Id { .. } => {}
        }
    }
    Ok(user)
}

fn capabilities(security: &Security) -> Result<Capabilities, RuntimeError> {
    if security.privileged {
        return Ok(Capabilities::all());
    }
    let one = |name: &str| match Capabilities::named(name) {
        _ if name.eq_ignore_ascii_case("ALL") => Ok(Capabilities::all()),
        Some(capability) => Ok(capability),
        None => Err(RuntimeError::InvalidConfig(format!("unknown capability {name:?}"))),
    };
    let set = |names: &[String]| {
        names.iter().try_fold(Capabilities::default(), |set, name| Ok::<_, RuntimeError>(set.with(one(name)?)))
    };
    let default = DEFAULT_CAPABILITIES.iter().filter_map(|name| Capabilities::named(name));
    let default = default.fold(Capabilities::default(), Capabilities::with);
    let (add, drop) = (set(&security.add_capabilities)?, set(&security.drop_capabilities)?);
    // Who drops ALL keeps what is added; who adds ALL still loses what is dropped by name.
    let drops_all = security.drop_capabilities.iter().any(|name| name.eq_ignore_ascii_case("ALL"));
    let adds_all = security.add_capabilities.iter().any(|name| name.eq_ignore_ascii_case("ALL"));
    Ok(match (adds_all, drops_all) {
        (true, false) => Capabilities::all().without(drop),
        (_, _) => default.without(drop).with(add),
    })
}

/// 64 hexadecimal digits, from the kernel's random source.
fn new_id() -> std::io::Result<ContainerId> {
    use std::io::Read as _;
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(ContainerId(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SandboxConfig;

    fn image(entrypoint: &[&str], command: &[&str]) -> Image {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Image {
            digest: String::new(),
            names: Vec::new(),
            config: minato_images::ImageConfig {
                entrypoint: words(entrypoint),
                command: words(command),
                env: vec!["PATH=/bin".into(), "A=image".into()],
                ..Default::default()
            },
            layers: Vec::new(),
            size_bytes: 0,
            imported_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn commands_are_combined_as_kubernetes_says() {
        let cases: [(&[&str], &[&str], &[&str]); 4] =
            [(&[], &[], &["e", "c"]), (&["x"], &[], &["x"]), (&[], &["a"], &["e", "a"]), (&["x"], &["a"], &["x", "a"])];
        for (given, args, expected) in cases {
            let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            let config = ContainerConfig { command: words(given), args: words(args), ..Default::default() };
            assert_eq!(command(&config, &image(&["e"], &["c"])), expected);
        }
    }

    #[test]
    fn the_pods_variables_win() {
        let sandbox = SandboxStatus {
            id: SandboxId("x".into()),
            config: SandboxConfig { hostname: "pod".into(), ..Default::default() },
            netns: None,
            created_at: Timestamp::UNIX_EPOCH,
            ready: true,
        };
        let config = ContainerConfig {
            env: vec![("A".into(), "pod".into()), ("A".into(), "again".into())],
            ..Default::default()
        };
        let env = environment(&config, &sandbox, &image(&[], &[]));
        let env: Vec<_> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["HOSTNAME=pod", "PATH=/bin", "A=again"]);
    }

    #[test]
    fn capabilities_are_added_and_dropped() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let of = |add: &[&str], drop: &[&str]| {
            let security =
                Security { add_capabilities: names(add), drop_capabilities: names(drop), ..Default::default() };
            capabilities(&security)
        };
        let named = |name: &str| Capabilities::named(name).unwrap();
        assert_eq!(of(&[], &["ALL"]).unwrap(), Capabilities::default());
        assert_eq!(of(&["NET_ADMIN"], &["ALL"]).unwrap(), named("NET_ADMIN"));
        assert_eq!(of(&["ALL"], &["cap_kill"]).unwrap(), Capabilities::all().without(named("KILL")));
        assert_eq!(of(&[], &["KILL"]).unwrap().with(named("KILL")), of(&[], &[]).unwrap());
        assert!(of(&["NONSENSE"], &[]).is_err());
    }

    #[test]
    fn non_root_is_enforced_in_the_kubelets_words() {
        let security = Security { run_as_non_root: true, ..Default::default() };
        let mut image = image(&[], &[]);
        for (name, error) in [("", "image will run as root"), ("nginx", "non-numeric user (nginx)")] {
            image.config.user = name.to_owned();
            assert!(user(&security, &image).unwrap_err().to_string().contains(error));
        }
        image.config.user = "1000:0".to_owned();
        assert!(user(&security, &image).is_ok());
        let root = Security { run_as_user: Some(0), ..security };
        assert!(user(&root, &image).is_err());
    }
}
