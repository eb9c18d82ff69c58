//! The client against a small API in memory: a tower service that serves ConfigMaps and takes Events.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers are tests too, but clippy knows only #[test] functions

mod api;
mod events;
mod informers;

use std::time::Duration;

/// Waits until `condition` holds; fails with what `last` says then.
async fn until<T: std::fmt::Debug>(what: &str, last: impl Fn() -> T, condition: impl Fn(&T) -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !condition(&last()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited too long for {what}; last seen: {:?}", last());
}
