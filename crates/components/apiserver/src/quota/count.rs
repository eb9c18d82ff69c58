//! Counting what the objects of a namespace use, when they come, change and go.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::FutureExt as _;
use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use minato_mvcc::{Batch, Compacted, Cursor, Key, Object, Revision};
use minato_quota::{Amounts, Quota};
use serde_json::Value;

use super::{QUOTAS, moved_on, status};
use crate::admission::Remarks;
use crate::core::Core;
use crate::identity::User;
use crate::write::{Target, UpdateKind, parse};

/// How often everything is counted without a reason: pods of lost nodes stop counting by the clock alone.
const RECOUNT_INTERVAL: Duration = Duration::from_secs(300);

/// What objects counted for when they were looked at last.
type Shares = HashMap<Key, (Revision, Amounts)>;

/// Counts until the server stops.
pub(crate) async fn run(core: Arc<Core>) {
    let mut counter = Counter { core, known: HashMap::new() };
    let mut feeds = Feeds::default();
    // The first round counts everything.
    let mut dirty: Option<BTreeSet<Arc<str>>> = None;
    loop {
        // A feed that is new tells of everything after the count that follows.
        feeds.follow(&counter.core, counter.sources());
        counter.count(dirty.as_ref()).await;
        dirty = tokio::select! {
            () = counter.core.scope.cancelled() => return,
            changed = feeds.changed() => changed,
            () = tokio::time::sleep(RECOUNT_INTERVAL) => None,
        };
    }
}

type Told = (Arc<str>, Cursor, Result<Batch, Compacted>);

/// The events of the kinds that some quota counts, and of quotas.
#[derive(Default)]
struct Feeds {
    followed: BTreeSet<Arc<str>>,
    waiting: FuturesUnordered<futures::future::BoxFuture<'static, Told>>,
}

impl Feeds {
    fn follow(&mut self, core: &Core, sources: BTreeSet<Arc<str>>) {
        for source in &sources {
            if !self.followed.contains(source)
                && let Ok(cursor) = core.memory().subscribe(source, core.memory().revision())
            {
                self.wait(Arc::clone(source), cursor);
            }
        }
        self.followed = sources;
    }

    fn wait(&self, source: Arc<str>, mut cursor: Cursor) {
        let told = async move {
            let batch = cursor.next().await;
            (source, cursor, batch)
        };
        self.waiting.push(told.boxed());
    }

    /// The namespaces in which something happened; `None` when events were missed.
    async fn changed(&mut self) -> Option<BTreeSet<Arc<str>>> {
        let mut changed = Some(BTreeSet::new());
        let mut next = self.waiting.next().await;
        while let Some((source, cursor, batch)) = next {
            match batch {
                Ok(batch) => {
                    if let Some(changed) = &mut changed {
                        changed.extend(batch.iter().map(|event| Arc::clone(&event.object.key.namespace)));
                    }
                    if self.followed.contains(&source) {
                        self.wait(source, cursor);
                    }
                }
                Err(Compacted { .. }) => {
                    // Followed anew in the next round, which counts everything.
                    self.followed.remove(&source);
                    changed = None;
                }
            }
            next = self.waiting.next().now_or_never().flatten();
        }
        changed
    }
}

struct Counter {
    core: Arc<Core>,
    /// By quota, what it demands (its spec) and what each object counted for.
    known: HashMap<Key, (Value, Shares)>,
}

impl Counter {
    /// The kinds that the quotas that are there count, and quotas themselves.
    fn sources(&self) -> BTreeSet<Arc<str>> {
        let snapshot = self.core.memory().snapshot(QUOTAS);
        let quotas = snapshot.iter().filter_map(|quota| parse(quota).ok());
        let mut sources: BTreeSet<Arc<str>> =
            quotas.flat_map(|quota| Quota::read(&quota).sources()).map(Arc::from).collect();
        sources.insert(QUOTAS.into());
        sources
    }

    /// Counts in `namespaces`, or everywhere.
    async fn count(&mut self, namespaces: Option<&BTreeSet<Arc<str>>>) {
        let quotas = self.core.memory().snapshot(QUOTAS);
        self.known.retain(|key, _| quotas.get(&key.namespace, &key.name).is_some());
        let with_quotas: BTreeSet<Arc<str>> = quotas.iter().map(|quota| Arc::clone(&quota.key.namespace)).collect();
        for namespace in with_quotas {
            if namespaces.is_none_or(|namespaces| namespaces.contains(&namespace)) {
                self.count_in(&namespace).await;
            }
        }
    }

    async fn count_in(&mut self, namespace: &str) {
        let core = Arc::clone(&self.core);
        let _turn = core.turns.wait(namespace).await;
        // Everything at one revision: what was charged is there, and is counted.
        let database = core.memory().database();
        for stored in database.snapshot(QUOTAS).iter_namespace(namespace) {
            let Ok(value) = parse(stored) else { continue };
            let quota = Quota::read(&value);
            let total = self.total(&database, stored, &value, &quota);
            let served = |storage: &str| {
                let (group, resource) = storage.split_once('/').unwrap_or_default();
                core.registry.stored(if group == "core" { "" } else { group }, resource).is_some()
            };
            let Some((hard, used)) = quota.counted(&total, served) else { continue };
            let Some(resource) = core.registry.stored("", "resourcequotas") else { return };
            let user = User::component("system:kube-controller-manager", &[]);
            let remarks = Remarks::default();
            let target = Target::internal(&resource, namespace, &user, &remarks);
            let mut change = |old: &Value| {
                if old["metadata"]["resourceVersion"] != value["metadata"]["resourceVersion"] {
                    return Err(moved_on(namespace, old));
                }
                let mut new = old.clone();
                new["status"] = status(&hard, &used);
                Ok(new)
            };
            // A quota that moved on has told so, and is counted again.
            if let Err(error) = core.update(&target, &stored.key.name, UpdateKind::Status, &mut change).await {
                tracing::debug!(namespace, quota = &*stored.key.name, %error, "usage was not written");
            }
        }
    }

    /// What all objects that `quota` covers use together. Only those that changed are read again.
    fn total(&mut self, database: &minato_mvcc::Database, stored: &Object, value: &Value, quota: &Quota) -> Amounts {
        let spec = &value["spec"];
        let (known_spec, before) = self.known.remove(&stored.key).unwrap_or_else(|| (Value::Null, Shares::new()));
        let before = if known_spec == *spec { before } else { Shares::new() };
        let (mut total, mut shares) = (Amounts::default(), Shares::with_capacity(before.len()));
        let now = Timestamp::now();
        for source in quota.sources() {
            for object in database.snapshot(&source).iter_namespace(&stored.key.namespace) {
                let known = before.get(&object.key).filter(|(revision, _)| *revision == object.revision);
                // What is being deleted stops counting by the clock.
                let share = match known {
                    Some((_, share)) => share.clone(),
                    None => parse(object).map(|object| quota.share(&source, &object, now)).unwrap_or_default(),
                };
                total.add_all(&share);
                shares.insert(object.key.clone(), (object.revision, share));
            }
        }
        self.known.insert(stored.key.clone(), (spec.clone(), shares));
        total
    }
}
