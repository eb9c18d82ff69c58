//! ValidatingAdmissionPolicy: expressions that must hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use minato_cel::admission::{POLICY_COST_MAX, Wanted, compile_expression};
use minato_cel::{Budget, Value as Cel};
use serde_json::{Value, json};

use super::super::Context;
use super::super::expressions::{Compiled, Facts, Fault, UserAuthorizer, Verdict, evaluate};
use super::super::matching::{Seen, is_exempt, is_review, request};
use super::{Binding, Policy, namespace_of};
use crate::status::ApiError;

/// Bytes of a message that an expression may make.
const MESSAGE_BYTES_MAX: usize = 5 * 1024;
/// Bytes of an audit annotation.
const ANNOTATION_BYTES_MAX: usize = 10 * 1024;

/// A policy with its bindings, compiled.
pub(in super::super) struct ValidatingPolicy {
    policy: Policy,
    validations: Vec<Validation>,
    annotations: Vec<Annotation>,
}

struct Validation {
    expression: String,
    program: Compiled,
    message: String,
    message_program: Option<Compiled>,
    reason: String,
}

struct Annotation {
    key: String,
    expression: String,
    program: Compiled,
}

/// A validation that does not hold.
struct Violation {
    index: usize,
    message: String,
    reason: String,
}

impl ValidatingPolicy {
    pub(in super::super) fn new(policy: &Value, bindings: &[Value]) -> Option<Self> {
        let (common, environment) = Policy::new(policy, bindings)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let spec = &policy["spec"];
        let validations = spec["validations"].as_array().into_iter().flatten().map(|validation| {
            let expression = text(&validation["expression"]);
            let message_expression = text(&validation["messageExpression"]);
            let compiled = |source: &str| compile_expression(&environment, source, Wanted::String);
            Validation {
                program: compile_expression(&environment, &expression, Wanted::Bool),
                message: text(&validation["message"]).trim().to_owned(),
                message_program: (!message_expression.is_empty()).then(|| compiled(&message_expression)),
                reason: text(&validation["reason"]),
                expression,
            }
        });
        let annotations = spec["auditAnnotations"].as_array().into_iter().flatten().map(|annotation| {
            let expression = text(&annotation["valueExpression"]);
            let program = compile_expression(&environment, &expression, Wanted::StringOrNull);
            Annotation { key: text(&annotation["key"]), expression, program }
        });
        Some(Self { validations: validations.collect(), annotations: annotations.collect(), policy: common })
    }

    /// What does not hold of a request with these parameters, and the audit annotations.
    fn violations(&self, sight: &Sight<'_>, params: &Value) -> (Vec<Violation>, Vec<(String, String)>) {
        let facts = sight.facts(params, &self.policy.variables);
        let failed = |message: String| Violation { index: 0, message, reason: String::new() };
        match self.policy.conditions.judge(&facts) {
            Verdict::Matches => {}
            Verdict::Differs => return Default::default(),
            Verdict::Failed(message) if self.policy.fails => return (vec![failed(message)], Vec::new()),
            Verdict::Failed(_) => return Default::default(),
        }
        let mut budget = Budget::new(POLICY_COST_MAX);
        let mut violations = Vec::new();
        for (index, validation) in self.validations.iter().enumerate() {
            let result = evaluate(&validation.program, &facts, &mut budget);
            let (message, reason) = match result {
                Ok(Cel::Bool(true)) => continue,
                Ok(_) => (validation.message(&facts, &mut budget), validation.reason.clone()),
                Err(_) if !self.policy.fails => continue,
                Err(fault) => {
                    let spent = matches!(fault, Fault::Budget);
                    violations.push(Violation {
                        index,
                        message: fault.about(&validation.expression),
                        reason: String::new(),
                    });
                    if spent {
                        return (violations, Vec::new());
                    }
                    continue;
                }
            };
            violations.push(Violation { index, message, reason });
        }
        let mut annotations = Vec::new();
        for annotation in &self.annotations {
            match evaluate(&annotation.program, &facts, &mut budget) {
                Ok(Cel::String(text)) => {
                    let text = text.trim();
                    let end = (0..=text.len().min(ANNOTATION_BYTES_MAX)).rev().find(|end| text.is_char_boundary(*end));
                    if !text.is_empty() {
                        annotations.push((annotation.key.clone(), text[..end.unwrap_or(0)].to_owned()));
                    }
                }
                Ok(_) => {}
                Err(fault) if self.policy.fails => violations.push(failed(fault.about(&annotation.expression))),
                Err(_) => {}
            }
        }
        (violations, annotations)
    }
}

