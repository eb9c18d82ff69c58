//! Writes a pod's status: the newest only, only what differs, again until it is written.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Api;
use kube::api::{Patch, PatchParams};
use minato_client::resource_version;
use minato_scope::Scope;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// The voice of one pod's worker.
pub(crate) struct Publisher {
    desired: watch::Sender<Versioned>,
    written: watch::Receiver<u64>,
    base: Arc<Mutex<Base>>,
}

#[derive(Clone, Default)]
struct Versioned {
    number: u64,
    status: Arc<PodStatus>,
}

/// What the API holds, as far as we know.
#[derive(Default)]
struct Base {
    version: u64,
    status: Value,
}

impl Publisher {
    /// Starts the task that writes the status of `pod` until the scope ends.
    pub(crate) fn start(scope: &Scope, api: Api<Pod>, pod: &Pod) -> Self {
        let base = Arc::new(Mutex::new(Base::default()));
        let (desired, wanted) = watch::channel(Versioned::default());
        let (progress, written) = watch::channel(0);
        let publisher = Self { desired, written, base: Arc::clone(&base) };
        publisher.seen(pod);
        let name = pod.metadata.name.clone().unwrap_or_default();
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let ending = scope.clone();
        scope.spawn("status", async move {
            tokio::select! {
                () = ending.cancelled() => {}
                () = write(api, name, uid, base, wanted, progress) => {}
            }
        });
        publisher
    }

    /// The API showed this state of the pod: if it lacks something of ours, that is written again.
    pub(crate) fn seen(&self, pod: &Pod) {
        let version = resource_version(&pod.metadata);
        let mut base = self.base.lock();
        if version >= base.version {
            *base = Base { version, status: serde_json::to_value(&pod.status).unwrap_or_default() };
        }
    }

    /// Asks for this status to be written.
    pub(crate) fn publish(&self, status: &PodStatus) {
        self.desired.send_modify(|desired| {
            desired.number += 1;
            desired.status = Arc::new(status.clone());
        });
    }

    /// Completes when everything published is written, or the object is gone.
    pub(crate) async fn flush(&self) {
        let number = self.desired.borrow().number;
        let mut written = self.written.clone();
        // An error means that the writer has ended: there is nothing to wait for.
        let _ = written.wait_for(|written| *written >= number).await;
    }
}

async fn write(
    api: Api<Pod>,
    name: String,
    uid: String,
    base: Arc<Mutex<Base>>,
    mut wanted: watch::Receiver<Versioned>,
    progress: watch::Sender<u64>,
) {
    let mut delay = RETRY_MIN;
    while wanted.changed().await.is_ok() {
        loop {
            let desired = wanted.borrow_and_update().clone();
            let new = serde_json::to_value(&*desired.status).unwrap_or_default();
            let Some(change) = difference(&base.lock().status, &new) else {
                progress.send_replace(desired.number);
                break;
            };
            let patch = Patch::Strategic(json!({"metadata": {"uid": uid}, "status": change}));
            match api.patch_status(&name, &PatchParams::default(), &patch).await {
                Ok(pod) => {
                    delay = RETRY_MIN;
                    let version = resource_version(&pod.metadata);
                    let mut base = base.lock();
                    if version >= base.version {
                        *base = Base { version, status: serde_json::to_value(&pod.status).unwrap_or_default() };
                    }
                    progress.send_replace(desired.number);
                    break;
                }
                Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {
                    tracing::debug!(pod = name, code = status.code, "the pod is gone; its status is not written");
                    progress.send_replace(desired.number);
                    break;
                }
                // The same words would be refused again; the next status may be fine.
                Err(kube::Error::Api(status)) if status.code == 400 || status.code == 422 => {
                    tracing::error!(pod = name, message = status.message, "the API refuses the pod's status");
                    progress.send_replace(desired.number);
                    break;
                }
                Err(error) => {
                    tracing::warn!(pod = name, error = &error as &dyn std::error::Error, "failed to write pod status");
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(RETRY_MAX);
                }
            }
        }
    }
}

/// The strategic merge patch from `old` to `new`; `None` if they are the same.
fn difference(old: &Value, new: &Value) -> Option<Value> {
    let empty = Map::new();
    let old = old.as_object().unwrap_or(&empty);
    let new = new.as_object()?;
    let mut change = Map::new();
    for (field, value) in new {
        let before = old.get(field);
        if before == Some(value) {
            continue;
        }
        let value = match field.as_str() {
            "conditions" => changed_conditions(before, value),
            // Merged by `ip` otherwise, which would keep the old addresses.
            "podIPs" | "hostIPs"
                if before.is_some_and(|before| before.as_array().is_some_and(|ips| !ips.is_empty())) =>
            {
                let mut ips = vec![json!({"$patch": "replace"})];
                ips.extend(value.as_array().into_iter().flatten().cloned());
                Some(Value::Array(ips))
            }
            _ => Some(value.clone()),
        };
        change.extend(value.map(|value| (field.clone(), value)));
    }
    for field in old.keys().filter(|field| !new.contains_key(*field)) {
        change.insert(field.clone(), Value::Null);
    }
    (!change.is_empty()).then_some(Value::Object(change))
}

/// Conditions merge by type: only those that differ are sent.
fn changed_conditions(old: Option<&Value>, new: &Value) -> Option<Value> {
    let old = old.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let find = |kind: &Value| old.iter().find(|condition| condition.get("type") == Some(kind));
    let changed: Vec<Value> = new
        .as_array()?
        .iter()
        .filter_map(|condition| {
            let before = find(condition.get("type")?);
            if before == Some(condition) {
                return None;
            }
            let mut condition = condition.clone();
            let fields = before.and_then(Value::as_object).map(|before| before.keys()).into_iter().flatten();
            for field in fields {
                if condition.get(field).is_none() {
                    condition[field.as_str()] = Value::Null;
                }
            }
            Some(condition)
        })
        .collect();
    (!changed.is_empty()).then_some(Value::Array(changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_sent() {
        for (old, new, expected) in [
            (json!({"phase": "Running"}), json!({"phase": "Running"}), None),
            (Value::Null, json!({"phase": "Pending"}), Some(json!({"phase": "Pending"}))),
            (json!({"phase": "A", "reason": "x"}), json!({"phase": "A"}), Some(json!({"reason": null}))),
            (
                json!({"conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "False", "reason": "R"}]}),
                json!({"conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "True"}]}),
                Some(json!({"conditions": [{"type": "B", "status": "True", "reason": null}]})),
            ),
            // The order of conditions means nothing.
            (
                json!({"conditions": [{"type": "B"}, {"type": "A"}]}),
                json!({"conditions": [{"type": "A"}, {"type": "B"}]}),
                None,
            ),
            (json!({"podIPs": []}), json!({"podIPs": [{"ip": "1"}]}), Some(json!({"podIPs": [{"ip": "1"}]}))),
            (
                json!({"podIPs": [{"ip": "1"}]}),
                json!({"podIPs": [{"ip": "2"}]}),
                Some(json!({"podIPs": [{"$patch": "replace"}, {"ip": "2"}]})),
            ),
        ] {
            assert_eq!(difference(&old, &new), expected, "{old} -> {new}");
        }
    }
}
