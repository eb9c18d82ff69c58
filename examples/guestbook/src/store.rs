//! `guestbook store`: the leader and its replicas.
//!
//! | request | answer |
//! |---|---|
//! | `GET /messages?limit=100&at-least=7` | the newest messages; waits a little for number 7 |
//! | `GET /messages?after=7&wait-ms=20000` | the messages after number 7; waits for one |
//! | `POST /messages` `{"author", "text"}` | leader only: the message with its number, when it is on disk |
//! | `GET /healthz`, `GET /readyz` | ready when there is something to serve and the process is not stopping |

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serving::{Body, Query, Stopping, json, text};
use tokio::sync::{Mutex, watch};

use crate::client::{AskError, Client};
use crate::journal::{Journal, JournalError};
use crate::message::{Draft, Excerpt, Message};
use crate::shelf::{EXCERPT_MAX, Shelf};

const BODY_BYTES_MAX: usize = 64 * 1024;
/// A book has this many messages at most.
const MESSAGES_MAX: u64 = 100_000;
/// How long a reader waits for what was just written, and a follower for news.
const READ_WAIT_MAX: Duration = Duration::from_secs(2);
const FOLLOW_WAIT: Duration = Duration::from_secs(20);
/// A follower's pause after an error.
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);
/// How long a new leader looks for somebody who remembers.
const INHERIT_WITHIN: Duration = Duration::from_secs(3);

/// A store's state; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    shelf: Shelf,
    /// The leader's file.
    journal: Option<Arc<Mutex<Journal>>>,
    /// Whether there is something to serve: a replica needs to have heard from its leader.
    ready: watch::Receiver<bool>,
    stopping: Stopping,
}

impl Store {
    /// A leader over the file in that directory. Without a file it takes over what the replicas have, if they answer.
    pub(crate) async fn leader(data: &Path, replicas: &str, stopping: Stopping) -> Result<Self, JournalError> {
        let (journal, excerpt) = match Journal::open(data)? {
            Some(opened) => opened,
            None => {
                let known = inherit(replicas).await;
                (Journal::create(data, &known)?, known)
            }
        };
        println!("leading book {} with {} messages", excerpt.book, excerpt.messages.len());
        let shelf = Shelf::new(excerpt.book, excerpt.messages);
        let journal = Some(Arc::new(Mutex::new(journal)));
        Ok(Self { shelf, journal, ready: watch::channel(true).1, stopping })
    }

    /// A replica that follows a leader for ever.
    pub(crate) fn replica(leader: String, stopping: Stopping) -> Self {
        let shelf = Shelf::new(String::new(), Vec::new());
        let (heard, ready) = watch::channel(false);
        tokio::spawn(follow(leader, shelf.clone(), heard));
        Self { shelf, journal: None, ready, stopping }
    }

