//! Garbage collection: feeds the graph from watches of every resource there is, and carries out what it decides.
//!
//! Kinds that other controllers watch anyway come from their informers; all others are watched as metadata only, and
//! nothing of them is kept but what the graph needs.

mod collect;
mod feed;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use minato_client::{Backoff, ObjectKey, Queue};
use minato_workloads::garbage::{Graph, Work};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::Context;
use crate::discovery::Resources;

/// Objects that are worked on at the same time.
const WORKERS: usize = 20;
/// How long the first listings of all kinds may take before collecting begins without those that are missing.
const SYNC_PATIENCE: Duration = Duration::from_secs(30);
/// How often to look for new kinds. CustomResourceDefinitions tell at once; this finds what aggregated APIs serve.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(30);
/// How long to wait for more definitions when one changed: they come in heaps.
const DISCOVERY_PAUSE: Duration = Duration::from_millis(500);

#[derive(Clone)]
struct Collector {
    client: Client,
    resources: Resources,
    graph: Arc<Mutex<Graph>>,
    queue: Queue<Work>,
    /// Told of namespaces that became empty.
    namespaces: Queue<ObjectKey>,
    /// A definition changed: there may be new kinds, or fewer.
    definitions: Arc<Notify>,
    /// How many watches have not shown their first listing yet; for a while, nothing is collected before all have.
    unsynced: watch::Sender<usize>,
}

pub(crate) fn start(context: &Context, resources: &Resources, namespaces: Queue<ObjectKey>) {
    let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_secs(30) };
    let collector = Collector {
        client: context.client.clone(),
        resources: resources.clone(),
        graph: Arc::default(),
        queue: Queue::new("garbage", backoff),
        namespaces,
        definitions: Arc::default(),
        unsynced: watch::Sender::new(0),
    };
    let (scope, context) = (context.scope.clone(), context.clone());
    context.scope.clone().spawn("garbage", async move {
        tokio::select! {
            () = scope.cancelled() => {}
            () = collector.run(&context) => {}
        }
    });
}

impl Collector {
    /// Changes the graph and queues what became worth a look.
    fn change<T>(&self, change: impl FnOnce(&mut Graph) -> T) -> T {
        let (output, work) = {
            let mut graph = self.graph.lock();
            let output = change(&mut graph);
            (output, graph.take_work())
        };
        for work in work {
            self.queue.add(work);
        }
        output
    }
}
