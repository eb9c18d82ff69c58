//! The expressions of policies and match conditions: whether they compile, and to what. That they are there is checked
//! where the rest of their holders is.

use minato_cel::admission::{Scope, Wanted, compile_expression, environment};
use minato_cel::{Environment, Type};
use serde_json::Value;

use crate::error::Errors;
use crate::path::At;
use crate::read::Read;

/// The match conditions of a webhook.
pub(super) fn webhook(webhook: &Value, at: &At<'_>, errors: &mut Errors) {
    conditions(webhook, at, Scope::Webhook, errors);
}

/// All expressions of a policy's `spec`.
pub(super) fn policy(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let scope = if spec.or_null("paramKind").is_object() { Scope::PolicyWithParams } else { Scope::Policy };
    conditions(spec, at, scope, errors);
    let environment = variables(spec, &at.field("variables"), scope, errors);
    let list = at.field("validations");
    for (index, validation) in spec.list("validations").iter().enumerate() {
        let at = list.index(index);
        expression(&environment, (validation, "expression"), Wanted::Bool, &at, errors);
        expression(&environment, (validation, "messageExpression"), Wanted::String, &at, errors);
    }
    let list = at.field("auditAnnotations");
    for (index, annotation) in spec.list("auditAnnotations").iter().enumerate() {
        expression(&environment, (annotation, "valueExpression"), Wanted::StringOrNull, &list.index(index), errors);
    }
    let list = at.field("mutations");
    for (index, mutation) in spec.list("mutations").iter().enumerate() {
        let at = list.index(index);
        let (field, wanted) = match mutation.text("patchType") {
            "ApplyConfiguration" => ("applyConfiguration", Wanted::ApplyConfiguration),
            "JSONPatch" => ("jsonPatch", Wanted::JsonPatch),
            _ => continue,
        };
        expression(&environment, (mutation.or_null(field), "expression"), wanted, &at.field(field), errors);
    }
}

fn conditions(holder: &Value, at: &At<'_>, scope: Scope, errors: &mut Errors) {
    let conditions = holder.list("matchConditions");
    if conditions.is_empty() {
        return;
    }
    let environment = environment(scope, &[]);
    let list = at.field("matchConditions");
    for (index, condition) in conditions.iter().enumerate() {
        expression(&environment, (condition, "expression"), Wanted::Bool, &list.index(index), errors);
    }
}

/// The environment with the policy's own variables, each of which knows those before it.
fn variables(spec: &Value, list: &At<'_>, scope: Scope, errors: &mut Errors) -> Environment {
    let mut declared: Vec<(String, Type)> = Vec::new();
    for (index, variable) in spec.list("variables").iter().enumerate() {
        let environment = environment(scope, &declared);
        let ty = expression(&environment, (variable, "expression"), Wanted::Any, &list.index(index), errors);
        declared.push((variable.text("name").to_owned(), ty));
    }
    environment(scope, &declared)
}

/// Compiles the text in a field, if there is one; gives its type.
fn expression(
    environment: &Environment,
    (holder, field): (&Value, &str),
    wanted: Wanted,
    at: &At<'_>,
    errors: &mut Errors,
) -> Type {
    let source = holder.text(field);
    if source.trim().is_empty() {
        return Type::Dyn;
    }
    match compile_expression(environment, source, wanted) {
        Ok(program) => program.output_type().clone(),
        Err(detail) => {
            errors.invalid(&at.field(field), source, detail);
            Type::Dyn
        }
    }
}
