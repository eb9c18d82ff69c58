//! From an HTTP request line to what is asked: the URL grammar of the Kubernetes API.

use http::Method;

/// A request for a resource, or for a path that is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A path below `/api/v1/…` or `/apis/<group>/<version>/…`.
    Resource(ResourceRoute),
    /// Everything else: health, discovery, OpenAPI.
    Path(String),
}

/// Group, version, resource and what below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourceRoute {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    pub(crate) resource: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
    /// What follows the subresource, for `proxy`.
    pub(crate) rest: Option<String>,
    /// The older way to ask for a watch: `/api/v1/watch/…`.
    pub(crate) watch: bool,
}

/// Subresources of a namespace; any other word behind a namespace's name is a resource in that namespace.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

impl Route {
    /// `None` where the path is not valid percent-encoded UTF-8 or has an empty segment in a resource's place.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let segments = path.trim_matches('/').split('/').map(decode).collect::<Option<Vec<String>>>()?;
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (group, version, below) = match words.as_slice() {
            ["api", version, below @ ..] if !below.is_empty() => ("", *version, below),
            ["apis", group, version, below @ ..] if !below.is_empty() => (*group, *version, below),
            _ => return Some(Self::Path(path.to_owned())),
        };
        if below.iter().take(4).any(|word| word.is_empty()) {
            return None;
        }
        let (watch, below) = match below {
            ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
            other => (false, other),
        };
        let (namespace, below) = match below {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() && !is_namespace_subresource(rest) => {
                (Some((*namespace).to_owned()), rest)
            }
            other => (None, other),
        };
        let mut below = below.iter().map(|word| (*word).to_owned());
        let resource = below.next()?;
        let (name, subresource) = (below.next(), below.next());
        let rest: Vec<String> = below.collect();
        Some(Self::Resource(ResourceRoute {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace,
            resource,
            name,
            subresource,
            rest: (!rest.is_empty()).then(|| rest.join("/")),
            watch,
        }))
    }
}

fn is_namespace_subresource(rest: &[&str]) -> bool {
    matches!(rest, [only] if NAMESPACE_SUBRESOURCES.contains(only))
}

impl ResourceRoute {
    /// The namespace that a request counts to: a namespace is its own, so that a role in it can speak of it.
    pub(crate) fn authorized_namespace(&self) -> &str {
        match (&self.namespace, self.resource.as_str(), &self.name) {
            (Some(namespace), _, _) => namespace,
            (None, "namespaces", Some(name)) if self.group.is_empty() => name,
            _ => "",
        }
    }

    /// The authorisation verb of `method` on this route.
    pub(crate) fn verb(&self, method: &Method, watch: bool) -> Option<&'static str> {
        let one = self.name.is_some();
        Some(match *method {
            Method::GET | Method::HEAD if (watch || self.watch) && self.subresource.is_none() => "watch",
            Method::GET | Method::HEAD if one => "get",
            Method::GET | Method::HEAD => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if one => "delete",
            Method::DELETE => "deletecollection",
            _ => return None,
        })
    }
}

fn decode(segment: &str) -> Option<String> {
    percent_encoding::percent_decode_str(segment).decode_utf8().ok().map(|decoded| decoded.into_owned())
}

/// A word of a query. What is not UTF-8 stays there as what it is, wrong: a selector left out would select everything.
fn decode_word(word: &str) -> String {
    let spaced = word.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// The query of a request, decoded; the first value of a repeated key counts, as in Go's `url.Values.Get`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode_word(key), decode_word(value))
                })
                .collect(),
        )
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// False for `false`, `0` and where it is absent, true for everything else, as apimachinery has it.
    pub(crate) fn flag(&self, key: &str) -> bool {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.is_some_and(|(_, value)| !value.eq_ignore_ascii_case("false") && value != "0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Group, version, namespace, resource, name, subresource.
    type Expected<'a> = (&'a str, &'a str, Option<&'a str>, &'a str, Option<&'a str>, Option<&'a str>);

    fn check(path: &str, expected: Option<Expected<'_>>) {
        let parsed = match Route::parse(path) {
            Some(Route::Resource(route)) => Some(route),
            _ => None,
        };
        let found = parsed.as_ref().map(|r| {
            let text = |o: &'static dyn Fn(&ResourceRoute) -> &Option<String>| o(r).as_deref();
            (
                r.group.as_str(),
                r.version.as_str(),
                text(&|r| &r.namespace),
                r.resource.as_str(),
                text(&|r| &r.name),
                text(&|r| &r.subresource),
            )
        });
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn paths() {
        check("/api/v1/pods", Some(("", "v1", None, "pods", None, None)));
        check("/api/v1/namespaces", Some(("", "v1", None, "namespaces", None, None)));
        check("/api/v1/namespaces/a", Some(("", "v1", None, "namespaces", Some("a"), None)));
        check("/api/v1/namespaces/a/status", Some(("", "v1", None, "namespaces", Some("a"), Some("status"))));
        check("/api/v1/namespaces/a/finalize", Some(("", "v1", None, "namespaces", Some("a"), Some("finalize"))));
        check("/api/v1/namespaces/a/pods", Some(("", "v1", Some("a"), "pods", None, None)));
        check("/api/v1/namespaces/a/pods/x/log", Some(("", "v1", Some("a"), "pods", Some("x"), Some("log"))));
        check(
            "/apis/apps/v1/namespaces/a/deployments/x",
            Some(("apps", "v1", Some("a"), "deployments", Some("x"), None)),
        );
        check(
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
            Some(("rbac.authorization.k8s.io", "v1", None, "clusterroles", Some("system:node"), None)),
        );
        for path in
            ["/api", "/apis/apps/v1", "/healthz", "/", "/openapi/v3/api/v1", "/api/v1//pods", "/api/v1/pods/%ff"]
        {
            check(path, None);
        }
    }

    #[test]
    fn queries() {
        let query = Query::parse("labelSelector=a%3Db+c&watch=1&x&x=2&empty=&no=False&fieldSelector=%ff");
        assert_eq!(query.get("fieldSelector"), Some("\u{fffd}"));
        assert!(query.flag("x") && query.flag("empty") && !query.flag("no") && !query.flag("absent"));
        assert_eq!(query.get("labelSelector"), Some("a=b c"));
        assert!(query.flag("watch"));
        assert_eq!(query.all("x").collect::<Vec<_>>(), ["", "2"]);
        assert_eq!(query.get("empty"), None);
    }
}
