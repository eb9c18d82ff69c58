//! A priority level: seats, and queues for who waits for one.
//!
//! While there are seats and nobody waits, taking one is an atomic addition. A full level borrows from others what they
//! lend and do not use. Who finds no seat is dealt to the shortest of a few queues, chosen by its flow, so that a flow
//! that floods fills its own few; queues are served in turn by the seats that they have had.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::oneshot;

/// Why a request does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The level has no queues.
    ConcurrencyLimit,
    QueueFull,
    TimeOut,
}

/// The level has no free seat.
#[derive(Debug)]
pub(super) struct Full;

pub(super) struct Level {
    pub(super) name: String,
    exempt: AtomicBool,
    /// Seats of the level's own.
    nominal: AtomicU32,
    /// Of these, what others cannot have.
    minimum: AtomicU32,
    /// With what it borrows.
    maximum: AtomicU32,
    executing: AtomicU32,
    waiting: AtomicUsize,
    queues: Mutex<Queues>,
    others: Mutex<(u32, Arc<[Arc<Level>]>)>,
}

struct Queues {
    queues: Vec<Queue>,
    hand: usize,
    length_max: usize,
    next_id: u64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiter>,
    /// Seats that this queue has had, brought up to the others' when it was empty: the least is served first.
    had: u64,
}

struct Waiter {
    id: u64,
    width: u32,
    go: oneshot::Sender<()>,
}

/// Seats that are taken; given back when dropped.
pub(super) struct Seats {
    level: Arc<Level>,
    width: u32,
}

impl Drop for Seats {
    fn drop(&mut self) {
        self.level.give_back(self.width);
    }
}

/// `nominalConcurrencyShares` of a PriorityLevelConfiguration.
pub(super) fn shares(configuration: &Value) -> f64 {
    let spec = &configuration["spec"];
    let (part, default) = if spec["type"] == "Exempt" { ("exempt", 0.0) } else { ("limited", 30.0) };
    spec[part]["nominalConcurrencyShares"].as_f64().unwrap_or(default)
}

