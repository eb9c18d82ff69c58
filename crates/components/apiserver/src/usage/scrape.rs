//! Asks the kubelets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use jiff::Timestamp;
use minato_http::BoxError;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::samples::{Answer, ContainerKey, Usage, usage};
use crate::core::Core;
use crate::tunnel::kubelet_of;

/// Answers are used again for this long.
const FRESH: Duration = Duration::from_secs(10);
/// Answers farther apart make no rate.
const WINDOW_MAX: Duration = Duration::from_secs(90);
/// The least time between two that do: kubelets repeat themselves within a second.
const WINDOW_MIN: Duration = Duration::from_millis(1200);
/// How long a kubelet may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read: some 100,000 containers.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Kubelets that are asked at the same time.
const KUBELETS_MAX: usize = 64;

/// What everything uses.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub(super) nodes: HashMap<String, Usage>,
    pub(super) containers: HashMap<ContainerKey, Usage>,
}

/// Asks the kubelets, and remembers.
#[derive(Default)]
pub(crate) struct Scraper {
    recent: Mutex<Option<Recent>>,
}

struct Recent {
    taken: Instant,
    answers: HashMap<String, Answer>,
    snapshot: Arc<Snapshot>,
}

impl Scraper {
    /// What everything uses, as of some seconds ago at most. Kubelets that do not answer are left out.
    pub(super) async fn usage(&self, core: &Core) -> Arc<Snapshot> {
        let mut recent = self.recent.lock().await;
        if let Some(recent) = &*recent
            && recent.taken.elapsed() < FRESH
        {
            return Arc::clone(&recent.snapshot);
        }
        let before = match recent.take().filter(|recent| recent.taken.elapsed() < WINDOW_MAX) {
            Some(recent) => recent.answers,
            None => {
                let answers = ask_all(core).await;
                if !answers.is_empty() {
                    tokio::time::sleep(WINDOW_MIN).await;
                }
                answers
            }
        };
        let answers = ask_all(core).await;
        let snapshot = Arc::new(compare(&answers, &before));
        *recent = Some(Recent { taken: Instant::now(), answers, snapshot: Arc::clone(&snapshot) });
        snapshot
    }
}

/// What is used according to two rounds of answers, by the node's name.
fn compare(now: &HashMap<String, Answer>, before: &HashMap<String, Answer>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (node, answer) in now {
        let earlier = before.get(node);
        if let Some(used) = usage(&answer.node, earlier.map(|earlier| &earlier.node)) {
            snapshot.nodes.insert(node.clone(), used);
        }
        for (key, sample) in &answer.containers {
            if let Some(used) = usage(sample, earlier.and_then(|earlier| earlier.containers.get(key))) {
                snapshot.containers.insert(key.clone(), used);
            }
        }
    }
    snapshot
}

async fn ask_all(core: &Core) -> HashMap<String, Answer> {
    let nodes: Vec<String> =
        core.memory().snapshot("core/nodes").iter().map(|node| node.key.name.to_string()).collect();
    let asked = futures::stream::iter(nodes).map(|node| async move {
        let answer = match tokio::time::timeout(ANSWER_TIMEOUT, ask(core, &node)).await {
            Ok(answer) => answer,
            Err(_) => Err("context deadline exceeded".to_owned()),
        };
        match answer {
            Ok(answer) => Some((node, answer)),
            Err(error) => {
                tracing::debug!(node, error, "a kubelet does not tell what is used");
                None
            }
        }
    });
    asked.buffer_unordered(KUBELETS_MAX).filter_map(std::future::ready).collect().await
}

async fn ask(core: &Core, node: &str) -> Result<Answer, String> {
    let kubelet = kubelet_of(core, node).map_err(|error| error.to_string())?;
    let body = Empty::new().map_err(|never| -> BoxError { match never {} }).boxed_unsync();
    let request = Request::get("/metrics/resource").body(body).map_err(|error| error.to_string())?;
    let response = core.tunnel.ask(&kubelet, request).await.map_err(|error| error.to_string())?;
    if response.status() != StatusCode::OK {
        return Err(format!("bad status: {}", response.status().as_u16()));
    }
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let bytes = body.map_err(|error| error.to_string())?.to_bytes();
    Ok(Answer::parse(&String::from_utf8_lossy(&bytes)).dated(Timestamp::now()))
}
