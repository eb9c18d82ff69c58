//! From text to a tree: the `cel` crate parses, its tree becomes [`Node`]s, in which macros are what they mean.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};
use cel::parser::Parser;

use crate::error::{CompileError, Issue};

/// Brackets within brackets, and operators in a row, that an expression may have: what fits a thread's stack.
const DEPTH_MAX: usize = 60;
const CHAIN_MAX: usize = 250;
/// Characters of an expression (`ExpressionSizeCodePointLimit`).
const CHARACTERS_MAX: usize = 100_000;

/// An expression with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Bytes from the source's beginning.
    pub(crate) at: usize,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    Ident(String),
    Select {
        operand: Box<Node>,
        field: String,
        optional: bool,
    },
    /// `has(operand.field)`
    Has {
        operand: Box<Node>,
        field: String,
    },
    Call {
        function: String,
        target: Option<Box<Node>>,
        args: Vec<Node>,
    },
    /// Items; whether each stands behind a question mark.
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Struct {
        name: String,
        fields: Vec<(String, Node, bool)>,
    },
    Fold(Box<Fold>),
    /// `target.optMap(variable, body)`, `optFlatMap`
    OptionalMap {
        target: Box<Node>,
        variable: String,
        body: Box<Node>,
        flat: bool,
    },
}

/// What a macro over a list or a map makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoldKind {
    All,
    Exists,
    ExistsOne,
    /// `map`, `filter`, `transformList`
    List,
    /// `sortBy`: the items, in the order of what the body makes of them
    Sorted,
    /// `transformMap`
    Map,
    /// `transformMapEntry`
    MapEntries,
}

#[derive(Clone, Debug)]
pub(crate) struct Fold {
    pub(crate) kind: FoldKind,
    pub(crate) range: Node,
    pub(crate) variable: String,
    pub(crate) second: Option<String>,
    pub(crate) filter: Option<Node>,
    pub(crate) body: Node,
}

/// The place `at` bytes from the beginning of `source`: line and column, from 1.
pub(crate) fn place(source: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    let before = &source[..at];
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[start..].chars().count() + 1)
}

/// Parses `source`; where it `binds`, `cel.bind` is known.
pub(crate) fn parse(source: &str, binds: bool) -> Result<Node, CompileError> {
    bounded(source)?;
    let parser = Parser::new().enable_optional_syntax(true);
    match parser.parse_with_source_info(source) {
        Ok((tree, places)) => {
            let mut reader = Reader { source, places, binds, issues: Vec::new() };
            let node = reader.node(tree);
            if reader.issues.is_empty() { Ok(node) } else { Err(CompileError::new(source, reader.issues)) }
        }
        Err(errors) => {
            let issues = errors.errors.into_iter().map(|error| {
                let number = |number: isize| usize::try_from(number).unwrap_or(0).max(1);
                Issue { line: number(error.pos.0), column: number(error.pos.1), message: error.msg }
            });
            Err(CompileError::new(source, issues.collect()))
        }
    }
}

/// Refuses what would take more stack than there is, before the parser sees it.
fn bounded(source: &str) -> Result<(), CompileError> {
    let refused = |at: usize, message: String| {
        let (line, column) = place(source, at);
        CompileError::new(source, vec![Issue { line, column, message }])
    };
    let characters = source.chars().count();
    if characters > CHARACTERS_MAX {
        let message = format!("expression code point size exceeds limit: size: {characters}, limit {CHARACTERS_MAX}");
        return Err(CompileError::new("", vec![Issue { line: 1, column: 1, message }]));
    }
    let bytes = source.as_bytes();
    let (mut depth, mut chain, mut at) = (0usize, 0usize, 0usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'(' | b'[' | b'{' => {
                depth += 1;
                chain += 1;
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => chain = 0,
            b'&' | b'|' => chain = 0,
            b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'>' | b'!' | b'=' | b'.' | b'?' => chain += 1,
            b'i' if bytes[at..].starts_with(b"in ") => chain += 1,
            b'"' | b'\'' => at = after_string(bytes, at),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(refused(at, format!("expression recursion limit exceeded: {DEPTH_MAX}")));
        }
        if chain > CHAIN_MAX {
            return Err(refused(at, format!("expression recursion limit exceeded: {CHAIN_MAX}")));
        }
        at += 1;
    }
    Ok(())
}

