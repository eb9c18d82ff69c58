//! Running the expressions of match conditions and policies over a request.

use std::cell::RefCell;
use std::sync::Arc;

use minato_cel::admission::{CALL_COST_MAX, CONDITIONS_COST_MAX, Scope, Wanted, compile_expression, environment};
use minato_cel::{Activation, Asked, Authorizer, Budget, Check, Decision, EvalError, Program, Value as Cel};
use serde_json::Value;

use super::Context;
use crate::authorize::{Action, ResourceAction, Selector, Selectors};
use crate::identity::{User, UserInfo};

/// What stands in a configuration, compiled; or why it could not be.
pub(super) type Compiled = Result<Program, String>;

/// `CompiledCondition`: a match condition by its name.
pub(super) struct Condition {
    name: String,
    expression: String,
    program: Compiled,
}

/// All match conditions of a webhook or policy.
pub(super) struct Conditions(Vec<Condition>);

/// What match conditions say of a request.
pub(super) enum Verdict {
    Matches,
    /// The condition of this name does not hold.
    Differs,
    Failed(String),
}

impl Conditions {
    pub(super) fn new(list: &Value, environment: &minato_cel::Environment) -> Self {
        let conditions = list.as_array().into_iter().flatten().map(|condition| {
            let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
            let expression = text("expression");
            let program = compile_expression(environment, &expression, Wanted::Bool);
            Condition { name: text("name"), expression, program }
        });
        Self(conditions.collect())
    }

    pub(super) fn of_webhook(list: &Value) -> Self {
        Self::new(list, &environment(Scope::Webhook, &[]))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A condition that does not hold decides, whatever the others say.
    pub(super) fn judge<'a>(&'a self, facts: &dyn Activation<'a>) -> Verdict {
        let mut budget = Budget::new(CONDITIONS_COST_MAX);
        let mut errors = Vec::new();
        for condition in &self.0 {
            match evaluate(&condition.program, facts, &mut budget) {
                Ok(Cel::Bool(true)) => {}
                Ok(Cel::Bool(false)) => return Verdict::Differs,
                Ok(_) => errors.push(format!("condition {:?} is not a bool", condition.name)),
                Err(Fault::Budget) => {
                    errors.push(
                        "validation failed due to running out of cost budget, no further validation rules will be run"
                            .to_owned(),
                    );
                    break;
                }
                Err(fault) => errors.push(fault.about(&condition.expression)),
            }
        }
        match errors.as_slice() {
            [] => Verdict::Matches,
            [one] => Verdict::Failed(one.clone()),
            many => Verdict::Failed(format!("[{}]", many.join(", "))),
        }
    }
}

/// Why an expression gave nothing.
pub(super) enum Fault {
    /// All expressions together have cost too much.
    Budget,
    /// It does not compile, here; it was refused or stored by an older version.
    Compile(String),
    Run(EvalError),
}

impl Fault {
    pub(super) fn about(&self, expression: &str) -> String {
        match self {
            Self::Budget => {
                "validation failed due to running out of cost budget, no further validation rules will be run"
                    .to_owned()
            }
            Self::Compile(error) => format!("compilation error: {error}"),
            Self::Run(error) => format!("expression '{expression}' resulted in error: {error}"),
        }
    }
}

/// Runs an expression on at most a call's share of `budget`.
pub(super) fn evaluate<'a>(
    program: &'a Compiled,
    facts: &dyn Activation<'a>,
    budget: &mut Budget,
) -> Result<Cel<'a>, Fault> {
    let program = program.as_ref().map_err(|error| Fault::Compile(error.clone()))?;
    let share = budget.left().min(CALL_COST_MAX);
    let mut call = Budget::new(share);
    let result = program.evaluate(facts, &mut call);
    let _ = budget.spend(share - call.left());
    match result {
        Err(EvalError::CostExceeded) if share < CALL_COST_MAX => Err(Fault::Budget),
        Err(error) => Err(Fault::Run(error)),
        Ok(value) => Ok(value),
    }
}

