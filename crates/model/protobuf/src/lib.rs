//! Kubernetes objects in their protobuf form (`application/vnd.kubernetes.protobuf`), as Go clients send them.
//!
//! A body is the magic `k8s\0` and a `runtime.Unknown` that names the object's kind and holds its bytes. [`decode`] turns
//! it into the same JSON value that the JSON form would have given, so that what follows need not know how it came;
//! [`encode`] is the way back.
//!
//! The messages are facts in `messages.txt`: per message a line for each field with number, JSON name and type. `~` marks
//! a struct that is inlined in JSON; `?` a scalar whose zero means "absent" (Go's `omitempty` on a field that is no
//! pointer: Go writes such a zero to the wire all the same).

mod decode;
mod encode;
mod list;
mod messages;
mod special;
mod watch;
mod wire;

pub use decode::{DecodeError, decode};
pub use encode::{EncodeError, encode, has_form};
pub use list::List;
pub use watch::watch_frame;

/// The media type of this form.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
