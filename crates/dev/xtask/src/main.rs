//! Chores of this workspace: `cargo xtask --help`.

mod image;
mod images;

use clap::Parser;

/// Chores of this workspace
#[derive(Parser)]
enum Chore {
    /// Builds the sample applications and writes their container images as tarballs
    Images(images::Images),
}

fn main() -> anyhow::Result<()> {
    match Chore::parse() {
        Chore::Images(images) => images.run(),
    }
}