    pub(crate) async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        let query = Query::of(request.uri());
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/healthz") => text(StatusCode::OK, "ok"),
            (&Method::GET, "/readyz") if *self.ready.borrow() && !self.stopping.is_set() => text(StatusCode::OK, "ok"),
            (&Method::GET, "/readyz") => text(StatusCode::SERVICE_UNAVAILABLE, "not ready"),
            (&Method::GET, "/messages") => json(StatusCode::OK, &self.read(&query).await),
            (&Method::POST, "/messages") => self.add(request).await,
            (_, "/messages" | "/healthz" | "/readyz") => text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
            _ => text(StatusCode::NOT_FOUND, "not found"),
        }
    }

    async fn read(&self, query: &Query<'_>) -> Excerpt {
        let Some(after) = query.get("after").and_then(|after| after.parse::<u64>().ok()) else {
            self.shelf.reaches(query.get_or("at-least", 0), READ_WAIT_MAX).await;
            return self.shelf.newest(query.get_or("limit", EXCERPT_MAX));
        };
        let wait = Duration::from_millis(query.get_or("wait-ms", 0)).min(FOLLOW_WAIT);
        tokio::select! {
            _ = self.shelf.reaches(after.saturating_add(1), wait) => {}
            () = self.stopping.wait() => {} // followers look for the next leader
        }
        self.shelf.after(after, query.get_or("limit", EXCERPT_MAX))
    }

    async fn add(&self, request: Request<Incoming>) -> Response<Body> {
        let Some(journal) = &self.journal else {
            return text(StatusCode::METHOD_NOT_ALLOWED, "this is a replica: ask the leader");
        };
        let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "too large, or incomplete");
        };
        let draft = match serde_json::from_slice::<Draft>(&body.to_bytes()) {
            Ok(draft) => draft.checked(),
            Err(error) => return text(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        let draft = match draft {
            Ok(draft) => draft,
            Err(error) => return text(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
        };
        // A task of its own: a client that goes away must not leave file and memory apart.
        let (shelf, journal) = (self.shelf.clone(), Arc::clone(journal));
        match tokio::spawn(write(shelf, journal, draft)).await {
            Ok(Ok(message)) => json(StatusCode::CREATED, &message),
            Ok(Err(error)) => text(StatusCode::INSUFFICIENT_STORAGE, &error.to_string()),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }
}

async fn write(shelf: Shelf, journal: Arc<Mutex<Journal>>, draft: Draft) -> std::io::Result<Message> {
    let mut journal = journal.lock_owned().await;
    let last = shelf.last();
    if last >= MESSAGES_MAX {
        return Err(std::io::Error::other("the book is full"));
    }
    let message = draft.numbered(last + 1);
    let to_write = message.clone();
    let written = tokio::task::spawn_blocking(move || journal.append(&to_write).map(|()| journal)).await;
    let _journal = written.map_err(std::io::Error::other)??; // locked until memory has the message too
    shelf.extend(Excerpt { book: shelf.id(), last: message.number, messages: vec![message.clone()] });
    Ok(message)
}

/// What the replicas remember, or a new book.
async fn inherit(replicas: &str) -> Excerpt {
    let fresh = || {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
        Excerpt { book: id.trim().to_owned(), ..Excerpt::default() }
    };
    if replicas.is_empty() {
        return fresh();
    }
    let shelf = Shelf::new(String::new(), Vec::new());
    let copying = async {
        loop {
            let last = shelf.last();
            match fetch(&Client::new(), replicas, &shelf, Duration::ZERO).await {
                Ok(()) if shelf.last() == last => return Ok(()),
                Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
    };
    let copied = tokio::time::timeout(INHERIT_WITHIN, copying).await;
    if let Ok(Err(error)) = &copied {
        println!("nobody to take over from: {error}");
    }
    if matches!(copied, Ok(Ok(()))) && !shelf.id().is_empty() {
        let mut excerpt = shelf.after(0, EXCERPT_MAX);
        while excerpt.messages.len() < usize::try_from(shelf.last()).unwrap_or(usize::MAX) {
            let next = shelf.after(excerpt.messages.len() as u64, EXCERPT_MAX);
            excerpt.messages.extend(next.messages);
        }
        return excerpt;
    }
    fresh()
}

async fn follow(leader: String, shelf: Shelf, heard: watch::Sender<bool>) {
    let client = Client::new();
    loop {
        match fetch(&client, &leader, &shelf, FOLLOW_WAIT).await {
            Ok(()) => drop(heard.send_replace(true)),
            Err(error) => {
                eprintln!("following: {error}");
                tokio::time::sleep(FOLLOW_PAUSE).await;
            }
        }
    }
}

/// Asks once for what is new.
async fn fetch(client: &Client, of: &str, shelf: &Shelf, wait: Duration) -> Result<(), AskError> {
    // The very first question wants an answer at once: a replica is ready when it has one.
    let (last, wait) = (shelf.last(), if shelf.id().is_empty() { Duration::ZERO } else { wait });
    let url = format!("{of}/messages?after={last}&wait-ms={}", wait.as_millis());
    let excerpt: Excerpt = client.get(&url, wait + Duration::from_secs(5)).await?;
    if excerpt.book != shelf.id() && last > 0 {
        shelf.extend(Excerpt { messages: Vec::new(), ..excerpt }); // another book: start from its beginning
        return Ok(());
    }
    if !excerpt.book.is_empty() {
        shelf.extend(excerpt);
    }
    Ok(())
}
