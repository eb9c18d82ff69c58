//! API priority and fairness: how many requests run at once, of whom, and who waits (KEP-1040).
//!
//! The FlowSchemas say to which priority level a request belongs; each level has seats, so that one kind of client cannot
//! take the place of another, and queues, so that one client of a kind cannot take that of its peers. Classifying is a
//! walk over compiled rules, and taking a seat is one atomic addition while there are free ones: nothing is locked until
//! a level is full.

mod bootstrap;
mod level;
mod schema;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::Mutex;
use prometheus::{Histogram, IntCounter, IntGauge};
use serde_json::Value;

pub(crate) use bootstrap::bootstrap_objects;
pub(crate) use schema::Asked;

use crate::core::Core;
use crate::metrics::Metrics;
use crate::object;
use level::{Level, Refusal, Seats};
use schema::Schema;

const FLOW_SCHEMAS: &str = "flowcontrol.apiserver.k8s.io/flowschemas";
const PRIORITY_LEVELS: &str = "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations";
/// How long a request waits for a seat: a quarter of the time that it may take.
const WAIT_MAX: Duration = Duration::from_secs(15);

/// All levels and schemas.
pub(crate) struct Flow {
    /// Seats of all levels together.
    seats: u32,
    compiled: ArcSwap<Vec<Arc<Flowing>>>,
    levels: Mutex<HashMap<String, Arc<Level>>>,
}

/// A FlowSchema in force.
struct Flowing {
    schema: Schema,
    level: Arc<Level>,
    headers: [HeaderValue; 2],
    dispatched: IntCounter,
    executing: IntGauge,
    in_queue: IntGauge,
    /// How long those waited that were refused, and those that ran.
    waits: [Histogram; 2],
}

/// A request that runs: its seats are given back when this is dropped.
pub(crate) struct Ticket {
    flowing: Arc<Flowing>,
    _seats: Option<Seats>,
}

impl Ticket {
    /// The uids of the FlowSchema and of the priority level, for the answer's headers.
    pub(crate) fn headers(&self) -> &[HeaderValue; 2] {
        &self.flowing.headers
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.flowing.executing.dec();
    }
}

/// A request must not run now.
pub(crate) struct Rejected {
    pub(crate) headers: [HeaderValue; 2],
}

impl Flow {
    /// No schema is in force yet: everything runs.
    pub(crate) fn new(seats: u32) -> Self {
        Self { seats, compiled: ArcSwap::default(), levels: Mutex::default() }
    }

    /// Waits until the request may run; `None` where no schema is in force. `width` is how many seats it takes.
    pub(crate) async fn admit(
        &self,
        metrics: &Metrics,
        asked: &Asked<'_>,
        width: u32,
    ) -> Result<Option<Ticket>, Rejected> {
        let flowing = {
            let compiled = self.compiled.load();
            match compiled.iter().find(|flowing| flowing.schema.matches(asked)) {
                Some(flowing) => Arc::clone(flowing),
                None => return Ok(None),
            }
        };
        let seats = match flowing.level.try_take(width) {
            Ok(seats) => seats,
            Err(_full) => {
                flowing.in_queue.inc();
                let waiting = InQueue { gauge: flowing.in_queue.clone(), since: std::time::Instant::now() };
                let flow = flowing.schema.flow(asked);
                let result = Level::wait(&flowing.level, flow, width, WAIT_MAX).await;
                flowing.waits[usize::from(result.is_ok())].observe(waiting.since.elapsed().as_secs_f64());
                drop(waiting);
                match result {
                    Ok(seats) => Some(seats),
                    Err(refusal) => {
                        let reason = match refusal {
                            Refusal::ConcurrencyLimit => "concurrency-limit",
                            Refusal::QueueFull => "queue-full",
                            Refusal::TimeOut => "time-out",
                        };
                        let labels = [&*flowing.level.name, &*flowing.schema.name, reason];
                        metrics.flow.rejected.with_label_values(&labels).inc();
                        return Err(Rejected { headers: flowing.headers.clone() });
                    }
                }
            }
        };
        flowing.dispatched.inc();
        flowing.executing.inc();
        Ok(Some(Ticket { flowing, _seats: seats }))
    }

    /// Puts what is stored in force, and tells which FlowSchemas name a level that there is not.
    fn compile(&self, core: &Core) -> Vec<(String, bool)> {
        let parsed = |storage: &str| {
            let snapshot = core.memory().snapshot(storage);
            snapshot.iter().filter_map(|object| crate::write::parse(object).ok()).collect::<Vec<Value>>()
        };
        let (schemas, configurations) = (parsed(FLOW_SCHEMAS), parsed(PRIORITY_LEVELS));
        let shares: f64 = configurations.iter().map(level::shares).sum();
        let mut levels = self.levels.lock();
        let mut uids = HashMap::new();
        for configuration in &configurations {
            let name = object::text(configuration, "name").to_owned();
            uids.insert(name.clone(), header(object::text(configuration, "uid")));
            let level = levels.entry(name.clone()).or_insert_with(|| Arc::new(Level::new(&name)));
            level.configure(configuration, self.seats, shares);
            let nominal = core.metrics.flow.nominal_seats.with_label_values(&[&name]);
            nominal.set(i64::from(level.nominal()));
        }
        levels.retain(|name, _| uids.contains_key(name));
        let all: Arc<[Arc<Level>]> = levels.values().cloned().collect();
        for level in levels.values() {
            level.share(self.seats, &all);
        }
        let mut found = Vec::new();
        let mut compiled = Vec::new();
        for value in &schemas {
            let schema = Schema::of(value);
            let level = levels.get(&schema.level).cloned();
            found.push((schema.name.clone(), level.is_some()));
            let Some(level) = level else { continue };
            let labels = [&*level.name, &*schema.name];
            let metrics = &core.metrics.flow;
            compiled.push(Arc::new(Flowing {
                headers: [header(object::text(value, "uid")), uids[&schema.level].clone()],
                dispatched: metrics.dispatched.with_label_values(&labels),
                executing: metrics.executing.with_label_values(&labels),
                in_queue: metrics.in_queue.with_label_values(&labels),
                waits: ["false", "true"].map(|runs| metrics.waits.with_label_values(&[labels[0], labels[1], runs])),
                schema,
                level,
            }));
        }
        compiled.sort_by(|a, b| a.schema.order().cmp(&b.schema.order()));
        self.compiled.store(Arc::new(compiled));
        found
    }
}

/// Counts a request as waiting while it does.
struct InQueue {
    gauge: IntGauge,
    since: std::time::Instant,
}

impl Drop for InQueue {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// Follows the FlowSchemas and levels until `scope` is cancelled.
pub(crate) async fn run(core: Arc<Core>, scope: minato_scope::Scope) {
    let memory = core.memory();
    let mut watched = [FLOW_SCHEMAS, PRIORITY_LEVELS].map(|storage| crate::follow::Followed::new(memory, storage));
    loop {
        let found = core.flow.compile(&core);
        bootstrap::tell(&core, &found).await;
        let [schemas, levels] = &mut watched;
        tokio::select! {
            () = schemas.changed() => {}
            () = levels.changed() => {}
            () = scope.cancelled() => return,
        }
    }
}
