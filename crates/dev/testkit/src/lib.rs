//! What tests of several crates share: a [`Cluster`] of the real binary, a [`Kubectl`] that talks to it, what it left
//! on the host ([`leaks`]), and a [`netlab`] of network namespaces.

pub mod cluster;
pub mod kubectl;
pub mod leaks;
pub mod netlab;
mod patience;

pub use cluster::{Cluster, Options};
pub use kubectl::Kubectl;
pub use patience::eventually;
