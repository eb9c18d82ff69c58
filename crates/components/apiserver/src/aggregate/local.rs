//! The APIServices of what this server serves itself, so that `kubectl get apiservices` tells of everything.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use super::{API_SERVICES, keeper};
use crate::admission::Remarks;
use crate::core::Core;
use crate::object;
use crate::registry::CUSTOM_PRIORITY;
use crate::status::ApiError;
use crate::usage;
use crate::write::{DeleteOptions, Target, UpdateKind, parse};

/// Tells who made an APIService: `onstart` for built-in groups, `true` for those of CustomResourceDefinitions.
/// APIServices that are made at once.
const WRITES_MAX: usize = 64;
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// Makes the APIServices that lack and takes away those of groups that are gone.
pub(super) async fn keep(core: &Core) {
    if let Err(error) = try_keep(core).await {
        tracing::warn!(%error, "the APIServices of this server cannot be kept");
    }
}

async fn try_keep(core: &Core) -> Result<(), ApiError> {
    usage::keep(core);
    let wanted = wanted(core);
    let (user, remarks) = (keeper(), Remarks::default());
    let Some(resource) = core.registry.stored("apiregistration.k8s.io", "apiservices") else { return Ok(()) };
    let target = Target::internal(&resource, "", &user, &remarks);
    let mut stored = BTreeMap::new();
    for object in core.memory().snapshot(API_SERVICES).iter() {
        stored.insert(object.key.name.to_string(), parse(object)?);
    }
    let lacking: Vec<(String, Option<Value>)> = wanted
        .iter()
        .filter_map(|(name, object)| match stored.get(name) {
            None => Some((name.clone(), Some(object.clone()))),
            Some(have) if have["spec"]["service"].is_null() && have["status"]["conditions"].is_null() => {
                Some((name.clone(), None))
            }
            Some(_) => None,
        })
        .collect();
    // Side by side, as groups come in heaps: their writes share the store's commits.
    let made = futures::stream::iter(lacking).map(|(name, object)| make(core, &target, name, object));
    made.buffer_unordered(WRITES_MAX).try_collect::<()>().await?;
    for (name, have) in &stored {
        let ours = have["metadata"]["labels"][MANAGED] == "true" && have["spec"]["service"].is_null();
        if ours && !wanted.contains_key(name) && !object::is_terminating(have) {
            core.delete(&target, name, &DeleteOptions::default()).await?;
        }
    }
    Ok(())
}

/// Makes an APIService of this server's own, where it is not there yet, and says that it is available.
async fn make(core: &Core, target: &Target<'_>, name: String, object: Option<Value>) -> Result<(), ApiError> {
    if let Some(object) = object {
        core.create(target, object).await?;
    }
    set_local(core, target, &name).await
}

async fn set_local(core: &Core, target: &Target<'_>, name: &str) -> Result<(), ApiError> {
    let condition = super::availability::condition(true, "Local", "Local APIServices are always available");
    let mut change = |old: &Value| {
        let mut new = old.clone();
        new["status"] = json!({"conditions": [condition]});
        Ok(new)
    };
    core.update(target, name, UpdateKind::Status, &mut change).await.map(drop)
}

/// An APIService for each version that this server serves, by name.
fn wanted(core: &Core) -> BTreeMap<String, Value> {
    let served = core.registry.served();
    let mut wanted = BTreeMap::new();
    for group in served.groups() {
        let builtin = group.priority > CUSTOM_PRIORITY;
        for (index, version) in group.versions.iter().filter(|version| !version.resources.is_empty()).enumerate() {
            let name = format!("{}.{}", version.name, group.name);
            // The preferred version of a built-in group has the highest number, as upstream gives them.
            let priority = if builtin { 15_usize.saturating_sub(index).max(1) } else { 100 };
            let mut spec = json!({
                "version": version.name, "groupPriorityMinimum": group.priority, "versionPriority": priority,
            });
            if !group.name.is_empty() {
                spec["group"] = Value::from(&*group.name);
            }
            let object = json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "spec": spec,
                "metadata": {"name": name, "labels": {MANAGED: if builtin { "onstart" } else { "true" }}},
            });
            wanted.insert(name, object);
        }
    }
    let object = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "spec": usage::api_service(),
        "metadata": {"name": usage::API_SERVICE, "labels": {MANAGED: "onstart"}},
    });
    wanted.insert(usage::API_SERVICE.to_owned(), object);
    wanted
}
