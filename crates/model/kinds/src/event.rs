//! Events: two APIs, one set of objects. What is stored is the core group's `Event`.

use serde_json::Value;

use crate::read::Fill;

/// The names under which the two APIs know the same field: core, `events.k8s.io`.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Rewrites an event for the core group (`v1`) or for `events.k8s.io/v1`.
pub(crate) fn convert(event: &mut Value, api_version: &str) {
    for (core, events) in RENAMED {
        let (from, to) = if api_version == "v1" { (events, core) } else { (core, events) };
        if let Some(value) = event.remove(from) {
            event.set(to, value);
        }
    }
}
