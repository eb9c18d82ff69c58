//! The shape of cron schedules: `*/5 * * * *`, `@daily`, `@every 1h`. The messages are those of the parser the reference uses.

/// What is wrong with a schedule.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScheduleError {
    #[error("expected exactly 5 fields, found {}: [{}]", .0.len(), .0.join(" "))]
    Fields(Vec<String>),
    #[error("unrecognized descriptor: {0}")]
    Descriptor(String),
    #[error("failed to parse duration {0}: time: invalid duration {1:?}")]
    Duration(String, String),
    #[error("failed to parse int from {0}: strconv.Atoi: parsing {0:?}: invalid syntax")]
    Number(String),
    #[error("too many slashes: {0}")]
    Slashes(String),
    #[error("too many hyphens: {0}")]
    Hyphens(String),
    #[error("beginning of range ({0}) below minimum ({1}): {2}")]
    Below(u32, u32, String),
    #[error("end of range ({0}) above maximum ({1}): {2}")]
    Above(u32, u32, String),
    #[error("beginning of range ({0}) beyond end of range ({1}): {2}")]
    Backwards(u32, u32, String),
    #[error("step of range should be a positive number: {0}")]
    Step(String),
}

struct Bounds {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Bounds; 5] = [
    Bounds { min: 0, max: 59, names: &[] },
    Bounds { min: 0, max: 23, names: &[] },
    Bounds { min: 1, max: 31, names: &[] },
    Bounds { min: 1, max: 12, names: MONTHS },
    Bounds { min: 0, max: 6, names: DAYS },
];

/// Checks a schedule.
pub(super) fn check(schedule: &str) -> Result<(), ScheduleError> {
    if schedule.starts_with('@') {
        return descriptor(schedule);
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(ScheduleError::Fields(fields.into_iter().map(str::to_owned).collect()));
    }
    for (field, bounds) in fields.iter().zip(&FIELDS) {
        for part in field.split(',').filter(|part| !part.is_empty()) {
            range(part, bounds)?;
        }
    }
    Ok(())
}

fn descriptor(schedule: &str) -> Result<(), ScheduleError> {
    match schedule {
        "@yearly" | "@annually" | "@monthly" | "@weekly" | "@daily" | "@midnight" | "@hourly" => Ok(()),
        _ => match schedule.strip_prefix("@every ") {
            Some(duration) if is_duration(duration) => Ok(()),
            Some(duration) => Err(ScheduleError::Duration(schedule.to_owned(), duration.to_owned())),
            None => Err(ScheduleError::Descriptor(schedule.to_owned())),
        },
    }
}

/// `1h30m`, as Go writes durations.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        if digits.len() == rest.len() {
            return false;
        }
        let unit = ["ns", "us", "µs", "ms", "s", "m", "h"].iter().find_map(|unit| {
            // `m` is also the beginning of `ms`.
            digits.strip_prefix(unit).filter(|rest| *unit != "m" || !rest.starts_with('s'))
        });
        match unit {
            Some(after) => rest = after,
            None => return false,
        }
    }
    !text.is_empty()
}

fn range(part: &str, bounds: &Bounds) -> Result<(), ScheduleError> {
    let pieces: Vec<&str> = part.split('/').collect();
    let (span, step) = match pieces[..] {
        [span] => (span, None),
        [span, step] => (span, Some(step)),
        _ => return Err(ScheduleError::Slashes(part.to_owned())),
    };
    let ends: Vec<&str> = span.split('-').collect();
    let (first, last) = match ends[..] {
        ["*" | "?"] => (bounds.min, bounds.max),
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
    Ok(())
}

fn number(text: &str, bounds: &Bounds) -> Result<u32, ScheduleError> {
    let name = text.to_ascii_lowercase();
    if let Some(index) = bounds.names.iter().position(|known| *known == name) {
        return Ok(index as u32 + bounds.min);
    }
    text.parse().map_err(|_| ScheduleError::Number(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        let valid = [
            "* * * * *",
            "*/5 0-6 1,15 jan-mar mon",
            "@daily",
            "@every 1h30m",
            "0 0 ? * 0",
            "0/15 * * * *",
            "1 2 3 4 5",
        ];
        for schedule in valid {
            assert_eq!(check(schedule), Ok(()), "{schedule}");
        }
        for (schedule, message) in [
            ("hello", "expected exactly 5 fields, found 1: [hello]"),
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("@sometimes", "unrecognized descriptor: @sometimes"),
            ("@every x", "failed to parse duration @every x: time: invalid duration \"x\""),
        ] {
            assert_eq!(check(schedule).unwrap_err().to_string(), message, "{schedule}");
        }
    }
}
