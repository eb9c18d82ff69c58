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

/// Whether the process is worth keeping.
const LIVE: &[Check] = &[("ping", |_| true), ("store", |core| !core.has_failed())];
/// Whether requests should come here.
const READY: &[Check] = &[
    ("ping", |_| true),
    ("store", |core| !core.has_failed()),
    ("poststarthook/bootstrap", Core::is_bootstrapped),
    ("shutdown", |core| !core.is_draining()),
];
/// As upstream's older endpoint: everything but the shutdown.
const HEALTHY: &[Check] =
    &[("ping", |_| true), ("store", |core| !core.has_failed()), ("poststarthook/bootstrap", Core::is_bootstrapped)];

/// Answers a health check or `/version`, where `path` is one.
pub(crate) fn answer(core: &Core, path: &str, query: &Query) -> Option<Response<ResponseBody>> {
    let path = path.trim_matches('/');
    let (endpoint, one) = path.split_once('/').map_or((path, None), |(endpoint, one)| (endpoint, Some(one)));
    let checks = match endpoint {
        "version" if one.is_none() => return Some(version()),
        "livez" => LIVE,
        "readyz" => READY,
        "healthz" => HEALTHY,
        _ => return None,
    };
    if let Some(one) = one {
        let (_, check) = checks.iter().find(|(name, _)| *name == one)?;
        return Some(if check(core) {
            body::text(StatusCode::OK, "ok")
        } else {
            failed(&format!("internal server error: {one} failed\n"))
        });
    }
    let left_out: Vec<&str> = query.all("exclude").collect();
    let mut report = String::new();
    let mut passed = true;
    for (name, check) in checks {
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
        .filter(|name| !name.is_empty() && checks.iter().all(|(have, _)| have != *name))
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
