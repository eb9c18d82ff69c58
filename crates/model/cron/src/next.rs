//! The next time at which a schedule is due.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _, Zoned};

use crate::{Schedule, Times};

/// A line that is not due within so many years never is: `0 0 30 2 *`.
const YEARS_MAX: i16 = 5;

impl Schedule {
    /// The first time after `after`; none if there is none.
    #[must_use]
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Every(every) => {
                let whole = Timestamp::from_second(after.as_second()).ok()?;
                whole.checked_add(SignedDuration::try_from(*every).ok()?).ok()
            }
            Self::Times(times) => times.next_after(after, zone),
        }
    }
}

impl Times {
    fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let minute = after.as_second().div_euclid(60).checked_add(1)?.checked_mul(60)?;
        let mut at = Timestamp::from_second(minute).ok()?.to_zoned(zone.clone());
        let last_year = at.year().saturating_add(YEARS_MAX);
        while at.year() <= last_year {
            // Each step goes to the beginning of the next month, day, hour, minute: to no time beyond one that matches.
            let next = if !self.months.contains(at.month()) {
                start_of(at.date().first_of_month().checked_add(1.month()).ok()?, zone)?
            } else if !self.has_day(&at) {
                start_of(at.date().tomorrow().ok()?, zone)?
            } else if !self.hours.contains(at.hour()) {
                forward(&at, 60 - i64::from(at.minute()))?
            } else if !self.minutes.contains(at.minute()) || at.second() != 0 {
                forward(&at, 1)?
            } else {
                return Some(at.timestamp());
            };
            at = next;
        }
        None
    }

    /// Where both the day of the month and the weekday are narrowed, either is enough.
    fn has_day(&self, at: &Zoned) -> bool {
        let day = self.days.contains(at.day());
        let weekday = self.weekdays.contains(at.weekday().to_sunday_zero_offset());
        if self.days.is_open || self.weekdays.is_open { day && weekday } else { day || weekday }
    }
}

/// The first moment of a day: later than midnight where clocks are set forward just then.
fn start_of(date: Date, zone: &TimeZone) -> Option<Zoned> {
    date.to_zoned(zone.clone()).ok()?.start_of_day().ok()
}

/// So many minutes later, at a whole local minute.
fn forward(at: &Zoned, minutes: i64) -> Option<Zoned> {
    let later = at.checked_add(SignedDuration::from_mins(minutes)).ok()?;
    match i64::from(later.second()) {
        0 => Some(later),
        second => later.checked_sub(SignedDuration::from_secs(second)).ok().filter(|whole| whole > at),
    }
}
