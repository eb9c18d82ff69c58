//! Deletion: at once, after a grace period, or when the last finalizer is gone.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use minato_kinds::{Declaration, Subresource};
use minato_mvcc::{Expected, Object};
use serde_json::{Map, Value};

use super::{ATTEMPTS_MAX, Refused, Target};
use crate::admission::{Context, Operation, Options};
use crate::core::Core;
use crate::object;
use crate::route::Query;
use crate::status::ApiError;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
/// What upstream says to whoever deletes a Job without saying what becomes of its pods.
const JOB_PODS_STAY: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning";

/// What happens to the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// `meta.k8s.io/v1 DeleteOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_period_seconds: Option<i64>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) dry_run: bool,
}

impl DeleteOptions {
    /// From the query's parameters, with those of the body, if any, before them.
    pub(crate) fn parse(query: &Query, body: Option<&Value>) -> Result<Self, ApiError> {
        let mut options = Self {
            dry_run: query.get("dryRun").is_some(),
            propagation: query.get("propagationPolicy").map(propagation).transpose()?,
            grace_period_seconds: query
                .get("gracePeriodSeconds")
                .map(|text| {
                    text.parse::<i64>()
                        .map_err(|_| ApiError::bad_request(format!("gracePeriodSeconds: {text:?} is not a number")))
                })
                .transpose()?,
            ..Self::default()
        };
        if query.flag("orphanDependents") {
            options.propagation = Some(Propagation::Orphan);
        }
        let Some(body) = body else { return options.checked() };
        if let Some(kind) = body["kind"].as_str()
            && kind != "DeleteOptions"
        {
            return Err(ApiError::bad_request(format!("the body of a deletion must be DeleteOptions, not {kind}")));
        }
        if let Some(seconds) = body["gracePeriodSeconds"].as_i64() {
            options.grace_period_seconds = Some(seconds);
        }
        if let Some(policy) = body["propagationPolicy"].as_str() {
            options.propagation = Some(propagation(policy)?);
        }
        match body["orphanDependents"].as_bool() {
            Some(true) => options.propagation = Some(Propagation::Orphan),
            Some(false) if options.propagation.is_none() => options.propagation = Some(Propagation::Background),
            _ => {}
        }
        let text = |key: &str| body["preconditions"][key].as_str().map(str::to_owned);
        options.uid = text("uid");
        options.resource_version = text("resourceVersion");
        options.dry_run |= body["dryRun"].as_array().is_some_and(|all| !all.is_empty());
        options.checked()
    }

    /// Adds the options as `meta.k8s.io/v1` writes them.
    pub(crate) fn write_to(&self, options: &mut Map<String, Value>) {
        if let Some(seconds) = self.grace_period_seconds {
            options.insert("gracePeriodSeconds".to_owned(), seconds.into());
        }
        if let Some(propagation) = self.propagation {
            options.insert("propagationPolicy".to_owned(), format!("{propagation:?}").into());
        }
        let preconditions: Map<String, Value> = [("uid", &self.uid), ("resourceVersion", &self.resource_version)]
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.as_deref()?.into())))
            .collect();
        if !preconditions.is_empty() {
            options.insert("preconditions".to_owned(), preconditions.into());
        }
    }

    fn checked(self) -> Result<Self, ApiError> {
        if self.grace_period_seconds.is_some_and(|seconds| seconds < 0) {
            // Upstream takes a negative period for "at once".
            return Ok(Self { grace_period_seconds: Some(1), ..self });
        }
        Ok(self)
    }

    fn check(&self, target: &Target<'_>, name: &str, object: &Value) -> Result<(), ApiError> {
        let conflict = |why: String| Err(ApiError::conflict(&target.resource.subject(name), &why));
        let have = object::text(object, "uid");
        if let Some(wanted) = &self.uid
            && wanted != have
        {
            return conflict(format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {have}"));
        }
        let have = object::text(object, "resourceVersion");
        if let Some(wanted) = &self.resource_version
            && wanted != have
        {
            return conflict(format!(
                "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {have}"
            ));
        }
        Ok(())
    }
}

fn propagation(text: &str) -> Result<Propagation, ApiError> {
    match text {
        "Background" => Ok(Propagation::Background),
        "Foreground" => Ok(Propagation::Foreground),
        "Orphan" => Ok(Propagation::Orphan),
        other => Err(ApiError::bad_request(format!(
            "propagationPolicy: Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
        ))),
    }
}

/// What became of an object whose deletion was asked for.
pub(crate) enum Deletion {
    /// It is gone; this was its last state.
    Removed(Arc<Object>),
    /// It is marked, and goes when its time or its last finalizer has gone.
    Marked(Arc<Object>),
}

