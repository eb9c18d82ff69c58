//! The embedded store through its public interface, over real files.

mod commits;
mod support;
