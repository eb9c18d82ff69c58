//! Events that people read in `kubectl describe`: repeats are counted, floods are cut, nobody waits.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use minato_scope::Scope;
use tokio::sync::mpsc;

/// Events waiting to be written; more are dropped with a log line.
const QUEUE_MAX: usize = 4096;
/// Remembered events, to count repeats, and remembered objects, to cut floods.
const REMEMBERED_MAX: usize = 4096;
/// Events that one object may get at once, and how long it then waits for each further one, as client-go's.
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);

/// Whether something went as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It did.
    Normal,
    /// It did not; somebody may have to act.
    Warning,
}

impl EventKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Where a component's events go: one task writes them in order.
#[derive(Clone)]
pub struct EventSink {
    sender: mpsc::Sender<Occurrence>,
}

/// Speaks for one component.
#[derive(Clone)]
pub struct Recorder {
    sink: EventSink,
    component: String,
    host: Option<String>,
}

#[derive(Debug)]
struct Occurrence {
    identity: Identity,
    at: Timestamp,
}

/// What makes two events the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Identity {
    component: String,
    host: Option<String>,
    kind: EventKind,
    reason: String,
    message: String,
    api_version: Option<String>,
    object_kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    field_path: Option<String>,
}

impl EventSink {
    /// Starts the task that writes events until the scope ends.
    #[must_use]
    pub fn start(client: Client, scope: &Scope) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let ending = scope.clone();
        scope.spawn("events", async move {
            tokio::select! {
                () = ending.cancelled() => {}
                () = write(client, receiver) => {}
            }
        });
        Self { sender }
    }

    /// A recorder whose events name `component` as their source, and `host` where it runs on a node.
    #[must_use]
    pub fn recorder(&self, component: &str, host: Option<&str>) -> Recorder {
        Recorder { sink: self.clone(), component: component.to_owned(), host: host.map(str::to_owned) }
    }
}

impl Recorder {
    /// Tells that something happened to `object`. Never waits: if too many events wait already, this one is dropped.
    pub fn record(&self, object: &ObjectReference, kind: EventKind, reason: &str, message: impl Into<String>) {
        let identity = Identity {
            component: self.component.clone(),
            host: self.host.clone(),
            kind,
            reason: reason.to_owned(),
            message: truncated(message.into()),
            api_version: object.api_version.clone(),
            object_kind: object.kind.clone(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
            uid: object.uid.clone(),
            field_path: object.field_path.clone(),
        };
        if self.sink.sender.try_send(Occurrence { identity, at: Timestamp::now() }).is_err() {
            tracing::debug!(reason, "event dropped");
        }
    }

    /// Tells that what should happen to `object` did.
    pub fn normal<K: Resource<DynamicType = ()>>(&self, object: &K, reason: &str, message: impl Into<String>) {
        self.record(&reference_to(object), EventKind::Normal, reason, message);
    }

    /// Tells that something went wrong with `object`.
    pub fn warning<K: Resource<DynamicType = ()>>(&self, object: &K, reason: &str, message: impl Into<String>) {
        self.record(&reference_to(object), EventKind::Warning, reason, message);
    }
}

/// A reference to an object, as events and `claimRef`s carry it.
#[must_use]
pub fn reference_to<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    let metadata = object.meta();
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        field_path: None,
    }
}

/// The API refuses messages over 1,024 bytes.
fn truncated(mut message: String) -> String {
    const MESSAGE_MAX: usize = 1024;
    if message.len() > MESSAGE_MAX {
        let end = (0..=MESSAGE_MAX - 3).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
        message.push_str("...");
    }
    message
}

/// What to write for an occurrence.
#[derive(Debug, PartialEq)]
enum Plan {
    /// The object has had too many events.
    Drop,
    /// The event is new.
    Create { name: String },
    /// It happened before: this is the `count`-th time.
    Count { name: String, count: i32 },
}

#[derive(Default)]
struct Memory {
    known: HashMap<Identity, Known>,
    budgets: HashMap<(String, Option<String>), Budget>,
}

struct Known {
    name: String,
    count: i32,
    last: Timestamp,
}

struct Budget {
    tokens: f64,
    at: Timestamp,
}

impl Memory {
    fn plan(&mut self, occurrence: &Occurrence) -> Plan {
        let Occurrence { identity, at } = occurrence;
        if !self.spend(identity, *at) {
            return Plan::Drop;
        }
        if let Some(known) = self.known.get_mut(identity) {
            known.count = known.count.saturating_add(1);
            known.last = *at;
            return Plan::Count { name: known.name.clone(), count: known.count };
        }
        if self.known.len() >= REMEMBERED_MAX {
            let mut times: Vec<Timestamp> = self.known.values().map(|known| known.last).collect();
            times.sort_unstable();
            let middle = times[times.len() / 2];
            self.known.retain(|_, known| known.last > middle);
        }
        let name = format!("{}.{:x}", identity.name.as_deref().unwrap_or_default(), at.as_nanosecond());
        self.known.insert(identity.clone(), Known { name: name.clone(), count: 1, last: *at });
        Plan::Create { name }
    }

