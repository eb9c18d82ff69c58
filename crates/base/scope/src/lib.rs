//! Who owns a task: every task has a name, an owner that can cancel and await it, and an end.
//!
//! A [`Scope`] is a node in a tree. Cancelling a scope cancels its children; [`Scope::shutdown`] cancels and then
//! waits, up to a deadline, for every task that was spawned in the scope or below it. A task learns of its end by
//! awaiting [`Scope::cancelled`].

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// A named owner of tasks; clones share the same owner.
#[derive(Clone, Debug)]
pub struct Scope {
    name: Arc<str>,
    token: CancellationToken,
    tree: Arc<Tree>,
}

/// What all scopes under one root share: the running tasks by path, and a signal that one has ended.
#[derive(Debug, Default)]
struct Tree {
    running: Mutex<BTreeMap<String, usize>>,
    ended: Notify,
}

/// The tasks that had not ended when the deadline of a shutdown passed.
#[derive(Debug, thiserror::Error)]
#[error("tasks still running after {deadline:?}: {}", tasks.join(", "))]
pub struct Unfinished {
    /// How long the shutdown waited.
    pub deadline: Duration,
    /// Paths of the tasks, such as `server/kubelet/lease`.
    pub tasks: Vec<String>,
}

impl Scope {
    /// A scope without a parent.
    #[must_use]
    pub fn root(name: &str) -> Self {
        Self { name: name.into(), token: CancellationToken::new(), tree: Arc::default() }
    }

    /// A scope that is cancelled with this one, or on its own.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self {
            name: format!("{}/{name}", self.name).into(),
            token: self.token.child_token(),
            tree: Arc::clone(&self.tree),
        }
    }

    /// The path of this scope, such as `server/kubelet`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `future` until it ends; a panic is logged and ends only that task.
    pub fn spawn<F>(&self, task: &str, future: F) -> tokio::task::JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let path = format!("{}/{task}", self.name);
        let running = Running::enter(Arc::clone(&self.tree), path.clone());
        let span = tracing::debug_span!("task", task = %path);
        let guarded = async move {
            let _running = running;
            match std::panic::AssertUnwindSafe(future).catch_unwind().await {
                Ok(output) => Some(output),
                Err(panic) => {
                    tracing::error!(task = %path, error = panic_message(&panic), "task panicked");
                    None
                }
            }
        };
        tokio::spawn(guarded.instrument(span))
    }

    /// Completes when this scope or one above it is cancelled.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    /// Whether this scope or one above it is cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Asks every task of this scope and below to end.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Cancels this scope and waits until every task in and below it has ended, or `deadline` has passed.
    ///
    /// # Errors
    /// [`Unfinished`] names the tasks that are still running.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), Unfinished> {
        self.cancel();
        let ended = async {
            loop {
                let ended = self.tree.ended.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if self.unfinished().is_empty() {
                    return;
                }
                ended.await;
            }
        };
        match tokio::time::timeout(deadline, ended).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Unfinished { deadline, tasks: self.unfinished() }),
        }
    }

    fn unfinished(&self) -> Vec<String> {
        let prefix = format!("{}/", self.name);
        let running = self.tree.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.keys().filter(|path| path.starts_with(&prefix)).cloned().collect()
    }
}

/// Counts one running task by name; dropping it takes the task off the list, also when its future is dropped.
struct Running {
    tree: Arc<Tree>,
    path: String,
}

impl Running {
    fn enter(tree: Arc<Tree>, path: String) -> Self {
        *tree.running.lock().unwrap_or_else(PoisonError::into_inner).entry(path.clone()).or_default() += 1;
        Self { tree, path }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.tree.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.path) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.path);
            }
        }
        drop(running);
        self.tree.ended.notify_waiters();
    }
}

fn panic_message(panic: &Box<dyn std::any::Any + Send>) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shutdown_waits_for_children_and_names_the_unfinished() {
        let root = Scope::root("test");
        let child = root.child("child");
        let watched = child.clone();
        child.spawn("polite", async move { watched.cancelled().await });
        assert!(root.shutdown(Duration::from_secs(5)).await.is_ok());

        let root = Scope::root("test");
        root.child("child").spawn("deaf", std::future::pending::<()>());
        let error = root.shutdown(Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(error.tasks, ["test/child/deaf"]);
    }

    #[tokio::test]
    async fn a_panic_ends_only_its_task() {
        let root = Scope::root("test");
        let output = root.spawn("faulty", async { panic!("broken") }).await.unwrap();
        assert!(output.is_none());
        assert!(!root.is_cancelled());
    }

    #[tokio::test]
    async fn cancelling_a_child_leaves_the_parent() {
        let root = Scope::root("test");
        let child = root.child("a");
        child.cancel();
        assert!(child.is_cancelled() && !root.is_cancelled());
    }
}
