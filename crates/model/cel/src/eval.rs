//! Running a program.

use std::collections::{BTreeMap, HashMap};

use regex::Regex;

use crate::check::{Expr, FoldExpr};
use crate::error::EvalError;
use crate::functions::{Cost, Sort, Tools};
use crate::library::lists;
use crate::map::Key;
use crate::syntax::FoldKind;
use crate::value::{Text, Value};

/// What a list, a map and an object cost to make.
const LIST_COST: u64 = 10;
const MAP_COST: u64 = 30;
const STRUCT_COST: u64 = 40;

/// How much an expression, or several, may still cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    left: u64,
}

impl Budget {
    /// So many units; one is about a look at a field.
    #[must_use]
    pub fn new(units: u64) -> Self {
        Self { left: units }
    }

    /// What is left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Takes `units`.
    ///
    /// # Errors
    /// [`EvalError::CostExceeded`] where they are not there; then nothing is left.
    pub fn spend(&mut self, units: u64) -> Result<(), EvalError> {
        match self.left.checked_sub(units) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(EvalError::CostExceeded)
            }
        }
    }
}

/// The values of the variables that an environment declares.
pub trait Activation<'a> {
    /// The variable declared at this place; none where it has no value. May run other expressions, on the same budget.
    ///
    /// # Errors
    /// Those of what makes the value.
    fn variable(&self, index: usize, budget: &mut Budget) -> Result<Option<Value<'a>>, EvalError>;
}

/// In the order of the declarations.
impl<'a, const N: usize> Activation<'a> for [Value<'a>; N] {
    fn variable(&self, index: usize, _: &mut Budget) -> Result<Option<Value<'a>>, EvalError> {
        Ok(self.get(index).cloned())
    }
}

impl<'a> Activation<'a> for Vec<Option<Value<'a>>> {
    fn variable(&self, index: usize, _: &mut Budget) -> Result<Option<Value<'a>>, EvalError> {
        Ok(self.get(index).cloned().flatten())
    }
}

pub(crate) fn evaluate<'a>(
    expr: &'a Expr,
    names: &'a [String],
    patterns: &'a HashMap<String, Regex>,
    activation: &dyn Activation<'a>,
    budget: &mut Budget,
) -> Result<Value<'a>, EvalError> {
    Machine { names, tools: Tools { patterns }, activation, budget, locals: Vec::new() }.run(expr)
}

struct Machine<'m, 'a> {
    names: &'a [String],
    tools: Tools<'a>,
    activation: &'m dyn Activation<'a>,
    budget: &'m mut Budget,
    locals: Vec<Value<'a>>,
}

