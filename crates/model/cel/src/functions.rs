//! What can be called: names, signatures, what each costs, and the function behind it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use regex::Regex;

use crate::error::EvalError;
use crate::library;
use crate::types::Type;
use crate::value::Value;

/// What a function runs with besides its arguments.
pub(crate) struct Tools<'p> {
    /// The patterns that stand in the expression, compiled.
    pub(crate) patterns: &'p HashMap<String, Regex>,
}

/// The code of a function: the target, if there is one, is the first argument.
pub(crate) type Run = for<'a> fn(&Tools<'_>, &[Value<'a>]) -> Result<Value<'a>, EvalError>;

/// A function with all its overloads; the code looks itself at what it is given.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) overloads: Vec<Overload>,
    pub(crate) run: Run,
    pub(crate) cost: Cost,
}

pub(crate) struct Overload {
    /// Called as `target.name(…)`; the target's type is the first parameter.
    pub(crate) member: bool,
    pub(crate) parameters: Vec<Type>,
    pub(crate) result: Type,
}

/// What a call costs, as cel-go and Kubernetes' libraries count; a string costs a tenth of its length to go through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cost {
    Fixed(u64),
    /// Goes through this argument once.
    Traverse(usize),
    /// Goes through the shorter of two, where they have a length.
    Shorter,
    /// Goes through both texts; lists are joined at once.
    Join,
    /// A text times a pattern.
    Match,
    /// A text times a text.
    Contains,
    /// Looks at each item of the second, if it is a list.
    In,
    /// Looks at each item of the first, if it is a list.
    Items,
    /// Each item of one with each of the other.
    Pairs,
    /// Each item of the first with each other.
    Square,
    /// As much as the number says that is given.
    Number,
}

/// One row of a library: name, signatures, code, cost.
pub(crate) type Row = (&'static str, &'static [&'static str], Run, Cost);

static FUNCTIONS: LazyLock<HashMap<&'static str, Function>> = LazyLock::new(|| {
    let rows = [
        library::core::ROWS,
        library::numbers::ROWS,
        library::strings::ROWS,
        library::lists::ROWS,
        library::time::ROWS,
        library::regex::ROWS,
        library::url::ROWS,
        library::net::ROWS,
        library::quantity::ROWS,
        library::format::ROWS,
        library::semver::ROWS,
        library::optional::ROWS,
        library::authorizer::ROWS,
    ];
    rows.concat()
        .into_iter()
        .map(|(name, signatures, run, cost)| {
            let overloads = signatures.iter().filter_map(|signature| parse(signature)).collect();
            (name, Function { name, overloads, run, cost })
        })
        .collect()
});

/// The function of this name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.get(name)
}

/// `target.(parameter, …)->result`, or `(parameter, …)->result`.
fn parse(signature: &str) -> Option<Overload> {
    let (head, result) = signature.split_once("->")?;
    let (target, parameters) = head.strip_suffix(')')?.split_once('(')?;
    let mut all = Vec::new();
    let member = !target.is_empty();
    if member {
        all.push(type_of(target.strip_suffix('.')?)?);
    }
    for parameter in split(parameters) {
        all.push(type_of(parameter)?);
    }
    Some(Overload { member, parameters: all, result: type_of(result)? })
}

/// The parts between the commas that are in no bracket.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if start < text.len() {
        parts.push(&text[start..]);
    }
    parts
}

fn type_of(text: &str) -> Option<Type> {
    let text = text.trim();
    if let Some((outer, inner)) = text.strip_suffix('>').and_then(|text| text.split_once('<')) {
        let inner: Vec<Type> = split(inner).into_iter().map(type_of).collect::<Option<_>>()?;
        return match (outer, inner.as_slice()) {
            ("list", [element]) => Some(Type::list(element.clone())),
            ("map", [key, value]) => Some(Type::map_of(key.clone(), value.clone())),
            ("optional", [inner]) => Some(Type::Optional(Arc::new(inner.clone()))),
            ("type", [inner]) => Some(Type::Type(Arc::new(inner.clone()))),
            _ => None,
        };
    }
    Some(match text {
        "dyn" => Type::Dyn,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "A" => Type::Parameter(0),
        "B" => Type::Parameter(1),
        "quantity" => Type::Opaque("kubernetes.Quantity"),
        "url" => Type::Opaque("kubernetes.URL"),
        "ip" => Type::Opaque("net.IP"),
        "cidr" => Type::Opaque("net.CIDR"),
        "semver" => Type::Opaque("kubernetes.Semver"),
        "format" => Type::Opaque("kubernetes.NamedFormat"),
        "authorizer" => Type::Opaque("kubernetes.authorization.Authorizer"),
        "path" => Type::Opaque("kubernetes.authorization.PathCheck"),
        "group" => Type::Opaque("kubernetes.authorization.GroupCheck"),
        "resource" => Type::Opaque("kubernetes.authorization.ResourceCheck"),
        "decision" => Type::Opaque("kubernetes.authorization.Decision"),
        _ => return None,
    })
}

/// A tenth of a length, rounded up.
pub(crate) fn traversal(length: u64) -> u64 {
    length.div_ceil(10)
}

impl Cost {
    /// What a call costs; `size` tells the length of an argument, `is` what sort of thing it is.
    pub(crate) fn of(self, size: &dyn Fn(usize) -> u64, sort: &dyn Fn(usize) -> Sort) -> u64 {
        match self {
            Self::Fixed(cost) => cost,
            Self::Traverse(index) => traversal(size(index)).max(1),
            Self::Shorter => match (sort(0), sort(1)) {
                (Sort::Scalar, _) | (_, Sort::Scalar) => 1,
                _ => traversal(size(0).min(size(1))).max(1),
            },
            Self::Join => match sort(0) {
                Sort::Text => traversal(size(0).saturating_add(size(1))).max(1),
                _ => 1,
            },
            Self::Match => {
                let pattern = size(1).div_ceil(4).max(1);
                traversal(size(0).saturating_add(1)).saturating_mul(pattern)
            }
            Self::Contains => match sort(0) {
                Sort::Text => traversal(size(0)).max(1).saturating_mul(traversal(size(1)).max(1)),
                _ => 1,
            },
            Self::In => match sort(1) {
                Sort::List => size(1).max(1),
                _ => 1,
            },
            Self::Items => match sort(0) {
                Sort::Scalar => 1,
                Sort::Text => traversal(size(0)).max(1),
                Sort::List => size(0).max(1),
            },
            Self::Pairs => size(0).saturating_mul(size(1)).max(1),
            Self::Square => size(0).saturating_mul(size(0)).max(1),
            Self::Number => size(0).max(1),
        }
    }
}

/// What sort of thing an argument is to a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Scalar,
    Text,
    List,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_parses() {
        let rows: Vec<Row> = [
            library::core::ROWS,
            library::numbers::ROWS,
            library::strings::ROWS,
            library::lists::ROWS,
            library::time::ROWS,
            library::regex::ROWS,
            library::url::ROWS,
            library::net::ROWS,
            library::quantity::ROWS,
            library::format::ROWS,
            library::semver::ROWS,
            library::optional::ROWS,
            library::authorizer::ROWS,
        ]
        .concat();
        let mut names: Vec<&str> = Vec::new();
        for (name, signatures, _, _) in rows {
            assert!(!names.contains(&name), "{name} stands twice");
            names.push(name);
            for signature in signatures {
                assert!(parse(signature).is_some(), "{name}: {signature}");
            }
        }
    }
}
