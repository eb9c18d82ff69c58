//! From single probe results to verdicts.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Probe;

/// The numbers of a probe with the API's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the container's start to the first try.
    pub initial_delay: SignedDuration,
    /// From try to try.
    pub period: SignedDuration,
    /// How long one try may take.
    pub timeout: SignedDuration,
    /// This many successes in a row make it healthy.
    pub success_threshold: u32,
    /// This many failures in a row make it unhealthy.
    pub failure_threshold: u32,
}

impl Timing {
    /// Reads them.
    pub fn of(probe: &Probe) -> Self {
        let seconds = |value: Option<i32>, default: i32, min: i32| {
            SignedDuration::from_secs(i64::from(value.unwrap_or(default).max(min)))
        };
        let count = |value: Option<i32>, default: u32| {
            value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default)
        };
        Self {
            initial_delay: seconds(probe.initial_delay_seconds, 0, 0),
            period: seconds(probe.period_seconds, 10, 1),
            timeout: seconds(probe.timeout_seconds, 1, 1),
            success_threshold: count(probe.success_threshold, 1),
            failure_threshold: count(probe.failure_threshold, 3),
        }
    }
}

/// When to ask out of turn whether a container is ready that was not when it was asked last.
///
/// Upstream's API says of `periodSeconds`: "While a container is not Ready, the ReadinessProbe may be executed at times
/// other than the configured periodSeconds interval. This is to make the Pod ready faster."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impatience(SignedDuration);

impl Impatience {
    /// Of a container that has just started.
    pub fn fresh() -> Self {
        Self(SignedDuration::from_millis(25))
    }

    /// How long to wait until the next question, each time twice as long; `None` once that is no sooner than the
    /// probe's own time.
    pub fn next(&mut self, timing: &Timing) -> Option<SignedDuration> {
        let wait = self.0;
        self.0 = wait.saturating_mul(2);
        (wait < timing.period).then_some(wait)
    }
}

/// Counts results in a row.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    last: Option<bool>,
    row: u32,
}

impl Counter {
    /// Takes a result; answers with a verdict if the row is long enough.
    pub fn record(&mut self, timing: &Timing, healthy: bool) -> Option<bool> {
        if self.last == Some(healthy) {
            self.row = self.row.saturating_add(1);
        } else {
            self.last = Some(healthy);
            self.row = 1;
        }
        let threshold = if healthy { timing.success_threshold } else { timing.failure_threshold };
        (self.row >= threshold).then_some(healthy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        let probe = Probe { success_threshold: Some(2), failure_threshold: Some(3), ..Probe::default() };
        let timing = Timing::of(&probe);
        let mut counter = Counter::default();
        let verdicts: Vec<Option<bool>> = "+-++---+".chars().map(|sign| counter.record(&timing, sign == '+')).collect();
        assert_eq!(verdicts, [None, None, None, Some(true), None, None, Some(false), None]);
    }

    #[test]
    fn questions_out_of_turn_become_rarer_and_end() {
        let timing = Timing::of(&Probe { period_seconds: Some(1), ..Probe::default() });
        let mut impatience = Impatience::fresh();
        let waits: Vec<_> = std::iter::from_fn(|| impatience.next(&timing)).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [25, 50, 100, 200, 400, 800]);
    }

    #[test]
    fn defaults() {
        let timing = Timing::of(&Probe::default());
        assert_eq!((timing.period.as_secs(), timing.timeout.as_secs(), timing.failure_threshold), (10, 1, 3));
    }
}
