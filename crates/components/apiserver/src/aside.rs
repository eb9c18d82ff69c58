//! Large requests: computed where they keep nobody else waiting.
//!
//! A worker of the runtime that parses, merges and validates three megabytes is gone for a while, with whatever waits for
//! it. So large requests are worked on aside: other tasks move to another thread meanwhile, and only a few large requests
//! are computed at once. While they wait, for a disk or a webhook, they take nobody's place.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::ready;

use http::Request;
use http_body::Body as _;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::body::RequestBody;

/// A request with more bytes in its body is large,
const BODY_BYTES_MAX: u64 = 64 * 1024;
/// and so is one with more in its query: a selector may have thousands of requirements.
const QUERY_BYTES_MAX: usize = 2 * 1024;
/// So many are computed at once.
const AT_ONCE: usize = 8;

/// Who may compute aside.
pub(crate) struct Aside {
    slots: Arc<Semaphore>,
}

impl Aside {
    pub(crate) fn new() -> Self {
        Self { slots: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Whether `request` may take long to compute. One that does not say how long its body is counts as large.
    pub(crate) fn is_for(request: &Request<RequestBody>) -> bool {
        request.body().size_hint().upper().is_none_or(|bytes| bytes > BODY_BYTES_MAX)
            || request.uri().query().is_some_and(|query| query.len() > QUERY_BYTES_MAX)
    }

    /// Does `work` aside.
    pub(crate) async fn run<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        let mut turn: Option<Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>> = None;
        let many_threads = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
        poll_fn(|context| {
            let next = || {
                let slots = Arc::clone(&self.slots);
                Box::pin(async move { slots.acquire_owned().await.ok() }) as Pin<Box<_>>
            };
            let _slot = ready!(turn.get_or_insert_with(next).as_mut().poll(context));
            turn = None;
            let mut step = || work.as_mut().poll(context);
            if many_threads { tokio::task::block_in_place(step) } else { step() }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_meanwhile() {
        let (told, heard) = std::sync::mpsc::channel();
        let heavy = tokio::spawn(async move {
            let aside = Aside::new();
            // Without an await: the only worker would be held up until somebody else has run on it.
            let computed = async move { heard.recv_timeout(Duration::from_secs(60)).is_ok() };
            tokio::task::yield_now().await;
            aside.run(computed).await
        });
        tokio::spawn(async move { told.send(()) });
        assert!(heavy.await.unwrap());
    }

    #[tokio::test]
    async fn who_waits_takes_nobodys_place() {
        let aside = Aside::new();
        let waiting = (0..2 * AT_ONCE).map(|_| aside.run(std::future::pending::<()>()));
        let waiting = futures::future::join_all(waiting);
        tokio::select! {
            _ = waiting => unreachable!("they wait for ever"),
            done = async { tokio::task::yield_now().await; aside.run(async { 1 }).await } => assert_eq!(done, 1),
        }
    }
}
