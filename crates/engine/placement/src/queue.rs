//! Which pod is next, and which must wait for what.
//!
//! | state | left when |
//! |---|---|
//! | ready | it is its turn: highest priority first, then the one that came first |
//! | taken | it was placed and bound (`remove`), fits nowhere (`wait`), or something went wrong (`retry`) |
//! | backing off | its time has come: 1 s after the first attempt, doubling up to 10 s |
//! | waiting | a node changed so that it would fit (`reactivate`), or five minutes have passed |

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Uid;
use crate::demand::Demand;

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
const WAIT_MAX: Duration = Duration::from_secs(300);

/// A pod whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The pod.
    pub uid: Uid,
    /// What it demands.
    pub demand: Arc<Demand>,
}

/// The pods without a node. Times are since any fixed moment that the caller chooses.
#[derive(Debug, Default)]
pub struct Queue {
    pods: HashMap<Uid, Entry>,
    ready: BTreeSet<(Reverse<i32>, u64, Uid)>,
    timers: BTreeSet<(Duration, Uid)>,
    waiting: HashMap<Arc<Demand>, HashSet<Uid>>,
    arrivals: u64,
}

#[derive(Debug)]
struct Entry {
    demand: Arc<Demand>,
    priority: i32,
    arrival: u64,
    attempts: u32,
    /// Not before this time.
    earliest: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Taken,
    BackingOff { until: Duration },
    Waiting { until: Duration },
}

impl Queue {
    /// How many pods have no node yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    /// Whether every pod has a node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// The uids of all pods in the queue.
    pub fn uids(&self) -> impl Iterator<Item = &Uid> {
        self.pods.keys()
    }

    /// Adds a pod; a known pod whose demand or priority changed becomes ready at once.
    pub fn add(&mut self, uid: Uid, demand: Arc<Demand>, priority: i32) {
        let known = self.pods.get(&uid);
        if known.is_some_and(|entry| entry.demand == demand && entry.priority == priority) {
            return;
        }
        let arrival = known.map_or(self.arrivals, |entry| entry.arrival);
        let taken = known.is_some_and(|entry| entry.state == State::Taken);
        self.remove(&uid);
        self.arrivals += 1;
        let state = if taken { State::Taken } else { State::Ready };
        let entry = Entry { demand, priority, arrival, attempts: 0, earliest: Duration::ZERO, state };
        if !taken {
            self.ready.insert(entry.rank(&uid));
        }
        self.pods.insert(uid, entry);
    }

    /// Forgets a pod.
    pub fn remove(&mut self, uid: &Uid) {
        let Some(entry) = self.pods.remove(uid) else { return };
        match entry.state {
            State::Ready => drop(self.ready.remove(&entry.rank(uid))),
            State::Taken => {}
            State::BackingOff { until } => drop(self.timers.remove(&(until, uid.clone()))),
            State::Waiting { until } => {
                self.timers.remove(&(until, uid.clone()));
                self.stop_waiting(&entry.demand, uid);
            }
        }
    }

    /// Takes the next pod.
    pub fn pop(&mut self, now: Duration) -> Option<Queued> {
        self.wake(now);
        let (_, _, uid) = self.ready.pop_first()?;
        let entry = self.pods.get_mut(&uid)?;
        entry.state = State::Taken;
        entry.attempts += 1;
        entry.earliest = now + backoff(entry.attempts);
        Some(Queued { demand: Arc::clone(&entry.demand), uid })
    }

    /// Whether a pod is ready now.
    pub fn has_ready(&mut self, now: Duration) -> bool {
        self.wake(now);
        !self.ready.is_empty()
    }

    /// A taken pod fits nowhere: it waits until a node changes.
    pub fn wait(&mut self, uid: &Uid, now: Duration) {
        let Some(entry) = self.pods.get_mut(uid).filter(|entry| entry.state == State::Taken) else { return };
        let until = now + WAIT_MAX;
        entry.state = State::Waiting { until };
        self.waiting.entry(Arc::clone(&entry.demand)).or_default().insert(uid.clone());
        self.timers.insert((until, uid.clone()));
    }

    /// Something went wrong with a taken pod: it backs off.
    pub fn retry(&mut self, uid: &Uid) {
        let Some(entry) = self.pods.get_mut(uid).filter(|entry| entry.state == State::Taken) else { return };
        let until = entry.earliest;
        entry.state = State::BackingOff { until };
        self.timers.insert((until, uid.clone()));
    }

    /// Something changed: pods that wait and whose demand `fits` says could now be met try again, after their
    /// back-off. Asked once for each class of pods.
    pub fn reactivate(&mut self, now: Duration, mut fits: impl FnMut(&Demand) -> bool) {
        let classes: Vec<Arc<Demand>> = self.waiting.keys().filter(|demand| fits(demand)).map(Arc::clone).collect();
        for uid in classes.iter().filter_map(|demand| self.waiting.remove(demand)).flatten() {
            let Some(entry) = self.pods.get_mut(&uid) else { continue };
            if let State::Waiting { until } = entry.state {
                self.timers.remove(&(until, uid.clone()));
            }
            if entry.earliest > now {
                entry.state = State::BackingOff { until: entry.earliest };
                self.timers.insert((entry.earliest, uid));
            } else {
                entry.state = State::Ready;
                self.ready.insert(entry.rank(&uid));
            }
        }
    }

