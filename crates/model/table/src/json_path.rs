//! JSONPath as kubectl and printer columns write it (`client-go/util/jsonpath`, one expression without braces):
//! `.spec.replicas`, `.metadata.labels['a.b']`, `.status.conditions[?(@.type=="Ready")].status`, `.spec.ports[*].name`.

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// `.name`, `['name']`
    Field(String),
    /// `.*`, `[*]`
    All,
    /// `..`: the value and everything below it.
    Deep,
    /// `[1]`, `[-1]`, `[0,2]`
    Indices(Vec<i64>),
    /// `[1:3]`, `[::2]`
    Slice(Option<i64>, Option<i64>, i64),
    /// `[?(@.a == "b")]`
    Filter(Box<Filter>),
}

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    left: Operand,
    /// Absent where the left side need only exist.
    right: Option<(Comparison, Operand)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(JsonPath),
    Value(Value),
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonPathError {
    /// A character that cannot be where it is.
    #[error("unrecognized character in action: {0:?}")]
    Unexpected(char),
    /// A bracket without its partner.
    #[error("unterminated array")]
    UnterminatedArray,
    /// `[?(` without its end.
    #[error("unterminated filter")]
    UnterminatedFilter,
    /// What is between brackets is neither a number, a range, a name nor a filter.
    #[error("invalid array index {0}")]
    InvalidIndex(String),
    /// A comparison without a side.
    #[error("invalid filter {0}")]
    InvalidFilter(String),
}

impl JsonPath {
    /// Parses a path; braces around it may be left out, and so may the leading dot.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        let mut rest = text.strip_prefix(['$', '@']).unwrap_or(text);
        let mut steps = Vec::new();
        let mut first = true;
        while let Some(next) = rest.chars().next() {
            rest = match next {
                '.' if rest.starts_with("..") => {
                    steps.push(Step::Deep);
                    let after = &rest[2..];
                    if after.starts_with('[') { after } else { name(after, &mut steps) }
                }
                '.' => name(&rest[1..], &mut steps),
                '[' => bracket(rest, &mut steps)?,
                letter if first && (letter.is_alphanumeric() || letter == '_') => name(rest, &mut steps),
                other => return Err(JsonPathError::Unexpected(other)),
            };
            first = false;
        }
        Ok(Self { steps })
    }

    /// Whether the path goes through fields alone, as `.spec.color` does.
    pub fn is_simple(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|step| matches!(step, Step::Field(_)))
    }

    /// The names of the fields that a simple path goes through.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match step {
            Step::Field(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// All values that the path leads to.
    pub fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![value];
        for step in &self.steps {
            let mut next = Vec::new();
            for value in found {
                step.follow(value, &mut next);
            }
            found = next;
        }
        found
    }
}

impl Step {
    fn follow<'a>(&self, value: &'a Value, found: &mut Vec<&'a Value>) {
        match (self, value) {
            (Self::Field(name), Value::Object(fields)) => found.extend(fields.get(name)),
            (Self::All, Value::Object(fields)) => found.extend(fields.values()),
            (Self::All, Value::Array(items)) => found.extend(items),
            (Self::Deep, _) => deep(value, found),
            (Self::Indices(indices), Value::Array(items)) => {
                let length = items.len() as i64;
                let wanted = indices.iter().map(|index| if *index < 0 { index + length } else { *index });
                found.extend(wanted.filter_map(|index| items.get(usize::try_from(index).ok()?)));
            }
            (Self::Slice(start, end, step), Value::Array(items)) => {
                let length = items.len() as i64;
                let place = |index: i64| if index < 0 { index + length } else { index }.clamp(0, length) as usize;
                let (start, end) = (place(start.unwrap_or(0)), place(end.unwrap_or(length)));
                let chosen = items.get(start..end).unwrap_or_default();
                found.extend(chosen.iter().step_by(usize::try_from(*step).unwrap_or(1).max(1)));
            }
            (Self::Filter(filter), Value::Array(items)) => found.extend(items.iter().filter(|item| filter.holds(item))),
            (Self::Filter(filter), Value::Object(_)) if filter.holds(value) => found.push(value),
            _ => {}
        }
    }
}

fn deep<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    found.push(value);
    match value {
        Value::Object(fields) => fields.values().for_each(|value| deep(value, found)),
        Value::Array(items) => items.iter().for_each(|value| deep(value, found)),
        _ => {}
    }
}

impl Filter {
    fn holds(&self, item: &Value) -> bool {
        let left = self.left.of(item);
        let Some((comparison, right)) = &self.right else { return left.is_some() };
        let (Some(left), Some(right)) = (left, right.of(item)) else { return false };
        let order = match (left, right) {
            (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (a, b) if a == b => Some(std::cmp::Ordering::Equal),
            _ => None,
        };
        match comparison {
            Comparison::Equal => order == Some(std::cmp::Ordering::Equal),
            Comparison::NotEqual => order != Some(std::cmp::Ordering::Equal),
            Comparison::Less => order.is_some_and(std::cmp::Ordering::is_lt),
            Comparison::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
            Comparison::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
            Comparison::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
        }
    }
}

impl Operand {
    fn of<'a>(&'a self, item: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Path(path) => path.find(item).into_iter().next(),
            Self::Value(value) => Some(value),
        }
    }

    fn parse(text: &str) -> Result<Self, JsonPathError> {
        let text = text.trim();
        if text.starts_with(['@', '$', '.']) {
            return JsonPath::parse(text).map(Self::Path);
        }
        let quoted = text
            .strip_prefix('\'')
            .and_then(|text| text.strip_suffix('\''))
            .or_else(|| text.strip_prefix('"').and_then(|text| text.strip_suffix('"')));
        if let Some(quoted) = quoted {
            return Ok(Self::Value(quoted.into()));
        }
        serde_json::from_str(text).map(Self::Value).map_err(|_| JsonPathError::InvalidFilter(text.to_owned()))
    }
}

