//! Watches: a cursor into the store's log, filtered and written out, at the reader's pace.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use minato_http::BoxError;
use minato_mvcc::{Cursor, Event, EventKind, Object, Revision};
use minato_scope::Scope;
use prometheus::{Histogram, IntCounter};
use tokio::time::{Instant, Sleep};

use crate::body::{self, ResponseBody};
use crate::call::Call;
use crate::core::Core;
use crate::encode::WatchEncoder;
use crate::filter::Filter;
use crate::list::revision;
use crate::negotiate::Encoding;
use crate::options;
use crate::registry::Resource;
use crate::status::ApiError;

/// How often an idle watcher that asked for bookmarks is told how far it has come.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// How long a watch lasts that sets no limit: at least this, at most twice, so that they do not all end at once.
const WATCH_MIN: Duration = Duration::from_secs(30 * 60);
/// How much is put together before it is sent.
const CHUNK_BYTES: usize = 64 * 1024;
/// What it costs, about, to tell one watcher that something happened.
const WAKE_COST: Duration = Duration::from_micros(20);
/// The longest that an event waits for others, to be sent with them.
const REST_MAX: Duration = Duration::from_millis(5);

/// One watch that is being served.
struct Watch {
    resource: Arc<Resource>,
    filter: Filter,
    encoder: WatchEncoder,
    initial: std::vec::IntoIter<Arc<Object>>,
    /// The bookmark that ends the initial events is still to be sent.
    end_initial_at: Option<Revision>,
    cursor: Cursor,
    next_bookmark: Instant,
    deadline: Instant,
    /// Ends at the next bookmark, if any are wanted, or the deadline, whichever is sooner.
    alarm: Pin<Box<Sleep>>,
    /// When events were last sent.
    sent: Option<Instant>,
    scope: Scope,
    core: Arc<Core>,
    ended: bool,
    /// What events are counted in, and their sizes.
    counted: (IntCounter, Histogram),
}

/// GET of a collection with `watch=true`.
pub(crate) async fn watch(call: &Call) -> Result<Response<ResponseBody>, ApiError> {
    let filter = match &call.route.name {
        None => Filter::parse(&call.resource, &call.namespace, &call.query)?,
        Some(name) => Filter::one(&call.resource, &call.namespace, name)?,
    };
    let query = &call.query;
    let bookmarks = query.flag("allowWatchBookmarks");
    let from = query.get("resourceVersion").map_or(Ok(Revision(0)), revision)?;
    let send_initial = query.get("sendInitialEvents").map(|_| query.flag("sendInitialEvents"));
    options::check_list(query, true)?;
    call.core.wait_for(from).await?;
    let memory = call.core.memory();
    let storage = &call.resource.storage;
    // Without a version, or with 0, a watch begins with what is there (upstream's "any").
    let with_initial = send_initial.unwrap_or(from.0 == 0);
    let (initial, start) = if with_initial {
        let snapshot = memory.snapshot(storage);
        let initial: Vec<_> = snapshot.iter().filter(|object| filter.matches(object)).cloned().collect();
        (initial, snapshot.revision())
    } else if from.0 == 0 {
        (Vec::new(), memory.revision())
    } else {
        (Vec::new(), from)
    };
    let encoder = WatchEncoder::new(call.form, call.encoding);
    let cursor = match memory.subscribe_to(storage, start, &filter.interest()) {
        Ok(cursor) => cursor,
        // As upstream: what goes wrong after a watch is allowed is told by the watch.
        Err(compacted) => {
            let error = ApiError::expired(format!("too old resource version: {from} ({})", compacted.oldest));
            let line = futures::stream::iter([Ok(encoder.error(&error))]);
            return Ok(body::chunks(media_type(call.encoding), line));
        }
    };
    let initial = call.core.presented(&call.resource, initial).await?;
    let now = Instant::now();
    let seconds = query.get("timeoutSeconds").and_then(|text| text.parse::<u64>().ok()).filter(|s| *s > 0);
    let lasts = seconds.map_or_else(|| WATCH_MIN + spread(WATCH_MIN), |s| Duration::from_secs(s.min(86_400)));
    let (next_bookmark, deadline) = (now + BOOKMARK_INTERVAL, now + lasts);
    let alarm = if bookmarks { next_bookmark.min(deadline) } else { deadline };
    let watch = Watch {
        resource: Arc::clone(&call.resource),
        filter,
        encoder,
        initial: initial.into_iter(),
        end_initial_at: (send_initial == Some(true) && bookmarks).then_some(start),
        cursor,
        next_bookmark,
        deadline,
        alarm: Box::pin(tokio::time::sleep_until(alarm)),
        sent: None,
        scope: call.core.scope.clone(),
        core: Arc::clone(&call.core),
        ended: false,
        counted: call.core.metrics.watch_events(
            &call.resource.declaration.group,
            &call.resource.version,
            &call.resource.declaration.resource,
        ),
    };
    let lines = futures::stream::unfold(watch, |mut watch| async move {
        let chunk = watch.chunk().await?;
        Some((Ok::<Bytes, BoxError>(chunk), watch))
    });
    Ok(body::chunks(media_type(call.encoding), lines))
}

