//! MutatingAdmissionPolicy: expressions that change the object.

use std::sync::Arc;

use minato_apply::Topology;
use minato_cel::Budget;
use minato_cel::admission::{POLICY_COST_MAX, Wanted, compile_expression};
use serde_json::Value;

use super::super::expressions::{Compiled, Verdict, evaluate};
use super::super::matching::{Seen, is_exempt, is_review};
use super::super::webhooks::restore;
use super::super::{Context, Operation};
use super::lay_over::{atomics, lay_over};
use super::validating::Sight;
use super::{Binding, Policy};
use crate::status::ApiError;

/// A policy with its bindings, compiled.
pub(in super::super) struct MutatingPolicy {
    policy: Policy,
    mutations: Vec<Mutation>,
    reinvoked: bool,
}

struct Mutation {
    expression: String,
    program: Compiled,
    is_patch: bool,
}

impl MutatingPolicy {
    pub(in super::super) fn new(policy: &Value, bindings: &[Value]) -> Option<Self> {
        let (common, environment) = Policy::new(policy, bindings)?;
        let spec = &policy["spec"];
        let mutations = spec["mutations"].as_array().into_iter().flatten().map(|mutation| {
            let is_patch = mutation["patchType"] == "JSONPatch";
            let (field, wanted) = match is_patch {
                true => ("jsonPatch", Wanted::JsonPatch),
                false => ("applyConfiguration", Wanted::ApplyConfiguration),
            };
            let expression = mutation[field]["expression"].as_str().unwrap_or_default().to_owned();
            Mutation { program: compile_expression(&environment, &expression, wanted), expression, is_patch }
        });
        let reinvoked = spec["reinvocationPolicy"] == "IfNeeded";
        Some(Self { mutations: mutations.collect(), policy: common, reinvoked })
    }
}

/// Which policies have been applied in one request, and which want to see the object again.
#[derive(Default)]
pub(in super::super) struct Applied {
    invoked: Vec<Arc<MutatingPolicy>>,
    again: Vec<Arc<MutatingPolicy>>,
    second: bool,
}

impl Applied {
    /// Something changed the object behind those applied so far.
    pub(in super::super) fn changed(&mut self) {
        self.again.clone_from(&self.invoked);
        self.again.retain(|policy| policy.reinvoked);
    }

    pub(in super::super) fn wants_another(&self) -> bool {
        !self.again.is_empty()
    }
}

/// Lets all policies that are about the request change `object`; says whether one did.
pub(in super::super) async fn mutate(
    all: &[Arc<MutatingPolicy>],
    context: &Context<'_>,
    object: &mut Value,
    applied: &mut Applied,
) -> Result<bool, ApiError> {
    let second = std::mem::replace(&mut applied.second, true);
    let changes = matches!(context.operation, Operation::Create | Operation::Update);
    if all.is_empty() || !changes || is_exempt(context) || is_review(context) {
        return Ok(false);
    }
    let mut any = false;
    for policy in all {
        if second && !applied.again.iter().any(|have| Arc::ptr_eq(have, policy)) {
            continue;
        }
        let Some(seen) = policy.policy.matcher.find(context, object)? else { continue };
        let mut changed = false;
        for binding in &policy.policy.bindings {
            if policy.policy.seen_by(binding, context, object)?.is_none() {
                continue;
            }
            changed |= policy.apply(binding, context, &seen, object).await?;
        }
        if changed && !second {
            applied.changed();
        }
        any |= changed;
        applied.invoked.push(Arc::clone(policy));
    }
    Ok(any)
}

impl MutatingPolicy {
    async fn apply(
        &self,
        binding: &Binding,
        context: &Context<'_>,
        seen: &Seen,
        object: &mut Value,
    ) -> Result<bool, ApiError> {
        let refused = |why: &str| {
            let (policy, binding) = (&self.policy.name, &binding.name);
            let why = format!("policy '{policy}' with binding '{binding}' denied request: {why}");
            ApiError::policy(&context.target.resource.subject(context.name), "", &why)
        };
        let all = match self.policy.params(binding, context) {
            Ok(all) => all,
            Err(why) if self.policy.fails => return Err(refused(&format!("failed to configure binding: {why}"))),
            Err(_) => return Ok(false),
        };
        let mut changed = false;
        for params in &all {
            let mut budget = Budget::new(POLICY_COST_MAX);
            let before = object.clone();
            match self.change(context, seen, object, params, &mut budget).await {
                Ok(()) => changed |= before != *object,
                Err(why) => {
                    *object = before;
                    if self.policy.fails {
                        return Err(refused(&why));
                    }
                    tracing::warn!(policy = self.policy.name, error = why, "a policy failed, failing open");
                }
            }
        }
        Ok(changed)
    }

    async fn change(
        &self,
        context: &Context<'_>,
        seen: &Seen,
        object: &mut Value,
        params: &Value,
        budget: &mut Budget,
    ) -> Result<(), String> {
        for (index, mutation) in self.mutations.iter().enumerate() {
            let sight = Sight::new(context, seen, object).await.map_err(|error| error.message)?;
            let change = {
                let facts = sight.facts(params, &self.policy.variables);
                if index == 0 {
                    match self.policy.conditions.judge(&facts) {
                        Verdict::Matches => {}
                        Verdict::Differs => return Ok(()),
                        Verdict::Failed(why) => return Err(why),
                    }
                }
                let value =
                    evaluate(&mutation.program, &facts, budget).map_err(|fault| fault.about(&mutation.expression))?;
                value.to_json().map_err(|error| error.to_string())?
            };
            let mut next = sight.object().clone();
            if mutation.is_patch {
                let patch = serde_json::to_vec(&change).map_err(|error| error.to_string())?;
                minato_patch::json_patch(&mut next, &patch).map_err(|error| error.to_string())?;
            } else {
                for field in ["apiVersion", "kind"] {
                    if change.get(field).is_some_and(|value| *value != next[field]) {
                        return Err(format!("{field} may not be changed by a policy"));
                    }
                }
                let (group, version, kind) = context.kind();
                let resource = seen.resource(context);
                let schema = match *kind == *resource.declaration.kind {
                    true => resource.topology(),
                    false => minato_schema::builtin(group, version, kind).map(|schema| schema as &dyn Topology),
                };
                let whole = schema.map(|schema| atomics(schema, &change)).unwrap_or_default();
                if !whole.is_empty() {
                    return Err(format!(
                        "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or \
                         structs: {}",
                        whole.join(", ")
                    ));
                }
                next = lay_over(schema, next, change);
            }
            *object = restore(context, seen, next).await.map_err(|error| error.message)?;
        }
        Ok(())
    }
}
