//! How the program is linked: at a fixed address.
//!
//! A position-independent program of this size has some 60,000 pointers that each process must relocate before its
//! first instruction, which dirties megabytes of memory of its own. Every container has a process of this program (its
//! shim) and is started by it, so that is most of a shim's memory and a good part of a container's start. Stacks, heap
//! and mappings stay at random addresses. (Go programs, Kubernetes' own among them, are linked this way by default.)

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-static");
    println!("cargo:rustc-link-arg-bins=-no-pie");
}
