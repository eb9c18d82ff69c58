//! From a tree to a program: names become places, calls become functions, types are checked.

use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;

use crate::cost::{Sizes, estimate};
use crate::error::{CompileError, EvalError, Issue};
use crate::eval::{Activation, Budget, evaluate};
use crate::functions::{self, Function};
use crate::syntax::{self, Fold, FoldKind, Kind, Node, place};
use crate::types::{ObjectType, Type};
use crate::value::{Text, Value};

/// What an expression may name.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: Vec<(String, Type)>,
    constructors: Vec<String>,
    binds: bool,
}

impl Environment {
    /// Nothing but the libraries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a variable; a name with dots is found where an expression writes it so (`variables.limit`).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, ty: Type) -> Self {
        self.variables.push((name.into(), ty));
        self
    }

    /// Lets expressions make objects of this name, and of names below it: `Object{…}`, `Object.spec{…}`.
    #[must_use]
    pub fn with_constructor(mut self, name: impl Into<String>) -> Self {
        self.constructors.push(name.into());
        self
    }

    /// Lets expressions name what they have made: `cel.bind(name, value, expression)`.
    #[must_use]
    pub fn with_bindings(mut self) -> Self {
        self.binds = true;
        self
    }

    /// The declared variables, in the order in which an [`Activation`] is asked for them.
    pub fn variables(&self) -> impl ExactSizeIterator<Item = (&str, &Type)> {
        self.variables.iter().map(|(name, ty)| (name.as_str(), ty))
    }

    fn find(&self, name: &str) -> Option<(usize, &Type)> {
        self.variables.iter().enumerate().rev().find(|(_, (have, _))| have == name).map(|(i, (_, ty))| (i, ty))
    }

    fn constructs(&self, name: &str) -> bool {
        self.constructors
            .iter()
            .any(|have| name.strip_prefix(have.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    }
}

/// An expression that can be run.
#[derive(Clone)]
pub struct Program {
    expr: Arc<Expr>,
    output: Type,
    names: Arc<Vec<String>>,
    patterns: Arc<HashMap<String, Regex>>,
    uses: Arc<Vec<usize>>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("output", &self.output).finish_non_exhaustive()
    }
}

impl Program {
    /// The type of the value.
    #[must_use]
    pub fn output_type(&self) -> &Type {
        &self.output
    }

    /// Whether the expression names this variable.
    #[must_use]
    pub fn uses(&self, variable: &str) -> bool {
        self.uses.iter().any(|index| self.names.get(*index).is_some_and(|name| name == variable))
    }

    /// The most that the expression can cost, given how long things can be.
    #[must_use]
    pub fn estimated_cost(&self, sizes: &dyn Sizes) -> u64 {
        estimate(&self.expr, &self.names, sizes)
    }

    /// Runs the expression; what it costs is taken from `budget`.
    ///
    /// # Errors
    /// [`EvalError`].
    pub fn evaluate<'a>(
        &'a self,
        activation: &dyn Activation<'a>,
        budget: &mut Budget,
    ) -> Result<Value<'a>, EvalError> {
        evaluate(&self.expr, &self.names, &self.patterns, activation, budget)
    }
}

