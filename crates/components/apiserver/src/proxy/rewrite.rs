//! URLs in answers of a proxied server, as the client must see them.

/// How one proxied request's URLs are rewritten.
#[derive(Clone, Debug)]
pub(super) struct Rewrite {
    /// The path of this API server below which the other server appears, without a slash at its end.
    pub(super) prefix: String,
    /// Host and port of the other server.
    pub(super) backend: String,
    /// Host and port by which the client knows this API server.
    pub(super) asked: String,
}

impl Rewrite {
    /// `url` so that it leads through the proxy; one that is relative or leads elsewhere stays as it is.
    pub(super) fn url(&self, url: &str) -> String {
        let (scheme, host, rest) = parts(url);
        let elsewhere = !host.is_empty() && host != self.backend && host != self.asked;
        if elsewhere || !rest.starts_with('/') {
            return url.to_owned();
        }
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        let path = if path.starts_with(&self.prefix) { rest.to_owned() } else { format!("{}{rest}", self.prefix) };
        if !host.is_empty() && host == self.asked { format!("{scheme}//{host}{path}") } else { path }
    }
}

/// Scheme with its colon, host, and what follows.
fn parts(url: &str) -> (&str, &str, &str) {
    let scheme_end = url.find(':').filter(|end| {
        *end > 0 && url[..*end].bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.'))
    });
    let (scheme, rest) = scheme_end.map_or(("", url), |end| url.split_at(end + 1));
    match rest.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (host, rest) = rest.split_at(end);
            (scheme, host, rest)
        }
        None if scheme.is_empty() => ("", "", rest),
        // mailto:, data:, javascript: have no path.
        None => (scheme, "", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let rewrite = Rewrite {
            prefix: "/api/v1/namespaces/a/pods/x/proxy".to_owned(),
            backend: "10.0.0.1:80".to_owned(),
            asked: "localhost:8001".to_owned(),
        };
        for (url, expected) in [
            ("/login?next=/", "/api/v1/namespaces/a/pods/x/proxy/login?next=/"),
            ("http://10.0.0.1:80/a/", "/api/v1/namespaces/a/pods/x/proxy/a/"),
            ("http://localhost:8001/a", "http://localhost:8001/api/v1/namespaces/a/pods/x/proxy/a"),
            ("/api/v1/namespaces/a/pods/x/proxy/b", "/api/v1/namespaces/a/pods/x/proxy/b"),
            ("other.html#part", "other.html#part"),
            ("http://example.org/a", "http://example.org/a"),
            ("//example.org/a", "//example.org/a"),
            ("mailto:somebody@example.org", "mailto:somebody@example.org"),
            ("#top", "#top"),
            ("", ""),
        ] {
            assert_eq!(rewrite.url(url), expected, "{url}");
        }
    }
}