impl<'a> Machine<'_, 'a> {
    fn run(&mut self, expr: &'a Expr) -> Result<Value<'a>, EvalError> {
        match expr {
            Expr::Literal(value) => Ok(value.clone()),
            Expr::Variable(index) => {
                self.budget.spend(1)?;
                let name = || EvalError::NoSuchAttribute(self.names.get(*index).cloned().unwrap_or_default());
                self.activation.variable(*index, self.budget)?.ok_or_else(name)
            }
            Expr::Local(place) => {
                self.budget.spend(1)?;
                self.locals.get(*place).cloned().ok_or_else(|| EvalError::NoSuchAttribute(String::new()))
            }
            Expr::Select { operand, field, optional } => {
                let operand = self.run(operand)?;
                self.budget.spend(1)?;
                select(operand, field, *optional)
            }
            Expr::Has { operand, field } => {
                let operand = self.run(operand)?;
                self.budget.spend(1)?;
                has(&operand, field)
            }
            Expr::And(left, right) => self.either(left, right, false),
            Expr::Or(left, right) => self.either(left, right, true),
            Expr::Conditional(parts) => {
                let [condition, yes, no] = &**parts;
                match self.run(condition)? {
                    Value::Bool(true) => self.run(yes),
                    Value::Bool(false) => self.run(no),
                    _ => Err(EvalError::NoSuchOverload),
                }
            }
            Expr::Call { function, args } => {
                let mut values = Vec::with_capacity(args.len());
                for arg in args {
                    values.push(self.run(arg)?);
                }
                let size = |index: usize| match (function.cost, values.get(index)) {
                    (Cost::Number, Some(Value::Int(number))) => u64::try_from(*number).unwrap_or(0),
                    (_, value) => value.map_or(1, Value::size),
                };
                let cost = function.cost.of(&size, &|index| match values.get(index) {
                    Some(Value::String(_) | Value::Bytes(_)) => Sort::Text,
                    Some(Value::List(_)) => Sort::List,
                    _ => Sort::Scalar,
                });
                self.budget.spend(cost)?;
                (function.run)(&self.tools, &values)
            }
            Expr::List(items) => {
                self.budget.spend(LIST_COST)?;
                let mut values = Vec::with_capacity(items.len());
                for (item, optional) in items {
                    let value = self.run(item)?;
                    values.extend(present(value, *optional)?);
                }
                Ok(Value::list(values))
            }
            Expr::Map(entries) => {
                self.budget.spend(MAP_COST)?;
                let mut map = BTreeMap::new();
                for (key, value, optional) in entries {
                    let key = self.run(key)?;
                    let value = self.run(value)?;
                    if let Some(value) = present(value, *optional)? {
                        insert(&mut map, &key, value)?;
                    }
                }
                Ok(Value::map(map))
            }
            Expr::Struct(fields) => {
                self.budget.spend(STRUCT_COST)?;
                let mut map = BTreeMap::new();
                for (field, value, optional) in fields {
                    let value = self.run(value)?;
                    if let Some(value) = present(value, *optional)? {
                        map.insert(Key::String(Text::Borrowed(field)), value);
                    }
                }
                Ok(Value::map(map))
            }
            Expr::Fold(fold) => self.fold(fold),
            Expr::OptionalMap { target, body, flat } => match self.run(target)? {
                Value::Optional(None) => Ok(Value::Optional(None)),
                Value::Optional(Some(value)) => {
                    self.locals.push((*value).clone());
                    let result = self.run(body);
                    self.locals.pop();
                    match (result?, flat) {
                        (value @ Value::Optional(_), true) => Ok(value),
                        (_, true) => Err(EvalError::NoSuchOverload),
                        (value, false) => Ok(Value::optional(Some(value))),
                    }
                }
                _ => Err(EvalError::NoSuchOverload),
            },
        }
    }

    /// `&&` and `||`: one side that decides makes the other side's error not matter.
    fn either(&mut self, left: &'a Expr, right: &'a Expr, decides: bool) -> Result<Value<'a>, EvalError> {
        let left = self.run(left);
        match &left {
            Ok(Value::Bool(value)) if *value == decides => return left,
            Err(EvalError::CostExceeded) => return left,
            _ => {}
        }
        match (left, self.run(right)) {
            (_, Ok(Value::Bool(value))) if value == decides => Ok(Value::Bool(decides)),
            (_, Err(EvalError::CostExceeded)) => Err(EvalError::CostExceeded),
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            (Ok(Value::Bool(_)), Ok(Value::Bool(_))) => Ok(Value::Bool(!decides)),
            _ => Err(EvalError::NoSuchOverload),
        }
    }

    fn fold(&mut self, fold: &'a FoldExpr) -> Result<Value<'a>, EvalError> {
        let range = self.run(&fold.range)?;
        let depth = self.locals.len();
        let result = self.fold_over(fold, range);
        self.locals.truncate(depth);
        result
    }

    fn fold_over(&mut self, fold: &'a FoldExpr, range: Value<'a>) -> Result<Value<'a>, EvalError> {
        let depth = self.locals.len();
        let (mut items, mut keys) = (Vec::new(), Vec::new());
        let mut made = BTreeMap::new();
        let mut found = 0u64;
        let mut failed: Option<EvalError> = None;
        for (first, second) in steps(&range, fold.pairs)? {
            self.budget.spend(1)?;
            self.locals.truncate(depth);
            self.locals.push(first.clone());
            self.locals.extend(second);
            if let Some(filter) = &fold.filter {
                match self.run(filter)? {
                    Value::Bool(true) => {}
                    Value::Bool(false) => continue,
                    _ => return Err(EvalError::NoSuchOverload),
                }
            }
            let result = self.run(&fold.body);
            match (fold.kind, result) {
                (_, Err(EvalError::CostExceeded)) => return Err(EvalError::CostExceeded),
                (FoldKind::All, Ok(Value::Bool(false))) => return Ok(Value::Bool(false)),
                (FoldKind::Exists, Ok(Value::Bool(true))) => return Ok(Value::Bool(true)),
                (FoldKind::All | FoldKind::Exists, Ok(Value::Bool(_))) => {}
                (FoldKind::All | FoldKind::Exists, result) => {
                    failed = failed.or(Some(result.err().unwrap_or(EvalError::NoSuchOverload)));
                }
                (FoldKind::ExistsOne, Ok(Value::Bool(value))) => found += u64::from(value),
                (FoldKind::ExistsOne, Ok(_)) => return Err(EvalError::NoSuchOverload),
                (FoldKind::List, Ok(value)) => {
                    self.budget.spend(LIST_COST + 1)?;
                    items.push(value);
                }
                (FoldKind::Sorted, Ok(key)) => {
                    self.budget.spend(LIST_COST + 1)?;
                    keys.push(key);
                    items.push(first);
                }
                (FoldKind::Map, Ok(value)) => {
                    self.budget.spend(1)?;
                    insert(&mut made, &first, value)?;
                }
                (FoldKind::MapEntries, Ok(Value::Map(map))) => {
                    self.budget.spend(1 + map.len() as u64)?;
                    for (key, value) in map.entries() {
                        insert(&mut made, &key, value)?;
                    }
                }
                (FoldKind::MapEntries, Ok(_)) => return Err(EvalError::NoSuchOverload),
                (_, Err(error)) => return Err(error),
            }
        }
        match (fold.kind, failed) {
            (_, Some(error)) => Err(error),
            (FoldKind::All, None) => Ok(Value::Bool(true)),
            (FoldKind::Exists, None) => Ok(Value::Bool(false)),
            (FoldKind::ExistsOne, None) => Ok(Value::Bool(found == 1)),
            (FoldKind::List, None) => Ok(Value::list(items)),
            (FoldKind::Sorted, None) => lists::sorted(items, &keys),
            (FoldKind::Map | FoldKind::MapEntries, None) => Ok(Value::map(made)),
        }
    }
}