/// A program's tree.
pub(crate) enum Expr {
    Literal(Value<'static>),
    Variable(usize),
    /// A place on the stack of macros' variables.
    Local(usize),
    Select {
        operand: Box<Expr>,
        field: String,
        optional: bool,
    },
    Has {
        operand: Box<Expr>,
        field: String,
    },
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Conditional(Box<[Expr; 3]>),
    Call {
        function: &'static Function,
        args: Vec<Expr>,
    },
    List(Vec<(Expr, bool)>),
    Map(Vec<(Expr, Expr, bool)>),
    Struct(Vec<(String, Expr, bool)>),
    Fold(Box<FoldExpr>),
    OptionalMap {
        target: Box<Expr>,
        body: Box<Expr>,
        flat: bool,
    },
}

pub(crate) struct FoldExpr {
    pub(crate) kind: FoldKind,
    pub(crate) range: Expr,
    pub(crate) pairs: bool,
    pub(crate) filter: Option<Expr>,
    pub(crate) body: Expr,
}

/// Compiles `source`.
///
/// # Errors
/// [`CompileError`], with everything that is wrong.
pub fn compile(environment: &Environment, source: &str) -> Result<Program, CompileError> {
    let tree = syntax::parse(source, environment.binds)?;
    let mut checker = Checker {
        environment,
        source,
        locals: Vec::new(),
        issues: Vec::new(),
        patterns: HashMap::new(),
        uses: Vec::new(),
        mixes: false,
    };
    let (expr, output) = checker.node(&tree);
    if !checker.issues.is_empty() {
        return Err(CompileError::new(source, checker.issues));
    }
    Ok(Program {
        expr: Arc::new(expr),
        output: if output == Type::Error { Type::Dyn } else { settled(&output) },
        names: Arc::new(environment.variables.iter().map(|(name, _)| name.clone()).collect()),
        patterns: Arc::new(checker.patterns),
        uses: Arc::new(checker.uses),
    })
}

struct Checker<'e> {
    environment: &'e Environment,
    source: &'e str,
    locals: Vec<(String, Type)>,
    issues: Vec<Issue>,
    patterns: HashMap<String, Regex>,
    uses: Vec<usize>,
    /// Inside the arguments of `format`, whose lists may mix types.
    mixes: bool,
}

/// Types that functions' parameters stand for.
#[derive(Default, Clone)]
struct Bindings([Option<Type>; 2]);

type Checked = (Expr, Type);