/// What expressions look at, in the places of `minato_cel::admission::VARIABLES`.
pub(super) struct Facts<'a> {
    pub(super) object: &'a Value,
    pub(super) old: &'a Value,
    pub(super) request: &'a Value,
    pub(super) authorizer: &'a UserAuthorizer<'a>,
    pub(super) namespace: &'a Value,
    pub(super) params: &'a Value,
    variables: &'a [Compiled],
    made: RefCell<Vec<Option<Result<Cel<'a>, EvalError>>>>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(
        (object, old): (&'a Value, &'a Value),
        request: &'a Value,
        authorizer: &'a UserAuthorizer<'a>,
        (namespace, params): (&'a Value, &'a Value),
        variables: &'a [Compiled],
    ) -> Self {
        let made = RefCell::new(vec![None; variables.len()]);
        Self { object, old, request, authorizer, namespace, params, variables, made }
    }

    /// A policy's own variable: made when it is first looked at.
    fn own(&self, index: usize, budget: &mut Budget) -> Result<Option<Cel<'a>>, EvalError> {
        if let Some(Some(made)) = self.made.borrow().get(index) {
            return made.clone().map(Some);
        }
        let Some(program) = self.variables.get(index) else { return Ok(None) };
        let value = match program {
            Ok(program) => program.evaluate(self, budget),
            Err(error) => Err(EvalError::Function(format!("composited variable fails to compile: {error}"))),
        };
        if let Some(slot) = self.made.borrow_mut().get_mut(index) {
            *slot = Some(value.clone());
        }
        value.map(Some)
    }
}

impl<'a> Activation<'a> for Facts<'a> {
    fn variable(&self, index: usize, budget: &mut Budget) -> Result<Option<Cel<'a>>, EvalError> {
        Ok(Some(match index {
            0 => Cel::of(self.object),
            1 => Cel::of(self.old),
            2 => Cel::of(self.request),
            3 => Cel::Authorizer(self.authorizer),
            4 => Cel::Asked(Arc::new(Asked::about(self.authorizer, self.authorizer.about.clone()))),
            5 => Cel::of(self.namespace),
            6 => Cel::of(self.params),
            own => return self.own(own - 7, budget),
        }))
    }
}

/// Answers expressions what the user of a request may do.
pub(super) struct UserAuthorizer<'a> {
    context: &'a Context<'a>,
    about: Check,
}

impl<'a> UserAuthorizer<'a> {
    pub(super) fn new(context: &'a Context<'a>) -> Self {
        let target = context.target;
        let declaration = &target.resource.declaration;
        let about = Check {
            group: declaration.group.to_string(),
            resource: declaration.resource.to_string(),
            subresource: target.subresource.to_owned(),
            namespace: target.namespace.to_owned(),
            name: context.name.to_owned(),
            ..Check::default()
        };
        Self { context, about }
    }
}

impl Authorizer for UserAuthorizer<'_> {
    fn check(&self, question: &Check) -> Decision {
        let account;
        let user = match &question.service_account {
            None => self.context.target.user,
            Some((namespace, name)) => {
                account = User::authenticated(UserInfo {
                    name: format!("system:serviceaccount:{namespace}:{name}"),
                    groups: vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")],
                    ..UserInfo::default()
                });
                &account
            }
        };
        let action = match question.path.as_str() {
            "" => Action::Resource(ResourceAction {
                verb: &question.verb,
                group: &question.group,
                version: "*",
                resource: &question.resource,
                subresource: &question.subresource,
                namespace: &question.namespace,
                name: &question.name,
                selectors: Selectors {
                    field: Selector::raw(Some(&question.field_selector)),
                    label: Selector::raw(Some(&question.label_selector)),
                },
            }),
            path => Action::Path { verb: &question.verb, path },
        };
        let decision = self.context.core.authorizer.decide_now(user, &action);
        Decision { allowed: decision.is_allowed(), reason: decision.reason().to_owned(), error: None }
    }
}
