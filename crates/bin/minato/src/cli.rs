//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::options::ServerOptions;
use crate::simulate::NodesOptions;

/// Kubernetes and what a team needs around it, in one program.
#[derive(Debug, Parser)]
#[command(name = "minato", version, propagate_version = true, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a cluster on this machine: control plane and, unless --no-node, a node for containers
    ///
    /// All state is kept in one directory. The address and the administrator's credentials are written to a kubeconfig;
    /// point kubectl at it:
    ///
    ///     minato server --data-dir ./cluster --write-kubeconfig ./cluster.yaml
    ///     kubectl --kubeconfig ./cluster.yaml get nodes
    #[command(verbatim_doc_comment)]
    Server(Box<ServerOptions>),
    /// Stop a cluster and its containers, and take everything of it off this host but its data
    Down(NodeDirectory),
    /// Manage the container images of this machine's node
    #[command(subcommand)]
    Image(ImageCommand),
    /// Try how a cluster bears a size, without the machines
    #[command(subcommand)]
    Simulate(SimulateCommand),
    /// Print the version
    Version,
    /// Print a completion script for your shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimulateCommand {
    /// Register simulated nodes with a running server: with leases and status, and pods that run in name only
    ///
    /// Goes on until it is interrupted, then removes the nodes and their pods:
    ///
    ///     minato simulate nodes --kubeconfig ./cluster.yaml --count 1000 &
    ///     kubectl --kubeconfig ./cluster.yaml create deployment web --image=web --replicas=10000
    #[command(verbatim_doc_comment)]
    Nodes(Box<NodesOptions>),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Import images from archives: `docker save` or OCI layout, as .tar, .tar.gz or a directory
    Import {
        #[command(flatten)]
        node: NodeDirectory,
        /// The archives
        #[arg(required = true)]
        archives: Vec<PathBuf>,
    },
    /// List images
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        node: NodeDirectory,
    },
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm {
        #[command(flatten)]
        node: NodeDirectory,
        /// The images' names
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// Which cluster's node is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct NodeDirectory {
    /// The cluster's data directory
    #[arg(long, value_name = "DIR", default_value = crate::options::DATA_DIR, env = "MINATO_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
}
