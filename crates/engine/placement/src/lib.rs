//! Where a pod goes: the scheduler's decisions, without its clock, its sockets and its tasks.
//!
//! * [`Demand`] is all that placement needs to know of a pod. Pods with equal demands are one *class* and share work.
//! * [`Cluster`] holds the nodes and the demands placed on them, is updated change by change, and answers
//!   [`Cluster::place`]: the best node, or why there is none, in the words kubectl users know.
//! * [`Queue`] says which pod is next: by priority, then by age; pods that fit nowhere wait for a node to change.
//!
//! A node that changes costs each class one evaluation, and the best node is the end of an ordered set. So the work
//! per pod grows neither with the number of nodes nor with the number of pods; a new class costs one pass over the
//! nodes. For that every score must be local: computed from the pod and the node alone, not normalised over all nodes
//! as upstream does. Only the spread over zones is not local; it is added when the best nodes of the zones compete.

mod affinity;
mod class;
mod cluster;
mod demand;
mod eligibility;
mod node;
mod queue;
mod refusal;
mod resources;
mod score;
mod taint;

pub use cluster::{Cluster, Uid};
pub use demand::Demand;
pub use eligibility::{Eligibility, Requirements};
pub use queue::{Queue, Queued};
pub use refusal::Unschedulable;