/// The last byte of the string that begins at `start`.
fn after_string(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let raw = start > 0 && matches!(bytes[start - 1], b'r' | b'R');
    let long = bytes[start..].starts_with(&[quote; 3]);
    let mut at = start + if long { 3 } else { 1 };
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if !raw => at += 1,
            found if found == quote && (!long || bytes[at..].starts_with(&[quote; 3])) => {
                return if long { at + 2 } else { at };
            }
            b'\n' if !long => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

struct Reader<'s> {
    source: &'s str,
    places: SourceInfo,
    binds: bool,
    issues: Vec<Issue>,
}

impl Reader<'_> {
    fn at(&self, id: u64) -> usize {
        self.places.offset_for(id).map_or(0, |(start, _)| start as usize)
    }

    fn complain(&mut self, at: usize, message: impl Into<String>) {
        let (line, column) = place(self.source, at);
        self.issues.push(Issue { line, column, message: message.into() });
    }

    fn node(&mut self, tree: IdedExpr) -> Node {
        let at = self.at(tree.id);
        let kind = match tree.expr {
            Expr::Unspecified => {
                self.complain(at, "unsupported expression");
                Kind::Null
            }
            Expr::Literal(literal) => literal_kind(&literal),
            Expr::Ident(name) => Kind::Ident(name.trim_start_matches('.').to_owned()),
            Expr::Select(select) => {
                let operand = Box::new(self.node(*select.operand));
                match select.test {
                    true => Kind::Has { operand, field: select.field },
                    false => Kind::Select { operand, field: select.field, optional: false },
                }
            }
            Expr::Call(call) => self.call(at, call),
            Expr::List(list) => {
                let optional = list.optional_indices;
                let items = list.elements.into_iter().enumerate();
                Kind::List(items.map(|(index, item)| (self.node(item), optional.contains(&index))).collect())
            }
            Expr::Map(map) => {
                let mut entries = Vec::new();
                for entry in map.entries {
                    if let EntryExpr::MapEntry(entry) = entry.expr {
                        entries.push((self.node(entry.key), self.node(entry.value), entry.optional));
                    }
                }
                Kind::Map(entries)
            }
            Expr::Struct(object) => {
                let mut fields = Vec::new();
                for entry in object.entries {
                    if let EntryExpr::StructField(entry) = entry.expr {
                        fields.push((entry.field, self.node(entry.value), entry.optional));
                    }
                }
                Kind::Struct { name: object.type_name.trim_start_matches('.').to_owned(), fields }
            }
            Expr::Comprehension(fold) => self.comprehension(at, *fold),
        };
        Node { at, kind }
    }

    fn call(&mut self, at: usize, call: CallExpr) -> Kind {
        let CallExpr { func_name: function, target, args } = call;
        let target = target.map(|target| Box::new(self.node(*target)));
        let mut args: Vec<Node> = args.into_iter().map(|arg| self.node(arg)).collect();
        if function == operators::OPT_SELECT
            && let [_, Node { kind: Kind::String(field), .. }] = args.as_slice()
        {
            let field = field.clone();
            args.truncate(1);
            if let Some(operand) = args.pop() {
                return Kind::Select { operand: Box::new(operand), field, optional: true };
            }
        }
        match target {
            Some(target) => self.member(at, function, target, args),
            None => Kind::Call { function, target: None, args },
        }
    }

    /// The macros that the parser does not know.
    fn member(&mut self, at: usize, function: String, target: Box<Node>, mut args: Vec<Node>) -> Kind {
        let kind = match (function.as_str(), args.len()) {
            ("bind", 3) if self.binds && matches!(&target.kind, Kind::Ident(name) if name == "cel") => {
                return self.bind(at, args);
            }
            ("all", 3) => FoldKind::All,
            ("exists", 3) => FoldKind::Exists,
            ("existsOne" | "exists_one", 3) => FoldKind::ExistsOne,
            ("sortBy", 2) => {
                let body = args.pop();
                let variable = args.pop().and_then(|node| self.variable(node));
                return match (variable, body) {
                    (Some(variable), Some(body)) => Kind::Fold(Box::new(Fold {
                        kind: FoldKind::Sorted,
                        range: *target,
                        variable,
                        second: None,
                        filter: None,
                        body,
                    })),
                    _ => Kind::Null,
                };
            }
            ("transformList", 3 | 4) => FoldKind::List,
            ("transformMap", 3 | 4) => FoldKind::Map,
            ("transformMapEntry", 3 | 4) => FoldKind::MapEntries,
            ("optMap" | "optFlatMap", 2) => {
                let flat = function == "optFlatMap";
                let body = args.pop();
                let variable = args.pop().and_then(|node| self.variable(node));
                return match (variable, body) {
                    (Some(variable), Some(body)) => Kind::OptionalMap { target, variable, body: Box::new(body), flat },
                    _ => Kind::Null,
                };
            }
            _ => return Kind::Call { function, target: Some(target), args },
        };
        let body = args.pop();
        let filter = if args.len() == 3 { args.pop() } else { None };
        let second = args.pop().and_then(|node| self.variable(node));
        let first = args.pop().and_then(|node| self.variable(node));
        match (first, second, body) {
            (Some(variable), Some(second), Some(body)) => {
                if variable == second {
                    self.complain(at, format!("duplicate variable name: {variable}"));
                }
                let second = Some(second);
                Kind::Fold(Box::new(Fold { kind, range: *target, variable, second, filter, body }))
            }
            _ => Kind::Null,
        }
    }

    /// `cel.bind(name, value, body)` is `[value].map(name, body)[0]`.
    fn bind(&mut self, at: usize, mut args: Vec<Node>) -> Kind {
        let (body, value) = (args.pop(), args.pop());
        let variable = args.pop().and_then(|node| self.variable(node));
        let (Some(variable), Some(value), Some(body)) = (variable, value, body) else { return Kind::Null };
        let range = Node { at, kind: Kind::List(vec![(value, false)]) };
        let fold = Fold { kind: FoldKind::List, range, variable, second: None, filter: None, body };
        let list = Node { at, kind: Kind::Fold(Box::new(fold)) };
        Kind::Call { function: "_[_]".to_owned(), target: None, args: vec![list, Node { at, kind: Kind::Int(0) }] }
    }

    fn variable(&mut self, node: Node) -> Option<String> {
        match node.kind {
            Kind::Ident(name) => Some(name),
            _ => {
                self.complain(node.at, "argument must be a simple name");
                None
            }
        }
    }

    /// What a macro that the parser has expanded was before.
    fn comprehension(&mut self, at: usize, fold: ComprehensionExpr) -> Kind {
        let ComprehensionExpr { iter_range, iter_var, accu_init, loop_step, .. } = fold;
        let range = self.node(iter_range);
        let parts = match (accu_init.expr, loop_step.expr) {
            (Expr::Literal(LiteralValue::Boolean(_)), Expr::Call(step)) => {
                let kind = if step.func_name == operators::LOGICAL_AND { FoldKind::All } else { FoldKind::Exists };
                step.args.into_iter().nth(1).map(|body| (kind, None, body))
            }
            (Expr::Literal(LiteralValue::Int(_)), Expr::Call(step)) => {
                step.args.into_iter().next().map(|body| (FoldKind::ExistsOne, None, body))
            }
            (Expr::List(_), Expr::Call(step)) if step.func_name == operators::CONDITIONAL => {
                let mut args = step.args.into_iter();
                let filter = args.next();
                args.next().and_then(appended).map(|body| (FoldKind::List, filter, body))
            }
            (Expr::List(_), step) => appended(IdedExpr { id: 0, expr: step }).map(|body| (FoldKind::List, None, body)),
            _ => None,
        };
        let Some((kind, filter, body)) = parts else {
            self.complain(at, "unsupported comprehension");
            return Kind::Null;
        };
        let filter = filter.map(|filter| self.node(filter));
        let body = self.node(body);
        Kind::Fold(Box::new(Fold { kind, range, variable: iter_var, second: None, filter, body }))
    }
}

/// The `x` of `@result + [x]`.
fn appended(step: IdedExpr) -> Option<IdedExpr> {
    let Expr::Call(step) = step.expr else { return None };
    match step.args.into_iter().nth(1)?.expr {
        Expr::List(list) => list.elements.into_iter().next(),
        _ => None,
    }
}

fn literal_kind(literal: &LiteralValue) -> Kind {
    match literal {
        LiteralValue::Null => Kind::Null,
        LiteralValue::Boolean(value) => Kind::Bool(*value.inner()),
        LiteralValue::Int(value) => Kind::Int(*value.inner()),
        LiteralValue::UInt(value) => Kind::Uint(*value.inner()),
        LiteralValue::Double(value) => Kind::Double(*value.inner()),
        LiteralValue::String(value) => Kind::String(value.inner().to_owned()),
        LiteralValue::Bytes(value) => Kind::Bytes(value.inner().to_vec()),
    }
}
