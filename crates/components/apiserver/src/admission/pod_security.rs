//! PodSecurity: pods keep to the Pod Security Standard that their namespace asks for.

use minato_kinds::{FieldError, FieldErrorKind, FieldPath};
use minato_mvcc::{Key, Object};
use minato_podsecurity::{LevelVersion, Policy, Violation, evaluate, is_significant_update, pod_of, summary};
use serde_json::{Map, Value};

use super::{Context, Operation};
use crate::status::ApiError;

const NAMESPACES: &str = "core/namespaces";
const PODS: &str = "core/pods";
const LABELS: &str = "pod-security.kubernetes.io/";
/// Subresources of pods through which no container can change.
const HARMLESS: &[&str] = &["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];

pub(super) fn check(context: &Context<'_>, object: &Value) -> Result<(), ApiError> {
    if !matches!(context.operation, Operation::Create | Operation::Update) {
        return Ok(());
    }
    match &*context.target.resource.storage {
        NAMESPACES if context.is(NAMESPACES) => check_namespace(context, object),
        PODS if !HARMLESS.contains(&context.target.subresource) => check_pod(context, object),
        storage if context.is(storage) => warn_of_template(context, storage, object),
        _ => Ok(()),
    }
}

/// What the namespace's labels ask for. They are at hand without reading the namespace; most have none.
fn policy_of(namespace: &Object) -> Policy {
    let labels = namespace.attributes.labels().filter(|(key, _)| key.starts_with(LABELS));
    let labels: Map<String, Value> = labels.map(|(key, value)| (key.to_owned(), value.into())).collect();
    Policy::of_labels(&Value::Object(labels)).0
}

fn namespace_policy(context: &Context<'_>) -> Policy {
    let namespace = context.memory.get(&Key::new(NAMESPACES, "", context.target.namespace));
    namespace.map(|namespace| policy_of(&namespace)).unwrap_or_default()
}

fn check_pod(context: &Context<'_>, pod: &Value) -> Result<(), ApiError> {
    let policy = namespace_policy(context);
    if policy.is_privileged() || context.old.is_some_and(|old| !is_significant_update(pod, old)) {
        return Ok(());
    }
    let judge = |standard: LevelVersion| evaluate(standard, &pod["metadata"], &pod["spec"]);
    let remarks = context.target.remarks;
    remarks.annotate(format!("{LABELS}enforce-policy"), policy.enforce.to_string());
    let refused = judge(policy.enforce);
    audit(context, policy.audit, &judge(policy.audit));
    if !refused.is_empty() {
        let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, summary(&refused));
        return Err(context.forbidden(pod, &why));
    }
    warn(context, policy.warn, &judge(policy.warn));
    Ok(())
}

/// Kinds that make pods are never refused: their pods will be.
fn warn_of_template(context: &Context<'_>, storage: &str, object: &Value) -> Result<(), ApiError> {
    let Some((metadata, spec)) = pod_of(storage, object) else { return Ok(()) };
    let policy = namespace_policy(context);
    audit(context, policy.audit, &evaluate(policy.audit, metadata, spec));
    warn(context, policy.warn, &evaluate(policy.warn, metadata, spec));
    Ok(())
}

fn told(standard: LevelVersion, violations: &[Violation]) -> String {
    format!("would violate PodSecurity \"{standard}\": {}", summary(violations))
}

fn audit(context: &Context<'_>, standard: LevelVersion, violations: &[Violation]) {
    if !violations.is_empty() {
        context.target.remarks.annotate(format!("{LABELS}audit-violations"), told(standard, violations));
    }
}

fn warn(context: &Context<'_>, standard: LevelVersion, violations: &[Violation]) {
    if !violations.is_empty() {
        context.target.remarks.warn(told(standard, violations));
    }
}

/// Refuses labels that mean nothing, and says which pods a stricter policy would refuse.
fn check_namespace(context: &Context<'_>, namespace: &Value) -> Result<(), ApiError> {
    let (policy, errors) = Policy::of_labels(&namespace["metadata"]["labels"]);
    let (old_policy, old_errors) = match context.old {
        Some(old) => Policy::of_labels(&old["metadata"]["labels"]),
        None => (policy, Vec::new()),
    };
    // Who updates a namespace for another reason need not mend its labels.
    if !errors.is_empty() && errors != old_errors {
        let errors: Vec<FieldError> = errors
            .into_iter()
            .map(|error| FieldError {
                path: FieldPath::new(format!("metadata.labels[{}]", error.label)),
                kind: FieldErrorKind::Invalid,
                value: error.value.into(),
                detail: error.message.to_owned(),
            })
            .collect();
        let name = crate::object::text(namespace, "name");
        return Err(ApiError::invalid(&context.target.resource.subject_by_kind(name), &errors));
    }
    let (new, old) = (policy.enforce, old_policy.enforce);
    if new == old || (new.version == old.version && new.level <= old.level) {
        return Ok(());
    }
    if new.level == minato_podsecurity::Level::Privileged {
        return Ok(());
    }
    let snapshot = context.memory.snapshot(PODS);
    let pods: Result<Vec<Value>, ApiError> =
        snapshot.iter_namespace(context.name).map(|pod| crate::write::parse(pod)).collect();
    for warning in minato_podsecurity::warnings_about_existing(context.name, new, &pods?) {
        context.target.remarks.warn(warning);
    }
    Ok(())
}
