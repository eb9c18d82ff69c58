//! Keys to look at: deduplicated, delayed, retried with back-off, worked on by a bounded number of tasks.
//!
//! | a key is | and is added | it becomes |
//! |---|---|---|
//! | unknown | now / later | ready / delayed until then |
//! | delayed | now / sooner | ready / delayed until the earlier time |
//! | ready | now or later | ready (nothing changes) |
//! | running | now | running, and ready again when it ends |
//! | running | later | running, and delayed meanwhile |
//!
//! So a key never runs twice at once, and whatever happens while it runs makes it run again.

mod series;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use minato_scope::Scope;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use series::Series;

/// What a reconciler wants after a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing until the key is added again.
    Done,
    /// Look again after this time, whatever happens meanwhile.
    After(Duration),
}

/// How long a failing key waits: doubling from `first` up to `longest`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// After many failures.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(5), longest: Duration::from_secs(60) }
    }
}

impl Backoff {
    fn delay(self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.longest)
    }
}

/// A work queue; clones share it.
pub struct Queue<K> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    name: String,
    backoff: Backoff,
    series: Series,
    state: Mutex<State<K>>,
    wake: Notify,
}

struct State<K> {
    ready: VecDeque<K>,
    /// Since when: ready, or running and to be run again.
    waiting: HashMap<K, Instant>,
    running: HashSet<K>,
    delayed: BTreeSet<(Instant, K)>,
    due: HashMap<K, Instant>,
    failures: HashMap<K, u32>,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K: Clone + Eq + Hash + Ord + Debug + Send + Sync + 'static> Queue<K> {
    /// An empty queue; `name` appears in logs, task names and metrics.
    #[must_use]
    pub fn new(name: &str, backoff: Backoff) -> Self {
        let state = State {
            ready: VecDeque::new(),
            waiting: HashMap::new(),
            running: HashSet::new(),
            delayed: BTreeSet::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
        };
        let (series, state) = (Series::of(name), Mutex::new(state));
        Self { shared: Arc::new(Shared { name: name.to_owned(), backoff, series, state, wake: Notify::new() }) }
    }

    /// Asks for a look at `key` as soon as a worker is free.
    pub fn add(&self, key: K) {
        let Shared { state, series, wake, .. } = &*self.shared;
        let mut state = state.lock();
        let is_ready = state.add(key, Instant::now(), series);
        drop(state);
        if is_ready {
            wake.notify_one();
        }
    }

    /// Asks for a look at `key` when `delay` has passed, or sooner if it is asked for sooner.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        self.shared.state.lock().delay(key, Instant::now() + delay);
        self.shared.wake.notify_one();
    }

    /// What it is called in logs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// How many keys are ready, running or delayed.
    #[must_use]
    pub fn pending(&self) -> usize {
        let state = self.shared.state.lock();
        state.ready.len() + state.running.len() + state.delayed.len()
    }

    /// Starts `workers` tasks that run `reconcile` for every key until the scope ends. A failure, or a panic, is logged
    /// and tried again after the back-off.
    pub fn work<F, R, E>(&self, scope: &Scope, workers: usize, reconcile: F)
    where
        F: Fn(K) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Next, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        for _ in 0..workers {
            let (queue, reconcile, ending) = (self.clone(), reconcile.clone(), scope.clone());
            scope.spawn(&format!("{} worker", self.shared.name), async move {
                tokio::select! {
                    () = ending.cancelled() => {}
                    () = queue.work_for_ever(reconcile) => {}
                }
            });
        }
    }

    async fn work_for_ever<F, R, E>(&self, reconcile: F)
    where
        F: Fn(K) -> R,
        R: Future<Output = Result<Next, E>>,
        E: Display,
    {
        loop {
            let key = self.take().await;
            let started = Instant::now();
            let running = AssertUnwindSafe(async { reconcile(key.clone()).await }).catch_unwind();
            let ended = running.await;
            self.shared.series.work_seconds.observe(started.elapsed().as_secs_f64());
            match ended {
                Ok(Ok(next)) => self.succeeded(key, next),
                Ok(Err(error)) => {
                    let delay = self.failed(key.clone());
                    tracing::debug!(queue = %self.shared.name, ?key, %error, ?delay, "trying again");
                }
                Err(_panic) => {
                    self.failed(key.clone());
                    tracing::error!(queue = %self.shared.name, ?key, "reconciler panicked");
                }
            }
        }
    }

    /// The next ready key, which is running from now on.
    async fn take(&self) -> K {
        loop {
            let wake = self.shared.wake.notified();
            let due = {
                let mut state = self.shared.state.lock();
                let (now, series) = (Instant::now(), &self.shared.series);
                state.ripen(now, series);
                if let Some(key) = state.ready.pop_front() {
                    if let Some(since) = state.waiting.remove(&key) {
                        series.queued_seconds.observe(now.saturating_duration_since(since).as_secs_f64());
                    }
                    series.depth.dec();
                    state.running.insert(key.clone());
                    if !state.ready.is_empty() {
                        self.shared.wake.notify_one(); // one permit at most is kept: pass it on
                    }
                    return key;
                }
                state.delayed.first().map(|(due, _)| *due)
            };
            match due {
                Some(due) => {
                    let _ = tokio::time::timeout_at(due, wake).await;
                }
                None => wake.await,
            }
        }
    }

    fn succeeded(&self, key: K, next: Next) {
        let mut state = self.shared.state.lock();
        state.failures.remove(&key);
        if let Next::After(delay) = next {
            state.delay(key.clone(), Instant::now() + delay);
        }
        state.running.remove(&key);
        if state.waiting.contains_key(&key) {
            self.shared.series.depth.inc();
            state.ready.push_back(key);
        }
        drop(state);
        self.shared.wake.notify_one();
    }

    fn failed(&self, key: K) -> Duration {
        self.shared.series.retries.inc();
        let mut state = self.shared.state.lock();
        let failures = state.failures.entry(key.clone()).or_default();
        *failures = failures.saturating_add(1);
        let delay = self.shared.backoff.delay(*failures);
        state.running.remove(&key);
        state.waiting.remove(&key); // a failing key waits for its back-off even if it was added meanwhile
        state.delay(key, Instant::now() + delay);
        drop(state);
        self.shared.wake.notify_one();
        delay
    }
}

