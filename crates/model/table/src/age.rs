//! Times as people say them: `45s`, `5m30s`, `3h`, `2d4h`, `1y12d`.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// A rough duration in at most two units, as apimachinery's `duration.HumanDuration` words it.
///
/// Clocks differ: up to two seconds in the future count as now, beyond that the answer is `<invalid>`.
#[must_use]
pub fn human_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let two_units = |large: i64, unit: char, small: i64, small_unit: char| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{small_unit}"),
    };
    match () {
        () if seconds < -1 => "<invalid>".to_owned(),
        () if seconds < 0 => "0s".to_owned(),
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two_units(minutes, 'm', seconds % 60, 's'),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two_units(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two_units(days, 'd', hours % 24, 'h'),
        () if years < 2 => format!("{days}d"),
        () if years < 8 => two_units(years, 'y', days % 365, 'd'),
        () => format!("{years}y"),
    }
}

/// The moment that a JSON value names, if it does.
pub(crate) fn timestamp(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// How long ago that was; `<unknown>` for an absent time.
pub(crate) fn since(value: &Value, now: Timestamp) -> String {
    timestamp(value).map_or_else(|| "<unknown>".to_owned(), |then| human_duration(now.duration_since(then)))
}
