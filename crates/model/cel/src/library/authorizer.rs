//! Asking whether a user may do something.

use std::fmt;
use std::sync::Arc;

use crate::error::EvalError;
use crate::functions::{Cost, Row, Tools};
use crate::value::Value;

type Result<'a> = std::result::Result<Value<'a>, EvalError>;

/// What a question costs: an authorizer may have to ask a webhook.
const CHECK_COST: u64 = 350_000;

pub(crate) const ROWS: &[Row] = &[
    ("path", &["authorizer.(string)->path"], path, Cost::Fixed(1)),
    ("group", &["authorizer.(string)->group"], group, Cost::Fixed(1)),
    ("serviceAccount", &["authorizer.(string,string)->authorizer"], service_account, Cost::Fixed(1)),
    (
        "resource",
        &["group.(string)->resource"],
        |_, args| set(args, |check, text| check.resource = text),
        Cost::Fixed(1),
    ),
    (
        "subresource",
        &["resource.(string)->resource"],
        |_, args| set(args, |check, text| check.subresource = text),
        Cost::Fixed(1),
    ),
    (
        "namespace",
        &["resource.(string)->resource"],
        |_, args| set(args, |check, text| check.namespace = text),
        Cost::Fixed(1),
    ),
    ("name", &["resource.(string)->resource"], |_, args| set(args, |check, text| check.name = text), Cost::Fixed(1)),
    (
        "fieldSelector",
        &["resource.(string)->resource"],
        |_, args| set(args, |check, text| check.field_selector = text),
        Cost::Fixed(1),
    ),
    (
        "labelSelector",
        &["resource.(string)->resource"],
        |_, args| set(args, |check, text| check.label_selector = text),
        Cost::Fixed(1),
    ),
    ("check", &["path.(string)->decision", "resource.(string)->decision"], check, Cost::Fixed(CHECK_COST)),
    ("allowed", &["decision.()->bool"], |_, args| of(args, |decision| Value::Bool(decision.allowed)), Cost::Fixed(1)),
    (
        "reason",
        &["decision.()->string"],
        |_, args| of(args, |decision| Value::text(decision.reason.as_str())),
        Cost::Fixed(1),
    ),
    (
        "errored",
        &["decision.()->bool"],
        |_, args| of(args, |decision| Value::Bool(decision.error.is_some())),
        Cost::Fixed(1),
    ),
    (
        "error",
        &["decision.()->string"],
        |_, args| of(args, |decision| Value::text(decision.error.clone().unwrap_or_default())),
        Cost::Fixed(1),
    ),
];

/// Who answers questions about what a user may do.
pub trait Authorizer: Send + Sync {
    /// Whether the user of the request, or the service account of the question, may.
    fn check(&self, question: &Check) -> Decision;
}

/// A question to an [`Authorizer`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Namespace and name of the service account that is meant instead of the request's user.
    pub service_account: Option<(String, String)>,
    /// A path that is no resource; empty otherwise.
    pub path: String,
    /// The API group.
    pub group: String,
    /// The resource.
    pub resource: String,
    /// Its part.
    pub subresource: String,
    /// Where.
    pub namespace: String,
    /// Which one.
    pub name: String,
    /// Those with these fields.
    pub field_selector: String,
    /// Those with these labels.
    pub label_selector: String,
    /// What is to be done.
    pub verb: String,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Yes or no.
    pub allowed: bool,
    /// Why, where it is known.
    pub reason: String,
    /// What went wrong on the way to the answer.
    pub error: Option<String>,
}

/// A question that is not yet complete.
#[derive(Clone)]
pub struct Asked<'a> {
    authorizer: &'a dyn Authorizer,
    check: Check,
}

impl fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.check.fmt(f)
    }
}

impl fmt::Debug for dyn Authorizer + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorizer")
    }
}

impl<'a> Asked<'a> {
    /// A question that lacks its verb alone, such as `authorizer.requestResource`.
    #[must_use]
    pub fn about(authorizer: &'a dyn Authorizer, check: Check) -> Self {
        Self { authorizer, check }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        if !self.check.path.is_empty() {
            "kubernetes.authorization.PathCheck"
        } else if self.check.resource.is_empty() {
            "kubernetes.authorization.GroupCheck"
        } else {
            "kubernetes.authorization.ResourceCheck"
        }
    }
}

/// The authorizer, and for whom.
fn begin<'a>(value: &Value<'a>) -> Option<Asked<'a>> {
    match value {
        Value::Authorizer(authorizer) => Some(Asked { authorizer: *authorizer, check: Check::default() }),
        Value::Asked(asked) => Some((**asked).clone()),
        _ => None,
    }
}

fn path<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [target, Value::String(path)] = args else { return Err(EvalError::NoSuchOverload) };
    let mut asked = begin(target).ok_or(EvalError::NoSuchOverload)?;
    if path.is_empty() {
        return Err(EvalError::of("path must not be empty"));
    }
    asked.check.path = path.to_string();
    Ok(Value::Asked(Arc::new(asked)))
}

fn group<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [target, Value::String(group)] = args else { return Err(EvalError::NoSuchOverload) };
    let mut asked = begin(target).ok_or(EvalError::NoSuchOverload)?;
    asked.check.group = group.to_string();
    Ok(Value::Asked(Arc::new(asked)))
}

fn service_account<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [target, Value::String(namespace), Value::String(name)] = args else { return Err(EvalError::NoSuchOverload) };
    let mut asked = begin(target).ok_or(EvalError::NoSuchOverload)?;
    asked.check.service_account = Some((namespace.to_string(), name.to_string()));
    Ok(Value::Asked(Arc::new(asked)))
}

fn set<'a>(args: &[Value<'a>], field: fn(&mut Check, String)) -> Result<'a> {
    let [Value::Asked(asked), Value::String(text)] = args else { return Err(EvalError::NoSuchOverload) };
    let mut asked = (**asked).clone();
    field(&mut asked.check, text.to_string());
    Ok(Value::Asked(Arc::new(asked)))
}

fn check<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [Value::Asked(asked), Value::String(verb)] = args else { return Err(EvalError::NoSuchOverload) };
    let question = Check { verb: verb.to_string(), ..asked.check.clone() };
    Ok(Value::Decision(Arc::new(asked.authorizer.check(&question))))
}

fn of<'a>(args: &[Value<'a>], what: fn(&Decision) -> Value<'static>) -> Result<'a> {
    match args {
        [Value::Decision(decision)] => Ok(what(decision)),
        _ => Err(EvalError::NoSuchOverload),
    }
}
