//! Kubernetes' URLs: absolute ones and absolute paths, as Go's `url.ParseRequestURI` takes them.

use std::collections::BTreeMap;

use crate::error::EvalError;
use crate::functions::{Cost, Row, Tools};
use crate::map::Key;
use crate::value::{Text, Value};

type Result<'a> = std::result::Result<Value<'a>, EvalError>;

pub(crate) const ROWS: &[Row] = &[
    ("url", &["(string)->url"], to_url, Cost::Traverse(0)),
    ("isURL", &["(string)->bool"], is_url, Cost::Traverse(0)),
    ("getScheme", &["url.()->string"], |_, args| text(args, |url| url.scheme.clone()), Cost::Fixed(1)),
    ("getHost", &["url.()->string"], |_, args| text(args, |url| url.host.clone()), Cost::Fixed(1)),
    ("getHostname", &["url.()->string"], |_, args| text(args, |url| url.split_host().0), Cost::Fixed(1)),
    ("getPort", &["url.()->string"], |_, args| text(args, |url| url.split_host().1), Cost::Fixed(1)),
    ("getEscapedPath", &["url.()->string"], |_, args| text(args, |url| url.path.clone()), Cost::Fixed(1)),
    ("getQuery", &["url.()->map<string,list<string>>"], query, Cost::Fixed(1)),
];

/// The parts of a URL, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    host: String,
    path: String,
    query: String,
}

impl Url {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.chars().any(|c| c.is_ascii_control()) || text.contains(' ') {
            return None;
        }
        let (scheme, rest) = match text.find(':') {
            Some(at) if !text.starts_with('/') => {
                let scheme = &text[..at];
                let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                    && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
                if !valid {
                    return None;
                }
                (scheme.to_ascii_lowercase(), &text[at + 1..])
            }
            _ => (String::new(), text),
        };
        if !rest.starts_with('/') {
            return None;
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, path) = match rest.strip_prefix("//") {
            Some(rest) if !scheme.is_empty() => match rest.find('/') {
                Some(at) => (&rest[..at], &rest[at..]),
                None => (rest, ""),
            },
            _ => ("", rest),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let url = Self { scheme, host: host.to_owned(), path: escaped(path)?, query: query.to_owned() };
        let port = url.split_host().1;
        let unclosed = url.host.starts_with('[') && !url.host.contains(']');
        (port.chars().all(|c| c.is_ascii_digit()) && !unclosed).then_some(url)
    }

    /// Name and port.
    fn split_host(&self) -> (String, String) {
        if let Some(rest) = self.host.strip_prefix('[')
            && let Some((name, port)) = rest.split_once(']')
        {
            return (name.to_owned(), port.trim_start_matches(':').to_owned());
        }
        let (name, port) = self.host.rsplit_once(':').unwrap_or((&self.host, ""));
        (name.to_owned(), port.to_owned())
    }
}

/// The path, with what may not stand in one escaped; none where an escape is broken.
fn escaped(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let bytes = path.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'%' => {
                let hex = bytes.get(at + 1..at + 3)?;
                if !hex.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                out.push('%');
            }
            b if b.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*[]".contains(b) => out.push(char::from(*b)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    Some(out)
}

fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (byte, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(value)) => {
                out.push(value);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (other, _) => out.push(*other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether `text` is a URL or an absolute path.
pub(super) fn is_valid(text: &str) -> bool {
    Url::parse(text).is_some()
}

fn to_url<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text)] = args else { return Err(EvalError::NoSuchOverload) };
    let wrong = || {
        EvalError::of(format!(
            "URL parse error during conversion from string: parse {:?}: invalid URI for request",
            &**text
        ))
    };
    Url::parse(text).map(|url| Value::Url(url.into())).ok_or_else(wrong)
}

fn is_url<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(Url::parse(text).is_some())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn text<'a>(args: &[Value<'a>], of: fn(&Url) -> String) -> Result<'a> {
    match args {
        [Value::Url(url)] => Ok(Value::text(of(url))),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn query<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [Value::Url(url)] = args else { return Err(EvalError::NoSuchOverload) };
    let mut all: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
    for pair in url.query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        all.entry(unescaped(key)).or_default().push(Value::text(unescaped(value)));
    }
    let entries = all.into_iter().map(|(key, values)| (Key::String(Text::from(key)), Value::list(values)));
    Ok(Value::map(entries.collect()))
}
