//! How long a pod that keeps ending is left alone before there is another in its place.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

const FIRST: Duration = Duration::from_secs(1);

/// Back-off by set and place: 1 s, doubled up to the longest, forgotten after twice that without need.
pub(crate) struct Patience {
    longest: Duration,
    entries: Mutex<HashMap<(String, String), Entry>>,
}

struct Entry {
    delay: Duration,
    since: Instant,
}

impl Patience {
    /// With waits of at most `longest`.
    pub(crate) fn new(longest: Duration) -> Self {
        Self { longest, entries: Mutex::default() }
    }

    /// None if the pod of this place may be replaced now (which counts); else how long that has to wait.
    pub(crate) fn wait(&self, set_uid: &str, place: &str) -> Option<Duration> {
        self.wait_at(set_uid, place, Instant::now())
    }

    fn wait_at(&self, set_uid: &str, place: &str, now: Instant) -> Option<Duration> {
        let mut entries = self.entries.lock();
        entries.retain(|_, entry| now.duration_since(entry.since) < 2 * self.longest);
        let key = (set_uid.to_owned(), place.to_owned());
        let Some(entry) = entries.get_mut(&key) else {
            entries.insert(key, Entry { delay: FIRST, since: now });
            return None;
        };
        let wait = entry.delay.saturating_sub(now.duration_since(entry.since));
        if !wait.is_zero() {
            return Some(wait);
        }
        *entry = Entry { delay: (entry.delay * 2).min(self.longest), since: now };
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_doubles() {
        let (patience, start) = (Patience::new(Duration::from_secs(900)), Instant::now());
        let wait = |milliseconds| patience.wait_at("set", "node", start + Duration::from_millis(milliseconds));
        assert_eq!(wait(0), None);
        assert_eq!(wait(400), Some(Duration::from_millis(600)));
        assert_eq!(wait(1_000), None);
        assert_eq!(wait(1_500), Some(Duration::from_millis(1_500)));
        assert_eq!(wait(3_000), None);
        assert_eq!(patience.wait_at("set", "other", start), None);
        assert_eq!(wait(10 * 3_600_000), None);
    }
}
