//! Rules in CEL: `x-kubernetes-validations`.
//!
//! [`Rules::compile`] makes a tree of the nodes that have rules, each with the type of `self` there; a schema without
//! rules costs nothing. [`Rules::validate`] walks object and tree together. Costs are bounded twice: what a rule could cost
//! is estimated when the definition is accepted, what it does cost is taken from a budget when an object comes.

mod cost;
mod types;

use std::collections::BTreeMap;
use std::sync::Arc;

use minato_cel::{Activation, Budget, Environment, Program, Type as CelType, Value as CelValue, compile};
use minato_kinds::{At, FieldError, FieldErrorKind, FieldPath};
use serde_json::Value;

use crate::list_type::Before;
use crate::schema::{Additional, ListType, Schema};

/// What all rules together may cost for one object.
const BUDGET: u64 = 10_000_000;
/// What one rule may cost for one value.
const CALL_BUDGET: u64 = 1_000_000;
/// What a refusal may be called.
const REASONS: [&str; 4] = ["FieldValueRequired", "FieldValueForbidden", "FieldValueInvalid", "FieldValueDuplicate"];

/// The rules of a schema.
#[derive(Debug, Default)]
pub struct Rules {
    root: Option<Node>,
}

/// A place that has rules, or has places below it that have.
#[derive(Debug)]
struct Node {
    rules: Vec<Rule>,
    /// Of `self`.
    of_self: CelType,
    /// As errors show the value.
    type_name: &'static str,
    fields: BTreeMap<String, Node>,
    additional: Option<Box<Node>>,
    items: Option<Box<Node>>,
    atomic_map: bool,
    /// The keys of a list whose items can be told apart.
    list: Option<Schema>,
}

#[derive(Debug)]
struct Rule {
    text: String,
    program: Program,
    message: String,
    message_program: Option<Program>,
    reason: String,
    field_path: String,
    /// It compares with the value before, and is skipped where there is none.
    transition: bool,
    optional_old: bool,
}

/// A rule that was not understood, for [`check`](crate::check) to tell.
pub(crate) struct Complaint {
    pub(crate) path: String,
    pub(crate) kind: FieldErrorKind,
    pub(crate) value: Value,
    pub(crate) detail: String,
}

impl Rules {
    /// Compiles all rules of `schema`. Those that do not compile are left out: a definition with such is not accepted.
    pub fn compile(schema: &Schema) -> Self {
        let mut complaints = Vec::new();
        Self { root: node(schema, true, true, "", &mut complaints, &mut None) }
    }

    /// What is wrong with the rules of the schema at `at`.
    pub(crate) fn complaints(schema: &Schema, at: &str) -> Vec<Complaint> {
        let mut complaints = Vec::new();
        let mut costs = Some(cost::Costs::new(schema));
        node(schema, true, true, at, &mut complaints, &mut costs);
        if let Some(costs) = costs {
            costs.judge_total(at, &mut complaints);
        }
        complaints
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// What the rules say of an object, and of its change where it has a state before.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut run = Run { budget: Budget::new(BUDGET), errors: Vec::new(), over: false };
        if let Some(root) = &self.root {
            run.node(root, object, old, &At::Root);
        }
        run.errors
    }
}

fn node(
    schema: &Schema,
    resource: bool,
    correlatable: bool,
    at: &str,
    complaints: &mut Vec<Complaint>,
    costs: &mut Option<cost::Costs<'_>>,
) -> Option<Node> {
    if !schema.any(&|schema: &Schema| !schema.rules.is_empty()) {
        return None;
    }
    let of_self = types::of(schema, resource).unwrap_or(CelType::Dyn);
    let mut rules = Vec::new();
    for (index, source) in schema.rules.iter().enumerate() {
        let at = format!("{at}.x-kubernetes-validations[{index}]");
        if let Some(rule) = rule(source, &of_self, correlatable, &at, complaints) {
            if let Some(costs) = costs {
                costs.add(&rule.program, &at, complaints);
            }
            rules.push(rule);
        }
    }
    let mut below =
        |schema: &Schema, correlatable: bool, at: String, step: cost::Step, costs: &mut Option<cost::Costs<'_>>| {
            if let Some(costs) = costs {
                costs.enter(step);
            }
            let found = node(schema, schema.embedded, correlatable, &at, complaints, costs);
            if let Some(costs) = costs {
                costs.leave();
            }
            found
        };
    let mut fields = BTreeMap::new();
    for (name, property) in &schema.properties {
        let step = cost::Step::Field(name.clone());
        let place = format!("{at}.properties[{name}]");
        if let Some(found) = below(property, correlatable && !schema.atomic_map, place, step, costs) {
            fields.insert(name.clone(), found);
        }
    }
    let additional = match &schema.additional {
        Some(Additional::Schema(additional)) => {
            let place = format!("{at}.additionalProperties");
            below(additional, correlatable && !schema.atomic_map, place, cost::Step::Values, costs)
        }
        _ => None,
    };
    let items = schema.items.as_ref().and_then(|items| {
        let correlatable = correlatable && schema.list_type == ListType::Map;
        below(items, correlatable, format!("{at}.items"), cost::Step::Items, costs)
    });
    let list = (schema.list_type == ListType::Map)
        .then(|| Schema { list_map_keys: schema.list_map_keys.clone(), ..Schema::default() });
    Some(Node {
        rules,
        of_self,
        type_name: schema.kind.map_or("", crate::schema::Type::name),
        fields,
        additional: additional.map(Box::new),
        items: items.map(Box::new),
        atomic_map: schema.atomic_map,
        list,
    })
}

