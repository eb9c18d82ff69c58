//! Semantic versions (semver.org 2.0.0).

use std::cmp::Ordering;
use std::fmt;

use crate::error::EvalError;
use crate::functions::{Cost, Row, Tools};
use crate::value::Value;

type Result<'a> = std::result::Result<Value<'a>, EvalError>;

pub(crate) const ROWS: &[Row] = &[
    ("semver", &["(string)->semver", "(string,bool)->semver"], to_semver, Cost::Traverse(0)),
    ("isSemver", &["(string)->bool", "(string,bool)->bool"], is_semver, Cost::Traverse(0)),
    ("major", &["semver.()->int"], |_, args| number(args, 0), Cost::Fixed(1)),
    ("minor", &["semver.()->int"], |_, args| number(args, 1), Cost::Fixed(1)),
    ("patch", &["semver.()->int"], |_, args| number(args, 2), Cost::Fixed(1)),
];

/// A version; what stands behind `+` does not count in comparisons.
#[derive(Clone, Debug)]
pub struct Version {
    numbers: [u64; 3],
    before: Vec<Part>,
    build: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Text(String),
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (rest, build) = text.split_once('+').map_or((text, ""), |(rest, build)| (rest, build));
        let (rest, before) = match rest.split_once('-') {
            Some((rest, before)) => (rest, Some(before)),
            None => (rest, None),
        };
        let mut numbers = [0; 3];
        let mut parts = rest.split('.');
        for slot in &mut numbers {
            *slot = plain_number(parts.next()?)?;
        }
        if parts.next().is_some() || (build.is_empty() && text.ends_with('+')) {
            return None;
        }
        let named = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !build.is_empty() && !build.split('.').all(named) {
            return None;
        }
        let before = match before {
            None => Vec::new(),
            Some(before) => before
                .split('.')
                .map(|part| match part.bytes().all(|b| b.is_ascii_digit()) {
                    true => plain_number(part).map(Part::Number),
                    false => named(part).then(|| Part::Text(part.to_owned())),
                })
                .collect::<Option<_>>()?,
        };
        Some(Self { numbers, before, build: build.to_owned() })
    }

    /// Without a leading `v` and leading zeros, and with three numbers.
    fn normalized(text: &str) -> Option<Self> {
        let text = text.trim_start_matches('v');
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let (numbers, rest) = text.split_at(end);
        let mut parts: Vec<String> = numbers
            .split('.')
            .map(|part| match part.trim_start_matches('0') {
                "" if !part.is_empty() => "0".to_owned(),
                part => part.to_owned(),
            })
            .collect();
        while parts.len() < 3 {
            parts.push("0".to_owned());
        }
        Self::parse(&format!("{}{rest}", parts.join(".")))
    }
}

/// Without leading zeros.
fn plain_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) { None } else { text.parse().ok() }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.before.is_empty(), other.before.is_empty()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => self.before.cmp(&other.before),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        for (index, part) in self.before.iter().enumerate() {
            f.write_str(if index == 0 { "-" } else { "." })?;
            match part {
                Part::Number(number) => write!(f, "{number}")?,
                Part::Text(text) => f.write_str(text)?,
            }
        }
        if !self.build.is_empty() {
            write!(f, "+{}", self.build)?;
        }
        Ok(())
    }
}

fn parsed(args: &[Value<'_>]) -> std::result::Result<Option<Version>, EvalError> {
    match args {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => Ok(Version::parse(text)),
        [Value::String(text), Value::Bool(true)] => Ok(Version::normalized(text)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn to_semver<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match parsed(args)? {
        Some(version) => Ok(Value::Semver(version.into())),
        None => Err(EvalError::of("No Major.Minor.Patch elements found")),
    }
}

fn is_semver<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    Ok(Value::Bool(parsed(args)?.is_some()))
}

fn number<'a>(args: &[Value<'a>], index: usize) -> Result<'a> {
    match args {
        [Value::Semver(version)] => Ok(Value::Int(i64::try_from(version.numbers[index]).unwrap_or(i64::MAX))),
        _ => Err(EvalError::NoSuchOverload),
    }
}
