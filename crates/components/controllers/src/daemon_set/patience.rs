//! How long a daemon that keeps ending is left alone on its node.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Back-off by set and node, as upstream's: 1 s, doubled up to 15 min, forgotten after twice that without need.
#[derive(Default)]
pub(super) struct Patience(Mutex<HashMap<(String, String), Entry>>);

struct Entry {
    delay: Duration,
    since: Instant,
}

impl Patience {
    /// None if a pod may be replaced now (which counts); else how long that has to wait.
    pub(super) fn wait(&self, set_uid: &str, node: &str) -> Option<Duration> {
        self.wait_at(set_uid, node, Instant::now())
    }

    fn wait_at(&self, set_uid: &str, node: &str, now: Instant) -> Option<Duration> {
        let mut entries = self.0.lock();
        entries.retain(|_, entry| now.duration_since(entry.since) < 2 * LONGEST);
        let key = (set_uid.to_owned(), node.to_owned());
        let Some(entry) = entries.get_mut(&key) else {
            entries.insert(key, Entry { delay: FIRST, since: now });
            return None;
        };
        let wait = entry.delay.saturating_sub(now.duration_since(entry.since));
        if !wait.is_zero() {
            return Some(wait);
        }
        *entry = Entry { delay: (entry.delay * 2).min(LONGEST), since: now };
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_doubles() {
        let (patience, start) = (Patience::default(), Instant::now());
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
