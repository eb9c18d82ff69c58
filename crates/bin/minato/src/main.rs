//! The program: reads the command line, composes the parts, and says clearly what is wrong.

mod address;
mod authentication;
mod cli;
mod control_plane;
mod down;
mod encryption;
mod image;
mod kubeconfig;
mod layout;
mod log;
mod node;
mod options;
mod server;
mod simulate;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    // The processes that survive the server must be single-threaded and small: they leave before anything else is set up.
    match arguments.get(1).and_then(|argument| argument.to_str()) {
        Some("shim") => return minato_runtime::shim::main(arguments.into_iter().skip(2)),
        Some("resolver") => return minato_dns::resolver::main(arguments.into_iter().skip(2)),
        _ => {}
    }
    let outcome = match Cli::parse().command {
        Command::Server(options) => server::main(options),
        Command::Down(node) => down::main(&node.data_dir),
        Command::Image(command) => image::main(command),
        Command::Simulate(command) => simulate::main(command),
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