impl Checker<'_> {
    fn complain(&mut self, at: usize, message: impl Into<String>) -> Checked {
        let (line, column) = place(self.source, at);
        self.issues.push(Issue { line, column, message: message.into() });
        (Expr::Literal(Value::Null), Type::Error)
    }

    fn node(&mut self, node: &Node) -> Checked {
        match &node.kind {
            Kind::Null => (Expr::Literal(Value::Null), Type::Null),
            Kind::Bool(value) => (Expr::Literal(Value::Bool(*value)), Type::Bool),
            Kind::Int(value) => (Expr::Literal(Value::Int(*value)), Type::Int),
            Kind::Uint(value) => (Expr::Literal(Value::Uint(*value)), Type::Uint),
            Kind::Double(value) => (Expr::Literal(Value::Double(*value)), Type::Double),
            Kind::String(value) => (Expr::Literal(Value::text(value.as_str())), Type::String),
            Kind::Bytes(value) => (Expr::Literal(Value::Bytes(value.as_slice().into())), Type::Bytes),
            Kind::Ident(name) => match self.name(name) {
                Some(found) => found,
                None => self.complain(node.at, format!("undeclared reference to '{name}' (in container '')")),
            },
            Kind::Select { operand, field, optional } => self.select(node, operand, field, *optional),
            Kind::Has { operand, field } => {
                if let Some(name) = qualified(operand)
                    && self.environment.find(&format!("{name}.{field}")).is_some()
                {
                    return (Expr::Literal(Value::Bool(true)), Type::Bool);
                }
                let (operand, ty) = self.node(operand);
                match self.field_type(node.at, &ty, field) {
                    Type::Error if !ty.is_dynamic() => (Expr::Literal(Value::Null), Type::Error),
                    _ => (Expr::Has { operand: Box::new(operand), field: field.clone() }, Type::Bool),
                }
            }
            Kind::Call { function, target, args } => self.call(node.at, function, target.as_deref(), args),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { name, fields } => self.object(node.at, name, fields),
            Kind::Fold(fold) => self.fold(fold),
            Kind::OptionalMap { target, variable, body, flat } => {
                let (target, ty) = self.node(target);
                let inner = match ty {
                    Type::Optional(inner) => (*inner).clone(),
                    _ => Type::Dyn,
                };
                self.locals.push((variable.clone(), inner));
                let (body, result) = self.node(body);
                self.locals.pop();
                let result = if *flat { result } else { Type::Optional(Arc::new(result)) };
                (Expr::OptionalMap { target: Box::new(target), body: Box::new(body), flat: *flat }, result)
            }
        }
    }

    fn name(&mut self, name: &str) -> Option<Checked> {
        if let Some(place) = self.locals.iter().rposition(|(have, _)| have == name) {
            return Some((Expr::Local(place), self.locals[place].1.clone()));
        }
        if let Some((index, ty)) = self.environment.find(name) {
            if !self.uses.contains(&index) {
                self.uses.push(index);
            }
            return Some((Expr::Variable(index), ty.clone()));
        }
        let (ty, runtime) = match name {
            "bool" => (Type::Bool, name),
            "int" => (Type::Int, name),
            "uint" => (Type::Uint, name),
            "double" => (Type::Double, name),
            "string" => (Type::String, name),
            "bytes" => (Type::Bytes, name),
            "null_type" => (Type::Null, name),
            "list" => (Type::list(Type::Dyn), name),
            "map" => (Type::map_of(Type::Dyn, Type::Dyn), name),
            "type" => (Type::Type(Arc::new(Type::Dyn)), name),
            "google.protobuf.Timestamp" => (Type::Timestamp, name),
            "google.protobuf.Duration" => (Type::Duration, name),
            "optional_type" => (Type::Optional(Arc::new(Type::Dyn)), name),
            "net.IP" => (Type::Opaque("net.IP"), name),
            "net.CIDR" => (Type::Opaque("net.CIDR"), name),
            _ => return None,
        };
        Some((Expr::Literal(Value::Type(runtime.into())), Type::Type(Arc::new(ty))))
    }

    fn select(&mut self, node: &Node, operand: &Node, field: &str, optional: bool) -> Checked {
        if !optional
            && let Some(name) = qualified(node)
            && !self.is_local(&name)
            && let Some(found) = self.name(&name)
        {
            return found;
        }
        let (operand, ty) = self.node(operand);
        let (inner, chained) = match &ty {
            Type::Optional(inner) => ((**inner).clone(), true),
            _ => (ty.clone(), false),
        };
        let result = self.field_type(node.at, &inner, field);
        let result = match (optional || chained, result) {
            (true, Type::Optional(inner)) => Type::Optional(inner),
            (true, result) => Type::Optional(Arc::new(result)),
            (false, result) => result,
        };
        (Expr::Select { operand: Box::new(operand), field: field.to_owned(), optional }, result)
    }

    fn is_local(&self, qualified: &str) -> bool {
        let root = qualified.split('.').next().unwrap_or_default();
        self.locals.iter().any(|(name, _)| name == root)
    }

    fn field_type(&mut self, at: usize, ty: &Type, field: &str) -> Type {
        match ty {
            Type::Dyn | Type::Error | Type::Parameter(_) => Type::Dyn,
            Type::Map(map) if matches!(map.key, Type::String | Type::Dyn | Type::Parameter(_)) => map.value.clone(),
            Type::Object(object) => match object.fields.get(field) {
                Some(field) => field.ty.clone(),
                None => self.complain(at, format!("undefined field '{field}'")).1,
            },
            Type::Optional(inner) => self.field_type(at, inner, field),
            other => self.complain(at, format!("type '{}' does not support field selection", settled(other))).1,
        }
    }

    fn call(&mut self, at: usize, name: &str, target: Option<&Node>, args: &[Node]) -> Checked {
        // A function may have a name with dots: sets.contains(a, b).
        if let Some(target) = target
            && let Some(prefix) = qualified(target)
            && !self.is_local(&prefix)
            && let Some(function) = functions::find(&format!("{prefix}.{name}"))
        {
            let args = args.iter().map(|arg| self.node(arg)).collect();
            return self.resolve(at, function, false, args);
        }
        if target.is_none()
            && let Some(checked) = self.operator(at, name, args)
        {
            return checked;
        }
        let mut checked = Vec::new();
        if let Some(target) = target {
            checked.push(self.node(target));
        }
        let mixed = self.mixes;
        self.mixes |= name == "format";
        for arg in args {
            checked.push(self.node(arg));
        }
        self.mixes = mixed;
        let Some(function) = functions::find(name).filter(|function| !function.overloads.is_empty()) else {
            return self.complain(at, format!("undeclared reference to '{name}' (in container '')"));
        };
        self.pattern(function.name, target.is_some(), args);
        self.resolve(at, function, target.is_some(), checked)
    }

    /// The operators that do not look at all their operands.
    fn operator(&mut self, at: usize, name: &str, args: &[Node]) -> Option<Checked> {
        match (name, args) {
            ("_&&_" | "_||_", args) if args.len() >= 2 => {
                let mut checked: Vec<Checked> = args.iter().map(|arg| self.node(arg)).collect();
                if checked.iter().any(|(_, ty)| !matches!(ty, Type::Bool | Type::Dyn | Type::Error)) {
                    return Some(self.no_overload(at, name, false, &checked));
                }
                let mut expr = checked.remove(0).0;
                for (next, _) in checked {
                    expr = match name {
                        "_&&_" => Expr::And(Box::new(expr), Box::new(next)),
                        _ => Expr::Or(Box::new(expr), Box::new(next)),
                    };
                }
                Some((expr, Type::Bool))
            }
            ("_?_:_", [condition, yes, no]) => {
                let checked = vec![self.node(condition), self.node(yes), self.node(no)];
                let condition = matches!(checked[0].1, Type::Bool | Type::Dyn | Type::Error);
                let Some(ty) = join(&checked[1].1, &checked[2].1).filter(|_| condition) else {
                    return Some(self.no_overload(at, name, false, &checked));
                };
                let parts: Vec<Expr> = checked.into_iter().map(|(expr, _)| expr).collect();
                let parts: [Expr; 3] = parts.try_into().ok()?;
                Some((Expr::Conditional(Box::new(parts)), ty))
            }
            _ => None,
        }
    }

    /// Compiles a pattern that stands in the expression.
    fn pattern(&mut self, function: &str, member: bool, args: &[Node]) {
        let index = usize::from(!member);
        if !matches!(function, "matches" | "find" | "findAll") {
            return;
        }
        if let Some(Node { at, kind: Kind::String(pattern) }) = args.get(index) {
            match crate::library::regex::build(pattern) {
                Ok(regex) => {
                    self.patterns.insert(pattern.clone(), regex);
                }
                Err(error) => {
                    self.complain(*at, format!("error parsing regexp: {error}"));
                }
            }
        }
    }

    fn no_overload(&mut self, at: usize, name: &str, member: bool, args: &[Checked]) -> Checked {
        let types: Vec<String> = args.iter().map(|(_, ty)| settled(ty).to_string()).collect();
        let applied = match (member, types.as_slice()) {
            (true, [target, args @ ..]) => format!("{target}.({})", args.join(", ")),
            _ => format!("({})", types.join(", ")),
        };
        if args.iter().any(|(_, ty)| *ty == Type::Error) {
            return (Expr::Literal(Value::Null), Type::Error);
        }
        self.complain(at, format!("found no matching overload for '{name}' applied to '{applied}'"))
    }

    fn resolve(&mut self, at: usize, function: &'static Function, member: bool, args: Vec<Checked>) -> Checked {
        let mut result: Option<Type> = None;
        for overload in &function.overloads {
            if overload.member != member || overload.parameters.len() != args.len() {
                continue;
            }
            let mut bindings = Bindings::default();
            if overload.parameters.iter().zip(&args).all(|(want, (_, have))| assignable(want, have, &mut bindings)) {
                let found = substitute(&overload.result, &bindings);
                result = Some(match result {
                    None => found,
                    Some(have) if have == found => found,
                    // Which one it is shows when it runs.
                    Some(_) => Type::Dyn,
                });
            }
        }
        match result {
            Some(ty) => (Expr::Call { function, args: args.into_iter().map(|(expr, _)| expr).collect() }, ty),
            None => self.no_overload(at, function.name, member, &args),
        }
    }

    fn list(&mut self, items: &[(Node, bool)]) -> Checked {
        let mut element: Option<Type> = None;
        let mut checked = Vec::new();
        for (item, optional) in items {
            let (expr, ty) = self.node(item);
            let ty = if *optional { unwrapped(&ty) } else { ty };
            element = Some(self.same(item.at, element, ty));
            checked.push((expr, *optional));
        }
        (Expr::List(checked), Type::list(element.unwrap_or(Type::Parameter(0))))
    }

    /// Items of a literal are of one type.
    fn same(&mut self, at: usize, have: Option<Type>, next: Type) -> Type {
        match have {
            None => next,
            Some(have) => match join(&have, &next) {
                Some(joined) => joined,
                None if self.mixes => Type::Dyn,
                None => {
                    self.complain(at, format!("expected type '{}' but found '{}'", settled(&have), settled(&next))).1
                }
            },
        }
    }

    fn map(&mut self, entries: &[(Node, Node, bool)]) -> Checked {
        let (mut key_type, mut value_type): (Option<Type>, Option<Type>) = (None, None);
        let mut checked = Vec::new();
        for (key, value, optional) in entries {
            let (key_expr, ty) = self.node(key);
            if !matches!(ty, Type::Bool | Type::Int | Type::Uint | Type::String | Type::Dyn | Type::Error) {
                self.complain(key.at, format!("unsupported map key type: {}", settled(&ty)));
            }
            key_type = Some(self.same(key.at, key_type, ty));
            let (value_expr, ty) = self.node(value);
            let ty = if *optional { unwrapped(&ty) } else { ty };
            value_type = Some(self.same(value.at, value_type, ty));
            checked.push((key_expr, value_expr, *optional));
        }
        let key = key_type.unwrap_or(Type::Parameter(0));
        (Expr::Map(checked), Type::map_of(key, value_type.unwrap_or(Type::Parameter(1))))
    }

    fn object(&mut self, at: usize, name: &str, fields: &[(String, Node, bool)]) -> Checked {
        if !self.environment.constructs(name) {
            return self.complain(at, format!("undeclared reference to '{name}' (in container '')"));
        }
        let checked = fields.iter().map(|(field, value, optional)| {
            let (expr, _) = self.node(value);
            (field.clone(), expr, *optional)
        });
        let checked = checked.collect();
        let ty = ObjectType { name: name.to_owned(), fields: Default::default() };
        (Expr::Struct(checked), Type::Object(Arc::new(ty)))
    }

    fn fold(&mut self, fold: &Fold) -> Checked {
        let (range, ty) = self.node(&fold.range);
        let (first, second) = match &ty {
            Type::List(list) if fold.second.is_some() => (Type::Int, list.element.clone()),
            Type::List(list) => (list.element.clone(), Type::Dyn),
            Type::Map(map) => (map.key.clone(), map.value.clone()),
            Type::Dyn | Type::Error | Type::Parameter(_) => (Type::Dyn, Type::Dyn),
            other => {
                let message = format!(
                    "expression of type '{}' cannot be range of a comprehension (must be list, map, or dynamic)",
                    settled(other)
                );
                self.complain(fold.range.at, message);
                (Type::Error, Type::Error)
            }
        };
        let depth = self.locals.len();
        self.locals.push((fold.variable.clone(), first.clone()));
        if let Some(name) = &fold.second {
            self.locals.push((name.clone(), second));
        }
        let filter = fold.filter.as_ref().map(|filter| {
            let (expr, ty) = self.node(filter);
            if !matches!(ty, Type::Bool | Type::Dyn | Type::Error) {
                self.complain(
                    filter.at,
                    format!(
                        "found no matching overload for '_?_:_' applied to '({}, list(dyn), list(dyn))'",
                        settled(&ty)
                    ),
                );
            }
            expr
        });
        let (body, result) = self.node(&fold.body);
        self.locals.truncate(depth);
        let result = match fold.kind {
            FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne => {
                if !matches!(result, Type::Bool | Type::Dyn | Type::Error) {
                    let message = match fold.kind {
                        FoldKind::All => {
                            format!("found no matching overload for '_&&_' applied to '(bool, {})'", settled(&result))
                        }
                        FoldKind::Exists => {
                            format!("found no matching overload for '_||_' applied to '(bool, {})'", settled(&result))
                        }
                        _ => format!(
                            "found no matching overload for '_?_:_' applied to '({}, int, int)'",
                            settled(&result)
                        ),
                    };
                    self.complain(fold.body.at, message);
                }
                Type::Bool
            }
            FoldKind::List => Type::list(result),
            FoldKind::Sorted => {
                let comparable = result.is_comparable();
                if !comparable || matches!(ty, Type::Map(_)) {
                    let message = format!(
                        "found no matching overload for '@sortByAssociatedKeys' applied to '{}.(list({}))'",
                        settled(&ty),
                        settled(&result)
                    );
                    self.complain(fold.body.at, message);
                }
                Type::list(first)
            }
            FoldKind::Map => Type::map_of(if fold.second.is_some() { first } else { Type::Dyn }, result),
            FoldKind::MapEntries => match result {
                Type::Map(_) => result,
                _ => Type::map_of(Type::Dyn, Type::Dyn),
            },
        };
        let pairs = fold.second.is_some();
        (Expr::Fold(Box::new(FoldExpr { kind: fold.kind, range, pairs, filter, body })), result)
    }
}

