//! ResourceQuotas: what an object uses is charged in the transaction that writes it, and counted again when objects go.
//!
//! Whoever charges or counts in a namespace has its [`Turn`], so usage is never charged against a number that is about
//! to change, and concurrent creates never exceed a quota together. Where no quota is, none of this costs anything.
//!
//! Counting lives here, not among the controllers, because only here the quota and all that it counts can be seen at one
//! revision: a count from a watch that lags behind would give back what has just been charged.

mod count;

pub(crate) use count::run as count;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use jiff::Timestamp;
use minato_mvcc::{Expected, Operation};
use minato_quota::{Amounts, Change, Quota, Refusal, check_limited};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

use crate::core::Core;
use crate::object;
use crate::status::ApiError;
use crate::template::template;
use crate::write::{Target, parse};

const QUOTAS: &str = "core/resourcequotas";
/// Kinds of which the last word on usage comes with an update: ports, storage.
const CHARGED_ON_UPDATE: &[&str] = &["core/services", "core/persistentvolumeclaims"];
/// Never counted, as upstream never did.
const IGNORED: &str = "core/events";

/// Who may charge or count in which namespace.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<Arc<str>, Weak<Queue<()>>>>);

/// The right to charge and to count in a namespace, until dropped.
pub(crate) struct Turn {
    _guard: OwnedMutexGuard<()>,
}

impl Turns {
    async fn wait(&self, namespace: &str) -> Turn {
        let queue = {
            let mut queues = self.0.lock();
            match queues.get(namespace).and_then(Weak::upgrade) {
                Some(queue) => queue,
                None => {
                    queues.retain(|_, queue| queue.strong_count() > 0);
                    let queue = Arc::new(Queue::new(()));
                    queues.insert(namespace.into(), Arc::downgrade(&queue));
                    queue
                }
            }
        };
        Turn { _guard: queue.lock_owned().await }
    }
}

/// What a write costs the quotas of its namespace: goes into the same transaction.
#[derive(Default)]
pub(crate) struct Charge {
    pub(crate) operations: Vec<Operation>,
    _turn: Option<Turn>,
}

impl Core {
    /// Charges `new`, which was `old`, to the quotas that cover it; the last of admission (`ResourceQuota`).
    pub(crate) async fn charge(
        &self,
        target: &Target<'_>,
        name: &str,
        new: &Value,
        old: Option<&Value>,
    ) -> Result<Charge, ApiError> {
        let storage = &*target.resource.storage;
        let namespace = target.namespace;
        let is_charged = match (old, target.subresource) {
            (None, "") => storage != IGNORED,
            (Some(_), "") => CHARGED_ON_UPDATE.contains(&storage),
            (Some(_), "resize") => storage == "core/pods",
            _ => false,
        };
        let has_quotas = || self.memory().snapshot(QUOTAS).iter_namespace(namespace).next().is_some();
        let is_limited = || self.plugins.limited.iter().any(|limited| limited.storage() == storage);
        if !is_charged
            || !self.plugins.quota
            || target.admitted
            || namespace.is_empty()
            || !(has_quotas() || is_limited())
        {
            return Ok(Charge::default());
        }
        let refused = |refusal: Refusal| ApiError::forbidden(&target.resource.subject(name), &refusal.to_string());
        let turn = self.turns.wait(namespace).await;
        let mut operations = Vec::new();
        let now = Timestamp::now();
        if is_limited() {
            let quotas = self.memory().snapshot(QUOTAS);
            let quotas = quotas.iter_namespace(namespace).map(|stored| Ok(Quota::read(&parse(stored)?)));
            let quotas = quotas.collect::<Result<Vec<_>, ApiError>>()?;
            check_limited(&self.plugins.limited, &quotas, Change { storage, new, old, now }).map_err(refused)?;
        }
        for stored in self.memory().snapshot(QUOTAS).iter_namespace(namespace) {
            let mut quota = parse(stored)?;
            let charged = Quota::read(&quota).charge(Change { storage, new, old, now }).map_err(refused)?;
            let Some(used) = charged else { continue };
            quota["status"]["used"] = used.to_value();
            let empty = Map::new();
            operations.push(Operation::Put {
                key: stored.key.clone(),
                value: template(quota.as_object().unwrap_or(&empty)),
                attributes: stored.attributes.clone(),
                expected: Expected::Revision(stored.revision),
            });
        }
        let turn = Some(turn).filter(|_| !operations.is_empty());
        Ok(Charge { operations, _turn: turn })
    }
}

/// The status of a quota.
fn status(hard: &Amounts, used: &Amounts) -> Value {
    json!({"hard": hard.to_value(), "used": used.to_value()})
}

/// What was counted is not what is stored any more.
fn moved_on(namespace: &str, quota: &Value) -> ApiError {
    let name = object::text(quota, "name");
    tracing::debug!(namespace, quota = name, "a quota changed while it was counted");
    ApiError::modified(&crate::status::Subject { group: "", resource: "resourcequotas", name })
}
