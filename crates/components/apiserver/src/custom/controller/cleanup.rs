//! The end of a definition: first its objects, then itself.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use minato_mvcc::Object;
use serde_json::Value;

use super::super::definition::{CLEANUP, Definition};
use super::super::resources;
use super::conditions::{self, Condition};
use super::{myself, update, update_status};
use crate::admission::Remarks;
use crate::core::Core;
use crate::registry::Resource;
use crate::status::ApiError;
use crate::write::{DeleteOptions, Target, UpdateKind, parse};

/// How long to wait before another look, when nothing tells of an object's end.
const RECHECK: Duration = Duration::from_secs(5);
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Deletes the objects of a definition, waits until the last is gone, and lets the definition go.
pub(super) fn start(core: Arc<Core>, definition: Definition, source: Arc<Object>) {
    let scope = core.scope.clone();
    scope.clone().spawn("custom resource cleanup", async move {
        let mut pause = RETRY_MIN;
        loop {
            tokio::select! {
                () = scope.cancelled() => return,
                result = finish(&core, &definition, &source) => match result {
                    Ok(()) => return,
                    Err(error) if error.code == StatusCode::NOT_FOUND => return,
                    Err(error) => {
                        tracing::warn!(name = definition.metadata.name, %error, "custom resources cannot be deleted yet");
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    });
}

async fn finish(core: &Core, definition: &Definition, source: &Arc<Object>) -> Result<(), ApiError> {
    let name = &definition.metadata.name;
    say(core, name, true, "InstanceDeletionInProgress", "CustomResource deletion is in progress").await?;
    // In the version that is stored, so that no webhook is needed to get rid of them.
    let resource = resources(definition, source, |version| version.storage).into_iter().next();
    if let Some(resource) = resource.filter(|_| definition.has("Established")) {
        delete_all(core, &resource).await?;
    }
    say(core, name, false, "InstanceDeletionCompleted", "removed all instances").await?;
    let mut release = |old: &Value| {
        let mut new = old.clone();
        if let Value::Array(finalizers) = &mut new["metadata"]["finalizers"] {
            finalizers.retain(|finalizer| finalizer != CLEANUP);
        }
        Ok(new)
    };
    update(core, name, UpdateKind::Object, &mut release).await
}

async fn say(
    core: &Core,
    name: &str,
    terminating: bool,
    reason: &'static str,
    message: &'static str,
) -> Result<(), ApiError> {
    let condition = Condition::new("Terminating", terminating, reason, message);
    let mut change = |old: &Value| {
        let mut new = old.clone();
        conditions::set(&mut new, &condition);
        Ok(new)
    };
    update_status(core, name, &mut change).await
}

async fn delete_all(core: &Core, resource: &Resource) -> Result<(), ApiError> {
    let (user, remarks) = (myself(), Remarks::default());
    loop {
        let snapshot = core.memory().snapshot(&resource.storage);
        if snapshot.iter().next().is_none() {
            return Ok(());
        }
        for object in snapshot.iter() {
            if crate::object::is_terminating(&parse(object)?) {
                continue;
            }
            let target = Target::internal(resource, &object.key.namespace, &user, &remarks);
            match core.delete(&target, &object.key.name, &DeleteOptions::default()).await {
                Err(error) if error.code != StatusCode::NOT_FOUND => return Err(error),
                _ => {}
            }
        }
        // Those that have finalizers take their time.
        if let Ok(mut cursor) = core.memory().subscribe(&resource.storage, snapshot.revision()) {
            let _ = tokio::time::timeout(RECHECK, cursor.next()).await;
        }
    }
}
