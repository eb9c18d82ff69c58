//! EventRateLimit: nobody floods the server with events. A limit is a bucket of `burst` tokens that fills at `qps`.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

use super::configuration::versioned;
use super::{Context, Operation, text};
use crate::status::ApiError;

/// Buckets of a limit that are kept, where the configuration says nothing.
const BUCKETS_DEFAULT: usize = 4096;

/// All limits, each of which must have room.
#[derive(Debug, Default)]
pub(super) struct Limits(Vec<Limit>);

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
enum Kind {
    Server,
    Namespace,
    User,
    SourceAndObject,
}

#[derive(Debug)]
struct Limit {
    kind: Kind,
    per_second: f64,
    burst: f64,
    buckets_max: usize,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    since: Instant,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration {
    limits: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    #[serde(rename = "type")]
    kind: Kind,
    qps: u32,
    burst: u32,
    #[serde(default)]
    cache_size: usize,
}

impl Limits {
    pub(super) fn read(told: &Value) -> Result<Self, String> {
        let configuration: Configuration = versioned(told, "eventratelimit.admission.k8s.io", "Configuration")?;
        let mut limits: Vec<Limit> = Vec::new();
        for (index, entry) in configuration.limits.into_iter().enumerate() {
            for (field, value) in [("qps", entry.qps), ("burst", entry.burst)] {
                if value == 0 {
                    return Err(format!("limits[{index}].{field}: Invalid value: 0: must be positive"));
                }
            }
            if limits.iter().any(|limit| limit.kind == entry.kind) {
                return Err(format!("limits[{index}].type: Duplicate value: \"{:?}\"", entry.kind));
            }
            limits.push(Limit {
                kind: entry.kind,
                per_second: entry.qps.into(),
                burst: entry.burst.into(),
                buckets_max: if entry.cache_size == 0 { BUCKETS_DEFAULT } else { entry.cache_size },
                buckets: Mutex::default(),
            });
        }
        if limits.is_empty() {
            return Err("limits: Invalid value: []: must not be empty".to_owned());
        }
        Ok(Self(limits))
    }
}

impl Limit {
    fn takes(&self, key: &str, now: Instant) -> bool {
        let mut buckets = self.buckets.lock();
        if buckets.len() >= self.buckets_max && !buckets.contains_key(key) {
            // Buckets that are full again need not be remembered; if none is, the one that is idle longest goes.
            let full = |bucket: &Bucket| {
                bucket.tokens + now.duration_since(bucket.since).as_secs_f64() * self.per_second >= self.burst
            };
            buckets.retain(|_, bucket| !full(bucket));
            if buckets.len() >= self.buckets_max
                && let Some(oldest) = buckets.iter().min_by_key(|(_, bucket)| bucket.since).map(|(key, _)| key.clone())
            {
                buckets.remove(&oldest);
            }
        }
        let bucket = buckets.entry(key.to_owned()).or_insert(Bucket { tokens: self.burst, since: now });
        let filled = bucket.tokens + now.duration_since(bucket.since).as_secs_f64() * self.per_second;
        *bucket = Bucket { tokens: filled.min(self.burst), since: now };
        let has_one = bucket.tokens >= 1.0;
        if has_one {
            bucket.tokens -= 1.0;
        }
        has_one
    }
}

pub(super) fn check(context: &Context<'_>, event: &Value) -> Result<(), ApiError> {
    let writes = matches!(context.operation, Operation::Create | Operation::Update);
    if !context.is("core/events") || !writes || context.target.dry_run {
        return Ok(());
    }
    let now = Instant::now();
    let mut reached = Vec::new();
    for limit in &context.core.plugins.event_rates.0 {
        let key = match limit.kind {
            Kind::Server => String::new(),
            Kind::Namespace => context.target.namespace.to_owned(),
            Kind::User => context.target.user.name.clone(),
            Kind::SourceAndObject => source_and_object(event),
        };
        if !limit.takes(&key, now) {
            reached.push(format!("limit reached on type {:?} for key {key}", limit.kind));
        }
    }
    match reached.as_slice() {
        [] => Ok(()),
        [one] => Err(ApiError::too_many_requests(one)),
        many => Err(ApiError::too_many_requests(&format!("[{}]", many.join(", ")))),
    }
}

fn source_and_object(event: &Value) -> String {
    // Both versions of the kind have the same under their own names.
    let either = |names: [&str; 2]| names.into_iter().map(|name| &event[name]).find(|value| value.is_object());
    let mut key = String::new();
    for (object, parts) in [
        (either(["source", "deprecatedSource"]), &["component", "host"][..]),
        (either(["involvedObject", "regarding"]), &["kind", "namespace", "name", "uid", "apiVersion"]),
    ] {
        for part in parts {
            key.push_str(object.map_or("", |object| text(&object[part])));
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn buckets_fill_again_and_are_bounded() {
        let limits = Limits::read(&json!({
            "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration",
            "limits": [{"type": "User", "qps": 2, "burst": 3, "cacheSize": 2}],
        }));
        let limit = &limits.unwrap().0[0];
        let start = Instant::now();
        let after = |millis: u64| start + Duration::from_millis(millis);
        let taken: Vec<bool> =
            [0, 0, 0, 0, 400, 600].into_iter().map(|millis| limit.takes("a", after(millis))).collect();
        assert_eq!(taken, [true, true, true, false, false, true]);
        for user in ["b", "c", "d"] {
            assert!(limit.takes(user, after(600)));
            assert!(limit.buckets.lock().len() <= 2);
        }
        let wrong = json!({"apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration", "limits": [{"type": "User", "qps": 0, "burst": 3}]});
        assert_eq!(Limits::read(&wrong).unwrap_err(), "limits[0].qps: Invalid value: 0: must be positive");
    }
}
