//! What a label key and a label value may look like, in apimachinery's words.

const NAME_LENGTH_MAX: usize = 63;
const PREFIX_LENGTH_MAX: usize = 253;

const NAME_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
     alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
     and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used \
     for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const PREFIX_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
     '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// Everything wrong with `key` as a qualified name (`name` or `prefix/name`); empty if nothing is.
#[must_use]
pub fn label_key_errors(key: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let name = match key.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                if prefix.len() > PREFIX_LENGTH_MAX {
                    errors.push(format!("prefix part must be no more than {PREFIX_LENGTH_MAX} characters"));
                }
                if !is_subdomain(prefix) {
                    errors.push(format!("prefix part {PREFIX_RULE}"));
                }
            }
            *name
        }
        _ => {
            let optional = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a qualified name {NAME_RULE} {optional}")];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > NAME_LENGTH_MAX {
        errors.push(format!("name part must be no more than {NAME_LENGTH_MAX} characters"));
    }
    if !is_name(name) {
        errors.push(format!("name part {NAME_RULE}"));
    }
    errors
}

/// Everything wrong with `value` as a label's value; empty if nothing is.
#[must_use]
pub fn label_value_errors(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > NAME_LENGTH_MAX {
        errors.push(format!("must be no more than {NAME_LENGTH_MAX} characters"));
    }
    if !value.is_empty() && !is_name(value) {
        errors.push(VALUE_RULE.to_owned());
    }
    errors
}

fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    begins_and_ends(name, |byte| byte.is_ascii_alphanumeric()) && name.bytes().all(inner)
}

fn is_subdomain(name: &str) -> bool {
    let outer = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.split('.').all(|part| begins_and_ends(part, outer) && part.bytes().all(|byte| outer(byte) || byte == b'-'))
}

fn begins_and_ends(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    match text.as_bytes() {
        [only] => allowed(*only),
        [first, .., last] => allowed(*first) && allowed(*last),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for good in ["a", "app", "app.kubernetes.io/name", "A_b.c-9", "x.y/Z"] {
            assert!(label_key_errors(good).is_empty(), "{good}");
        }
        let check = |key: &str, start: &str| {
            let errors = label_key_errors(key);
            assert!(errors.iter().any(|error| error.starts_with(start)), "{key}: {errors:?}");
        };
        check("", "name part must be non-empty");
        check("/a", "prefix part must be non-empty");
        check("a/", "name part must be non-empty");
        check("a/b/c", "a qualified name must consist of");
        check("A/b", "prefix part a lowercase RFC 1123 subdomain must consist of");
        check("-a", "name part must consist of");
        check(&"a".repeat(64), "name part must be no more than 63 characters");
        check(&format!("{}/b", "a".repeat(254)), "prefix part must be no more than 253 characters");
    }

    #[test]
    fn values() {
        for good in ["", "a", "1.2.3", "A_b-c"] {
            assert!(label_value_errors(good).is_empty(), "{good}");
        }
        for bad in ["-", "a b", "a/b", "a.", &"a".repeat(64)] {
            assert!(!label_value_errors(bad).is_empty(), "{bad}");
        }
    }
}
