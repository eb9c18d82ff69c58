//! A trusted proxy names its user in headers (upstream's request-header authenticator).

use http::HeaderMap;

use super::config::RequestHeaders;
use crate::identity::{User, UserInfo};

impl RequestHeaders {
    /// Whether a proxy of this common name is trusted.
    pub(super) fn allows(&self, common_name: &str) -> bool {
        self.allowed_names.is_empty() || self.allowed_names.iter().any(|name| name == common_name)
    }

    /// The user that the headers name.
    pub(super) fn user(&self, headers: &HeaderMap) -> Option<User> {
        // Names are in UTF-8, whatever HTTP says of headers.
        let text = |value: &http::HeaderValue| str::from_utf8(value.as_bytes()).ok().map(str::to_owned);
        let first = |names: &[String]| {
            let found = names.iter().find_map(|name| headers.get(name.as_str()).and_then(text));
            found.filter(|value| !value.is_empty())
        };
        let groups = self.group.iter().flat_map(|name| headers.get_all(name.as_str()));
        let mut info = UserInfo {
            name: first(&self.username)?,
            uid: first(&self.uid).unwrap_or_default(),
            groups: groups.filter_map(text).filter(|group| !group.is_empty()).collect(),
            ..UserInfo::default()
        };
        for (name, value) in headers {
            let prefixes = self.extra_prefix.iter();
            let key = prefixes.filter_map(|prefix| name.as_str().strip_prefix(&prefix.to_ascii_lowercase())).next();
            if let (Some(key), Some(value)) = (key, text(value)) {
                let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned();
                info.extra.entry(key).or_default().push(value);
            }
        }
        Some(User::authenticated(info))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn headers_name_a_user() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let config = RequestHeaders {
            username: list(&["X-Remote-User", "X-Other-User"]),
            group: list(&["X-Remote-Group"]),
            extra_prefix: list(&["X-Remote-Extra-"]),
            allowed_names: list(&["front-proxy"]),
            ..RequestHeaders::default()
        };
        let mut headers = HeaderMap::new();
        assert!(config.user(&headers).is_none());
        for (name, value) in [
            ("x-other-user", "alice"),
            ("x-remote-group", "a"),
            ("x-remote-group", "b"),
            ("x-remote-extra-acme%2fkey", "v"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let user = config.user(&headers).unwrap();
        assert_eq!((user.name.as_str(), &user.groups[..]), ("alice", &list(&["a", "b", "system:authenticated"])[..]));
        assert_eq!(user.extra["acme/key"], ["v"]);
        assert!(config.allows("front-proxy") && !config.allows("alice"));
    }
}
