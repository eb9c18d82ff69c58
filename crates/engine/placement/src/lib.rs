//! Where a pod goes: the scheduler's decisions, without its clock, its sockets and its tasks.
//!
//! * [`Demand`] is all that placement needs to know of a pod: what it wants of its node, what it wants of other pods,
//!   and by what others know it. Pods with an equal part share the work on that part.
//! * [`Cluster`] holds the nodes and the pods placed on them, is updated change by change, and answers
//!   [`Cluster::place`]: the best node, or why there is none, in the words kubectl users know; and
//!   [`Cluster::preempt`]: who should give way.
//! * [`Profile`] says which of upstream's plugins filter and score, and how much they weigh.
//! * [`Queue`] says which pod is next: by priority, then by age; pods that fit nowhere wait for a change that can help.
//!
//! What a node says to a class of pods is known until the node changes: a placement costs each class one evaluation.
//! Pods elsewhere are counted by node for every selector that anybody asks about, and kept up to date pod by pod. What
//! is left per pod is a pass over the nodes that fit, with a few additions for each, because upstream normalises its
//! scores over them; it does not grow with the number of pods.

pub mod admission;
mod affinity;
mod census;
mod class;
mod cluster;
mod demand;
mod eligibility;
mod matcher;
mod node;
mod profile;
mod queue;
mod refusal;
mod relate;
mod relations;
mod resources;
mod score;
mod shared;
mod taint;
mod topology;
pub mod volume;

pub use cluster::{Ask, Budget, Change, Cluster, NoPreemption, Pod, Preemption, Uid, Victim};
pub use demand::{Demand, Demands};
pub use eligibility::{Eligibility, Requirements};
pub use profile::{DefaultConstraint, Plugin, Profile, Strategy};
pub use queue::{Queue, Queued, Waiting};
pub use refusal::Unschedulable;