fn media_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json | Encoding::Yaml => "application/json",
        Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
    }
}

fn count((events, sizes): &(IntCounter, Histogram), line: &Bytes) {
    events.inc();
    sizes.observe(line.len() as f64);
}

/// A part of `span`, different each time.
fn spread(span: Duration) -> Duration {
    span.mul_f64(f64::from(uuid::Uuid::new_v4().as_u128() as u16) / f64::from(u16::MAX))
}

impl Watch {
    /// The next bytes to send; `None` ends the watch.
    async fn chunk(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let chunk = self.lines().await;
        match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                self.ended = true;
                Some(self.encoder.error(&error))
            }
        }
    }

    async fn lines(&mut self) -> Result<Option<Bytes>, ApiError> {
        let mut chunk = BytesMut::new();
        for object in self.initial.by_ref() {
            let line = self.encoder.object(&self.resource, EventKind::Created, &object)?;
            count(&self.counted, &line);
            chunk.extend_from_slice(&line);
            if chunk.len() >= CHUNK_BYTES {
                return Ok(Some(chunk.freeze()));
            }
        }
        if let Some(start) = self.end_initial_at.take() {
            chunk.extend_from_slice(&self.encoder.bookmark(&self.resource, start.0, true)?);
        }
        if !chunk.is_empty() {
            return Ok(Some(chunk.freeze()));
        }
        self.rest().await;
        loop {
            let batch = tokio::select! {
                biased;
                batch = self.cursor.next() => Some(batch.map_err(|compacted| {
                    ApiError::expired(format!("too old resource version: {} ({})", self.cursor_revision(), compacted.oldest))
                })?),
                () = self.alarm.as_mut() => None,
                () = self.scope.cancelled() => return Ok(None),
                () = retired(&self.resource) => return Ok(None),
            };
            match batch {
                Some(batch) => {
                    for event in &*batch {
                        if let Some(line) = self.line(event).await? {
                            count(&self.counted, &line);
                            self.sent = Some(Instant::now());
                            // A single event is sent as the store has it, without a copy.
                            if batch.len() == 1 {
                                return Ok(Some(line));
                            }
                            chunk.extend_from_slice(&line);
                        }
                    }
                }
                None => {
                    let now = Instant::now();
                    if now >= self.deadline {
                        return Ok(None);
                    }
                    self.next_bookmark = now + BOOKMARK_INTERVAL;
                    self.alarm.as_mut().reset(self.next_bookmark.min(self.deadline));
                    let seen = self.cursor.revision();
                    chunk.extend_from_slice(&self.encoder.bookmark(&self.resource, seen.0, false)?);
                }
            }
            if !chunk.is_empty() {
                return Ok(Some(chunk.freeze()));
            }
        }
    }

    /// Waits a moment after events were sent, the longer the more watchers are told of the same: where changes come
    /// faster than all can be told one by one, each is told of several at once. What comes alone is sent at once.
    async fn rest(&mut self) {
        let Some(sent) = self.sent.take() else { return };
        let until = sent + (WAKE_COST * self.cursor.company() as u32).min(REST_MAX);
        // Timers are no finer than that.
        if until.saturating_duration_since(Instant::now()) >= Duration::from_millis(1) {
            tokio::time::sleep_until(until).await;
        }
    }

    fn cursor_revision(&self) -> Revision {
        self.cursor.revision()
    }

    /// What the watcher is told of `event`, if anything: an object may enter or leave its selection.
    async fn line(&mut self, event: &Event) -> Result<Option<Bytes>, ApiError> {
        let before = event.previous.as_ref().filter(|previous| self.filter.matches(previous));
        let after = event.kind != EventKind::Deleted && self.filter.matches(&event.object);
        let resource = &self.resource;
        if let Some(custom) = &resource.custom
            && !(custom.shows(&event.object) && before.is_none_or(|before| custom.shows(before)))
        {
            let before = match before {
                Some(before) => Some(self.core.presented_one(resource, Arc::clone(before)).await?),
                None => None,
            };
            let object = self.core.presented_one(resource, Arc::clone(&event.object)).await?;
            return Ok(match (before, after) {
                (None, false) => None,
                (None, true) if event.kind == EventKind::Modified => {
                    Some(self.encoder.object(resource, EventKind::Created, &object)?)
                }
                (Some(previous), false) if event.kind == EventKind::Modified => {
                    Some(self.encoder.left(resource, event, &previous)?)
                }
                _ => Some(self.encoder.object(resource, event.kind, &object)?),
            });
        }
        Ok(match (before, after) {
            (None, false) => None,
            (None, true) if event.kind == EventKind::Modified => {
                Some(self.encoder.object(resource, EventKind::Created, &event.object)?)
            }
            (Some(previous), false) if event.kind == EventKind::Modified => {
                Some(self.encoder.left(resource, event, previous)?)
            }
            _ => Some(self.encoder.event(resource, event)?),
        })
    }
}

/// Ends when what the watch shows is served no longer, or otherwise.
async fn retired(resource: &Resource) {
    match &resource.custom {
        Some(custom) => custom.retired.cancelled().await,
        None => std::future::pending().await,
    }
}
