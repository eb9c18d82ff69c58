//! The node agent: makes the pods bound to this machine run, and says so.
//!
//! ```text
//!  API ──watch──► pods ──► one worker per pod ──► runtime, network, volumes
//!   ▲                        │   ▲  ▲                     │ exits
//!   └──── status patch ◄─────┘   │  └─────────────────────┘
//!                        probes, references, timers
//! ```
//!
//! A worker gathers what it knows, asks [`minato_podlife::decide`], does what it says and waits for the next event:
//! nothing is polled. What a worker remembers may be lost at any time; the runtime, the volumes on disk and the status
//! in the API are enough to go on, so a restart of this process restarts no container.
//!
//! Beside the workers: the node object with its lease, the HTTPS server for `kubectl logs`, `exec`, `attach`,
//! `port-forward` and for what node and pods use, and the sweep that removes what pods that no longer exist left on the host.

mod admission;
mod claims;
mod config;
mod container;
mod host_files;
mod image;
mod inbox;
mod inotify;
mod lifecycle_hook;
mod machine;
mod node;
mod pods;
mod prober;
mod publisher;
mod references;
mod server;
mod stats;
mod sweep;
mod tokens;
mod volumes;
mod worker;

pub use config::{Config, Error, OpenNetwork, Parts};
pub use minato_podlife::sysctl::AllowedSysctls;
pub use pods::run;
pub use sweep::teardown;
pub use volumes::VolumeError;
