//! PodSecurity: pods keep to the Pod Security Standard that their namespace asks for.

use minato_kinds::{FieldError, FieldErrorKind, FieldPath};
use minato_mvcc::{Key, Object};
use minato_podsecurity::{LevelVersion, Policy, Violation, evaluate, is_significant_update, pod_of, summary};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::configuration::versioned;
use super::{Context, Operation, text};
use crate::status::ApiError;

const NAMESPACES: &str = "core/namespaces";
const PODS: &str = "core/pods";
const LABELS: &str = "pod-security.kubernetes.io/";
/// Subresources of pods through which no container can change.
const HARMLESS: &[&str] = &["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];

/// What namespaces without labels ask for, and who is never asked.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    defaults: Policy,
    exemptions: Exemptions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Exemptions {
    usernames: Vec<String>,
    namespaces: Vec<String>,
    runtime_classes: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    defaults: Defaults,
    exemptions: Exemptions,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
struct Defaults {
    enforce: String,
    enforce_version: String,
    audit: String,
    audit_version: String,
    warn: String,
    warn_version: String,
}

impl Configuration {
    pub(super) fn read(told: &Value) -> Result<Self, String> {
        let file: File = versioned(told, "pod-security.admission.config.k8s.io", "PodSecurityConfiguration")?;
        let standard = |mode: &str, level: &str, version: &str| {
            let or = |text: &str, default: &'static str| if text.is_empty() { default } else { text }.to_owned();
            LevelVersion::parse(&or(level, "privileged"), &or(version, "latest"))
                .map_err(|why| format!("defaults.{mode}: Invalid value: {:?}: {why}", format!("{level}:{version}")))
        };
        let given = &file.defaults;
        let defaults = Policy {
            enforce: standard("enforce", &given.enforce, &given.enforce_version)?,
            audit: standard("audit", &given.audit, &given.audit_version)?,
            warn: standard("warn", &given.warn, &given.warn_version)?,
        };
        Ok(Self { defaults, exemptions: file.exemptions })
    }
}

impl Exemptions {
    /// Why nothing is asked of this request, if so.
    fn of(&self, context: &Context<'_>) -> Option<&'static str> {
        let has = |list: &[String], name: &str| list.iter().any(|exempt| exempt == name);
        if has(&self.namespaces, context.target.namespace) {
            return Some("namespace");
        }
        has(&self.usernames, &context.target.user.name).then_some("user")
    }

    fn has_class(&self, spec: &Value) -> bool {
        let class = text(&spec["runtimeClassName"]);
        !class.is_empty() && self.runtime_classes.iter().any(|exempt| exempt == class)
    }
}

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
fn policy_of(namespace: &Object, defaults: Policy) -> Policy {
    let labels = namespace.attributes.labels().filter(|(key, _)| key.starts_with(LABELS));
    let labels: Map<String, Value> = labels.map(|(key, value)| (key.to_owned(), value.into())).collect();
    Policy::of_labels_over(&Value::Object(labels), defaults).0
}

fn namespace_policy(context: &Context<'_>) -> Policy {
    let defaults = context.core.plugins.pod_security.defaults;
    let namespace = context.memory.get(&Key::new(NAMESPACES, "", context.target.namespace));
    namespace.map_or(defaults, |namespace| policy_of(&namespace, defaults))
}

/// Whether nothing is asked of the request, which the audit log is told.
fn is_exempt(context: &Context<'_>) -> bool {
    let reason = context.core.plugins.pod_security.exemptions.of(context);
    if let Some(reason) = reason {
        context.target.remarks.annotate(format!("{LABELS}exempt"), reason);
    }
    reason.is_some()
}

fn check_pod(context: &Context<'_>, pod: &Value) -> Result<(), ApiError> {
    if is_exempt(context) {
        return Ok(());
    }
    let policy = namespace_policy(context);
    if policy.is_privileged() || context.old.is_some_and(|old| !is_significant_update(pod, old)) {
        return Ok(());
    }
    if context.core.plugins.pod_security.exemptions.has_class(&pod["spec"]) {
        context.target.remarks.annotate(format!("{LABELS}exempt"), "runtimeClass");
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
    if is_exempt(context) || context.core.plugins.pod_security.exemptions.has_class(spec) {
        return Ok(());
    }
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
    let configuration = &context.core.plugins.pod_security;
    let asked = |namespace: &Value| Policy::of_labels_over(&namespace["metadata"]["labels"], configuration.defaults);
    let (policy, errors) = asked(namespace);
    let (old_policy, old_errors) = match context.old {
        Some(old) => asked(old),
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
    let name = crate::object::text(namespace, "name");
    if configuration.exemptions.namespaces.iter().any(|exempt| exempt == name) {
        if !policy.is_privileged() && policy != configuration.defaults {
            context.target.remarks.warn(format!(
                "namespace {name:?} is exempt from Pod Security, and the policy ({policy}) will be ignored"
            ));
        }
        return Ok(());
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
