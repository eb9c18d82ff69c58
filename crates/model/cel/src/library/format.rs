//! Kubernetes' named formats: what a name, a label or a UUID must look like.

use crate::error::EvalError;
use crate::functions::{Cost, Row, Tools};
use crate::value::Value;

type Result<'a> = std::result::Result<Value<'a>, EvalError>;

/// A format by its name.
#[derive(Debug)]
pub struct Format {
    pub(crate) name: &'static str,
    complain: fn(&str) -> Vec<String>,
}

static FORMATS: [Format; 10] = [
    Format { name: "dns1123Label", complain: |text| dns_label(text, false) },
    Format { name: "dns1123Subdomain", complain: |text| subdomain(text, false) },
    Format { name: "dns1035Label", complain: dns_1035 },
    Format { name: "qualifiedName", complain: qualified_name },
    Format { name: "dns1123LabelPrefix", complain: |text| dns_label(text, true) },
    Format { name: "dns1123SubdomainPrefix", complain: |text| subdomain(text, true) },
    Format { name: "dns1035LabelPrefix", complain: |text| dns_1035(text.trim_end_matches('-')) },
    Format { name: "labelValue", complain: label_value },
    Format { name: "uuid", complain: uuid },
    Format { name: "uri", complain: uri },
];

pub(crate) const ROWS: &[Row] = &[
    ("format.named", &["(string)->optional<format>"], named, Cost::Fixed(1)),
    ("validate", &["format.(string)->optional<list<string>>"], validate, Cost::Traverse(1)),
    ("format.dns1123Label", GET, |_, _| get("dns1123Label"), Cost::Fixed(1)),
    ("format.dns1123Subdomain", GET, |_, _| get("dns1123Subdomain"), Cost::Fixed(1)),
    ("format.dns1035Label", GET, |_, _| get("dns1035Label"), Cost::Fixed(1)),
    ("format.qualifiedName", GET, |_, _| get("qualifiedName"), Cost::Fixed(1)),
    ("format.dns1123LabelPrefix", GET, |_, _| get("dns1123LabelPrefix"), Cost::Fixed(1)),
    ("format.dns1123SubdomainPrefix", GET, |_, _| get("dns1123SubdomainPrefix"), Cost::Fixed(1)),
    ("format.dns1035LabelPrefix", GET, |_, _| get("dns1035LabelPrefix"), Cost::Fixed(1)),
    ("format.labelValue", GET, |_, _| get("labelValue"), Cost::Fixed(1)),
    ("format.uuid", GET, |_, _| get("uuid"), Cost::Fixed(1)),
    ("format.uri", GET, |_, _| get("uri"), Cost::Fixed(1)),
    ("format.byte", GET, |_, _| get_other("byte"), Cost::Fixed(1)),
    ("format.date", GET, |_, _| get_other("date"), Cost::Fixed(1)),
    ("format.datetime", GET, |_, _| get_other("datetime"), Cost::Fixed(1)),
];

const GET: &[&str] = &["()->format"];

static OTHERS: [Format; 3] = [
    Format { name: "byte", complain: byte },
    Format { name: "date", complain: date },
    Format { name: "datetime", complain: datetime },
];

fn get<'a>(name: &str) -> Result<'a> {
    FORMATS.iter().find(|format| format.name == name).map(Value::Format).ok_or(EvalError::NoSuchOverload)
}

fn get_other<'a>(name: &str) -> Result<'a> {
    OTHERS.iter().find(|format| format.name == name).map(Value::Format).ok_or(EvalError::NoSuchOverload)
}

fn named<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [Value::String(name)] = args else { return Err(EvalError::NoSuchOverload) };
    let found = FORMATS.iter().chain(&OTHERS).find(|format| format.name == &**name);
    Ok(Value::optional(found.map(Value::Format)))
}

fn validate<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [Value::Format(format), Value::String(text)] = args else { return Err(EvalError::NoSuchOverload) };
    let complaints = (format.complain)(text);
    if complaints.is_empty() {
        return Ok(Value::Optional(None));
    }
    Ok(Value::optional(Some(Value::list(complaints.into_iter().map(Value::text).collect()))))
}

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

fn is_label(text: &str) -> bool {
    let end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    end(bytes.first())
        && end(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// A name that others begin with may end in a hyphen.
fn stem(text: &str, prefix: bool) -> &str {
    if prefix { text.strip_suffix('-').unwrap_or(text) } else { text }
}

fn too_long(text: &str, most: usize, out: &mut Vec<String>) {
    if text.len() > most {
        out.push(format!("must be no more than {most} characters"));
    }
}

fn dns_label(text: &str, prefix: bool) -> Vec<String> {
    let mut out = Vec::new();
    too_long(text, 63, &mut out);
    if !is_label(stem(text, prefix)) {
        out.push(LABEL.to_owned());
    }
    out
}

fn subdomain(text: &str, prefix: bool) -> Vec<String> {
    let mut out = Vec::new();
    too_long(text, 253, &mut out);
    if !stem(text, prefix).split('.').all(is_label) {
        out.push(SUBDOMAIN.to_owned());
    }
    out
}

fn dns_1035(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    too_long(text, 63, &mut out);
    if !is_label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        out.push(DNS_1035.to_owned());
    }
    out
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    end(bytes.first()) && end(bytes.last()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

fn qualified_name(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let name = match text.split_once('/') {
        None => text,
        Some((prefix, name)) => {
            if prefix.is_empty() {
                out.push("prefix part must be non-empty".to_owned());
            } else {
                out.extend(subdomain(prefix, false).into_iter().map(|text| format!("prefix part {text}")));
            }
            name
        }
    };
    if name.is_empty() {
        out.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        out.push("name part must be no more than 63 characters".to_owned());
    }
    if !is_name(name) {
        out.push(QUALIFIED.to_owned());
    }
    out
}

fn label_value(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    too_long(text, 63, &mut out);
    if !text.is_empty() && !is_name(text) {
        out.push(LABEL_VALUE.to_owned());
    }
    out
}

fn refused(valid: bool, message: &str) -> Vec<String> {
    if valid { Vec::new() } else { vec![message.to_owned()] }
}

fn uuid(text: &str) -> Vec<String> {
    let digits: Vec<&str> = text.split('-').collect();
    let lengths = match digits.as_slice() {
        [one] => one.len() == 32,
        parts => parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]),
    };
    refused(
        lengths && digits.iter().all(|part| part.bytes().all(|b| b.is_ascii_hexdigit())),
        "does not match the UUID format",
    )
}

fn uri(text: &str) -> Vec<String> {
    let known = crate::library::url::is_valid(text);
    refused(known, &format!("parse {text:?}: invalid URI for request"))
}

fn byte(text: &str) -> Vec<String> {
    use base64::Engine as _;
    refused(base64::engine::general_purpose::STANDARD.decode(text).is_ok(), "invalid base64")
}

fn date(text: &str) -> Vec<String> {
    let valid = text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok();
    refused(valid, "invalid date")
}

fn datetime(text: &str) -> Vec<String> {
    refused(text.parse::<jiff::Timestamp>().is_ok(), "invalid datetime")
}