impl Core {
    /// Deletes the object `name`.
    pub(crate) async fn delete(
        &self,
        target: &Target<'_>,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deletion, ApiError> {
        let key = target.key_of(name);
        let declaration = &target.resource.declaration;
        if options.propagation.is_none() && declaration.group == "batch" && declaration.kind == "Job" {
            target.remarks.warn(JOB_PODS_STAY);
        }
        for _ in 0..ATTEMPTS_MAX {
            let current = self.memory().get(&key).ok_or_else(|| target.resource.not_found(name))?;
            let old = self.working(target.resource, &current).await?;
            options.check(target, name, &old)?;
            let plan = match plan(declaration, &old, options, Timestamp::now()) {
                Plan::Nothing => return Ok(Deletion::Marked(current)),
                plan => plan,
            };
            let context = target.context(self, Operation::Delete, name, Some(&old));
            self.admit(&Context { options: Options::Delete(options), ..context }, &mut Value::Null).await?;
            let outcome = match plan {
                Plan::Nothing => return Ok(Deletion::Marked(current)),
                Plan::Remove => self.remove(target, &current, &old).await.map(Deletion::Removed),
                Plan::Mark(marked) => self
                    .put(target, key.clone(), &marked, Expected::Revision(current.revision), Vec::new())
                    .await
                    .map(Deletion::Marked),
            };
            match outcome {
                Ok(deletion) => return Ok(deletion),
                Err(Refused::Raced | Refused::Uncharged) => {}
                Err(Refused::Failed(error)) => return Err(error),
            }
        }
        Err(ApiError::modified(&target.resource.subject(name)))
    }
}

/// What a request to delete does to an object.
#[derive(Debug, PartialEq)]
enum Plan {
    Nothing,
    Remove,
    Mark(Value),
}

fn plan(declaration: &Declaration, old: &Value, options: &DeleteOptions, now: Timestamp) -> Plan {
    let mut new = old.clone();
    declaration.strategy.prepare_for_delete(&mut new);
    propagate(&mut new, options.propagation.or_else(|| customary(declaration, old)));
    let held = object::finalizers(&new).next().is_some() || is_held_by_spec(declaration, &new);
    let grace = match declaration.strategy.default_grace_period(old) {
        // Deletion of this object is not graceful.
        None | Some(0) => 0,
        Some(default) => options.grace_period_seconds.unwrap_or(default),
    };
    if object::is_terminating(old) {
        let left = old["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        // A second request can shorten the time, never lengthen it.
        let shorter = match options.grace_period_seconds {
            Some(asked) if asked < left => asked,
            _ if grace == 0 => 0,
            _ => left,
        };
        if shorter == 0 && !held {
            return Plan::Remove;
        }
        if shorter < left {
            mark(&mut new, shorter, deletion_start(old, left, now));
        }
    } else if grace == 0 && !held {
        return Plan::Remove;
    } else {
        mark(&mut new, grace, now);
        if declaration.strategy.has_generation() || old["metadata"]["generation"].is_i64() {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
            object::metadata(&mut new).insert("generation".to_owned(), generation.into());
        }
        if is_held_by_spec(declaration, &new) {
            new["status"]["phase"] = "Terminating".into();
        }
    }
    if new == *old { Plan::Nothing } else { Plan::Mark(new) }
}

fn mark(object: &mut Value, grace_seconds: i64, from: Timestamp) {
    let end = from.checked_add(SignedDuration::from_secs(grace_seconds)).unwrap_or(from);
    let metadata = object::metadata(object);
    metadata.insert("deletionTimestamp".to_owned(), object::time(end));
    metadata.insert("deletionGracePeriodSeconds".to_owned(), grace_seconds.into());
}

/// When the deletion was asked for first: the time set minus the grace period.
fn deletion_start(object: &Value, grace_seconds: i64, now: Timestamp) -> Timestamp {
    let end: Option<Timestamp> = object::text(object, "deletionTimestamp").parse().ok();
    end.and_then(|end| end.checked_sub(SignedDuration::from_secs(grace_seconds)).ok()).unwrap_or(now)
}

/// How dependents are treated where the request does not say: as a finalizer says, else as the kind has it.
fn customary(declaration: &Declaration, object: &Value) -> Option<Propagation> {
    let said = object::finalizers(object).any(|finalizer| finalizer == FOREGROUND || finalizer == ORPHAN);
    (!said && declaration.strategy.orphans_dependents()).then_some(Propagation::Orphan)
}

/// Makes the finalizers say how the garbage collector is to treat the dependents.
fn propagate(object: &mut Value, policy: Option<Propagation>) {
    let Some(policy) = policy else { return };
    let mut finalizers: Vec<Value> = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != FOREGROUND && finalizer != ORPHAN);
    match policy {
        Propagation::Background => {}
        Propagation::Foreground => finalizers.push(FOREGROUND.into()),
        Propagation::Orphan => finalizers.push(ORPHAN.into()),
    }
    let metadata = object::metadata(object);
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), finalizers.into());
    }
}

/// Kinds with a `finalize` subresource (namespaces) keep a list of finalizers in their spec as well.
pub(super) fn is_held_by_spec(declaration: &Declaration, object: &Value) -> bool {
    declaration.subresources.contains(&Subresource::Finalize)
        && object["spec"]["finalizers"].as_array().is_some_and(|all| !all.is_empty())
}