fn unwrapped(ty: &Type) -> Type {
    match ty {
        Type::Optional(inner) => (**inner).clone(),
        other => other.clone(),
    }
}

/// `a.b.c`, where the node is nothing else.
fn qualified(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Ident(name) => Some(name.clone()),
        Kind::Select { operand, field, optional: false } => Some(format!("{}.{field}", qualified(operand)?)),
        _ => None,
    }
}

/// The type that both are of.
fn join(left: &Type, right: &Type) -> Option<Type> {
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (Type::Error, other) | (other, Type::Error) => Some(other.clone()),
        (Type::Dyn, _) | (_, Type::Dyn) => Some(Type::Dyn),
        (Type::Parameter(_), other) | (other, Type::Parameter(_)) => Some(other.clone()),
        (Type::Null, other) | (other, Type::Null) if takes_null(other) => Some(other.clone()),
        (Type::List(left), Type::List(right)) => {
            let element = join(&left.element, &right.element)?;
            Some(Type::list_of(element, left.kind.clone()))
        }
        (Type::Map(left), Type::Map(right)) => {
            Some(Type::map_of(join(&left.key, &right.key)?, join(&left.value, &right.value)?))
        }
        (Type::Optional(left), Type::Optional(right)) => Some(Type::Optional(Arc::new(join(left, right)?))),
        (Type::Type(_), Type::Type(_)) => Some(left.clone()),
        (Type::Object(a), Type::Object(b)) if a.name == b.name => Some(left.clone()),
        _ => None,
    }
}

