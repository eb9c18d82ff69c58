//! Admission: what the cluster's own rules add to, or refuse of, an object that is otherwise fine.
//!
//! ```text
//! mutate    plugins → policies → webhooks, some of them again
//!   (the strategy prepares and validates the object)
//! validate  plugins → policies → webhooks
//! ```
//!
//! A built-in plugin is a plain function of what is asked and of what is in memory, or two: one that changes, one that
//! judges. All stand in one list, in [`plugins`], in the order in which they see an object. They see every operation, on
//! subresources too: a plugin says itself what it is about, by [`Context::operation`] and [`Context::is`].

mod anti_affinity;
mod attributes;
mod certificate;
mod configuration;
mod event_rate_limit;
mod expressions;
mod extended_resources;
mod external_ips;
mod hooks;
mod ingress;
mod limit_ranger;
mod matching;
mod namespace;
mod node_restriction;
mod node_selector;
mod nodes;
mod owners;
mod plugins;
mod pod_security;
mod pod_tolerations;
mod policy;
mod priority;
mod pull_images;
mod runtime_class;
mod service_account;
mod storage;
mod tolerations;
mod webhooks;

use std::sync::Arc;

use minato_mvcc::Memory;
use serde_json::Value;

pub(crate) use attributes::{Context, Operation, Options, Remarks};
pub use configuration::ConfigurationError;
use hooks::Compiled;
pub(crate) use hooks::Hooks;
pub(crate) use node_restriction::node_of;
pub(crate) use plugins::Plugins;
pub use plugins::{AdmissionError, AdmissionOptions};
use webhooks::Rounds;

use crate::core::Core;
use crate::status::ApiError;

/// Changes an object that is created or updated; on deletions the object is null.
type Mutate = fn(&Context<'_>, &mut Value) -> Result<(), ApiError>;
/// Judges an object that has passed its strategy's validation; on deletions the object is null.
type Validate = fn(&Context<'_>, &Value) -> Result<(), ApiError>;

impl Core {
    /// The part of admission that may change `object`, before the strategy validates it; says whether webhooks or
    /// policies did.
    pub(crate) async fn mutate(&self, context: &Context<'_>, object: &mut Value) -> Result<bool, ApiError> {
        if context.target.admitted {
            return Ok(false);
        }
        self.plugins.mutating.iter().try_for_each(|plugin| plugin(context, object))?;
        let Some(hooks) = self.hooks_if(|hooks| !(hooks.mutating.is_empty() && hooks.mutating_policies.is_empty()))
        else {
            return Ok(false);
        };
        let (mut rounds, mut policies) = (Rounds::default(), policy::Applied::default());
        let by_policies = policy::mutate(&hooks.mutating_policies, context, object, &mut policies).await?;
        let by_webhooks = webhooks::mutate(&hooks.mutating, context, object, &mut rounds, 0).await?;
        if by_webhooks {
            policies.changed();
        }
        if !(by_policies || by_webhooks) {
            return Ok(false);
        }
        // Once more, where something changed behind those who want to know.
        let before = object.clone();
        self.plugins.mutating.iter().try_for_each(|plugin| plugin(context, object))?;
        let changed_by_policies = policies.wants_another()
            && policy::mutate(&hooks.mutating_policies, context, object, &mut policies).await?;
        if changed_by_policies || before != *object {
            rounds.changed();
        }
        if rounds.wants_another() {
            webhooks::mutate(&hooks.mutating, context, object, &mut rounds, 1).await?;
        }
        Ok(true)
    }

    /// The part of admission that only says yes or no, last before the write.
    pub(crate) async fn judge(&self, context: &Context<'_>, object: &Value) -> Result<(), ApiError> {
        if context.target.admitted {
            return Ok(());
        }
        self.plugins.validating.iter().try_for_each(|plugin| plugin(context, object))?;
        let Some(hooks) = self.hooks_if(|hooks| !(hooks.validating.is_empty() && hooks.validating_policies.is_empty()))
        else {
            return Ok(());
        };
        policy::judge(&hooks.validating_policies, context, object).await?;
        webhooks::judge(&hooks.validating, context, object).await
    }

    /// What is in force now, where there is any of what is asked for. Without, it costs two loads and no count.
    fn hooks_if(&self, any: fn(&Compiled) -> bool) -> Option<Arc<Compiled>> {
        let current = self.hooks.current(self.memory());
        any(&current).then(|| Arc::clone(&current))
    }

    /// Both parts, for what no strategy validates in between: deletions, connections, bodies of subresources.
    pub(crate) async fn admit(&self, context: &Context<'_>, object: &mut Value) -> Result<(), ApiError> {
        self.mutate(context, object).await?;
        self.judge(context, object).await
    }
}

/// The text at a place; empty where there is none.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The items of a list; none where there is none.
fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The name of the class of the kind `storage` that one of the annotations `marks` as default: the newest of several, then
/// the first by name.
fn default_class(memory: &Memory, storage: &str, marks: &[&str]) -> Result<Option<String>, ApiError> {
    let mut best: Option<(String, String)> = None;
    for class in memory.snapshot(storage).iter() {
        let class = crate::write::parse(class)?;
        let annotations = &class["metadata"]["annotations"];
        if !marks.iter().any(|mark| annotations[mark] == "true") {
            continue;
        }
        let created = crate::object::text(&class, "creationTimestamp").to_owned();
        // Objects come by name: a later one wins by age alone.
        if best.as_ref().is_none_or(|(newest, _)| created > *newest) {
            best = Some((created, crate::object::text(&class, "name").to_owned()));
        }
    }
    Ok(best.map(|(_, name)| name))
}
