//! Sets of indexes as Jobs write them: `1,3-5,7`.

/// What is wrong with a set of indexes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum IndexesError {
    #[error(
        "the fragment {0:?} violates the requirement that an index interval can have at most two parts separated by '-'"
    )]
    Parts(String),
    #[error("cannot convert string to integer for index: {0:?}")]
    Number(String),
    #[error("too large index: {0:?}")]
    TooLarge(String),
    #[error("non-increasing order, previous: {0}, current: {1}")]
    Order(i64, i64),
}

/// The number of indexes in the set; all must be below `completions`, and ascend.
pub(super) fn count(indexes: &str, completions: i64) -> Result<i64, IndexesError> {
    if indexes.is_empty() {
        return Ok(0);
    }
    let mut last: Option<i64> = None;
    let mut total = 0;
    for part in indexes.split(',') {
        let (first, end) = interval(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(IndexesError::Order(last, first));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The first index that both sets have. Parts that cannot be read are passed over.
pub(super) fn overlap(one: &str, other: &str, completions: i64) -> Option<i64> {
    let read = |indexes: &str| -> Vec<(i64, i64)> {
        indexes.split(',').filter_map(|part| interval(part, completions).ok()).collect()
    };
    let (one, other) = (read(one), read(other));
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    while let (Some((first, end)), Some((other_first, other_end))) = (one.peek(), other.peek()) {
        if first <= other_end && other_first <= end {
            return Some(*first.max(other_first));
        }
        if first <= other_first {
            one.next();
        } else {
            other.next();
        }
    }
    None
}

fn interval(part: &str, completions: i64) -> Result<(i64, i64), IndexesError> {
    let number = |text: &str| {
        let number: i64 = text.parse().map_err(|_| IndexesError::Number(text.to_owned()))?;
        if number >= completions { Err(IndexesError::TooLarge(text.to_owned())) } else { Ok(number) }
    };
    match part.split_once('-') {
        None => number(part).map(|index| (index, index)),
        Some((_, end)) if end.contains('-') => Err(IndexesError::Parts(part.to_owned())),
        Some((first, end)) => match (number(first)?, number(end)?) {
            (first, end) if first >= end => Err(IndexesError::Order(first, end)),
            interval => Ok(interval),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_indexes() {
        for (indexes, expected) in [
            ("", Ok(0)),
            ("1,3-5,9", Ok(5)),
            ("10", Err("too large index: \"10\"")),
            ("1-x", Err("cannot convert string to integer for index: \"x\"")),
            ("3-3", Err("non-increasing order, previous: 3, current: 3")),
            ("1-3,2", Err("non-increasing order, previous: 3, current: 2")),
            (
                "1-2-3",
                Err(
                    "the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts separated by '-'",
                ),
            ),
        ] {
            assert_eq!(count(indexes, 10).map_err(|error| error.to_string()), expected.map_err(str::to_owned));
        }
        assert_eq!(overlap("1-3,7", "0,4-6", 10), None);
        assert_eq!(overlap("1-3,7", "0,5-8", 10), Some(7));
        assert_eq!(overlap("", "1", 10), None);
    }
}
