//! The images on this machine: imported from tarballs or directories, unpacked once, shared by all containers.
//!
//! ```text
//! <dir>/lock            held shared to read, exclusive to change; server and `minato image` are several processes
//! <dir>/index.json      every image: names, configuration, layers; replaced atomically
//! <dir>/layers/<hex>/   one unpacked layer by the SHA-256 of its tar (the "diff id"), in overlayfs form
//! <dir>/leases/<hex>/   one empty file per container that uses the image: a leased image is not removed
//! <dir>/staging/        imports under way; whatever a crash left here is removed by the next import
//! ```
//!
//! An import unpacks into `staging`, verifies every digest on the way, renames the layers into place and replaces the
//! index last: an import that fails leaves the store as it was.

mod archive;
mod digest;
mod error;
mod import;
mod index;
mod manifest;
mod name;
mod store;
mod unpack;

pub use error::ImageError;
pub use index::{Image, ImageConfig};
pub use name::{ImageName, ParseNameError};
pub use store::{Imported, Store};
