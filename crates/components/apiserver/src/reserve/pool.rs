//! A range of numbers of which each is taken at most once.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use parking_lot::Mutex;
use uuid::Uuid;

/// Numbers of `range`; those that the pool chooses itself lie above the first `reserved_count`, as long as there are any, so
/// that the low ones stay free for those who ask by number (KEP-3070, KEP-3668).
pub(super) struct Pool {
    range: RangeInclusive<u32>,
    reserved_count: u32,
    taken: Mutex<BTreeSet<u32>>,
}

/// Why a number cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    OutOfRange,
    Taken,
    Exhausted,
}

impl Pool {
    pub(super) fn new(range: RangeInclusive<u32>, reserved_count: u32) -> Self {
        Self { range, reserved_count, taken: Mutex::default() }
    }

    pub(super) fn take(&self, number: u32) -> Result<(), Refusal> {
        if !self.range.contains(&number) {
            return Err(Refusal::OutOfRange);
        }
        if self.taken.lock().insert(number) { Ok(()) } else { Err(Refusal::Taken) }
    }

    /// Takes any free number.
    pub(super) fn take_any(&self) -> Result<u32, Refusal> {
        let mut taken = self.taken.lock();
        let free = find_free(self.range.clone(), self.reserved_count, |number| taken.contains(&number));
        let free = free.ok_or(Refusal::Exhausted)?;
        taken.insert(free);
        Ok(free)
    }

    pub(super) fn give_back(&self, number: u32) {
        self.taken.lock().remove(&number);
    }
}

/// A number of `range` that is not taken: any of those above the first `reserved_count`, then the highest of these.
pub(super) fn find_free(
    range: RangeInclusive<u32>,
    reserved_count: u32,
    is_taken: impl Fn(u32) -> bool,
) -> Option<u32> {
    let (first, last) = (*range.start(), *range.end());
    let middle = first.saturating_add(reserved_count).min(last);
    let start = middle + (Uuid::new_v4().as_u128() as u32) % (last - middle + 1);
    let upper = (start..=last).chain(middle..start);
    upper.chain((first..middle).rev()).find(|number| !is_taken(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_given_once_the_upper_band_first() {
        let pool = Pool::new(10..=19, 4);
        assert_eq!(pool.take(12), Ok(()));
        assert_eq!(pool.take(12), Err(Refusal::Taken));
        assert_eq!(pool.take(9), Err(Refusal::OutOfRange));
        let first: BTreeSet<u32> = (0..6).map(|_| pool.take_any().unwrap()).collect();
        assert_eq!(first, (14..=19).collect());
        let rest: BTreeSet<u32> = (0..3).map(|_| pool.take_any().unwrap()).collect();
        assert_eq!(rest, BTreeSet::from([10, 11, 13]));
        assert_eq!(pool.take_any(), Err(Refusal::Exhausted));
        pool.give_back(12);
        assert_eq!(pool.take_any(), Ok(12));
    }
}