impl Level {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            exempt: AtomicBool::new(false),
            nominal: AtomicU32::new(1),
            minimum: AtomicU32::new(1),
            maximum: AtomicU32::new(1),
            executing: AtomicU32::new(0),
            waiting: AtomicUsize::new(0),
            queues: Mutex::new(Queues { queues: Vec::new(), hand: 1, length_max: 0, next_id: 0 }),
            others: Mutex::new((0, Arc::from([]))),
        }
    }

    /// Takes over a configuration; `seats` of the server are shared by `shares`.
    pub(super) fn configure(&self, configuration: &Value, seats: u32, all_shares: f64) {
        let spec = &configuration["spec"];
        let exempt = spec["type"] == "Exempt";
        let limited = &spec["limited"];
        let part = if exempt { &spec["exempt"] } else { limited };
        let own = if all_shares > 0.0 { f64::from(seats) * shares(configuration) / all_shares } else { 0.0 };
        let nominal = own.ceil();
        let lendable = (nominal * part["lendablePercent"].as_f64().unwrap_or(0.0) / 100.0).round();
        let borrowed = limited["borrowingLimitPercent"].as_f64().map(|percent| (nominal * percent / 100.0).round());
        self.exempt.store(exempt, Ordering::Relaxed);
        self.nominal.store(nominal as u32, Ordering::Relaxed);
        self.minimum.store((nominal - lendable) as u32, Ordering::Relaxed);
        let maximum = borrowed.map_or(seats, |borrowed| (nominal + borrowed) as u32);
        self.maximum.store(maximum, Ordering::Relaxed);
        let response = &limited["limitResponse"];
        let queuing = &response["queuing"];
        let number = |value: &Value, default: usize| {
            value.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(default)
        };
        let mut queues = self.queues.lock();
        let wanted = if response["type"] == "Queue" { number(&queuing["queues"], 64) } else { 0 };
        // Who waits in a queue that is no more goes to the first that is left; without queues they wait to the end.
        let surplus = if wanted < queues.queues.len() { queues.queues.split_off(wanted) } else { Vec::new() };
        queues.queues.resize_with(wanted, Queue::default);
        let left: VecDeque<Waiter> = surplus.into_iter().flat_map(|queue| queue.waiting).collect();
        if !left.is_empty() {
            if queues.queues.is_empty() {
                queues.queues.push(Queue::default());
            }
            queues.queues[0].waiting.extend(left);
        }
        queues.hand = number(&queuing["handSize"], 8).max(1);
        queues.length_max = if wanted == 0 { 0 } else { number(&queuing["queueLengthLimit"], 50) };
    }

    /// Tells the level of all levels, from which it may borrow.
    pub(super) fn share(&self, seats: u32, all: &Arc<[Arc<Level>]>) {
        *self.others.lock() = (seats, Arc::clone(all));
    }

    pub(super) fn nominal(&self) -> u32 {
        self.nominal.load(Ordering::Relaxed)
    }

    /// Takes seats if nobody waits and there are enough; none are needed in an exempt level.
    pub(super) fn try_take(self: &Arc<Self>, width: u32) -> Result<Option<Seats>, Full> {
        if self.exempt.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if self.waiting.load(Ordering::Acquire) == 0 && self.occupy(width, self.nominal()) {
            return Ok(Some(Seats { level: Arc::clone(self), width }));
        }
        Err(Full)
    }

    /// Takes seats now or waits for them in a queue.
    pub(super) async fn wait(self: &Arc<Self>, flow: u64, width: u32, limit: Duration) -> Result<Seats, Refusal> {
        let (id, mut told) = {
            let mut queues = self.queues.lock();
            if self.waiting.load(Ordering::Acquire) == 0 && self.occupy(width, self.limit(width)) {
                return Ok(Seats { level: Arc::clone(self), width });
            }
            let entered = queues.enter(flow, width)?;
            self.waiting.fetch_add(1, Ordering::AcqRel);
            // A seat may have become free in between.
            self.dispatch(&mut queues);
            entered
        };
        let mut waiting = Waiting { level: self, id, width, over: false };
        let result = tokio::time::timeout(limit, &mut told).await;
        match result {
            Ok(Ok(())) => {
                waiting.over = true;
                Ok(Seats { level: Arc::clone(self), width })
            }
            // The guard takes the request out of its queue, or gives back what it was given at the last moment.
            _ => Err(Refusal::TimeOut),
        }
    }

    /// Adds to the seats that are taken, within `limit`; a request wider than a whole level runs when it is alone.
    fn occupy(&self, width: u32, limit: u32) -> bool {
        let take = |now: u32| (now == 0 || now.saturating_add(width) <= limit).then(|| now.saturating_add(width));
        self.executing.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok()
    }

    /// How many seats the level may have at this moment, to take `width` more: its own, and what others lend and leave.
    fn limit(&self, width: u32) -> u32 {
        let nominal = self.nominal();
        let executing = self.executing.load(Ordering::Acquire);
        if executing.saturating_add(width) <= nominal {
            return nominal;
        }
        let (seats, others) = &*self.others.lock();
        let reserved: u32 = others
            .iter()
            .filter(|level| level.name != self.name && !level.exempt.load(Ordering::Relaxed))
            .map(|level| level.executing.load(Ordering::Acquire).max(level.minimum.load(Ordering::Relaxed)))
            .sum();
        seats.saturating_sub(reserved).min(self.maximum.load(Ordering::Relaxed)).max(nominal)
    }

    fn give_back(&self, width: u32) {
        self.executing.fetch_sub(width, Ordering::AcqRel);
        if self.waiting.load(Ordering::Acquire) > 0 {
            self.dispatch(&mut self.queues.lock());
        }
    }

    /// Lets those run for whom there are seats.
    fn dispatch(&self, queues: &mut Queues) {
        while let Some((index, width)) = queues.next() {
            if !self.occupy(width, self.limit(width)) {
                return;
            }
            let queue = &mut queues.queues[index];
            queue.had += u64::from(width);
            let Some(waiter) = queue.waiting.pop_front() else { return };
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            // Its guard gives the seats back if it stopped waiting at this moment: it finds itself in no queue.
            let _ = waiter.go.send(());
        }
    }
}

/// Takes a request that waits no more out of its queue.
struct Waiting<'a> {
    level: &'a Arc<Level>,
    id: u64,
    width: u32,
    over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let was_waiting = self.level.queues.lock().leave(self.id);
        if was_waiting {
            self.level.waiting.fetch_sub(1, Ordering::AcqRel);
        } else {
            self.level.give_back(self.width);
        }
    }
}

impl Queues {
    /// Puts a request into the shortest of the queues that its flow is dealt.
    fn enter(&mut self, flow: u64, width: u32) -> Result<(u64, oneshot::Receiver<()>), Refusal> {
        let shortest = deal(flow, self.queues.len(), self.hand)
            .into_iter()
            .min_by_key(|index| self.queues[*index].waiting.len())
            .ok_or(Refusal::ConcurrencyLimit)?;
        let busiest = self.queues.iter().filter(|queue| !queue.waiting.is_empty()).map(|queue| queue.had).min();
        let queue = &mut self.queues[shortest];
        if queue.waiting.len() >= self.length_max {
            return Err(if self.length_max == 0 { Refusal::ConcurrencyLimit } else { Refusal::QueueFull });
        }
        if queue.waiting.is_empty() {
            // An idle queue saves nothing up.
            queue.had = queue.had.max(busiest.unwrap_or(0));
        }
        let (go, told) = oneshot::channel();
        let id = self.next_id;
        self.next_id += 1;
        queue.waiting.push_back(Waiter { id, width, go });
        Ok((id, told))
    }

    /// The queue whose turn it is, and the width of its first request.
    fn next(&self) -> Option<(usize, u32)> {
        let waiting = self
            .queues
            .iter()
            .enumerate()
            .filter_map(|(index, queue)| queue.waiting.front().map(|waiter| (queue.had, index, waiter.width)));
        waiting.min().map(|(_, index, width)| (index, width))
    }

