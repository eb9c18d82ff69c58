//! Safe wrappers over the Linux calls that no library covers. The only crate with `unsafe`.

pub mod netns;
pub mod terminal;
