//! A server to try clusters with: it tells who asked and where it runs, and misbehaves when told to.
//!
//! | request | what happens |
//! |---|---|
//! | any path not below | JSON: host name, request with headers, client address, environment, process |
//! | `GET /hostname` | the host name alone |
//! | `GET /healthz`, `GET /readyz` | 200, or 503 when told to be so; `/readyz` also after SIGTERM |
//! | `POST /healthz?ok=false`, `POST /readyz?ok=false` | from now on 503; with `ok=true` 200 again |
//! | `/slow?ms=500` | answers after that time |
//! | `/memory?bytes=1000000` | takes that much memory and keeps it |
//! | `/exit?code=3` | answers, then exits with that code |
//! | `/log?line=hello&stream=stderr&count=2` | writes lines to stdout or stderr |
//!
//! Options: `--listen=0.0.0.0:8080`, `--linger-ms=3000` (how long it still accepts connections after SIGTERM).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use serving::{Body, Options, Query, Stopping, text};

/// The longest that `/slow` waits and the most lines that `/log` writes.
const SLOW_MAX: Duration = Duration::from_secs(600);
const LINES_MAX: u32 = 100_000;
/// Time for an answer to reach its client before the process exits.
const EXIT_AFTER: Duration = Duration::from_millis(100);

struct Server {
    started: Instant,
    healthy: AtomicBool,
    ready: AtomicBool,
    stopping: Stopping,
    memory: Mutex<Vec<Vec<u8>>>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http-debug-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::read(std::env::args().skip(1), &[("listen", "0.0.0.0:8080"), ("linger-ms", "3000")])?;
    let stopping = Stopping::listen()?;
    let server = Arc::new(Server {
        started: Instant::now(),
        healthy: AtomicBool::new(true),
        ready: AtomicBool::new(true),
        stopping: stopping.clone(),
        memory: Mutex::default(),
    });
    let linger = Duration::from_millis(options.get("linger-ms")?);
    let handler = move |request, client| {
        let server = Arc::clone(&server);
        async move { server.answer(&request, client).await }
    };
    serving::serve(options.get("listen")?, linger, stopping, handler).await?;
    println!("stopped");
    Ok(())
}

impl Server {
    async fn answer(&self, request: &Request<Incoming>, client: SocketAddr) -> Response<Body> {
        let query = Query::of(request.uri());
        match (request.method(), request.uri().path()) {
            (_, "/hostname") => text(StatusCode::OK, &hostname()),
            (&Method::POST | &Method::PUT, "/healthz") => set(&self.healthy, &query),
            (&Method::POST | &Method::PUT, "/readyz") => set(&self.ready, &query),
            (_, "/healthz") => probe(self.healthy.load(Ordering::Relaxed)),
            (_, "/readyz") => probe(self.ready.load(Ordering::Relaxed) && !self.stopping.is_set()),
            (_, "/slow") => {
                let wait = Duration::from_millis(query.get_or("ms", 1000)).min(SLOW_MAX);
                tokio::time::sleep(wait).await;
                text(StatusCode::OK, &format!("slept {wait:?}"))
            }
            (_, "/memory") => self.take_memory(query.get_or("bytes", 0)),
            (_, "/exit") => {
                let code = query.get_or("code", 0);
                tokio::spawn(async move {
                    tokio::time::sleep(EXIT_AFTER).await;
                    std::process::exit(code);
                });
                text(StatusCode::OK, &format!("exiting with code {code}"))
            }
            (_, "/log") => log(&query),
            _ => serving::json(StatusCode::OK, &self.describe(request, client)),
        }
    }

    fn describe(&self, request: &Request<Incoming>, client: SocketAddr) -> Value {
        let mut headers: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (name, value) in request.headers() {
            headers.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()));
        }
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        json!({
            "hostname": hostname(),
            "version": env!("CARGO_PKG_VERSION"),
            "client": client.to_string(),
            "request": {
                "method": request.method().as_str(),
                "path": request.uri().path(),
                "query": request.uri().query(),
                "headers": headers,
            },
            "environment": environment,
            "process": { "id": std::process::id(), "uptime_seconds": self.started.elapsed().as_secs() },
        })
    }

    fn take_memory(&self, bytes: usize) -> Response<Body> {
        let mut block = Vec::new();
        if block.try_reserve_exact(bytes).is_err() {
            return text(StatusCode::INSUFFICIENT_STORAGE, &format!("cannot take {bytes} bytes"));
        }
        block.resize(bytes, 1); // written to, so that it really is there
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.push(block);
        let total: usize = memory.iter().map(Vec::len).sum();
        text(StatusCode::OK, &format!("holding {total} bytes"))
    }
}

fn set(flag: &AtomicBool, query: &Query<'_>) -> Response<Body> {
    let ok = query.get_or("ok", true);
    flag.store(ok, Ordering::Relaxed);
    text(StatusCode::OK, if ok { "will be ok" } else { "will not be ok" })
}

fn probe(ok: bool) -> Response<Body> {
    if ok { text(StatusCode::OK, "ok") } else { text(StatusCode::SERVICE_UNAVAILABLE, "not ok") }
}

fn log(query: &Query<'_>) -> Response<Body> {
    let line = query.get("line").unwrap_or("log".into());
    let count = query.get_or("count", 1).min(LINES_MAX);
    let to_stderr = query.get("stream").is_some_and(|stream| stream == "stderr");
    for _ in 0..count {
        if to_stderr {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
    }
    text(StatusCode::OK, &format!("wrote {count} lines"))
}

/// The name in the process's own UTS namespace.
fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}
