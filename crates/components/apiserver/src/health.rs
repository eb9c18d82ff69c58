//! `/livez`, `/readyz`, `/healthz` and `/version`.

use http::{Response, StatusCode};
use serde_json::json;

use crate::body::{self, ResponseBody};
use crate::core::Core;
use crate::route::Query;

/// The version of the Kubernetes API that is spoken.
const MAJOR: &str = "1";
const MINOR: &str = "36";

/// Answers a health check or `/version`, where `path` is one.
pub(crate) fn answer(core: &Core, path: &str, query: &Query) -> Option<Response<ResponseBody>> {
    let path = path.trim_end_matches('/');
    let checks: &[(&str, bool)] = match path.split('/').nth(1)? {
        "version" if path == "/version" => return Some(version()),
        "livez" => &[("ping", true)],
        "readyz" | "healthz" => &[("ping", true), ("poststarthook/bootstrap", core.is_ready())],
        _ => return None,
    };
    let endpoint = path.split('/').nth(1)?;
    let one = path.splitn(3, '/').nth(2).filter(|name| !name.is_empty());
    if let Some(one) = one {
        let passed = checks.iter().find(|(name, _)| *name == one)?.1;
        return Some(if passed { body::text(StatusCode::OK, "ok") } else { failed(&format!("{one} failed")) });
    }
    let left_out: Vec<&str> = query.all("exclude").collect();
    let report: String = checks
        .iter()
        .map(|(name, passed)| match (left_out.contains(name), passed) {
            (true, _) => format!("[+]{name} excluded: ok\n"),
            (false, true) => format!("[+]{name} ok\n"),
            (false, false) => format!("[-]{name} failed: reason withheld\n"),
        })
        .collect();
    let passed = checks.iter().all(|(name, passed)| *passed || left_out.contains(name));
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
    let version = concat!("v1.36.0+minato-", env!("CARGO_PKG_VERSION"));
    body::json(
        StatusCode::OK,
        &json!({
            "major": MAJOR, "minor": MINOR, "gitVersion": version, "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc", "platform": "linux/amd64",
        }),
    )
}