    /// Takes a token of the object's bucket, if there is one.
    fn spend(&mut self, identity: &Identity, at: Timestamp) -> bool {
        if self.budgets.len() >= REMEMBERED_MAX {
            self.budgets.retain(|_, budget| {
                seconds(budget.at, at) < REFILL.as_secs_f64() * BURST && budget.tokens < BURST - 1.0
            });
            if self.budgets.len() >= REMEMBERED_MAX {
                self.budgets.clear();
            }
        }
        let key = (identity.component.clone(), identity.uid.clone());
        let budget = self.budgets.entry(key).or_insert(Budget { tokens: BURST, at });
        budget.tokens = BURST.min(budget.tokens + seconds(budget.at, at) / REFILL.as_secs_f64());
        budget.at = at;
        let enough = budget.tokens >= 1.0;
        if enough {
            budget.tokens -= 1.0;
        }
        enough
    }

    fn forget(&mut self, identity: &Identity) {
        self.known.remove(identity);
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    (to.as_duration() - from.as_duration()).as_secs_f64().max(0.0)
}

async fn write(client: Client, mut occurrences: mpsc::Receiver<Occurrence>) {
    let mut memory = Memory::default();
    while let Some(occurrence) = occurrences.recv().await {
        if let Err(error) = write_one(&client, &mut memory, &occurrence).await {
            memory.forget(&occurrence.identity);
            let reason = &occurrence.identity.reason;
            tracing::debug!(reason, error = &error as &dyn std::error::Error, "event not written");
        }
    }
}

async fn write_one(client: &Client, memory: &mut Memory, occurrence: &Occurrence) -> Result<(), kube::Error> {
    // Events about cluster-scoped objects live in `default`.
    let namespace =
        occurrence.identity.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or("default");
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    match memory.plan(occurrence) {
        Plan::Drop => Ok(()),
        Plan::Create { name } => create(&events, namespace, &name, occurrence).await,
        Plan::Count { name, count } => {
            let repeat = serde_json::json!({ "count": count, "lastTimestamp": Time(occurrence.at) });
            match events.patch(&name, &PatchParams::default(), &Patch::Merge(repeat)).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {
                    memory.forget(&occurrence.identity); // it has expired: start anew
                    let Plan::Create { name } = memory.plan(occurrence) else { return Ok(()) };
                    create(&events, namespace, &name, occurrence).await
                }
                result => result.map(drop),
            }
        }
    }
}

async fn create(events: &Api<Event>, namespace: &str, name: &str, occurrence: &Occurrence) -> Result<(), kube::Error> {
    let Occurrence { identity, at } = occurrence;
    let event = Event {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: identity.api_version.clone(),
            kind: identity.object_kind.clone(),
            namespace: identity.namespace.clone(),
            name: identity.name.clone(),
            uid: identity.uid.clone(),
            field_path: identity.field_path.clone(),
            resource_version: None,
        },
        type_: Some(identity.kind.as_str().to_owned()),
        reason: Some(identity.reason.clone()),
        message: Some(identity.message.clone()),
        source: Some(EventSource { component: Some(identity.component.clone()), host: identity.host.clone() }),
        reporting_component: Some(identity.component.clone()),
        reporting_instance: Some(identity.host.clone().unwrap_or_default()),
        count: Some(1),
        first_timestamp: Some(Time(*at)),
        last_timestamp: Some(Time(*at)),
        ..Event::default()
    };
    events.create(&PostParams::default(), &event).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occurrence(message: &str, second: i64) -> Occurrence {
        let identity = Identity {
            component: "kubelet".to_owned(),
            host: None,
            kind: EventKind::Normal,
            reason: "Pulled".to_owned(),
            message: message.to_owned(),
            api_version: Some("v1".to_owned()),
            object_kind: Some("Pod".to_owned()),
            namespace: Some("default".to_owned()),
            name: Some("web".to_owned()),
            uid: Some("1".to_owned()),
            field_path: None,
        };
        Occurrence { identity, at: Timestamp::from_second(second).unwrap() }
    }

    #[test]
    fn repeats_are_counted() {
        let mut memory = Memory::default();
        let Plan::Create { name } = memory.plan(&occurrence("one", 1000)) else { panic!("a new event is created") };
        assert_eq!(name, "web.e8d4a51000");
        assert_eq!(memory.plan(&occurrence("one", 1001)), Plan::Count { name: name.clone(), count: 2 });
        assert!(matches!(memory.plan(&occurrence("two", 1002)), Plan::Create { .. }));
        assert_eq!(memory.plan(&occurrence("one", 1003)), Plan::Count { name, count: 3 });
    }

    #[test]
    fn a_flood_is_cut_and_recovers() {
        let mut memory = Memory::default();
        for second in 0..25 {
            assert_ne!(memory.plan(&occurrence(&second.to_string(), 1000)), Plan::Drop, "number {second}");
        }
        assert_eq!(memory.plan(&occurrence("late", 1001)), Plan::Drop);
        assert_ne!(memory.plan(&occurrence("later", 1400)), Plan::Drop);
        assert_eq!(memory.plan(&occurrence("later still", 1401)), Plan::Drop);
    }

    #[test]
    fn memory_is_bounded() {
        let mut memory = Memory::default();
        for number in 0..3 * REMEMBERED_MAX as i64 {
            let mut occurrence = occurrence("x", number);
            occurrence.identity.uid = Some(number.to_string());
            memory.plan(&occurrence);
        }
        assert!(memory.known.len() <= REMEMBERED_MAX && memory.budgets.len() <= REMEMBERED_MAX);
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let message = truncated("港".repeat(500));
        assert!(message.len() <= 1024 && message.ends_with("港..."));
        assert_eq!(truncated("short".to_owned()), "short");
    }
}