type Steps<'v, 'a> = Box<dyn Iterator<Item = (Value<'a>, Option<Value<'a>>)> + 'v>;

/// What a macro's variables go through: items, or keys; with two variables also places, or values.
fn steps<'v, 'a: 'v>(range: &'v Value<'a>, pairs: bool) -> Result<Steps<'v, 'a>, EvalError> {
    match range {
        Value::List(list) if pairs => {
            Ok(Box::new(list.iter().enumerate().map(|(index, item)| (Value::Int(index as i64), Some(item)))))
        }
        Value::List(list) => Ok(Box::new(list.iter().map(|item| (item, None)))),
        Value::Map(map) => {
            Ok(Box::new(map.entries().into_iter().map(move |(key, value)| (key, pairs.then_some(value)))))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn insert<'a>(map: &mut BTreeMap<Key<'a>, Value<'a>>, key: &Value<'a>, value: Value<'a>) -> Result<(), EvalError> {
    let entry = Key::of(key).ok_or_else(|| EvalError::of("unsupported key type"))?;
    match map.insert(entry, value) {
        None => Ok(()),
        Some(_) => Err(EvalError::of(format!("insert failed: key {key} already exists"))),
    }
}

/// The item behind a question mark, if it is there.
fn present(value: Value<'_>, optional: bool) -> Result<Option<Value<'_>>, EvalError> {
    match (value, optional) {
        (value, false) => Ok(Some(value)),
        (Value::Optional(value), true) => Ok(value.map(|value| (*value).clone())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn select<'a>(operand: Value<'a>, field: &str, optional: bool) -> Result<Value<'a>, EvalError> {
    match operand {
        Value::Map(map) => match map.field(field) {
            Some(value) if optional => Ok(Value::optional(Some(value))),
            Some(value) => Ok(value),
            None if optional => Ok(Value::Optional(None)),
            None => Err(EvalError::NoSuchKey(field.to_owned())),
        },
        Value::Optional(None) => Ok(Value::Optional(None)),
        Value::Optional(Some(value)) => match select((*value).clone(), field, true)? {
            value @ Value::Optional(_) => Ok(value),
            value => Ok(Value::optional(Some(value))),
        },
        Value::Null if optional => Ok(Value::Optional(None)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn has<'a>(operand: &Value<'a>, field: &str) -> Result<Value<'a>, EvalError> {
    match operand {
        Value::Map(map) => Ok(Value::Bool(map.field(field).is_some())),
        Value::Optional(None) => Ok(Value::Bool(false)),
        Value::Optional(Some(value)) => has(value, field),
        _ => Err(EvalError::NoSuchOverload),
    }
}
