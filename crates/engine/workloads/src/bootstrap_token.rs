//! Bootstrap tokens as they stand in Secrets.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

const NAME_PREFIX: &str = "bootstrap-token-";
const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";

/// A token: `<id>.<secret>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The public part.
    pub id: String,
    /// The part that proves.
    pub secret: String,
    /// When it ends; a time that cannot be read has passed.
    pub expiration: Option<Timestamp>,
    for_signing: bool,
}

impl Token {
    /// The token of a Secret; `None` where it holds none.
    #[must_use]
    pub fn of(secret: &Secret) -> Option<Self> {
        let data = |key: &str| {
            let bytes = secret.data.as_ref()?.get(key)?;
            std::str::from_utf8(&bytes.0).ok().filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let id = data("token-id")?;
        let named = secret.metadata.name.as_deref()?.strip_prefix(NAME_PREFIX) == Some(&id);
        if secret.type_.as_deref() != Some(SECRET_TYPE) || !named {
            return None;
        }
        Some(Self {
            id,
            secret: data("token-secret")?,
            expiration: data("expiration").map(|text| text.parse().unwrap_or(Timestamp::UNIX_EPOCH)),
            for_signing: data("usage-bootstrap-signing").as_deref() == Some("true"),
        })
    }

    /// Whether `cluster-info` is signed with it.
    #[must_use]
    pub fn signs(&self, now: Timestamp) -> bool {
        self.for_signing && self.expiration.is_none_or(|expiration| expiration > now)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn tokens_in_secrets() {
        let secret = |name: &str, entries: &[(&str, &str)]| {
            let mut secret = Secret { type_: Some(SECRET_TYPE.to_owned()), ..Secret::default() };
            secret.metadata.name = Some(name.to_owned());
            let data = entries.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
            secret.data = Some(data.collect());
            secret
        };
        let base = [("token-id", "aaaaaa"), ("token-secret", "s"), ("usage-bootstrap-signing", "true")];
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let signs = |name: &str, more: &[(&str, &str)]| {
            Token::of(&secret(name, &[&base[..], more].concat())).map(|token| token.signs(now))
        };
        assert_eq!(signs("bootstrap-token-aaaaaa", &[]), Some(true));
        assert_eq!(signs("bootstrap-token-bbbbbb", &[]), None);
        assert_eq!(signs("bootstrap-token-aaaaaa", &[("expiration", "2027-01-01T00:00:00Z")]), Some(true));
        assert_eq!(signs("bootstrap-token-aaaaaa", &[("expiration", "2025-01-01T00:00:00Z")]), Some(false));
        assert_eq!(signs("bootstrap-token-aaaaaa", &[("expiration", "soon")]), Some(false));
        assert_eq!(signs("bootstrap-token-aaaaaa", &[("usage-bootstrap-signing", "no")]), Some(false));
    }
}
