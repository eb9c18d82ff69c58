//! The API server over its tower service, with a store on a temporary disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod addresses;
mod admission;
mod aggregate;
mod apply;
mod audit;
mod authentication;
mod bad_input;
mod custom;
mod deletion;
mod details;
mod encodings;
mod hook;
mod issuer;
mod plugins;
mod policies;
mod proxy;
mod quota;
mod rbac;
mod remote;
mod scale;
mod server;
mod serving;
mod strictness;
mod webhooks;
mod websocket;
mod wire;
