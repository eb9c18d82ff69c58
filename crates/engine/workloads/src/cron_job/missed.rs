//! Which of the times that have passed is to be made up for, and which comes next.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::CronJob;
use minato_cron::Schedule;

use crate::job::Event;

/// More missed times than these point to a wrong clock or a long outage.
const MISSED_MAX: i64 = 100;

/// What a schedule says at one moment.
#[derive(Default)]
pub(super) struct Due {
    /// The last time that has come since the last Job: earlier ones are passed over.
    pub(super) last: Option<Timestamp>,
    /// The next time to come.
    pub(super) next: Option<Timestamp>,
    pub(super) event: Option<Event>,
}

/// The last time in `(since, now]`, and how many there are, about.
enum Missed {
    None,
    At(Timestamp, i64),
    /// Too many to be sure, none of them found.
    Unclear,
    /// The schedule is never due twice.
    Never,
}

pub(super) fn due(cron_job: &CronJob, schedule: &Schedule, zone: &TimeZone, now: Timestamp) -> Due {
    let created = cron_job.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let last_start = cron_job.status.as_ref().and_then(|status| status.last_schedule_time.as_ref()).map(|time| time.0);
    let since = last_start.unwrap_or(created);
    let deadline = cron_job.spec.starting_deadline_seconds.map(SignedDuration::from_secs);
    let earliest = deadline.and_then(|deadline| now.checked_sub(deadline).ok()).map_or(since, |start| start.max(since));
    let mut due = Due::default();
    match missed(schedule, zone, earliest, now) {
        Missed::At(last, number) => {
            due.last = Some(last);
            due.event = (number > MISSED_MAX).then(|| {
                let message =
                    "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
                Event::warning("TooManyMissedTimes", message)
            });
        }
        Missed::Never => {
            let reason = "time difference between two schedules is less than 1 second";
            let message = format!("invalid schedule: {} : {reason}", cron_job.spec.schedule);
            due.event = Some(Event::warning("InvalidSchedule", &message));
            return due;
        }
        Missed::None | Missed::Unclear => {}
    }
    let from = match missed(schedule, zone, since, now) {
        Missed::None => since,
        Missed::At(last, _) => last,
        Missed::Unclear | Missed::Never => now,
    };
    due.next = schedule
        .next_after(from, zone)
        .map(|next| if next > now { Some(next) } else { schedule.next_after(now, zone) })
        .unwrap_or_default();
    due
}

/// Times are not counted one by one, for there may be millions: the first distance between two is taken for all.
fn missed(schedule: &Schedule, zone: &TimeZone, since: Timestamp, now: Timestamp) -> Missed {
    let Some(first) = schedule.next_after(since, zone) else { return Missed::Never };
    if now < first {
        return Missed::None;
    }
    let second = match schedule.next_after(first, zone) {
        None => return Missed::Never,
        Some(second) if now < second => return Missed::At(first, 1),
        Some(second) => second,
    };
    let distance = second.as_second() - first.as_second();
    if distance < 1 {
        return Missed::Never;
    }
    let number = (now.as_second() - first.as_second()) / distance + 1;
    let back = (number - 2).max(0).saturating_mul(distance);
    let mut at = first.checked_add(SignedDuration::from_secs(back)).unwrap_or(first);
    let mut last = None;
    while let Some(next) = schedule.next_after(at, zone).filter(|next| *next <= now) {
        last = Some(next);
        at = next;
    }
    last.map_or(Missed::Unclear, |last| Missed::At(last, number))
}
