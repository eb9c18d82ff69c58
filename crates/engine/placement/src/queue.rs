//! Which pod is next, and which must wait for what.
//!
//! | state | left when |
//! |---|---|
//! | ready | it is its turn: highest priority first, then the one that came first |
//! | taken | it was placed and bound (`remove`), fits nowhere (`wait`), or something went wrong (`retry`) |
//! | backing off | its time has come: 1 s after the first attempt, doubling up to 10 s, unless set otherwise |
//! | waiting | something changed that can help it (`reactivate`), or five minutes have passed |

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::cluster::Uid;
use crate::demand::Demand;
use crate::refusal::Unschedulable;

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
const WAIT_MAX: Duration = Duration::from_secs(300);

/// A pod that has no node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The pod.
    pub uid: Uid,
    /// What it demands.
    pub demand: Demand,
    /// `spec.priority`.
    pub priority: i32,
    /// The number of its profile.
    pub profile: usize,
}

/// Pods that wait for the same.
#[derive(Debug)]
pub struct Waiting {
    /// The number of their profile.
    pub profile: usize,
    /// What each demands.
    pub demand: Demand,
    /// Why the last of them that was tried fits nowhere.
    pub reason: Unschedulable,
    uids: HashSet<Uid>,
}

/// The pods without a node. Times are since any fixed moment that the caller chooses.
#[derive(Debug)]
pub struct Queue {
    backoff_first: Duration,
    backoff_max: Duration,
    pods: HashMap<Uid, Entry>,
    ready: BTreeSet<(Reverse<i32>, u64, Uid)>,
    timers: BTreeSet<(Duration, Uid)>,
    waiting: HashMap<(usize, Demand), Waiting>,
    arrivals: u64,
}

#[derive(Debug)]
struct Entry {
    demand: Demand,
    priority: i32,
    profile: usize,
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

impl Default for Queue {
    fn default() -> Self {
        Self::new(BACKOFF_FIRST, BACKOFF_MAX)
    }
}

impl Queue {
    /// An empty queue; pods back off for `backoff_first` after their first attempt, doubling up to `backoff_max`.
    #[must_use]
    pub fn new(backoff_first: Duration, backoff_max: Duration) -> Self {
        Self {
            backoff_first,
            backoff_max,
            pods: HashMap::new(),
            ready: BTreeSet::new(),
            timers: BTreeSet::new(),
            waiting: HashMap::new(),
            arrivals: 0,
        }
    }

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
    pub fn add(&mut self, pod: Queued) {
        let Queued { uid, demand, priority, profile } = pod;
        let known = self.pods.get(&uid);
        if known.is_some_and(|entry| entry.demand == demand && entry.priority == priority && entry.profile == profile) {
            return;
        }
        let arrival = known.map_or(self.arrivals, |entry| entry.arrival);
        let taken = known.is_some_and(|entry| entry.state == State::Taken);
        self.remove(&uid);
        self.arrivals += 1;
        let state = if taken { State::Taken } else { State::Ready };
        let entry = Entry { demand, priority, profile, arrival, attempts: 0, earliest: Duration::ZERO, state };
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
                self.stop_waiting(entry.profile, &entry.demand, uid);
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
        let doublings = entry.attempts.saturating_sub(1).min(16);
        entry.earliest = now + self.backoff_first.saturating_mul(1_u32 << doublings).min(self.backoff_max);
        let (demand, priority, profile) = (entry.demand.clone(), entry.priority, entry.profile);
        Some(Queued { uid, demand, priority, profile })
    }

    /// Whether a pod is ready now.
    pub fn has_ready(&mut self, now: Duration) -> bool {
        self.wake(now);
        !self.ready.is_empty()
    }

    /// A taken pod fits nowhere: it waits until something changes.
    pub fn wait(&mut self, uid: &Uid, reason: &Unschedulable, now: Duration) {
        let Some(entry) = self.pods.get_mut(uid).filter(|entry| entry.state == State::Taken) else { return };
        let until = now + WAIT_MAX;
        entry.state = State::Waiting { until };
        let (profile, demand) = (entry.profile, &entry.demand);
        let new = || Waiting { profile, demand: demand.clone(), reason: reason.clone(), uids: HashSet::new() };
        let waiting = self.waiting.entry((profile, demand.clone())).or_insert_with(new);
        if waiting.reason != *reason {
            waiting.reason = reason.clone();
        }
        waiting.uids.insert(uid.clone());
        self.timers.insert((until, uid.clone()));
    }

