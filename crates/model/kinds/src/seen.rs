//! What was met on a walk over a list. A list may be as long as a request: whoever looks back at all items for each item
//! would be busy for minutes.

use std::collections::HashSet;
use std::hash::Hash;

/// From this many values on they are hashed; the short lists of everyday are looked through.
const HASHED_FROM: usize = 16;

/// Values that were met.
#[derive(Debug)]
pub(crate) struct Seen<T> {
    few: Vec<T>,
    many: HashSet<T>,
}

impl<T: Copy + Eq + Hash> Seen<T> {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { few: Vec::new(), many: HashSet::new() }
    }

    /// All of `values`.
    pub(crate) fn of(values: impl IntoIterator<Item = T>) -> Self {
        let mut seen = Self::new();
        for value in values {
            seen.again(value);
        }
        seen
    }

    /// Whether `value` was met.
    pub(crate) fn has(&self, value: T) -> bool {
        if self.many.is_empty() { self.few.contains(&value) } else { self.many.contains(&value) }
    }

    /// Notes `value`; says whether it was met before.
    pub(crate) fn again(&mut self, value: T) -> bool {
        if !self.many.is_empty() {
            return !self.many.insert(value);
        }
        if self.few.contains(&value) {
            return true;
        }
        self.few.push(value);
        if self.few.len() >= HASHED_FROM {
            self.many.extend(self.few.drain(..));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_met_again_however_many_there_are() {
        let mut seen = Seen::new();
        for number in 0..100 {
            assert!(!seen.has(number) && !seen.again(number));
            assert!(seen.has(number) && seen.again(number) && seen.again(0));
        }
        assert!(!Seen::of(0..100).has(100));
    }
}
