//! Every object of the cluster in memory, with revisions: what the API server reads, lists and watches.
//!
//! A store backend owns the one [`Publisher`]. It plans a batch of [`Transaction`]s on a [`Draft`], makes the
//! draft's events durable, and publishes it; only then does anybody see it. Everybody else holds a [`Memory`]:
//!
//! - **Reads** are [`Snapshot`]s of persistent maps: taking one is a pointer copy, it blocks nobody and nobody
//!   changes it. A snapshot of a recent revision is the present one with the later events undone
//!   ([`Memory::snapshot_at`]), so continue tokens pin no memory.
//! - **Watches** are [`Cursor`]s that pull from one bounded log of [`Event`]s per resource. There is no queue per
//!   watcher: a slow one costs nothing, and when it falls behind the log it learns so ([`Compacted`]).
//! - **Interests** ([`Interest`]) let a watcher name the object, namespace or field value it cares about. Watchers
//!   with the same interest share an index into the log, so an event on one node's pod wakes that node's kubelet
//!   and not ten thousand others.
//!
//! The JSON of an object is spliced with its revision once, inside the frame that watchers are sent; GET, LIST and
//! WATCH share those bytes.
//!
//! There is no I/O, no clock and no task here: wake-ups are futures of `event-listener`, which any runtime can poll.

mod attributes;
mod cursor;
mod draft;
mod feed;
mod key;
mod memory;
mod object;
mod snapshot;
mod transaction;

pub use attributes::Attributes;
pub use cursor::{Batch, Compacted, Cursor};
pub use draft::Draft;
pub use feed::Interest;
pub use key::{Key, Revision};
pub use memory::{Memory, Options, Publisher, StaleDraft};
pub use object::{Event, EventKind, Object, Template};
pub use snapshot::{Database, Snapshot};
pub use transaction::{Conflict, Expected, Operation, Transaction};