    /// Whether the request was in a queue; now it is in none.
    fn leave(&mut self, id: u64) -> bool {
        self.queues.iter_mut().any(|queue| {
            let before = queue.waiting.len();
            queue.waiting.retain(|waiter| waiter.id != id);
            queue.waiting.len() < before
        })
    }
}

/// The queues of a flow: `hand` different ones of `deck`, as shuffle sharding deals them.
fn deal(flow: u64, deck: usize, hand: usize) -> Vec<usize> {
    let mut left = flow;
    let mut cards: Vec<usize> = Vec::with_capacity(hand);
    for dealt in 0..hand.min(deck) {
        let remaining = (deck - dealt) as u64;
        let mut card = (left % remaining) as usize;
        left /= remaining;
        // The card's place among those that are not dealt yet.
        let mut before: Vec<usize> = cards.clone();
        before.sort_unstable();
        for dealt in before {
            if card >= dealt {
                card += 1;
            }
        }
        cards.push(card);
    }
    cards
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn level(nominal: u32, queues: u32, length: u32) -> Arc<Level> {
        let level = Arc::new(Level::new("test"));
        let response = if queues == 0 {
            json!({"type": "Reject"})
        } else {
            json!({"type": "Queue", "queuing": {"queues": queues, "handSize": 1, "queueLengthLimit": length}})
        };
        let configuration = json!({"spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 1, "borrowingLimitPercent": 0, "limitResponse": response,
        }}});
        level.configure(&configuration, nominal, 1.0);
        level
    }

    #[test]
    fn hands_are_of_different_cards() {
        for flow in [0, 1, 12_345, u64::MAX, 0x9e37_79b9_7f4a_7c15] {
            let mut cards = deal(flow, 64, 8);
            assert!(cards.iter().all(|card| *card < 64));
            cards.sort_unstable();
            cards.dedup();
            assert_eq!(cards.len(), 8, "{flow}");
        }
        assert_eq!(deal(7, 3, 8).len(), 3);
    }

    #[tokio::test]
    async fn who_finds_no_seat_waits_its_turn() {
        let level = level(1, 2, 3);
        let first = level.try_take(1).unwrap().unwrap();
        assert!(level.try_take(1).is_err());
        // Flow 0 floods its queue; flow 1, which comes last, is served second.
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (name, flow) in [("a", 0), ("b", 0), ("c", 0), ("d", 1)] {
            let (level, order) = (Arc::clone(&level), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                let seats = level.wait(flow, 1, Duration::from_secs(60)).await;
                order.lock().push((name, seats.is_ok()));
            }));
            tokio::task::yield_now().await;
        }
        let full = level.wait(0, 1, Duration::from_secs(60)).await.err();
        assert_eq!(full, Some(Refusal::QueueFull));
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock(), [("a", true), ("d", true), ("b", true), ("c", true)]);
        assert_eq!(level.executing.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nothing_behind() {
        let level = level(1, 1, 5);
        let first = level.try_take(1).unwrap();
        assert_eq!(level.wait(0, 1, Duration::from_millis(5)).await.err(), Some(Refusal::TimeOut));
        let waiting = level.wait(0, 1, Duration::from_secs(60));
        assert!(tokio::time::timeout(Duration::from_millis(5), waiting).await.is_err());
        assert_eq!(level.waiting.load(Ordering::Acquire), 0);
        drop(first);
        assert!(level.try_take(1).is_ok());
        assert_eq!(level.executing.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn without_queues_a_full_level_refuses() {
        let level = level(2, 0, 0);
        let held = [level.try_take(1).unwrap(), level.try_take(1).unwrap()];
        let refused = level.wait(0, 1, Duration::from_secs(1)).await.err();
        assert_eq!(refused, Some(Refusal::ConcurrencyLimit));
        drop(held);
        // Wider than the level: it runs alone.
        assert!(level.try_take(10).is_ok());
    }

    #[tokio::test]
    async fn what_others_lend_and_leave_is_borrowed() {
        let make = |name: &str, lendable: u32| {
            let level = Arc::new(Level::new(name));
            let configuration = json!({"spec": {"type": "Limited", "limited": {
                "nominalConcurrencyShares": 1, "lendablePercent": lendable, "limitResponse": {"type": "Reject"},
            }}});
            level.configure(&configuration, 8, 2.0);
            level
        };
        let (busy, idle) = (make("busy", 0), make("idle", 50));
        let all: Arc<[Arc<Level>]> = Arc::from([Arc::clone(&busy), Arc::clone(&idle)]);
        busy.share(8, &all);
        idle.share(8, &all);
        let mut held = Vec::new();
        while let Ok(seats) = busy.wait(0, 1, Duration::from_secs(1)).await {
            held.push(seats);
        }
        // Its own four, and half of the other's four.
        assert_eq!(held.len(), 6);
    }
}
