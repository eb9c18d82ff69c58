//! Prints durable writes per second at several numbers of concurrent writers, and memory and load time per 100,000
//! objects. Reports, asserts nothing.
//!
//! `cargo bench -p minato-store`; `MINATO_BENCH_DIR` chooses the disk.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use minato_mvcc::{Attributes, Expected, Key, Operation, Template};
use minato_store::Backend;
use minato_store::embedded::{self, Embedded, Options};

const VALUE_BYTES: usize = 1024;
const OBJECTS: usize = 100_000;

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let parent = std::env::var_os("MINATO_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let directory = tempfile::tempdir_in(parent).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        println!("{:>8} {:>10} {:>10} {:>10}", "writers", "writes/s", "p50 ms", "p99 ms");
        for writers in [1, 16, 64, 256] {
            let store = Arc::new(open(&directory.path().join(writers.to_string())));
            let (rate, p50, p99) = measure(&store, writers, Duration::from_secs(3)).await;
            println!("{writers:>8} {rate:>10.0} {p50:>10.2} {p99:>10.2}");
            store.close().await;
        }
        let path = directory.path().join("load");
        let store = Arc::new(open(&path));
        fill(&store).await;
        store.close().await;
        drop(store);
        let size = std::fs::metadata(path.join(embedded::FILE_NAME)).unwrap().len();
        let (before, started) = (resident_kib(), Instant::now());
        let store = open(&path);
        let (elapsed, grown) = (started.elapsed(), resident_kib() - before);
        println!(
            "{} objects of {VALUE_BYTES} bytes: file {} MiB, loaded in {elapsed:.2?}, {} MiB resident",
            store.memory().snapshot("core/pods").len(),
            size >> 20,
            grown >> 10
        );
        store.close().await;
    });
}

fn open(path: &std::path::Path) -> Embedded {
    embedded::open(path, Options::new(|_, _| Attributes::default())).unwrap()
}

fn operation(name: &str) -> Operation {
    Operation::Put {
        key: Key::new("core/pods", "default", name),
        value: Template { bytes: vec![b'x'; VALUE_BYTES], revision_at: 100 },
        attributes: Attributes::new([("app", "bench")], [("spec.nodeName", "node-1"), ("status.phase", "Running")]),
        expected: Expected::Any,
    }
}

async fn measure(store: &Arc<Embedded>, writers: usize, duration: Duration) -> (f64, f64, f64) {
    let started = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while started.elapsed() < duration {
                    let begun = Instant::now();
                    let name = format!("{writer}-{}", latencies.len() % 1000);
                    store.commit(operation(&name).into()).await.unwrap();
                    latencies.push(begun.elapsed().as_secs_f64() * 1e3);
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    let rate = latencies.len() as f64 / started.elapsed().as_secs_f64();
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    (rate, at(0.5), at(0.99))
}

async fn fill(store: &Arc<Embedded>) {
    const OPERATIONS: usize = 500;
    for first in (0..OBJECTS).step_by(OPERATIONS) {
        let operations: Vec<_> =
            (first..first + OPERATIONS).map(|number| operation(&format!("pod-{number}"))).collect();
        store.commit(operations.into()).await.unwrap();
    }
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
