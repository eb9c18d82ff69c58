//! What every client of the API needs beyond requests: a local view, a queue, and a voice.
//!
//! ```text
//!            watch                on_change                add                 Event
//! API ───────────────► Informer ───────────► handler ────────────► Queue ─► reconcile ─────► Recorder
//!                        │ Store (Arc<K>, indexes)                            │
//!                        └──────────────◄──────── observe (own writes) ◄──────┘
//! ```
//!
//! * [`Informers`] keeps one watch per kind for everybody; [`Informer`] is its cheap handle: reads, [`Index`]es,
//!   change handlers, and [`Informer::observe`], through which a reconciler reads its own writes.
//! * [`Queue`] runs keys: each at most once at a time, with back-off per key and a bounded number of workers.
//! * [`Recorder`] writes core/v1 Events: repeats counted, bounded, never blocking.
//!
//! Handlers say *look again*, never *what to do*: they put a key into a queue, and the reconciler reads the stores.

mod event;
mod informer;
mod key;
mod queue;
mod store;

pub use event::{EventKind, EventSink, Recorder, reference_to};
pub use informer::{Index, Informer, Informers, Watchable};
pub use key::ObjectKey;
pub use queue::{Backoff, Next, Queue};
pub use store::Change;

/// The decimal value of an object's resourceVersion; 0 where it is absent or opaque.
#[must_use]
pub fn resource_version(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}
