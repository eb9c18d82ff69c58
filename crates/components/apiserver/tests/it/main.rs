//! The API server over its tower service, with a store on a temporary disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod apply;
mod authentication;
mod encodings;
mod issuer;
mod rbac;
mod server;
