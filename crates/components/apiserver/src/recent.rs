//! Answers that are good for a while, so that a remote judge is not asked again and again.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A bounded map whose entries end. When it is full, what has ended goes, and if nothing has, everything.
pub(crate) struct Recent<K, V> {
    entries: Mutex<HashMap<K, (Instant, V)>>,
    size_max: usize,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    pub(crate) fn new(size_max: usize) -> Self {
        Self { entries: Mutex::default(), size_max }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let entries = self.entries.lock();
        let (until, value) = entries.get(key)?;
        (*until > Instant::now()).then(|| value.clone())
    }

    /// Keeps `value` for `time`; not at all where that is nothing.
    pub(crate) fn put(&self, key: K, value: V, time: Duration) {
        if time.is_zero() {
            return;
        }
        let now = Instant::now();
        let mut entries = self.entries.lock();
        if entries.len() >= self.size_max {
            entries.retain(|_, (until, _)| *until > now);
        }
        if entries.len() >= self.size_max {
            entries.clear();
        }
        entries.insert(key, (now + time, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_end_and_are_bounded() {
        let recent = Recent::new(2);
        recent.put("a", 1, Duration::from_secs(60));
        recent.put("b", 2, Duration::ZERO);
        assert_eq!((recent.get(&"a"), recent.get(&"b")), (Some(1), None));
        recent.put("c", 3, Duration::from_secs(60));
        recent.put("d", 4, Duration::from_secs(60));
        assert_eq!((recent.get(&"a"), recent.get(&"d")), (None, Some(4)));
    }
}
