//! The writer thread: takes what is queued, commits it with one fsync, publishes it, answers.

use std::sync::Arc;

use minato_mvcc::{Object, Publisher, Transaction};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::file::File;
use super::seal::Sealer;
use crate::CommitError;

type Outcome = Result<Vec<Arc<Object>>, CommitError>;

/// A transaction on its way, with its share of the queue's bytes.
pub(super) struct Request {
    pub(super) transaction: Transaction,
    pub(super) reply: oneshot::Sender<Outcome>,
    pub(super) _room: OwnedSemaphorePermit,
}

/// The one place where the file and the published state change.
pub(super) struct Writer {
    file: File,
    publisher: Publisher,
    sealer: Arc<Sealer>,
    requests: mpsc::Receiver<Request>,
    batch_transactions_max: usize,
}

impl Writer {
    pub(super) fn new(
        file: File,
        publisher: Publisher,
        sealer: Arc<Sealer>,
        requests: mpsc::Receiver<Request>,
        batch_transactions_max: usize,
    ) -> Self {
        Self { file, publisher, sealer, requests, batch_transactions_max }
    }

    /// Works until nobody can send any more and the queue is empty.
    pub(super) fn run(mut self) {
        while let Some(first) = self.wait() {
            let mut batch = vec![first];
            while batch.len() < self.batch_transactions_max
                && let Ok(request) = self.requests.try_recv()
            {
                batch.push(request);
            }
            self.commit(batch);
            self.file.checkpoint_when_due();
        }
        self.file.close();
    }

    /// The next request. Gives unused pages back to the file system meanwhile.
    fn wait(&mut self) -> Option<Request> {
        while self.file.has_slack() {
            match self.requests.try_recv() {
                Ok(request) => return Some(request),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {
                    if !self.file.give_back_pages() {
                        break;
                    }
                }
            }
        }
        self.requests.blocking_recv()
    }

    /// Answers nobody before the disk has answered: even a conflict may be with a write of this batch.
    fn commit(&mut self, batch: Vec<Request>) {
        let mut draft = self.publisher.draft();
        let apply = |Request { transaction, reply, .. }: Request| (reply, draft.apply(transaction));
        let outcomes: Vec<_> = batch.into_iter().map(apply).collect();
        let durable = match draft.events() {
            [] => Ok(()),
            events => self.file.write(events, draft.revision(), &self.sealer),
        };
        let durable = durable.and_then(|()| {
            let path = self.file.path().to_owned();
            self.publisher.publish(draft).map_err(|source| CommitError::Disk { path, source: Arc::new(source) })
        });
        if let Err(error) = &durable {
            tracing::error!(error = error as &dyn std::error::Error, transactions = outcomes.len(), "commit failed");
        }
        for (reply, outcome) in outcomes {
            let answer = durable.clone().and_then(|()| outcome.map_err(CommitError::from));
            // Whoever asked may be gone; the write stands.
            let _ = reply.send(answer);
        }
    }
}
