//! Watchers in threads of their own while a writer publishes: each gets every event once, in order, and is woken.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use minato_mvcc::{Interest, Memory, Options, Revision};

use crate::model::{key, put};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

const EVENTS: u64 = 20_000;
const NODES: u64 = 4;

/// Receives until the last event of its interest; the revisions seen.
fn watch(memory: Memory, interest: Interest, last: u64) -> Vec<u64> {
    let mut cursor = memory.subscribe_to("core/pods", Revision(0), &interest).unwrap();
    let mut seen = Vec::new();
    while seen.last() != Some(&last) {
        let batch = block_on(cursor.next()).unwrap();
        // What a bookmark would promise must have been handed out, and reads must show it already.
        assert!(memory.revision() >= batch[batch.len() - 1].revision);
        seen.extend(batch.iter().map(|event| event.revision.0));
    }
    seen
}

#[test]
fn every_watcher_gets_every_event_of_its_interest() {
    let (memory, mut publisher) =
        Memory::new([], Revision(0), Options { log_events_max: 50_000, log_bytes_max: 1 << 30 });
    let all: Vec<_> = (0..4).map(|_| (Interest::All, EVENTS, 1)).collect();
    // Event n is about node n modulo NODES, on an object that stays on its node.
    let by_node = (0..NODES).map(|node| {
        let last = EVENTS - (EVENTS - node) % NODES;
        (Interest::Field { path: "spec.nodeName".into(), value: format!("node-{node}").into() }, last, NODES)
    });
    let watchers: Vec<_> = all
        .into_iter()
        .chain(by_node)
        .map(|(interest, last, step)| {
            let memory = memory.clone();
            (thread::spawn(move || watch(memory, interest, last)), last, step)
        })
        .collect();
    let mut revision = 0;
    while revision < EVENTS {
        let mut draft = publisher.draft();
        for _ in 0..=(revision % 13) {
            if revision < EVENTS {
                revision += 1;
                let node = revision % NODES;
                draft.apply(put(key(node as usize * 2), &format!("node-{node}")).into()).unwrap();
            }
        }
        publisher.publish(draft).unwrap();
    }
    for (watcher, last, step) in watchers {
        let seen = watcher.join().unwrap();
        assert_eq!(seen.last(), Some(&last));
        assert!(seen.windows(2).all(|pair| pair[1] == pair[0] + step), "skipped or reordered");
        assert!(seen[0] <= step);
    }
}

#[test]
fn an_event_wakes_only_those_it_concerns() {
    let (memory, mut publisher) = Memory::new([], Revision(0), Options::default());
    let field = |value: &str| Interest::Field { path: "spec.nodeName".into(), value: value.into() };
    let mut concerned = memory.subscribe_to("core/pods", Revision(0), &field("node-1")).unwrap();
    let mut other = memory.subscribe_to("core/pods", Revision(0), &field("node-2")).unwrap();
    let counts: [Arc<Count>; 2] = Default::default();
    let [first, second] = counts.each_ref().map(|count| Waker::from(count.clone()));
    let mut concerned_next = pin!(concerned.next());
    let mut other_next = pin!(other.next());
    assert!(concerned_next.as_mut().poll(&mut Context::from_waker(&first)).is_pending());
    assert!(other_next.as_mut().poll(&mut Context::from_waker(&second)).is_pending());
    let mut draft = publisher.draft();
    draft.apply(put(key(0), "node-1").into()).unwrap();
    publisher.publish(draft).unwrap();
    assert_eq!(counts.each_ref().map(|count| count.0.load(std::sync::atomic::Ordering::SeqCst)), [1, 0]);
    assert!(concerned_next.as_mut().poll(&mut Context::from_waker(&first)).is_ready());
    assert!(other_next.as_mut().poll(&mut Context::from_waker(&second)).is_pending());
}

#[derive(Default)]
struct Count(std::sync::atomic::AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}