    /// Something went wrong with a taken pod: it backs off.
    pub fn retry(&mut self, uid: &Uid) {
        let Some(entry) = self.pods.get_mut(uid).filter(|entry| entry.state == State::Taken) else { return };
        let until = entry.earliest;
        entry.state = State::BackingOff { until };
        self.timers.insert((until, uid.clone()));
    }

    /// Something changed: pods that wait and that `helps` says it could help try again, after their back-off. Asked
    /// once for all pods that wait for the same.
    pub fn reactivate(&mut self, now: Duration, mut helps: impl FnMut(&Waiting) -> bool) {
        let helped: Vec<(usize, Demand)> =
            self.waiting.iter().filter(|(_, waiting)| helps(waiting)).map(|(key, _)| key.clone()).collect();
        for uid in helped.iter().filter_map(|key| self.waiting.remove(key)).flat_map(|waiting| waiting.uids) {
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
            let (profile, demand) = (entry.profile, entry.demand.clone());
            entry.state = State::Ready;
            self.ready.insert(entry.rank(&uid));
            if was_waiting {
                self.stop_waiting(profile, &demand, &uid);
            }
        }
    }

    fn stop_waiting(&mut self, profile: usize, demand: &Demand, uid: &Uid) {
        let key = (profile, demand.clone());
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.uids.remove(uid);
            if waiting.uids.is_empty() {
                self.waiting.remove(&key);
            }
        }
    }
}

impl Entry {
    fn rank(&self, uid: &Uid) -> (Reverse<i32>, u64, Uid) {
        (Reverse(self.priority), self.arrival, uid.clone())
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::serde_json::{from_value, json};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn uid(name: &str) -> Uid {
        Uid(name.into())
    }

    /// A pod of a namespace of its own, so that it waits alone.
    fn queued(name: &str, namespace: &str, priority: i32) -> Queued {
        let pod = json!({"metadata": {"namespace": namespace}, "spec": {"containers": []}});
        Queued { uid: uid(name), demand: Demand::of(&from_value(pod).unwrap()), priority, profile: 0 }
    }

    fn wait(queue: &mut Queue, name: &str, now: Duration) {
        queue.wait(&uid(name), &Unschedulable::default(), now);
    }

    fn popped(queue: &mut Queue, now: Duration) -> Vec<String> {
        std::iter::from_fn(|| queue.pop(now)).map(|queued| queued.uid.0.to_string()).collect()
    }

    #[test]
    fn priority_then_arrival() {
        let mut queue = Queue::default();
        for (name, priority) in [("a", 0), ("b", 10), ("c", 0), ("d", 10)] {
            queue.add(queued(name, "", priority));
        }
        queue.add(queued("a", "", 0));
        assert_eq!(popped(&mut queue, SECOND), ["b", "d", "a", "c"]);
        assert_eq!(queue.len(), 4, "taken pods are not forgotten");
    }

    #[test]
    fn waiting_pods_wake_when_their_class_fits() {
        let mut queue = Queue::default();
        queue.add(queued("a", "x", 0));
        queue.add(queued("b", "y", 0));
        assert_eq!(popped(&mut queue, SECOND), ["a", "b"]);
        wait(&mut queue, "a", SECOND);
        wait(&mut queue, "b", SECOND);
        assert!(popped(&mut queue, 100 * SECOND).is_empty());
        let mut asked = 0;
        queue.reactivate(100 * SECOND, |class| {
            asked += 1;
            class.demand.namespace() == "y"
        });
        assert_eq!(asked, 2);
        assert_eq!(popped(&mut queue, 100 * SECOND), ["b"]);
        assert_eq!(popped(&mut queue, 301 * SECOND), ["a"], "nobody waits for ever");
    }

    #[test]
    fn attempts_back_off() {
        let mut queue = Queue::default();
        queue.add(queued("a", "", 0));
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
        queue.add(queued("a", "", 0));
        assert_eq!(popped(&mut queue, SECOND), ["a"]);
        wait(&mut queue, "a", SECOND);
        queue.reactivate(SECOND, |_| true);
        assert!(!queue.has_ready(SECOND));
        assert_eq!(popped(&mut queue, 2 * SECOND), ["a"]);
    }

    #[test]
    fn a_changed_pod_is_tried_at_once() {
        let mut queue = Queue::default();
        queue.add(queued("a", "x", 0));
        assert_eq!(popped(&mut queue, SECOND), ["a"]);
        wait(&mut queue, "a", SECOND);
        queue.add(queued("a", "y", 0));
        assert_eq!(popped(&mut queue, SECOND), ["a"]);
    }
}
