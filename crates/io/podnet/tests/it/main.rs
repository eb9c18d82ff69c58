//! The pod network and the packet filter in namespaces of their own, with real connections.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panic, its helpers too

mod attach;
mod services;
mod site;