fn rule(
    source: &Value,
    of_self: &CelType,
    correlatable: bool,
    at: &str,
    complaints: &mut Vec<Complaint>,
) -> Option<Rule> {
    let text = |key: &str| source[key].as_str().unwrap_or_default();
    let mut complain = |key: &str, kind: FieldErrorKind, value: Value, detail: String| {
        complaints.push(Complaint { path: format!("{at}.{key}"), kind, value, detail });
    };
    let (expression, message) = (text("rule"), text("message"));
    if expression.trim().is_empty() {
        complain("rule", FieldErrorKind::Required, Value::Null, "rule is not specified".to_owned());
        return None;
    }
    if message.contains('\n') {
        complain("message", FieldErrorKind::Invalid, message.into(), "message must not contain line breaks".to_owned());
    }
    if source["message"].is_string() && message.trim().is_empty() {
        let detail = "message must be non-empty if specified".to_owned();
        complain("message", FieldErrorKind::Invalid, message.into(), detail);
    }
    if expression.contains('\n') && message.is_empty() {
        let detail = "message must be specified if rule contains line breaks".to_owned();
        complain("message", FieldErrorKind::Required, Value::Null, detail);
    }
    let reason = text("reason");
    if !reason.is_empty() && !REASONS.contains(&reason) {
        let listed: Vec<String> = REASONS.iter().map(|reason| format!("{reason:?}")).collect();
        let detail = format!("supported values: {}", listed.join(", "));
        complain("reason", FieldErrorKind::NotSupported, reason.into(), detail);
    }
    let optional_old = source["optionalOldSelf"] == true;
    let of_old = if optional_old { CelType::Optional(Arc::new(of_self.clone())) } else { of_self.clone() };
    let environment = Environment::new().with("self", of_self.clone()).with("oldSelf", of_old);
    let program = match compile(&environment, expression) {
        Ok(program) if matches!(program.output_type(), CelType::Bool | CelType::Dyn) => program,
        Ok(_) => {
            let detail = "compilation failed: cel expression must evaluate to a bool".to_owned();
            complain("rule", FieldErrorKind::Invalid, expression.into(), detail);
            return None;
        }
        Err(error) => {
            let detail = format!("compilation failed: {error}");
            complain("rule", FieldErrorKind::Invalid, expression.into(), detail);
            return None;
        }
    };
    let uses_old = program.uses("oldSelf");
    if uses_old && !correlatable {
        let detail = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {at}");
        complain("rule", FieldErrorKind::Invalid, expression.into(), detail);
    }
    if optional_old && !uses_old {
        let detail = "optionalOldSelf may only be set on rules that use oldSelf".to_owned();
        complain("optionalOldSelf", FieldErrorKind::Invalid, true.into(), detail);
    }
    let message_program = match text("messageExpression") {
        "" => None,
        expression => match compile(&environment, expression) {
            Ok(program) if matches!(program.output_type(), CelType::String | CelType::Dyn) => Some(program),
            Ok(_) => {
                let detail = "compilation failed: messageExpression must evaluate to a string".to_owned();
                complain("messageExpression", FieldErrorKind::Invalid, expression.into(), detail);
                None
            }
            Err(error) => {
                let detail = format!("compilation failed: {error}");
                complain("messageExpression", FieldErrorKind::Invalid, expression.into(), detail);
                None
            }
        },
    };
    Some(Rule {
        text: expression.to_owned(),
        program,
        message: message.trim().to_owned(),
        message_program,
        reason: reason.to_owned(),
        field_path: text("fieldPath").trim_start_matches('.').to_owned(),
        transition: uses_old && !optional_old,
        optional_old,
    })
}

/// One object's validation.
struct Run {
    budget: Budget,
    errors: Vec<FieldError>,
    /// The budget is spent: no more rules.
    over: bool,
}

