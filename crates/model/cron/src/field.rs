//! One field of a line: which numbers it names.

use crate::ScheduleError;

/// Which numbers a field may name, and by which words.
pub(crate) struct Bounds {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Minute, hour, day of the month, month, day of the week.
pub(crate) const FIELDS: [Bounds; 5] = [
    Bounds { min: 0, max: 59, names: &[] },
    Bounds { min: 0, max: 23, names: &[] },
    Bounds { min: 1, max: 31, names: &[] },
    Bounds { min: 1, max: 12, names: MONTHS },
    Bounds { min: 0, max: 6, names: DAYS },
];

/// The numbers that a field names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Field {
    numbers: u64,
    /// `*` or `?`: the field does not narrow anything.
    pub(crate) is_open: bool,
}

impl Field {
    pub(crate) fn contains(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| number < u64::BITS && self.numbers & (1 << number) != 0)
    }

    pub(crate) fn parse(text: &str, bounds: &Bounds) -> Result<Self, ScheduleError> {
        let mut field = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let range = range(part, bounds)?;
            field.numbers |= range.numbers;
            field.is_open |= range.is_open;
        }
        Ok(field)
    }
}

fn range(part: &str, bounds: &Bounds) -> Result<Field, ScheduleError> {
    let pieces: Vec<&str> = part.split('/').collect();
    let (span, step) = match pieces[..] {
        [span] => (span, None),
        [span, step] => (span, Some(step)),
        _ => return Err(ScheduleError::Slashes(part.to_owned())),
    };
    let ends: Vec<&str> = span.split('-').collect();
    let (first, last) = match ends[..] {
        ["*" | "?", ..] => (bounds.min, bounds.max),
        [one] => {
            let first = number(one, bounds)?;
            (first, if step.is_some() { bounds.max } else { first })
        }
        [first, last] => (number(first, bounds)?, number(last, bounds)?),
        _ => return Err(ScheduleError::Hyphens(part.to_owned())),
    };
    let step = match step {
        Some(step) => step.parse::<u32>().map_err(|_| ScheduleError::Number(step.to_owned()))?,
        None => 1,
    };
    if first < bounds.min {
        return Err(ScheduleError::Below(first, bounds.min, part.to_owned()));
    }
    if last > bounds.max {
        return Err(ScheduleError::Above(last, bounds.max, part.to_owned()));
    }
    if first > last {
        return Err(ScheduleError::Backwards(first, last, part.to_owned()));
    }
    if step == 0 {
        return Err(ScheduleError::Step(part.to_owned()));
    }
    let numbers =
        (first..=last).step_by(usize::try_from(step).unwrap_or(usize::MAX)).fold(0, |set, number| set | 1 << number);
    Ok(Field { numbers, is_open: matches!(ends[0], "*" | "?") && step == 1 })
}

fn number(text: &str, bounds: &Bounds) -> Result<u32, ScheduleError> {
    let name = text.to_ascii_lowercase();
    let named = (bounds.min..).zip(bounds.names).find(|(_, known)| **known == name);
    match named {
        Some((number, _)) => Ok(number),
        None => text.parse().map_err(|_| ScheduleError::Number(text.to_owned())),
    }
}
