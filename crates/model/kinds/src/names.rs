//! Checks of names, keys and other short texts: hand-written, because every object passes several of them.
//!
//! Each answers what is wrong, in the API's words; no answer means valid (and costs no allocation).

/// What is wrong with a text; empty when nothing is.
pub type Complaints = Vec<&'static str>;

const DNS_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const DNS_SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS_SUBDOMAIN_UNDERSCORE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";
const DNS_1035_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const WILDCARD_SUBDOMAIN: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const KEY_NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const KEY: &str = "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
const KEY_PREFIX_SUBDOMAIN: &str = "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const C_IDENTIFIER: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";
const CONFIG_MAP_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
const HTTP_HEADER: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
const ENV_NAME: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";
const MAX_63: &str = "must be no more than 63 bytes";
const MAX_253: &str = "must be no more than 253 bytes";

const fn is_lower_alnum(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?`
pub(crate) fn is_label_shaped(value: &str) -> bool {
    let bytes = value.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if is_lower_alnum(*first) && is_lower_alnum(*last))
        && bytes.iter().all(|byte| is_lower_alnum(*byte) || *byte == b'-')
}

fn is_subdomain_shaped(value: &str) -> bool {
    // One pass: a dot or an end must have an alphanumeric on both sides.
    let mut before = b'.';
    for byte in value.bytes() {
        match byte {
            b'.' if !is_lower_alnum(before) => return false,
            b'-' if before == b'.' => return false,
            b'.' | b'-' => {}
            _ if is_lower_alnum(byte) => {}
            _ => return false,
        }
        before = byte;
    }
    is_lower_alnum(before)
}

/// `([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]`
fn is_key_name_shaped(value: &str) -> bool {
    let bytes = value.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// A DNS label (RFC 1123).
pub fn dns_label(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > 63 {
        complaints.push(MAX_63);
    }
    if !is_label_shaped(value) {
        complaints.push(if is_subdomain_shaped(value) { "must not contain dots" } else { DNS_LABEL });
    }
    complaints
}

/// A DNS subdomain (RFC 1123).
pub fn dns_subdomain(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > 253 {
        complaints.push(MAX_253);
    }
    if !is_subdomain_shaped(value) {
        complaints.push(DNS_SUBDOMAIN);
    }
    complaints
}

/// A DNS subdomain whose labels may have underscores inside and one in front.
pub fn dns_subdomain_with_underscore(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > 253 {
        complaints.push(MAX_253);
    }
    let shaped = value.split('.').all(|label| {
        let bytes = label.strip_prefix('_').unwrap_or(label).as_bytes();
        matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if is_lower_alnum(*first) && is_lower_alnum(*last))
            && bytes.iter().all(|byte| is_lower_alnum(*byte) || matches!(byte, b'-' | b'_'))
    });
    if !shaped {
        complaints.push(DNS_SUBDOMAIN_UNDERSCORE);
    }
    complaints
}

/// A DNS label (RFC 1035): begins with a letter.
pub fn dns_1035_label(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > 63 {
        complaints.push(MAX_63);
    }
    if !is_label_shaped(value) || !value.as_bytes()[0].is_ascii_lowercase() {
        complaints.push(DNS_1035_LABEL);
    }
    complaints
}

/// `*.` and a DNS subdomain.
pub fn wildcard_dns_subdomain(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > 253 {
        complaints.push(MAX_253);
    }
    if !value.strip_prefix("*.").is_some_and(is_subdomain_shaped) {
        complaints.push(WILDCARD_SUBDOMAIN);
    }
    complaints
}

/// A label or annotation key, a finalizer, a resource name: `name` or `prefix/name`.
pub fn qualified_name(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    let name = match value.split_once('/') {
        None => value,
        Some((_, name)) if name.contains('/') => return vec![KEY],
        Some((prefix, name)) => {
            if prefix.is_empty() {
                complaints.push("prefix part must be non-empty");
            } else {
                if prefix.len() > 253 {
                    complaints.push("prefix part must be no more than 253 bytes");
                }
                if !is_subdomain_shaped(prefix) {
                    complaints.push(KEY_PREFIX_SUBDOMAIN);
                }
            }
            name
        }
    };
    if name.is_empty() {
        complaints.push("name part must be non-empty");
    } else if name.len() > 63 {
        complaints.push("name part must be no more than 63 bytes");
    }
    if !is_key_name_shaped(name) {
        complaints.push(KEY_NAME_PART);
    }
    complaints
}

/// The value of a label.
pub fn label_value(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > 63 {
        complaints.push(MAX_63);
    }
    if !value.is_empty() && !is_key_name_shaped(value) {
        complaints.push(LABEL_VALUE);
    }
    complaints
}

/// A name that is one segment of a URL path.
pub fn path_segment(value: &str) -> Complaints {
    match value {
        "." => return vec!["may not be '.'"],
        ".." => return vec!["may not be '..'"],
        _ => {}
    }
    let mut complaints = Vec::new();
    if value.contains('/') {
        complaints.push("may not contain '/'");
    }
    if value.contains('%') {
        complaints.push("may not contain '%'");
    }
    complaints
}

/// An identifier of the language C.
pub fn c_identifier(value: &str) -> Complaints {
    let valid = value.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if valid { Vec::new() } else { vec![C_IDENTIFIER] }
}

/// The name of an environment variable: anything printable in ASCII but `=`.
pub fn env_name(value: &str) -> Complaints {
    if value.is_empty() {
        return vec!["environment variable name must be non-empty"];
    }
    if value.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'=') { Vec::new() } else { vec![ENV_NAME] }
}

/// A key in a ConfigMap or Secret.
pub fn config_map_key(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > 253 {
        complaints.push(MAX_253);
    }
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    {
        complaints.push(CONFIG_MAP_KEY);
    }
    if value == "." {
        complaints.push("must not be '.'");
    } else if value == ".." {
        complaints.push("must not be '..'");
    } else if value.starts_with("..") {
        complaints.push("must not start with '..'");
    }
    complaints
}

/// A port's name: `[-a-z0-9]`, at most 15, with a letter.
pub fn port_name(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > 15 {
        complaints.push("must be no more than 15 bytes");
    }
    if value.is_empty() || !value.bytes().all(|byte| is_lower_alnum(byte) || byte == b'-') {
        complaints.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    }
    if !value.bytes().any(|byte| byte.is_ascii_lowercase()) {
        complaints.push("must contain at least one letter (a-z)");
    }
    if value.contains("--") {
        complaints.push("must not contain consecutive hyphens");
    }
    if value.starts_with('-') || value.ends_with('-') {
        complaints.push("must not begin or end with a hyphen");
    }
    complaints
}

/// A port's number.
pub fn port_number(value: i64) -> Complaints {
    if (1..=65535).contains(&value) { Vec::new() } else { vec!["must be between 1 and 65535, inclusive"] }
}

/// A user or group id.
pub fn user_id(value: i64) -> Complaints {
    if (0..=0xffff_ffff).contains(&value) { Vec::new() } else { vec!["must be between 0 and 4294967295, inclusive"] }
}

/// `12%`
pub fn percent(value: &str) -> Complaints {
    let valid = value
        .strip_suffix('%')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    if valid { Vec::new() } else { vec![PERCENT] }
}

/// The name of an HTTP header.
pub fn http_header(value: &str) -> Complaints {
    let valid = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if valid { Vec::new() } else { vec![HTTP_HEADER] }
}
