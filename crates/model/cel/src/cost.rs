//! The most that an expression can cost, without running it (cel-go's `checker.Cost`, its upper bound).

use crate::check::{Expr, FoldExpr};
use crate::functions::Sort;
use crate::syntax::FoldKind;
use crate::value::Value;

/// How long things can be.
pub trait Sizes {
    /// The most characters, octets, items or entries of what a path leads to: a variable, then fields, with `@items`,
    /// `@keys` and `@values` for what is in lists and maps. None where there is no bound.
    fn max_size(&self, path: &[&str]) -> Option<u64>;
}

impl<F: Fn(&[&str]) -> Option<u64>> Sizes for F {
    fn max_size(&self, path: &[&str]) -> Option<u64> {
        self(path)
    }
}

/// What is known of a value before there is one.
#[derive(Clone, Debug)]
struct Guess {
    cost: u64,
    size: u64,
    sort: Sort,
    /// Where it comes from, as [`Sizes`] has it; empty where it is made.
    path: Vec<String>,
    /// The size of what is in it, where it is made.
    inner: Option<Box<Guess>>,
}

impl Guess {
    fn scalar(cost: u64) -> Self {
        Self { cost, size: 1, sort: Sort::Scalar, path: Vec::new(), inner: None }
    }
}

pub(crate) fn estimate(expr: &Expr, names: &[String], sizes: &dyn Sizes) -> u64 {
    Estimator { names, sizes, locals: Vec::new() }.guess(expr).cost
}

struct Estimator<'e> {
    names: &'e [String],
    sizes: &'e dyn Sizes,
    locals: Vec<Guess>,
}

