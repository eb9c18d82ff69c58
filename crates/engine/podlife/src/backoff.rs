//! How long to wait before trying again: doubling, with a memory that fades.

use jiff::{SignedDuration, Timestamp};

/// The first delay.
pub const INITIAL: SignedDuration = SignedDuration::from_secs(10);
/// The longest delay.
pub const MAX: SignedDuration = SignedDuration::from_secs(300);

/// The delay of one thing that keeps failing.
///
/// After a failure at `t`, the next try is due at `t + delay`; a try doubles the delay. A quiet time of twice
/// [`MAX`] resets it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backoff {
    entry: Option<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    delay: SignedDuration,
    updated: Timestamp,
}

impl Backoff {
    /// When the next try is due after a failure at `failed_at`; `None` if it may happen at once.
    pub fn due(&self, failed_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let entry = self.entry?;
        if expired(entry, failed_at) {
            return None;
        }
        let due = failed_at.saturating_add(entry.delay).unwrap_or(Timestamp::MAX);
        (due > now).then_some(due)
    }

    /// Notes a retry after a failure at `failed_at`.
    pub fn retry(&mut self, failed_at: Timestamp, now: Timestamp) {
        let delay = match self.entry {
            Some(entry) if !expired(entry, failed_at) => (entry.delay * 2).min(MAX),
            _ => INITIAL,
        };
        self.entry = Some(Entry { delay, updated: now });
    }

    /// The delay that a failure now would cause.
    pub fn delay(&self) -> SignedDuration {
        self.entry.map_or(SignedDuration::ZERO, |entry| entry.delay)
    }
}

fn expired(entry: Entry, event: Timestamp) -> bool {
    event.duration_since(entry.updated) > MAX * 2
}

/// A delay in Go's notation, as it stands in messages: `10s`, `1m20s`, `5m0s`.
pub fn go_duration(delay: SignedDuration) -> String {
    let seconds = delay.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    #[test]
    fn the_first_restart_is_immediate_then_the_delay_doubles_to_five_minutes() {
        let mut backoff = Backoff::default();
        let mut now = 0;
        let mut delays = Vec::new();
        for _ in 0..9 {
            let failed = at(now);
            let due = backoff.due(failed, failed).unwrap_or(failed);
            delays.push(due.duration_since(failed).as_secs());
            now += due.duration_since(failed).as_secs();
            backoff.retry(failed, at(now));
            now += 1;
        }
        assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn ten_quiet_minutes_reset_it() {
        let mut backoff = Backoff::default();
        backoff.retry(at(0), at(0));
        backoff.retry(at(1), at(10));
        assert_eq!(backoff.delay().as_secs(), 20);
        assert_eq!(backoff.due(at(700), at(700)), None);
        backoff.retry(at(700), at(700));
        assert_eq!(backoff.delay(), INITIAL);
    }

    #[test]
    fn go_durations() {
        for (seconds, text) in [(10, "10s"), (20, "20s"), (80, "1m20s"), (300, "5m0s"), (3661, "1h1m1s")] {
            assert_eq!(go_duration(SignedDuration::from_secs(seconds)), text);
        }
    }
}
