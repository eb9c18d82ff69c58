//! What is wrong with an expression, before and while it runs.

use std::fmt;

/// One complaint about an expression's source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Without place and source.
    pub message: String,
}

/// An expression that cannot be compiled; prints as cel-go prints its issues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// In the order of the source.
    pub issues: Vec<Issue>,
    source: String,
}

impl CompileError {
    pub(crate) fn new(source: &str, mut issues: Vec<Issue>) -> Self {
        issues.sort_by_key(|issue| (issue.line, issue.column));
        Self { issues, source: source.to_owned() }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, issue) in self.issues.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "ERROR: <input>:{}:{}: {}", issue.line, issue.column, issue.message)?;
            if let Some(line) = self.source.split('\n').nth(issue.line.saturating_sub(1)) {
                write!(f, "\n | {}\n | ", line.replace('\t', " "))?;
                for _ in 1..issue.column {
                    f.write_str(".")?;
                }
                f.write_str("^")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for CompileError {}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The operands are of kinds that the function or operator does not take.
    #[error("no such overload")]
    NoSuchOverload,
    /// A map or an object has no such key.
    #[error("no such key: {0}")]
    NoSuchKey(String),
    /// A variable has no value.
    #[error("no such attribute(s): {0}")]
    NoSuchAttribute(String),
    /// Beyond a list's end.
    #[error("index out of bounds: {0}")]
    IndexOutOfBounds(i64),
    /// An integer by zero.
    #[error("division by zero")]
    DivideByZero,
    /// An integer modulo zero.
    #[error("modulus by zero")]
    ModulusByZero,
    /// A result that a number does not hold.
    #[error("{0} overflow")]
    Overflow(&'static str),
    /// What a function says.
    #[error("{0}")]
    Function(String),
    /// The expression has spent its budget.
    #[error("operation cancelled: actual cost limit exceeded")]
    CostExceeded,
}

impl EvalError {
    pub(crate) fn of(message: impl Into<String>) -> Self {
        Self::Function(message.into())
    }
}
