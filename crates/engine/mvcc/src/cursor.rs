//! A watcher's place in the event log.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::feed::{Feed, Index};
use crate::memory::Shared;
use crate::{Event, Revision};

/// Events were asked for that are no longer kept. The watcher must list again (HTTP 410).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("events up to revision {oldest} have been compacted")]
pub struct Compacted {
    /// Events after this revision are still there.
    pub oldest: Revision,
}

/// Events in the order of their revisions, at least one.
#[derive(Debug)]
pub struct Batch {
    events: Vec<Arc<Event>>,
}

impl Deref for Batch {
    type Target = [Arc<Event>];

    fn deref(&self) -> &Self::Target {
        &self.events
    }
}

impl IntoIterator for Batch {
    type Item = Arc<Event>;
    type IntoIter = std::vec::IntoIter<Arc<Event>>;

    fn into_iter(self) -> Self::IntoIter {
        self.events.into_iter()
    }
}

/// The most events that [`Cursor::next`] hands out at once.
const BATCH_EVENTS_MAX: usize = 256;

/// Pulls the events of one resource, each exactly once and in order, from the log that all watchers share.
pub struct Cursor {
    shared: Arc<Shared>,
    feed: Arc<Feed>,
    index: Option<Arc<Index>>,
    position: Revision,
}

impl Cursor {
    pub(crate) fn new(shared: Arc<Shared>, feed: Arc<Feed>, index: Option<Arc<Index>>, position: Revision) -> Self {
        if index.is_none() {
            feed.watchers.fetch_add(1, Ordering::Relaxed);
        }
        Self { shared, feed, index, position }
    }

    /// Waits for events. A dropped future loses none.
    pub async fn next(&mut self) -> Result<Batch, Compacted> {
        loop {
            if let Some(batch) = self.try_next()? {
                return Ok(batch);
            }
            let wake = self.index.as_ref().map_or(&self.feed.wake, |index| &index.wake);
            let listener = wake.listen();
            // Again, for what came before we listened.
            if let Some(batch) = self.try_next()? {
                return Ok(batch);
            }
            listener.await;
        }
    }

    /// The events that are there already, if any.
    pub fn try_next(&mut self) -> Result<Option<Batch>, Compacted> {
        // Before looking: all events up to here are in the log by now.
        let published = self.shared.published();
        let events = match &self.index {
            Some(index) => pull_indexed(index, self.position)?,
            None => pull(&self.feed, self.position)?,
        };
        match events.last() {
            Some(last) => {
                self.position = last.revision;
                Ok(Some(Batch { events }))
            }
            None => {
                self.position = self.position.max(published);
                Ok(None)
            }
        }
    }

    /// How many cursors are woken by the same events as this one, itself included.
    pub fn company(&self) -> usize {
        match &self.index {
            // The registry has a reference of its own.
            Some(index) => Arc::strong_count(index).saturating_sub(1),
            None => self.feed.watchers.load(Ordering::Relaxed),
        }
    }

    /// Every event up to this revision has been handed out: what a bookmark may say.
    ///
    /// It moves with the whole store whenever [`Cursor::try_next`] or [`Cursor::next`] finds nothing, so before a
    /// bookmark for an idle watcher call `try_next` and send what it returns first.
    pub fn revision(&self) -> Revision {
        self.position
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        match self.index.take() {
            Some(index) => self.feed.release(index),
            None => {
                self.feed.watchers.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

fn pull(feed: &Feed, position: Revision) -> Result<Vec<Arc<Event>>, Compacted> {
    let log = feed.log.read();
    if position < log.floor {
        return Err(Compacted { oldest: log.floor });
    }
    Ok(log.after(position).take(BATCH_EVENTS_MAX).cloned().collect())
}

fn pull_indexed(index: &Index, position: Revision) -> Result<Vec<Arc<Event>>, Compacted> {
    let entries = index.entries.read();
    if position < entries.floor {
        return Err(Compacted { oldest: entries.floor });
    }
    let start = entries.events.partition_point(|(revision, _)| *revision <= position);
    let wanted = entries.events.range(start..).take(BATCH_EVENTS_MAX);
    wanted.map(|(revision, event)| event.upgrade().ok_or(Compacted { oldest: *revision })).collect()
}