/// Reads a name up to the next dot or bracket; a backslash takes the next character as it is.
fn name<'a>(text: &'a str, steps: &mut Vec<Step>) -> &'a str {
    let mut name = String::new();
    let mut letters = text.char_indices();
    let mut end = text.len();
    while let Some((index, letter)) = letters.next() {
        match letter {
            '\\' => name.extend(letters.next().map(|(_, letter)| letter)),
            '.' | '[' => {
                end = index;
                break;
            }
            letter => name.push(letter),
        }
    }
    match name.as_str() {
        "" => {}
        "*" => steps.push(Step::All),
        _ => steps.push(Step::Field(name)),
    }
    &text[end..]
}

/// Reads `[…]`.
fn bracket<'a>(text: &'a str, steps: &mut Vec<Step>) -> Result<&'a str, JsonPathError> {
    let end = closing(text).ok_or(JsonPathError::UnterminatedArray)?;
    let inside = text[1..end].trim();
    let rest = &text[end + 1..];
    let invalid = || JsonPathError::InvalidIndex(inside.to_owned());
    if let Some(filter) = inside.strip_prefix("?(") {
        let filter = filter.strip_suffix(')').ok_or(JsonPathError::UnterminatedFilter)?;
        steps.push(Step::Filter(Box::new(parse_filter(filter)?)));
    } else if let Some(quoted) = inside.strip_prefix(['\'', '"']) {
        steps.push(Step::Field(quoted.strip_suffix(['\'', '"']).ok_or_else(invalid)?.to_owned()));
    } else if inside == "*" {
        steps.push(Step::All);
    } else if inside.contains(':') {
        let number = |text: &str| match text.trim() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| invalid()),
        };
        let parts: Vec<&str> = inside.split(':').collect();
        let (start, end, step) = match parts.as_slice() {
            [start, end] => (number(start)?, number(end)?, None),
            [start, end, step] => (number(start)?, number(end)?, number(step)?),
            _ => return Err(invalid()),
        };
        steps.push(Step::Slice(start, end, step.unwrap_or(1)));
    } else {
        let indices: Result<Vec<i64>, _> = inside.split(',').map(|index| index.trim().parse()).collect();
        steps.push(Step::Indices(indices.map_err(|_| invalid())?));
    }
    Ok(rest)
}

/// Where the bracket that `text` begins with ends, quotes and inner brackets aside.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (index, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

fn parse_filter(text: &str) -> Result<Filter, JsonPathError> {
    const COMPARISONS: [(&str, Comparison); 6] = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    let mut quote = None;
    for (index, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            _ => {
                let found = COMPARISONS.iter().find(|(sign, _)| text[index..].starts_with(sign));
                if let Some((sign, comparison)) = found {
                    let right = Operand::parse(&text[index + sign.len()..])?;
                    return Ok(Filter { left: Operand::parse(&text[..index])?, right: Some((*comparison, right)) });
                }
            }
        }
    }
    Ok(Filter { left: Operand::parse(text)?, right: None })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths() {
        let object = json!({
            "metadata": {"name": "x", "labels": {"a.b/c": "l"}},
            "spec": {"n": 3, "list": [{"k": 1, "v": "a"}, {"k": 2, "v": "b"}, {"k": 3, "v": "c"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Synced", "status": "False"}]},
        });
        let cases: &[(&str, Value)] = &[
            (".metadata.name", json!(["x"])),
            ("{.metadata.name}", json!(["x"])),
            ("metadata.name", json!(["x"])),
            (".metadata.labels['a.b/c']", json!(["l"])),
            (r".metadata.labels.a\.b/c", json!(["l"])),
            (".spec.n", json!([3])),
            (".spec.none.x", json!([])),
            (".spec.list[0].v", json!(["a"])),
            (".spec.list[-1].v", json!(["c"])),
            (".spec.list[*].v", json!(["a", "b", "c"])),
            (".spec.list[0,2].v", json!(["a", "c"])),
            (".spec.list[1:].v", json!(["b", "c"])),
            (".spec.list[?(@.k>1)].v", json!(["b", "c"])),
            (r#".status.conditions[?(@.type=="Ready")].status"#, json!(["True"])),
            (".status.conditions[?(@.type == 'Synced')].status", json!(["False"])),
            (".status..type", json!(["Ready", "Synced"])),
        ];
        for (path, expected) in cases {
            let found: Vec<Value> = JsonPath::parse(path).unwrap().find(&object).into_iter().cloned().collect();
            assert_eq!(Value::Array(found), *expected, "{path}");
        }
        for path in [".a[", ".a[x]", ".a[?(@.b]", " .a", ".a[?(@.b==)]"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