impl<K: Clone + Eq + Hash + Ord> State<K> {
    /// Whether a worker should wake for it.
    fn add(&mut self, key: K, now: Instant, series: &Series) -> bool {
        if let Some(due) = self.due.remove(&key) {
            self.delayed.remove(&(due, key.clone()));
        }
        if self.waiting.contains_key(&key) {
            return false;
        }
        series.adds.inc();
        self.waiting.insert(key.clone(), now);
        if self.running.contains(&key) {
            return false;
        }
        series.depth.inc();
        self.ready.push_back(key);
        true
    }

    fn delay(&mut self, key: K, due: Instant) {
        if self.waiting.contains_key(&key) && !self.running.contains(&key) {
            return; // it runs sooner anyway
        }
        match self.due.get(&key) {
            Some(sooner) if *sooner <= due => return,
            Some(later) => {
                self.delayed.remove(&(*later, key.clone()));
            }
            None => {}
        }
        self.due.insert(key.clone(), due);
        self.delayed.insert((due, key));
    }

    /// Moves every delayed key whose time has come to the ready ones.
    fn ripen(&mut self, now: Instant, series: &Series) {
        while let Some((due, key)) = self.delayed.first().cloned() {
            if due > now {
                break;
            }
            self.add(key, now, series);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn until(what: &str, condition: impl Fn() -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(waited.await.is_ok(), "waited too long until {what}");
    }

    #[test]
    fn back_off_doubles_up_to_its_limit() {
        let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_secs(1) };
        for (failures, expected) in [(1, 5), (2, 10), (5, 80), (9, 1000), (40, 1000), (4000, 1000)] {
            assert_eq!(backoff.delay(failures), Duration::from_millis(expected), "{failures} failures");
        }
    }

    #[tokio::test]
    async fn a_key_never_runs_twice_at_once_and_never_gets_lost() {
        let scope = Scope::root("test");
        let queue = Queue::new("numbers", Backoff::default());
        let running = Arc::new(Mutex::new(HashSet::new()));
        let seen = Arc::new(Mutex::new(HashMap::<u32, usize>::new()));
        let latest = Arc::new(AtomicUsize::new(0));
        let (counted, ongoing, level) = (Arc::clone(&seen), Arc::clone(&running), Arc::clone(&latest));
        queue.work(&scope, 4, move |key: u32| {
            let (counted, ongoing, level) = (Arc::clone(&counted), Arc::clone(&ongoing), Arc::clone(&level));
            async move {
                assert!(ongoing.lock().insert(key), "{key} runs twice");
                let now = level.load(Ordering::SeqCst);
                tokio::task::yield_now().await;
                ongoing.lock().remove(&key);
                counted.lock().insert(key, now);
                Ok::<_, std::io::Error>(Next::Done)
            }
        });
        for round in 1..=100 {
            latest.store(round, Ordering::SeqCst);
            for key in 0..10 {
                queue.add(key);
            }
            tokio::task::yield_now().await;
        }
        until("every key saw the last round", || {
            let seen = seen.lock();
            seen.len() == 10 && seen.values().all(|round| *round == 100)
        })
        .await;
        assert_eq!(queue.pending(), 0);
        assert!(scope.shutdown(Duration::from_secs(5)).await.is_ok());
    }

    #[tokio::test]
    async fn failures_are_retried_with_back_off_and_panics_are_survived() {
        let scope = Scope::root("test");
        let queue = Queue::new("failing", Backoff::default());
        let attempts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&attempts);
        let start = Instant::now();
        queue.work(&scope, 1, move |_: u8| {
            let attempt = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match attempt {
                    0 | 1 => Err("not yet"),
                    2 => panic!("broken"),
                    _ => Ok(Next::Done),
                }
            }
        });
        queue.add(1);
        until("the fourth attempt", || attempts.load(Ordering::SeqCst) == 4).await;
        assert!(start.elapsed() >= Duration::from_millis(5 + 10 + 20));
        until("the queue is empty", || queue.pending() == 0).await;
    }

    #[test]
    fn the_earliest_delay_wins_and_now_beats_later() {
        let queue = Queue::new("delayed", Backoff::default());
        let mut state = queue.shared.state.lock();
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        for second in [9, 3, 5] {
            state.delay("a", at(second));
        }
        state.delay("b", at(7));
        let series = &queue.shared.series;
        assert!(state.add("b", start, series));
        assert!(!state.add("b", start, series), "it is ready already");
        state.delay("b", at(1));
        assert_eq!(state.ready, ["b"]);
        assert_eq!(state.delayed.iter().copied().collect::<Vec<_>>(), [(at(3), "a")]);
        state.ripen(at(2), series);
        assert_eq!(state.ready, ["b"]);
        state.ripen(at(3), series);
        assert_eq!(state.ready, ["b", "a"]);
        assert_eq!((series.adds.get(), series.depth.get()), (2, 2));
        assert!(state.delayed.is_empty() && state.due.is_empty());
    }
}