impl Estimator<'_> {
    fn at(&self, path: Vec<String>, cost: u64) -> Guess {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        let size = self.sizes.max_size(&parts).unwrap_or(u64::MAX);
        // What it is shows by how it is used; a list costs the most.
        Guess { cost, size, sort: Sort::Text, path, inner: None }
    }

    /// What is in `container`: `@items`, `@keys` or `@values`.
    fn inside(&self, container: &Guess, what: &str) -> Guess {
        if let Some(inner) = &container.inner {
            return Guess { cost: 1, ..(**inner).clone() };
        }
        if container.path.is_empty() {
            return Guess { size: u64::MAX, sort: Sort::Text, ..Guess::scalar(1) };
        }
        let mut path = container.path.clone();
        path.push(what.to_owned());
        self.at(path, 1)
    }

    fn guess(&mut self, expr: &Expr) -> Guess {
        match expr {
            Expr::Literal(value) => {
                let sort = match value {
                    Value::String(_) | Value::Bytes(_) => Sort::Text,
                    _ => Sort::Scalar,
                };
                Guess { size: value.size(), sort, ..Guess::scalar(0) }
            }
            Expr::Variable(index) => self.at(self.names.get(*index).cloned().into_iter().collect(), 1),
            Expr::Local(place) => match self.locals.get(*place) {
                Some(guess) => Guess { cost: 1, ..guess.clone() },
                None => Guess::scalar(1),
            },
            Expr::Select { operand, field, .. } => {
                let operand = self.guess(operand);
                let cost = operand.cost.saturating_add(1);
                if operand.path.is_empty() {
                    return Guess { size: u64::MAX, sort: Sort::Text, ..Guess::scalar(cost) };
                }
                let mut path = operand.path;
                path.push(field.clone());
                self.at(path, cost)
            }
            Expr::Has { operand, .. } => Guess::scalar(self.guess(operand).cost.saturating_add(1)),
            Expr::And(left, right) | Expr::Or(left, right) => {
                Guess::scalar(self.guess(left).cost.saturating_add(self.guess(right).cost))
            }
            Expr::Conditional(parts) => {
                let [condition, yes, no] = &**parts;
                let condition = self.guess(condition).cost;
                let (yes, no) = (self.guess(yes), self.guess(no));
                let cost = condition.saturating_add(yes.cost.max(no.cost));
                let longer = if yes.size >= no.size { yes } else { no };
                Guess { cost, ..longer }
            }
            Expr::Call { function, args } => self.call(function, args),
            Expr::List(items) => {
                let guesses: Vec<Guess> = items.iter().map(|(item, _)| self.guess(item)).collect();
                let cost = total(guesses.iter()).saturating_add(10);
                let inner = guesses.into_iter().max_by_key(|guess| guess.size).map(Box::new);
                Guess { size: items.len() as u64, sort: Sort::List, inner, ..Guess::scalar(cost) }
            }
            Expr::Map(entries) => {
                let mut cost = 30u64;
                for (key, value, _) in entries {
                    cost = cost.saturating_add(self.guess(key).cost).saturating_add(self.guess(value).cost);
                }
                Guess { size: entries.len() as u64, sort: Sort::Scalar, ..Guess::scalar(cost) }
            }
            Expr::Struct(fields) => {
                let guesses: Vec<Guess> = fields.iter().map(|(_, value, _)| self.guess(value)).collect();
                Guess::scalar(total(guesses.iter()).saturating_add(40))
            }
            Expr::Fold(fold) => self.fold(fold),
            Expr::OptionalMap { target, body, .. } => {
                let target = self.guess(target);
                let cost = target.cost;
                self.locals.push(Guess { cost: 1, ..target });
                let body = self.guess(body);
                self.locals.pop();
                Guess { cost: cost.saturating_add(body.cost), ..body }
            }
        }
    }

    fn call(&mut self, function: &crate::functions::Function, expressions: &[Expr]) -> Guess {
        let args: Vec<Guess> = expressions.iter().map(|arg| self.guess(arg)).collect();
        let number = match (function.name, expressions.first()) {
            ("lists.range", Some(Expr::Literal(Value::Int(number)))) => u64::try_from(*number).ok(),
            ("lists.range", _) => Some(u64::MAX),
            _ => None,
        };
        let size = |index: usize| number.unwrap_or_else(|| args.get(index).map_or(1, |arg| arg.size));
        let wants_list = matches!(function.name, "@in");
        let sort = |index: usize| match args.get(index) {
            Some(arg) if wants_list && index == 1 && arg.sort != Sort::Scalar => Sort::List,
            Some(arg) => arg.sort,
            None => Sort::Scalar,
        };
        let (own, length) = (function.cost.of(&size, &sort), size(0));
        let cost = total(args.iter()).saturating_add(own);
        let first = |sort: Sort| Guess { size: size(0), sort, ..Guess::scalar(cost) };
        match function.name {
            "_+_" => {
                let inner = args.iter().find_map(|arg| arg.inner.clone());
                let sort = sort(0);
                Guess { size: size(0).saturating_add(size(1)), sort, inner, ..Guess::scalar(cost) }
            }
            "_[_]" | "_[?_]" => match args.first() {
                Some(container) => {
                    let what = if container.sort == Sort::List { "@items" } else { "@values" };
                    let mut found = self.inside(container, what);
                    if found.size == u64::MAX && what == "@values" {
                        found = self.inside(container, "@items");
                    }
                    Guess { cost, ..found }
                }
                None => Guess::scalar(cost),
            },
            "substring" | "trim" | "lowerAscii" | "upperAscii" | "find" | "string" | "bytes" | "charAt" | "getHost"
            | "getHostname" | "getEscapedPath" | "getScheme" | "getPort" => first(Sort::Text),
            "replace" => {
                Guess { size: size(0).saturating_mul(size(2).max(1)), sort: Sort::Text, ..Guess::scalar(cost) }
            }
            "split" | "findAll" => {
                let inner = Some(Box::new(first(Sort::Text)));
                Guess { size: size(0).saturating_add(1), sort: Sort::List, inner, ..Guess::scalar(cost) }
            }
            "join" => {
                let item = args.first().and_then(|list| list.inner.as_ref()).map_or(u64::MAX, |inner| inner.size);
                let size = size(0).saturating_mul(item.saturating_add(size(1)));
                Guess { size, sort: Sort::Text, ..Guess::scalar(cost) }
            }
            "lists.range" => Guess { inner: Some(Box::new(Guess::scalar(1))), ..first(Sort::List) },
            "slice" | "distinct" | "sort" | "reverse" => match args.into_iter().next() {
                Some(list) => Guess { cost, ..list },
                None => Guess::scalar(cost),
            },
            "flatten" => {
                let inner = args.into_iter().next().and_then(|list| list.inner);
                let each = inner.as_ref().map_or(u64::MAX, |inner| inner.size);
                let inner = inner.and_then(|inner| inner.inner);
                Guess { size: length.saturating_mul(each), sort: Sort::List, inner, ..Guess::scalar(cost) }
            }
            "first" | "last" => match args.first() {
                Some(list) => Guess { cost, ..self.inside(list, "@items") },
                None => Guess::scalar(cost),
            },
            "orValue" | "or" | "value" | "dyn" | "optional.of" => {
                let longest = args.into_iter().max_by_key(|arg| arg.size);
                longest.map_or(Guess::scalar(cost), |guess| Guess { cost, ..guess })
            }
            _ => Guess::scalar(cost),
        }
    }

    fn fold(&mut self, fold: &FoldExpr) -> Guess {
        let range = self.guess(&fold.range);
        let depth = self.locals.len();
        let items = self.inside(&range, "@items");
        let keys = self.inside(&range, "@keys");
        let item = if items.size < u64::MAX || keys.size == u64::MAX { items } else { keys };
        if fold.pairs {
            self.locals.push(Guess::scalar(1));
            let values = self.inside(&range, "@values");
            self.locals.push(if values.size < u64::MAX { values } else { item });
        } else {
            self.locals.push(item);
        }
        let filter = fold.filter.as_ref().map_or(0, |filter| self.guess(filter).cost);
        let body = self.guess(&fold.body);
        self.locals.truncate(depth);
        let step = match fold.kind {
            // The condition of the loop looks at the result, and so does the step.
            FoldKind::All | FoldKind::Exists => 3,
            FoldKind::ExistsOne => 2,
            FoldKind::List | FoldKind::Sorted => 12,
            FoldKind::Map | FoldKind::MapEntries => 2,
        };
        let once = filter.saturating_add(body.cost).saturating_add(step);
        let cost = range.cost.saturating_add(range.size.saturating_mul(once)).saturating_add(1);
        match fold.kind {
            FoldKind::Sorted => {
                let cost = cost.saturating_add(range.size.saturating_mul(range.size));
                Guess { cost, ..range }
            }
            FoldKind::List => {
                Guess { size: range.size, sort: Sort::List, inner: Some(Box::new(body)), ..Guess::scalar(cost) }
            }
            _ => Guess { size: if fold.kind == FoldKind::Map { range.size } else { 1 }, ..Guess::scalar(cost) },
        }
    }
}

fn total<'g>(guesses: impl Iterator<Item = &'g Guess>) -> u64 {
    guesses.fold(0, |sum, guess| sum.saturating_add(guess.cost))
}
