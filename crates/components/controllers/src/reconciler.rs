//! How every controller begins: it waits for what it reads, listens, and works on its queue.

use std::fmt::Debug;
use std::hash::Hash;

use minato_client::{Informer, Next, ObjectKey, Queue, Watchable};
use minato_scope::Scope;

use crate::{Context, Error};

/// A controller, as [`Context::start`] runs it.
pub(crate) trait Reconciler: Clone + Send + Sync + 'static {
    /// What it works on, mostly the key of an object.
    type Key: Clone + Debug + Eq + Hash + Ord + Send + Sync + 'static;

    /// The keys to work on.
    fn queue(&self) -> &Queue<Self::Key>;

    /// Completes when everything that it reads is there.
    fn synced(&self) -> impl Future<Output = ()> + Send;

    /// From now on puts what changes concern into the queue. What else belongs to it runs in `scope`.
    fn listen(&self, scope: &Scope);

    /// Brings what `key` names to what its owner asked for.
    fn reconcile(&self, key: &Self::Key) -> impl Future<Output = Result<Next, Error>> + Send;
}

impl Context {
    /// Runs `controller` with `workers` keys at a time until the scope ends.
    pub(crate) fn start<R: Reconciler>(&self, controller: R, workers: usize) {
        let scope = self.scope.clone();
        let name = controller.queue().name().to_owned();
        self.scope.spawn(&name, async move {
            tokio::select! {
                () = scope.cancelled() => return,
                () = controller.synced() => {}
            }
            controller.listen(&scope);
            let queue = controller.queue().clone();
            queue.work(&scope, workers, move |key| {
                let controller = controller.clone();
                async move { controller.reconcile(&key).await }
            });
        });
    }
}

/// Puts into `queue` every object of `informer` that is there, and every one that comes or changes.
pub(crate) fn enqueue<K>(informer: &Informer<K>, queue: &Queue<ObjectKey>)
where
    K: Watchable,
{
    let queue = queue.clone();
    informer.on_change(move |change| {
        if let Some(object) = &change.after {
            queue.add(ObjectKey::of(object.meta()));
        }
    });
}
