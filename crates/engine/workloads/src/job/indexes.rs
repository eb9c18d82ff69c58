//! Sets of indexes as Jobs write them: `1,3-5,7`.

use std::fmt;

/// A set of indexes; adjoining ones are kept as one interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes {
    /// First and last of each interval, ascending, with gaps between them.
    intervals: Vec<(i32, i32)>,
}

impl Indexes {
    /// Reads a set, leaving out indexes from `completions` on: they are beyond the end of a Job that was made smaller.
    /// Parts that cannot be read are passed over.
    #[must_use]
    pub fn parse(text: &str, completions: i32) -> Self {
        let mut indexes = Self::default();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>())
                && first >= 0
            {
                indexes.insert_interval(first, last.min(completions.saturating_sub(1)));
            }
        }
        indexes
    }

    /// How many indexes there are.
    #[must_use]
    pub fn total(&self) -> i32 {
        self.intervals.iter().fold(0, |total: i32, (first, last)| total.saturating_add(last - first).saturating_add(1))
    }

    /// Whether the set has no index.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// Whether `index` belongs to the set.
    #[must_use]
    pub fn contains(&self, index: i32) -> bool {
        let after = self.intervals.partition_point(|(first, _)| *first <= index);
        after > 0 && self.intervals[after - 1].1 >= index
    }

    /// Adds one index.
    pub fn insert(&mut self, index: i32) {
        self.insert_interval(index, index);
    }

    /// Adds all indexes of another set.
    pub fn insert_all(&mut self, others: &Indexes) {
        for (first, last) in &others.intervals {
            self.insert_interval(*first, *last);
        }
    }

    /// How many indexes both sets have.
    #[must_use]
    pub fn common(&self, other: &Indexes) -> i32 {
        let (mut one, mut another) = (self.intervals.iter().peekable(), other.intervals.iter().peekable());
        let mut total = 0_i32;
        while let (Some((first, last)), Some((other_first, other_last))) = (one.peek(), another.peek()) {
            let (from, to) = (*first.max(other_first), *last.min(other_last));
            if from <= to {
                total = total.saturating_add(to - from).saturating_add(1);
            }
            if last <= other_last {
                one.next();
            } else {
                another.next();
            }
        }
        total
    }

    /// The smallest `count` indexes below `completions` that are not in the set.
    #[must_use]
    pub fn first_missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let mut missing = Vec::with_capacity(count.min(1024));
        let mut candidate = 0;
        for (first, last) in self.intervals.iter().copied().chain([(completions, i32::MAX - 1)]) {
            let gap = candidate..first.min(completions);
            missing.extend(gap.take(count - missing.len()));
            candidate = last + 1;
        }
        missing
    }

    fn insert_interval(&mut self, first: i32, last: i32) {
        if first > last {
            return;
        }
        // Every interval that overlaps or adjoins the new one is swallowed by it.
        let from = self.intervals.partition_point(|(_, end)| end.saturating_add(1) < first);
        let to = self.intervals.partition_point(|(start, _)| *start <= last.saturating_add(1));
        let swallowed = self.intervals.get(from..to.max(from)).unwrap_or_default();
        let first = swallowed.first().map_or(first, |(start, _)| first.min(*start));
        let last = swallowed.last().map_or(last, |(_, end)| last.max(*end));
        self.intervals.splice(from..to.max(from), [(first, last)]);
    }
}

impl FromIterator<i32> for Indexes {
    fn from_iter<T: IntoIterator<Item = i32>>(indexes: T) -> Self {
        let mut set = Self::default();
        indexes.into_iter().for_each(|index| set.insert(index));
        set
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (first, last)) in self.intervals.iter().enumerate() {
            let comma = if position > 0 { "," } else { "" };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, completions, expected, total) in [
            ("", 10, "", 0),
            ("0", 10, "0", 1),
            ("1,3-5,7", 10, "1,3-5,7", 5),
            ("1,2,3,5-6,7", 10, "1-3,5-7", 6),
            ("1,3-5,7", 5, "1,3-4", 3),
            ("1,x,3-y,4", 10, "1,4", 2),
            ("4-2,-1", 10, "", 0),
        ] {
            let indexes = Indexes::parse(text, completions);
            assert_eq!((indexes.to_string().as_str(), indexes.total()), (expected, total), "{text}");
        }
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(one: BTreeSet<u8>, other: BTreeSet<u8>, count in 0..20_usize, completions in 0..300_i32) {
            let set = |numbers: &BTreeSet<u8>| -> Indexes { numbers.iter().rev().map(|number| i32::from(*number)).collect() };
            let (indexes, others) = (set(&one), set(&other));
            prop_assert_eq!(Indexes::parse(&indexes.to_string(), 256), indexes.clone());
            prop_assert_eq!(indexes.total(), i32::try_from(one.len()).unwrap());
            for number in 0..=255_u8 {
                prop_assert_eq!(indexes.contains(i32::from(number)), one.contains(&number));
            }
            prop_assert_eq!(indexes.common(&others), i32::try_from(one.intersection(&other).count()).unwrap());
            let missing: Vec<i32> = (0..completions)
                .filter(|index| !u8::try_from(*index).is_ok_and(|index| one.contains(&index))).take(count).collect();
            prop_assert_eq!(indexes.first_missing(count, completions), missing);
            let mut both = indexes;
            both.insert_all(&others);
            prop_assert_eq!(both, one.union(&other).map(|number| i32::from(*number)).collect::<Indexes>());
        }
    }
}
