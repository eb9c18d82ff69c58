//! Many requests over many connections, with what they took.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::client::{Call, Client};

/// What a run of requests took.
pub(crate) struct Outcome {
    pub(crate) elapsed: Duration,
    latencies: Vec<Duration>,
}

impl Outcome {
    pub(crate) fn new(elapsed: Duration, mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        Self { elapsed, latencies }
    }

    pub(crate) fn count(&self) -> usize {
        self.latencies.len()
    }

    pub(crate) fn rate(&self) -> f64 {
        self.count() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of the requests did not exceed.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let index = (self.count().saturating_sub(1) as f64 * share).round() as usize;
        self.latencies.get(index).copied().unwrap_or_default()
    }

    pub(crate) fn percentiles(&self) -> String {
        let milliseconds = |share| self.percentile(share).as_secs_f64() * 1e3;
        format!("p50 {:.1} ms, p99 {:.1} ms", milliseconds(0.5), milliseconds(0.99))
    }
}

/// Sends the calls that `call` makes for 0, 1, 2, … until it makes none, over `connections`. The first refusal ends it.
pub(crate) async fn drive(
    client: &Client,
    connections: usize,
    call: impl Fn(usize) -> Option<Call> + Send + Sync + 'static,
) -> anyhow::Result<Outcome> {
    let (call, next) = (Arc::new(call), Arc::new(AtomicUsize::new(0)));
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(client.connect().await?);
    }
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for mut connection in open {
        let (call, next) = (call.clone(), next.clone());
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while let Some(call) = call(next.fetch_add(1, Ordering::Relaxed)) {
                let begun = Instant::now();
                let answer = connection.send(&call).await?;
                if !answer.status.is_success() {
                    bail!("{} {}: {}: {}", call.method, call.path, answer.status, answer.message());
                }
                latencies.push(begun.elapsed());
            }
            Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(finished) = tasks.join_next().await {
        latencies.extend(finished??);
    }
    Ok(Outcome::new(started.elapsed(), latencies))
}

/// Like [`drive`], for the first `count` calls.
pub(crate) async fn drive_count(
    client: &Client,
    connections: usize,
    count: usize,
    call: impl Fn(usize) -> Call + Send + Sync + 'static,
) -> anyhow::Result<Outcome> {
    drive(client, connections.min(count.max(1)), move |number| (number < count).then(|| call(number))).await
}
