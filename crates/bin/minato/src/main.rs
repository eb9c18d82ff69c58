//! The program: reads the command line, composes the parts, and says clearly what is wrong.

mod address;
mod cli;
mod control_plane;
mod image;
mod kubeconfig;
mod layout;
mod options;
mod server;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Server(options) => server::main(options),
        Command::Image(command) => image::main(command),
        Command::Version => {
            println!("minato {} (Kubernetes API v1.36)", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "minato", &mut std::io::stdout());
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("minato: {error:#}");
            ExitCode::FAILURE
        }
    }
}
