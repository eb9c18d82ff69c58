//! The audit log sent to a server, in batches, as upstream's webhook backend sends it.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use minato_mvcc::Memory;
use minato_scope::Scope;
use prometheus::IntCounter;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::Instant;

use crate::webhook::{CallError, Endpoint};

/// How events are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Events that wait; more are dropped and counted.
    pub buffer_events: usize,
    /// Events that are sent at once, at most.
    pub batch_events_max: usize,
    /// How long the first event of a batch waits for more.
    pub batch_wait_max: Duration,
    /// How long a batch that was not taken waits before it is sent again: each time half as long again.
    pub initial_backoff: Duration,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            buffer_events: 10_000,
            batch_events_max: 400,
            batch_wait_max: Duration::from_secs(30),
            initial_backoff: Duration::from_secs(10),
        }
    }
}

/// How long the server may take over a batch.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a batch is sent again.
const RETRIES: u32 = 4;
/// The last batch, when the server stops.
const LAST_TIMEOUT: Duration = Duration::from_secs(5);

/// The sending end.
pub(super) struct Batches {
    sender: Sender<Bytes>,
    errors: IntCounter,
}

impl Batches {
    /// Starts the task that sends to the endpoint, until `scope` is cancelled.
    pub(super) fn start(
        (endpoint, memory): (Endpoint, Memory),
        options: BatchOptions,
        errors: IntCounter,
        scope: &Scope,
    ) -> Self {
        let (sender, receiver) = channel(options.buffer_events.max(1));
        let task = Sending { endpoint, memory, options, receiver, errors: errors.clone(), scope: scope.clone() };
        scope.spawn("audit-webhook", task.run());
        Self { sender, errors }
    }

    pub(super) fn send(&self, event: Bytes) {
        if self.sender.try_send(event).is_err() {
            self.errors.inc();
        }
    }
}

struct Sending {
    endpoint: Endpoint,
    memory: Memory,
    options: BatchOptions,
    receiver: Receiver<Bytes>,
    errors: IntCounter,
    scope: Scope,
}

impl Sending {
    async fn run(mut self) {
        loop {
            let batch = self.batch().await;
            if self.scope.is_cancelled() {
                let mut last = batch;
                while let Ok(event) = self.receiver.try_recv() {
                    last.push(event);
                }
                if !last.is_empty() {
                    self.try_send(&last, LAST_TIMEOUT).await;
                }
                return;
            }
            self.send(&batch).await;
        }
    }

    /// The next events; fewer when the scope ends meanwhile.
    async fn batch(&mut self) -> Vec<Bytes> {
        let mut batch = Vec::new();
        let mut deadline = None::<Instant>;
        while batch.len() < self.options.batch_events_max.max(1) {
            let due = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = self.receiver.recv() => match event {
                    Some(event) => batch.push(event),
                    // The audit log is gone: so is the server.
                    None => { self.scope.cancelled().await; break }
                },
                () = due => break,
                () = self.scope.cancelled() => break,
            }
            deadline.get_or_insert_with(|| Instant::now() + self.options.batch_wait_max);
        }
        batch
    }

    async fn send(&self, batch: &[Bytes]) {
        let mut backoff = self.options.initial_backoff;
        for _ in 0..RETRIES {
            if self.try_send(batch, ANSWER_TIMEOUT).await {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(backoff) => {}
                () = self.scope.cancelled() => break,
            }
            backoff = backoff.mul_f64(1.5);
        }
        if !self.try_send(batch, LAST_TIMEOUT).await {
            self.errors.inc_by(batch.len() as u64);
            tracing::error!(events = batch.len(), "audit events are lost: the webhook does not take them");
        }
    }

    /// Whether the server took the batch, or refused it for good.
    async fn try_send(&self, batch: &[Bytes], limit: Duration) -> bool {
        match self.endpoint.post(&self.memory, list(batch), limit).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%error, "the audit webhook did not take a batch");
                // What is wrong with the batch itself does not mend by sending it again.
                let for_good =
                    matches!(error, CallError::Status { code, .. } if code < 500 && !matches!(code, 408 | 429));
                if for_good {
                    self.errors.inc_by(batch.len() as u64);
                }
                for_good
            }
        }
    }
}

/// `audit.k8s.io/v1 EventList`.
fn list(events: &[Bytes]) -> Bytes {
    let mut list = BytesMut::with_capacity(events.iter().map(|event| event.len() + 1).sum::<usize>() + 96);
    list.put(&b"{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1\",\"metadata\":{},\"items\":["[..]);
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            list.put_u8(b',');
        }
        list.put(&event[..]);
    }
    list.put(&b"]}"[..]);
    list.freeze()
}