fn takes_null(ty: &Type) -> bool {
    matches!(ty, Type::Object(_) | Type::Opaque(_) | Type::Timestamp | Type::Duration | Type::Optional(_))
}

fn assignable(want: &Type, have: &Type, bindings: &mut Bindings) -> bool {
    match (want, have) {
        (Type::Parameter(index), have) => {
            let slot = usize::from(*index).min(1);
            match bindings.0[slot].clone() {
                None => {
                    bindings.0[slot] = Some(have.clone());
                    true
                }
                Some(bound) => match join(&bound, have) {
                    Some(joined) => {
                        bindings.0[slot] = Some(joined);
                        true
                    }
                    None => false,
                },
            }
        }
        (_, Type::Dyn | Type::Error | Type::Parameter(_)) | (Type::Dyn, _) => true,
        (Type::List(want), Type::List(have)) => assignable(&want.element, &have.element, bindings),
        (Type::Map(want), Type::Map(have)) => {
            assignable(&want.key, &have.key, bindings) && assignable(&want.value, &have.value, bindings)
        }
        (Type::Optional(want), Type::Optional(have)) => assignable(want, have, bindings),
        (Type::Type(_), Type::Type(_)) => true,
        (Type::Object(want), Type::Object(have)) => want.name == have.name,
        (want, Type::Null) if takes_null(want) => true,
        (want, have) => want == have,
    }
}

fn substitute(ty: &Type, bindings: &Bindings) -> Type {
    match ty {
        Type::Parameter(index) => bindings.0[usize::from(*index).min(1)].clone().unwrap_or(Type::Dyn),
        Type::List(list) => Type::list_of(substitute(&list.element, bindings), list.kind.clone()),
        Type::Map(map) => Type::map_of(substitute(&map.key, bindings), substitute(&map.value, bindings)),
        Type::Optional(inner) => Type::Optional(Arc::new(substitute(inner, bindings))),
        Type::Type(inner) => Type::Type(Arc::new(substitute(inner, bindings))),
        other => other.clone(),
    }
}

/// A type whose open parameters are anything.
fn settled(ty: &Type) -> Type {
    substitute(ty, &Bindings::default())
}

impl From<&str> for Text<'_> {
    fn from(text: &str) -> Self {
        Self::Made(text.into())
    }
}
