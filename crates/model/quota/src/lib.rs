//! What a namespace may use: ResourceQuotas and LimitRanges, decided.
//!
//! [`usage`] says what an object uses of the resources that quotas speak of. A [`Quota`] says of which objects it
//! speaks, what they must say of themselves, and whether one more fits. The same functions judge a new object and count
//! the old ones, so that the two can never disagree. [`limit_range`] completes pods and finds what is too little or too
//! much.
//!
//! Objects are [`serde_json::Value`]s of the right shape, in their storage version, with their defaults. Kinds go by
//! their storage name, such as `apps/deployments`. Texts are upstream's (`k8s.io/apiserver/pkg/admission/plugin/resourcequota`,
//! `k8s.io/kubernetes/plugin/pkg/admission/limitranger`), because people and programs know them.

mod amounts;
mod claims;
pub mod limit_range;
mod limited;
mod pod;
mod quota;
mod scope;
mod usage;

pub use amounts::Amounts;
pub use limited::{Limited, check_limited};
pub use pod::{limits as pod_limits, requests as pod_requests};
pub use quota::{Change, Quota, Refusal};
pub use usage::{source_of, usage};

#[cfg(test)]
mod tests;