impl Validation {
    /// What is said of a request that this validation refuses: what the message expression makes, if it is of use.
    fn message<'a>(&'a self, facts: &Facts<'a>, budget: &mut Budget) -> String {
        if let Some(program) = &self.message_program
            && let Ok(Cel::String(text)) = evaluate(program, facts, budget)
        {
            let text = text.trim();
            if !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n') {
                return text.to_owned();
            }
        }
        match self.message.as_str() {
            "" => format!("failed expression: {}", self.expression.trim()),
            message => message.to_owned(),
        }
    }
}

/// The request as a policy sees it.
pub(super) struct Sight<'a> {
    object: Option<Value>,
    old: Option<Value>,
    given: (&'a Value, &'a Value),
    request: Value,
    namespace: Value,
    authorizer: UserAuthorizer<'a>,
}

static NOTHING: Value = Value::Null;

impl<'a> Sight<'a> {
    pub(super) async fn new(context: &'a Context<'a>, seen: &Seen, object: &'a Value) -> Result<Self, ApiError> {
        let old = context.old.unwrap_or(&NOTHING);
        Ok(Self {
            object: seen.convert(context, object).await?,
            old: seen.convert(context, old).await?,
            given: (object, old),
            request: Value::Object(request(context, seen)),
            namespace: namespace_of(context),
            authorizer: UserAuthorizer::new(context),
        })
    }

    pub(super) fn object(&self) -> &Value {
        self.object.as_ref().unwrap_or(self.given.0)
    }

    pub(super) fn facts<'f>(&'f self, params: &'f Value, variables: &'f [Compiled]) -> Facts<'f> {
        let old = self.old.as_ref().unwrap_or(self.given.1);
        Facts::new((self.object(), old), &self.request, &self.authorizer, (&self.namespace, params), variables)
    }
}

/// Asks all policies that are about the request.
pub(in super::super) async fn judge(
    all: &[Arc<ValidatingPolicy>],
    context: &Context<'_>,
    object: &Value,
) -> Result<(), ApiError> {
    if all.is_empty() || is_exempt(context) || is_review(context) {
        return Ok(());
    }
    let mut denial: Option<ApiError> = None;
    let mut failures: Vec<Value> = Vec::new();
    let mut annotations: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for policy in all {
        let Some(seen) = policy.policy.matcher.find(context, object)? else { continue };
        let sight = Sight::new(context, &seen, object).await?;
        for binding in &policy.policy.bindings {
            if policy.policy.seen_by(binding, context, object)?.is_none() {
                continue;
            }
            let mut violations = Vec::new();
            match policy.policy.params(binding, context) {
                Ok(all) => {
                    for params in &all {
                        let (found, noted) = policy.violations(&sight, params);
                        violations.extend(found);
                        for (key, value) in noted {
                            let values = annotations.entry(format!("{}/{key}", policy.policy.name)).or_default();
                            if !values.contains(&value) {
                                values.push(value);
                            }
                        }
                    }
                }
                Err(why) if policy.policy.fails => {
                    let message = format!("failed to configure binding: {why}");
                    // What cannot be configured is refused, whatever the binding wants done.
                    deny(
                        context,
                        policy,
                        binding,
                        &Violation { index: 0, message, reason: String::new() },
                        &mut denial,
                    );
                    continue;
                }
                Err(_) => continue,
            }
            for violation in &violations {
                act(context, policy, binding, violation, &mut denial, &mut failures);
            }
        }
    }
    let remarks = context.target.remarks;
    for (key, values) in annotations {
        remarks.annotate(key, values.join(", "));
    }
    if !failures.is_empty() {
        let key = "validation.policy.admission.k8s.io/validation_failure";
        remarks.annotate(key, Value::from(failures).to_string());
    }
    denial.map_or(Ok(()), Err)
}

/// Does what the binding says about a violation.
fn act(
    context: &Context<'_>,
    policy: &ValidatingPolicy,
    binding: &Binding,
    violation: &Violation,
    denial: &mut Option<ApiError>,
    failures: &mut Vec<Value>,
) {
    let (name, bound) = (&policy.policy.name, &binding.name);
    let message = &violation.message;
    if binding.does("Deny") {
        deny(context, policy, binding, violation, denial);
    }
    if binding.does("Warn") {
        let text =
            format!("Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{bound}': {message}");
        context.target.remarks.warn(text);
    }
    if binding.does("Audit") {
        failures.push(json!({
            "message": message, "policy": name, "binding": bound, "expressionIndex": violation.index,
            "validationActions": binding.actions,
        }));
    }
}

fn deny(
    context: &Context<'_>,
    policy: &ValidatingPolicy,
    binding: &Binding,
    violation: &Violation,
    denial: &mut Option<ApiError>,
) {
    // The first one is told.
    if denial.is_none() {
        let why = format!(
            "ValidatingAdmissionPolicy '{}' with binding '{}' denied request: {}",
            policy.policy.name, binding.name, violation.message
        );
        *denial = Some(ApiError::policy(&context.target.resource.subject(context.name), &violation.reason, &why));
    }
}
