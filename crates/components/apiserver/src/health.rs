//! `/livez`, `/readyz`, `/healthz` and `/version`.

use http::{Response, StatusCode};
use serde_json::json;

use crate::body::{self, ResponseBody};
use crate::core::Core;
use crate::route::Query;

/// The version of the Kubernetes API that is spoken.
const MAJOR: &str = "1";
const MINOR: &str = "36";
/// The full version.
pub(crate) const VERSION: &str = concat!("v1.36.0+minato-", env!("CARGO_PKG_VERSION"));

/// A named check and whether the server passes it.
type Check = (&'static str, fn(&Core) -> bool);

/// What every endpoint asks first: an answer is a sign of life, and the store takes writes.
const FIRST: &[Check] = &[("ping", |_| true), ("log", |_| true), ("etcd", |core| !core.has_failed())];
/// What readiness asks besides: whether the store can be read, and what follows it is up to date.
const STORE_READY: &[Check] =
    &[("etcd-readiness", |core| !core.has_failed()), ("informer-sync", Core::is_bootstrapped)];
/// What a start has to do before requests are answered, by upstream's names of these steps: here they are one, the
/// bootstrap, which fills the memory, writes what every cluster has, and lets the registry follow the definitions.
const STARTED: &[Check] = &[
    ("poststarthook/start-apiserver-admission-initializer", Core::is_bootstrapped),
    ("poststarthook/generic-apiserver-start-informers", Core::is_bootstrapped),
    ("poststarthook/priority-and-fairness-config-consumer", Core::is_bootstrapped),
    ("poststarthook/priority-and-fairness-filter", Core::is_bootstrapped),
    ("poststarthook/start-apiextensions-informers", Core::is_bootstrapped),
    ("poststarthook/start-apiextensions-controllers", Core::is_bootstrapped),
    ("poststarthook/crd-informer-synced", Core::is_bootstrapped),
    ("poststarthook/rbac/bootstrap-roles", Core::is_bootstrapped),
    ("poststarthook/scheduling/bootstrap-system-priority-classes", Core::is_bootstrapped),
    ("poststarthook/priority-and-fairness-config-producer", Core::is_bootstrapped),
    ("poststarthook/start-system-namespaces-controller", Core::is_bootstrapped),
    ("poststarthook/start-cluster-authentication-info-controller", Core::is_bootstrapped),
    ("poststarthook/start-kube-aggregator-informers", Core::is_bootstrapped),
    ("poststarthook/apiservice-registration-controller", Core::is_bootstrapped),
    ("poststarthook/apiservice-status-available-controller", Core::is_bootstrapped),
    ("poststarthook/apiservice-discovery-controller", Core::is_bootstrapped),
    ("poststarthook/kube-apiserver-autoregistration", Core::is_bootstrapped),
    ("autoregister-completion", Core::is_bootstrapped),
    ("poststarthook/apiservice-openapi-controller", Core::is_bootstrapped),
    ("poststarthook/apiservice-openapiv3-controller", Core::is_bootstrapped),
];
/// What readiness asks last: whether requests should still come here.
const LAST: &[Check] = &[("shutdown", |core| !core.is_draining())];

/// Whether the process is worth keeping; the older endpoint asks the same.
const LIVE: &[&[Check]] = &[FIRST, STARTED];
/// Whether requests should come here.
const READY: &[&[Check]] = &[FIRST, STORE_READY, STARTED, LAST];

/// Answers a health check or `/version`, where `path` is one.
pub(crate) fn answer(core: &Core, path: &str, query: &Query) -> Option<Response<ResponseBody>> {
    let path = path.trim_matches('/');
    let (endpoint, one) = path.split_once('/').map_or((path, None), |(endpoint, one)| (endpoint, Some(one)));
    let checks = match endpoint {
        "version" if one.is_none() => return Some(version()),
        "livez" | "healthz" => LIVE,
        "readyz" => READY,
        _ => return None,
    };
    let checks = || checks.iter().copied().flatten();
    if let Some(one) = one {
        let (_, check) = checks().find(|(name, _)| *name == one)?;
        return Some(if check(core) {
            body::text(StatusCode::OK, "ok")
        } else {
            failed(&format!("internal server error: {one} failed\n"))
        });
    }
    let left_out: Vec<&str> = query.all("exclude").collect();
    let mut report = String::new();
    let mut passed = true;
    for (name, check) in checks() {
        match (left_out.contains(name), check(core)) {
            (true, _) => report.push_str(&format!("[+]{name} excluded: ok\n")),
            (false, true) => report.push_str(&format!("[+]{name} ok\n")),
            (false, false) => {
                report.push_str(&format!("[-]{name} failed: reason withheld\n"));
                passed = false;
            }
        }
    }
    let unknown: Vec<String> = left_out
        .iter()
        .filter(|name| !name.is_empty() && checks().all(|(have, _)| have != *name))
        .map(|name| format!("{name:?}"))
        .collect();
    if !unknown.is_empty() {
        let unknown = unknown.join(",");
        report.push_str(&format!("warn: some health checks cannot be excluded: no matches for {unknown}\n"));
    }
    Some(match (passed, query.all("verbose").next().is_some()) {
        (true, false) => body::text(StatusCode::OK, "ok"),
        (true, true) => body::text(StatusCode::OK, format!("{report}{endpoint} check passed\n")),
        (false, _) => failed(&format!("{report}{endpoint} check failed\n")),
    })
}

fn failed(report: &str) -> Response<ResponseBody> {
    body::text(StatusCode::INTERNAL_SERVER_ERROR, report)
}

fn version() -> Response<ResponseBody> {
    body::json(
        StatusCode::OK,
        &json!({
            "major": MAJOR, "minor": MINOR, "gitVersion": VERSION, "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc", "platform": "linux/amd64",
        }),
    )
}