    /// When the next pod becomes ready by itself.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        self.timers.first().map(|(until, _)| *until)
    }

    fn wake(&mut self, now: Duration) {
        while let Some((until, uid)) = self.timers.pop_first() {
            if until > now {
                self.timers.insert((until, uid));
                return;
            }
            let Some(entry) = self.pods.get_mut(&uid) else { continue };
            let was_waiting = matches!(entry.state, State::Waiting { .. });
            let demand = Arc::clone(&entry.demand);
            entry.state = State::Ready;
            self.ready.insert(entry.rank(&uid));
            if was_waiting {
                self.stop_waiting(&demand, &uid);
            }
        }
    }

    fn stop_waiting(&mut self, demand: &Arc<Demand>, uid: &Uid) {
        if let Some(class) = self.waiting.get_mut(demand) {
            class.remove(uid);
            if class.is_empty() {
                self.waiting.remove(demand);
            }
        }
    }
}

impl Entry {
    fn rank(&self, uid: &Uid) -> (Reverse<i32>, u64, Uid) {
        (Reverse(self.priority), self.arrival, uid.clone())
    }
}

fn backoff(attempts: u32) -> Duration {
    BACKOFF_FIRST
        .saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1).min(16)).unwrap_or(u32::MAX))
        .min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn uid(name: &str) -> Uid {
        Uid(name.into())
    }

    fn demand(group: &str) -> Arc<Demand> {
        Arc::new(Demand { group: Some(group.to_owned()), ..Demand::default() })
    }

    fn popped(queue: &mut Queue, now: Duration) -> Vec<String> {
        std::iter::from_fn(|| queue.pop(now)).map(|queued| queued.uid.0.to_string()).collect()
    }

    #[test]
    fn priority_then_arrival() {
        let mut queue = Queue::default();
        for (name, priority) in [("a", 0), ("b", 10), ("c", 0), ("d", 10)] {
            queue.add(uid(name), demand(""), priority);
        }
        queue.add(uid("a"), demand(""), 0);
        assert_eq!(popped(&mut queue, SECOND), ["b", "d", "a", "c"]);
        assert_eq!(queue.len(), 4, "taken pods are not forgotten");
    }

    #[test]
    fn waiting_pods_wake_when_their_class_fits() {
        let mut queue = Queue::default();
        queue.add(uid("a"), demand("x"), 0);
        queue.add(uid("b"), demand("y"), 0);
        assert_eq!(popped(&mut queue, SECOND), ["a", "b"]);
        queue.wait(&uid("a"), SECOND);
        queue.wait(&uid("b"), SECOND);
        assert!(popped(&mut queue, 100 * SECOND).is_empty());
        let mut asked = 0;
        queue.reactivate(100 * SECOND, |class| {
            asked += 1;
            class.group.as_deref() == Some("y")
        });
        assert_eq!(asked, 2);
        assert_eq!(popped(&mut queue, 100 * SECOND), ["b"]);
        assert_eq!(popped(&mut queue, 301 * SECOND), ["a"], "nobody waits for ever");
    }

    #[test]
    fn attempts_back_off() {
        let mut queue = Queue::default();
        queue.add(uid("a"), demand(""), 0);
        let mut now = SECOND;
        for pause in [1, 2, 4, 8, 10, 10] {
            assert_eq!(popped(&mut queue, now), ["a"]);
            queue.retry(&uid("a"));
            assert_eq!(queue.next_wake(), Some(now + pause * SECOND));
            assert!(popped(&mut queue, now + pause * SECOND - Duration::from_millis(1)).is_empty());
            now += pause * SECOND;
        }
        queue.remove(&uid("a"));
        assert!(queue.is_empty() && queue.next_wake().is_none());
    }

    #[test]
    fn a_reactivated_pod_still_backs_off() {
        let mut queue = Queue::default();
        queue.add(uid("a"), demand(""), 0);
        assert_eq!(popped(&mut queue, SECOND), ["a"]);
        queue.wait(&uid("a"), SECOND);
        queue.reactivate(SECOND, |_| true);
        assert!(!queue.has_ready(SECOND));
        assert_eq!(popped(&mut queue, 2 * SECOND), ["a"]);
    }

    #[test]
    fn a_changed_pod_is_tried_at_once() {
        let mut queue = Queue::default();
        queue.add(uid("a"), demand("x"), 0);
        assert_eq!(popped(&mut queue, SECOND), ["a"]);
        queue.wait(&uid("a"), SECOND);
        queue.add(uid("a"), demand("y"), 0);
        assert_eq!(popped(&mut queue, SECOND), ["a"]);
    }
}
