//! Bootstrap tokens: Secrets in kube-system by which new nodes come in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use minato_mvcc::{Key, Memory};
use serde_json::Value;

use crate::identity::{User, UserInfo};

const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
const GROUP: &str = "system:bootstrappers";

/// The user of a token `<id>.<secret>`, if its Secret allows it to authenticate, now.
pub(super) fn user(memory: &Memory, token: &str) -> Option<User> {
    let (id, secret) = token.split_once('.')?;
    let plain = |text: &str, length| {
        text.len() == length && text.bytes().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    };
    if !plain(id, 6) || !plain(secret, 16) {
        return None;
    }
    let stored = memory.get(&Key::new("core/secrets", "kube-system", format!("bootstrap-token-{id}")))?;
    let stored: Value = serde_json::from_slice(&stored.value).ok()?;
    if stored["type"] != SECRET_TYPE || !stored["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let data = |key: &str| {
        let bytes = STANDARD.decode(stored["data"][key].as_str()?).ok()?;
        String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
    };
    if data("token-id")? != id || !same(data("token-secret")?.as_bytes(), secret.as_bytes()) {
        return None;
    }
    if let Some(expiration) = data("expiration")
        // A time that cannot be read has passed.
        && expiration.parse::<Timestamp>().map_or(true, |time| time <= Timestamp::now())
    {
        return None;
    }
    if data("usage-bootstrap-authentication")? != "true" {
        return None;
    }
    let mut groups = vec![GROUP.to_owned()];
    for group in data("auth-extra-groups").unwrap_or_default().split(',').filter(|group| !group.is_empty()) {
        if !is_extra_group(group) {
            return None;
        }
        groups.push(group.to_owned());
    }
    let name = format!("system:bootstrap:{id}");
    Some(User::authenticated(UserInfo { name, groups, ..UserInfo::default() }))
}

/// `system:bootstrappers:` and letters, digits, `:` and `-`, a letter or digit last.
fn is_extra_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix("system:bootstrappers:") else { return false };
    let plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    rest.len() <= 256
        && rest.bytes().all(|letter| plain(letter) || letter == b':' || letter == b'-')
        && rest.bytes().last().is_some_and(plain)
}

/// Compares in a time that does not depend on where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_groups() {
        for good in ["system:bootstrappers:a", "system:bootstrappers:kubeadm:default-node-token"] {
            assert!(is_extra_group(good), "{good}");
        }
        for bad in ["system:masters", "system:bootstrappers:", "system:bootstrappers:A", "system:bootstrappers:a-", ""]
        {
            assert!(!is_extra_group(bad), "{bad}");
        }
    }
}