impl Run {
    /// `old` is the value that `value` replaces, where that can be told.
    fn node(&mut self, node: &Node, value: &Value, old: Option<&Value>, at: &At<'_>) {
        if self.over || value.is_null() {
            return;
        }
        let unchanged = old == Some(value);
        for rule in &node.rules {
            if self.over {
                return;
            }
            if rule.transition && old.is_none() {
                continue;
            }
            // What was accepted, or was wrong already, may stay (KEP-4008); a transition is about the change itself.
            if unchanged && !rule.program.uses("oldSelf") {
                continue;
            }
            self.rule(rule, node, value, old, at);
        }
        match value {
            Value::Object(fields) => {
                let old = old.filter(|_| !node.atomic_map);
                for (name, value) in fields {
                    let before = old.and_then(|old| old.get(name));
                    if let Some(field) = node.fields.get(name) {
                        self.node(field, value, before, &at.field(name));
                    } else if let Some(additional) = &node.additional {
                        self.node(additional, value, before, &at.key(name));
                    }
                }
            }
            Value::Array(items) => {
                let Some(below) = &node.items else { return };
                let before = node.list.as_ref().zip(old.and_then(Value::as_array));
                let before = before.map(|(list, items)| (list, Before::of(list, items)));
                for (index, item) in items.iter().enumerate() {
                    let old = before.as_ref().and_then(|(list, before)| before.find(list, item));
                    self.node(below, item, old, &at.index(index));
                }
            }
            _ => {}
        }
    }

    fn rule(&mut self, rule: &Rule, node: &Node, value: &Value, old: Option<&Value>, at: &At<'_>) {
        let of_self = CelValue::typed(value, &node.of_self);
        let before = old.map(|old| CelValue::typed(old, &node.of_self));
        let before = if rule.optional_old { Some(CelValue::Optional(before.map(Arc::new))) } else { before };
        let variables = vec![Some(of_self), before];
        let mut call = Budget::new(CALL_BUDGET.min(self.budget.left()));
        let granted = call.left();
        let result = rule.program.evaluate(&variables, &mut call);
        let spent = granted - call.left();
        let broke = self.budget.spend(spent).is_err();
        let (kind, detail) = match result {
            Ok(value) if value.as_bool() == Some(true) => return,
            Ok(value) if value.as_bool() == Some(false) => {
                let detail = self.message(rule, &variables);
                (kind_of(&rule.reason), detail)
            }
            Ok(_) => (FieldErrorKind::Invalid, format!("the rule is not a bool: {}", rule.text)),
            Err(minato_cel::EvalError::CostExceeded) => {
                self.over = true;
                let detail = format!(
                    "validation failed due to running out of cost budget, no further validation rules will be run: call cost exceeds limit for rule: {}",
                    rule.text
                );
                (FieldErrorKind::Invalid, detail)
            }
            Err(error) => (FieldErrorKind::Invalid, format!("{error} evaluating rule: {}", named(rule))),
        };
        self.over |= broke;
        let mut path = at.to_string();
        if !rule.field_path.is_empty() && kind_is_rules(&detail) {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&rule.field_path);
        }
        if path.is_empty() {
            "<nil>".clone_into(&mut path);
        }
        self.errors.push(FieldError { path: FieldPath::new(path), kind, value: node.type_name.into(), detail });
    }

    fn message<'v>(&mut self, rule: &'v Rule, variables: &dyn Activation<'v>) -> String {
        if let Some(program) = &rule.message_program {
            let mut call = Budget::new(CALL_BUDGET.min(self.budget.left()));
            let granted = call.left();
            let made = program.evaluate(variables, &mut call).ok();
            self.over |= self.budget.spend(granted - call.left()).is_err();
            let made = made.as_ref().and_then(|value| value.as_str()).unwrap_or_default().trim();
            if !made.is_empty() && !made.contains('\n') {
                return made.to_owned();
            }
        }
        if rule.message.is_empty() { format!("failed rule: {}", rule.text.trim()) } else { rule.message.clone() }
    }
}

/// An error of evaluation is about the value itself, whatever field the rule is about.
fn kind_is_rules(detail: &str) -> bool {
    !detail.contains(" evaluating rule: ")
}

fn named(rule: &Rule) -> &str {
    if rule.message.is_empty() { rule.text.trim() } else { &rule.message }
}

fn kind_of(reason: &str) -> FieldErrorKind {
    match reason {
        "FieldValueRequired" => FieldErrorKind::Required,
        "FieldValueForbidden" => FieldErrorKind::Forbidden,
        "FieldValueDuplicate" => FieldErrorKind::Duplicate,
        _ => FieldErrorKind::Invalid,
    }
}
