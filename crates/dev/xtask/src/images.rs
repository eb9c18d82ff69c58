//! `cargo xtask images`: the sample applications as container images, without Docker.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::image::{Image, write};

/// The programs that become images; each is a package with one binary of its name.
const PROGRAMS: [&str; 2] = ["guestbook", "http-debug-server"];
const REGISTRY: &str = "minato.local";
/// As in `.cargo/config.toml`, which makes the binaries static.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Arguments of `cargo xtask images`.
#[derive(Args)]
pub(crate) struct Images {
    /// Where the tarballs go
    #[arg(long, default_value = "target/images")]
    out: PathBuf,
    /// The cargo profile to build with
    #[arg(long, default_value = "release")]
    profile: String,
    /// Take the programs as they are; they have been built
    #[arg(long)]
    no_build: bool,
}

impl Images {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).context("the workspace's root")?;
        let out = root.join(&self.out);
        if !self.no_build {
            build(root, &self.profile)?;
        }
        std::fs::create_dir_all(&out).with_context(|| format!("creating {}", out.display()))?;
        for program in PROGRAMS {
            let folder = if self.profile == "dev" { "debug" } else { &self.profile };
            let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
            let binary = target.join(TARGET).join(folder).join(program);
            let binary = std::fs::read(&binary).with_context(|| format!("reading {}", binary.display()))?;
            let version = env!("CARGO_PKG_VERSION");
            let names = [version, "latest"].map(|tag| format!("{REGISTRY}/{program}:{tag}"));
            let path = out.join(format!("{program}.tar"));
            write(&path, &Image { names: &names, program, binary: &binary, port: 8080 })?;
            println!("{} holds {}", path.display(), names.join(" and "));
        }
        Ok(())
    }
}

fn build(root: &Path, profile: &str) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).args(["build", "--profile", profile, "--target", TARGET]);
    command.args(PROGRAMS.map(|program| format!("--package={program}")));
    let status = command.status().context("running cargo")?;
    ensure!(status.success(), "the programs could not be built");
    Ok(())
}
