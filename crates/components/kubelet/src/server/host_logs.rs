//! `/logs`: the files in the host's `/var/log`, as Go's file server shows them.

use std::path::{Component, Path, PathBuf};

use http::{Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio_util::io::ReaderStream;

use super::Server;
use super::reply::{self, Body, Refusal};

const ROOT: &str = "/var/log";

fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "NotFound", "404 page not found")
}

impl Server {
    /// The file or directory `path` below the root.
    pub(super) async fn host_logs(&self, path: &str) -> Result<Response<Body>, Refusal> {
        let path = inside(path).ok_or_else(not_found)?;
        // Links may lead anywhere on the host: only what really lies below the root is shown.
        let real = tokio::fs::canonicalize(&path).await.map_err(|_| not_found())?;
        let root = tokio::fs::canonicalize(ROOT).await.map_err(|_| not_found())?;
        if !real.starts_with(&root) {
            return Err(not_found());
        }
        let metadata = tokio::fs::metadata(&real).await.map_err(|_| not_found())?;
        if metadata.is_dir() {
            return listing(&real).await.map(reply::html).map_err(|_| not_found());
        }
        if !metadata.is_file() {
            return Err(not_found());
        }
        let file = tokio::fs::File::open(&real).await.map_err(|_| not_found())?;
        let frames = futures::StreamExt::map(ReaderStream::new(file), |read| Ok(Frame::data(read?)));
        let mut response = reply::stream(StreamBody::new(frames).boxed_unsync());
        response.headers_mut().insert(header::CONTENT_LENGTH, metadata.len().into());
        Ok(response)
    }
}

/// `path` below the root, if it stays there.
fn inside(path: &str) -> Option<PathBuf> {
    let decoded = super::query::decode_path(path)?;
    let relative = Path::new(decoded.trim_start_matches('/'));
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    plain.then(|| Path::new(ROOT).join(relative))
}

async fn listing(directory: &Path) -> std::io::Result<String> {
    let mut names = Vec::new();
    let mut entries = tokio::fs::read_dir(directory).await?;
    while let Some(entry) = entries.next_entry().await? {
        let slash = if entry.file_type().await?.is_dir() { "/" } else { "" };
        names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    let links = names.iter().map(|name| {
        let shown = name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;");
        let target: String = name.bytes().map(escape).collect();
        format!("<a href=\"{target}\">{shown}</a>\n")
    });
    Ok(format!(
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n{}</pre>\n",
        links.collect::<String>()
    ))
}

/// A byte of a path in a URL.
fn escape(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_is_named() {
        assert_eq!(inside("pods/a.log"), Some(PathBuf::from("/var/log/pods/a.log")));
        assert_eq!(inside(""), Some(PathBuf::from("/var/log/")));
        for path in ["../shadow", "a/../../shadow", "%2e%2e/shadow", "a/%2E%2E/%2e%2e/b"] {
            assert_eq!(inside(path), None, "{path}");
        }
        assert_eq!(inside("//etc/shadow"), Some(PathBuf::from("/var/log/etc/shadow")));
    }
}
