//! A request's way through the server, from its arrival to the last byte of its answer: its id, its time limit, what it is
//! counted under, what is logged of it.

mod audit;
mod turn;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, Stream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use minato_http::BoxError;
use prometheus::IntGauge;

use crate::aside::Aside;
use crate::audit::Record;
use crate::body::{self, RequestBody, ResponseBody};
use crate::core::Core;
use crate::flow::Ticket;
use crate::metrics::{Answered, Labels};
use crate::negotiate;
use crate::registry::Resource;
use crate::route::{Query, Route};
use crate::service::respond;
use crate::status::ApiError;

/// How long a request may take, unless it is one that lasts, such as a watch.
const TIME_MAX: Duration = Duration::from_secs(60);
/// A request that takes longer is told of in the log, as upstream traces it.
const SLOW: Duration = Duration::from_millis(500);
/// The longest request id that is taken over from a client.
const ID_BYTES_MAX: usize = 64;
/// Of an answer that is made while it is sent, the audit log tells at most so much: a longer one is left out.
const AUDITED_BYTES_MAX: usize = 32 * 1024 * 1024;
const ID_HEADER: &str = "audit-id";

/// Answers `request`, whatever comes of it.
pub(crate) async fn serve(core: Arc<Core>, request: Request<RequestBody>) -> Response<ResponseBody> {
    let id = request_id(request.headers());
    minato_http::in_request(id.clone(), travel(core, request, id)).await
}

/// The id that the client gave, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(ID_HEADER).filter(|id| !id.is_empty() && id.to_str().is_ok());
    match given {
        Some(id) if id.len() <= ID_BYTES_MAX => id.clone(),
        Some(id) => HeaderValue::from_bytes(&id.as_bytes()[..ID_BYTES_MAX]).unwrap_or_else(|_| new_id()),
        None => new_id(),
    }
}

fn new_id() -> HeaderValue {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let text = uuid::Uuid::new_v4().hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

async fn travel(core: Arc<Core>, request: Request<RequestBody>, id: HeaderValue) -> Response<ResponseBody> {
    let mut passage = Passage::begin(Arc::clone(&core), &request);
    let (encoding, gzip) = (negotiate::encoding(request.headers()), negotiate::takes_gzip(request.headers()));
    let answered = passage.respond(core, request).await;
    let mut response = answered.unwrap_or_else(|error| {
        let (method, path, code) = (&passage.method, passage.uri.path(), error.code.as_u16());
        tracing::debug!(%method, path, code, %error, "request refused");
        body::error(&error)
    });
    passage.note_answer(&response);
    // What another server says is handed on as it is.
    if passage.asked.as_ref().is_none_or(|asked| asked.subresource != "proxy") {
        response = body::encoded(response, encoding);
        if gzip {
            body::compress(&mut response);
        }
    }
    if passage.method == Method::HEAD {
        body::leave_out(&mut response);
    }
    let headers = response.headers_mut();
    headers.entry(http::header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    headers.insert(ID_HEADER, id);
    if let Some(ticket) = &passage.ticket {
        for (name, value) in turn::HEADERS.into_iter().zip(ticket.headers()) {
            headers.insert(name, value.clone());
        }
    }
    passage.follow(response)
}

/// What a request asks for, as it is counted.
pub(crate) struct Asked {
    pub(crate) resource: Option<Arc<Resource>>,
    /// The verb of the metrics, in upper case.
    pub(crate) verb: &'static str,
    pub(crate) subresource: &'static str,
    pub(crate) scope: &'static str,
    pub(crate) dry_run: bool,
    /// It lasts: a watch, a followed log, a connection.
    pub(crate) long_running: bool,
}

impl Asked {
    fn labels(&self) -> Labels<'_> {
        let declaration = self.resource.as_ref().map(|resource| (&*resource.declaration, &resource.version));
        let (group, version, resource) = declaration
            .map_or(("", "", ""), |(declaration, version)| (&*declaration.group, &**version, &*declaration.resource));
        Labels {
            verb: self.verb,
            group,
            version,
            resource,
            subresource: self.subresource,
            scope: self.scope,
            dry_run: self.dry_run,
        }
    }
}

/// A gauge that counts one more while this exists.
pub(crate) struct Counted(IntGauge);

impl Counted {
    pub(crate) fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What keeps a connection counted as under way; an extension of requests that become tunnels.
pub(crate) type Held = Arc<Counted>;

/// A request that is under way.
pub(crate) struct Passage {
    core: Arc<Core>,
    method: Method,
    uri: Uri,
    started: Instant,
    asked: Option<Asked>,
    in_flight: Option<Held>,
    /// What the audit log tells of it, if anything.
    pub(crate) record: Option<Box<Record>>,
    /// The seats that it has, if it needs any.
    ticket: Option<Ticket>,
    finished: bool,
}

impl Passage {
    fn begin(core: Arc<Core>, request: &Request<RequestBody>) -> Self {
        Self {
            core,
            method: request.method().clone(),
            uri: request.uri().clone(),
            started: Instant::now(),
            asked: None,
            in_flight: None,
            record: None,
            ticket: None,
            finished: false,
        }
    }

    async fn respond(
        &mut self,
        core: Arc<Core>,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, ApiError> {
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let route = Route::parse(request.uri().path()).ok_or_else(ApiError::no_route)?;
        let limit = if lasts(&route, &query) { Duration::MAX } else { time_limit(&query)? };
        let all = Arc::clone(&core);
        let large = Aside::is_for(&request);
        let handler = AssertUnwindSafe(respond(core, request, route, query, self)).catch_unwind();
        let handler = tokio::time::timeout(limit, handler);
        match if large { all.aside.run(handler).await } else { handler.await } {
            Ok(Ok(answer)) => answer,
            Ok(Err(panic)) => {
                let message = panic.downcast_ref::<&str>().copied();
                let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
                let (method, path) = (&self.method, self.uri.path());
                tracing::error!(%method, path, error = message.unwrap_or_default(), "a request caused a panic");
                self.terminated(StatusCode::INTERNAL_SERVER_ERROR);
                if let Some(record) = &mut self.record {
                    record.panicked(message.unwrap_or_default());
                }
                let text = "This request caused apiserver to panic. Look in the logs for details.\n";
                Ok(body::text(StatusCode::INTERNAL_SERVER_ERROR, text))
            }
            Err(_) => {
                self.terminated(StatusCode::GATEWAY_TIMEOUT);
                Err(ApiError::timeout("request did not complete within the allotted timeout"))
            }
        }
    }

    /// Notes what the request asks for, once that is known.
    pub(crate) fn asks(&mut self, asked: Asked) {
        let metrics = &self.core.metrics;
        let gauge = if asked.long_running {
            metrics.long_running(&asked.labels())
        } else if matches!(self.method, Method::GET | Method::HEAD) {
            metrics.reading.clone()
        } else {
            metrics.mutating.clone()
        };
        self.in_flight = Some(Arc::new(Counted::new(gauge)));
        self.asked = Some(asked);
    }

    /// What keeps this request counted as under way, beyond its answer's head.
    pub(crate) fn held(&self) -> Option<Held> {
        self.in_flight.clone()
    }

    fn labels(&self) -> Labels<'_> {
        match &self.asked {
            Some(asked) => asked.labels(),
            None => Labels {
                verb: path_verb(&self.method),
                group: "",
                version: "",
                resource: "",
                subresource: path_label(self.uri.path()),
                scope: "",
                dry_run: false,
            },
        }
    }

    fn terminated(&self, code: StatusCode) {
        self.core.metrics.terminated(&self.labels(), code);
    }

    /// Goes along with the answer until it is sent.
    fn follow(mut self, response: Response<ResponseBody>) -> Response<ResponseBody> {
        let code = response.status();
        if self.asked.as_ref().is_some_and(|asked| asked.long_running) {
            self.ticket = None;
        }
        let (parts, body) = response.into_parts();
        let body = match body {
            ResponseBody::Whole(bytes) => {
                if let Some(record) = &mut self.record {
                    record.started(code);
                }
                self.finish(code, bytes.as_ref().map_or(0, Bytes::len));
                ResponseBody::Whole(bytes)
            }
            ResponseBody::Chunks(chunks) => {
                let mut kept = None;
                if let Some(record) = &mut self.record {
                    record.started(code);
                    kept = record.wants_answer(code).then(BytesMut::new);
                }
                ResponseBody::chunks(Followed { chunks, passage: Box::new(self), code, bytes: 0, kept })
            }
        };
        Response::from_parts(parts, body)
    }

    fn finish(&mut self, code: StatusCode, bytes: usize) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        self.ticket = None;
        let took = self.started.elapsed();
        let long_running = self.asked.as_ref().is_some_and(|asked| asked.long_running);
        if let Some(record) = &mut self.record {
            record.completed(code);
        }
        let answered = Answered { code, took, bytes, long_running };
        let (labels, metrics) = (self.labels(), &self.core.metrics);
        let resource = self.asked.as_ref().and_then(|asked| asked.resource.as_ref());
        match resource.and_then(|resource| resource.meters.get(metrics, &labels)) {
            Some(meter) => metrics.answered(meter, &labels, &answered),
            None => metrics.answered(&metrics.meter(&labels), &labels, &answered),
        }
        if took > SLOW && !long_running {
            let (method, path, code) = (&self.method, self.uri.path(), code.as_u16());
            let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(%method, path, code, milliseconds, "slow request");
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if !self.finished {
            self.core.metrics.aborted(&self.labels());
        }
    }
}

/// The chunks of an answer whose end is the request's.
struct Followed {
    chunks: Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>,
    passage: Box<Passage>,
    code: StatusCode,
    bytes: usize,
    /// What was sent so far, where the audit log tells of it.
    kept: Option<BytesMut>,
}

impl Stream for Followed {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = ready!(self.chunks.as_mut().poll_next(context));
        match &chunk {
            Some(Ok(chunk)) => {
                self.bytes += chunk.len();
                self.kept = self.kept.take().filter(|kept| kept.len() < AUDITED_BYTES_MAX).map(|mut kept| {
                    kept.extend_from_slice(chunk);
                    kept
                });
            }
            Some(Err(_)) => {}
            None => {
                let (code, bytes, kept) = (self.code, self.bytes, self.kept.take());
                if let (Some(record), Some(kept)) = (&mut self.passage.record, kept) {
                    record.answer(code, &kept);
                }
                self.passage.finish(code, bytes);
            }
        }
        Poll::Ready(chunk)
    }
}

impl Drop for Followed {
    /// Most watches end by their clients' going away.
    fn drop(&mut self) {
        let (code, bytes) = (self.code, self.bytes);
        self.passage.finish(code, bytes);
    }
}

/// Whether the request may last as long as its client likes (upstream's long-running requests).
fn lasts(route: &Route, query: &Query) -> bool {
    match route {
        Route::Path(_) => false,
        Route::Resource(route) => match route.subresource.as_deref() {
            None => query.flag("watch"),
            Some(subresource) => matches!(subresource, "attach" | "exec" | "log" | "portforward" | "proxy"),
        },
    }
}

/// The client may want less time than the server would give.
fn time_limit(query: &Query) -> Result<Duration, ApiError> {
    let Some(text) = query.get("timeout") else { return Ok(TIME_MAX) };
    let malformed = || {
        ApiError::bad_request(format!("invalid timeout specified in the request URL - time: invalid duration {text:?}"))
    };
    let limit = parse_duration(text).ok_or_else(malformed)?;
    Ok(if limit.is_zero() { TIME_MAX } else { limit.min(TIME_MAX) })
}

/// A duration as Go writes it: `1m30s`, `500ms`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        seconds += number
            * match &rest[..unit] {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}

fn path_verb(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Paths that are counted by name: few, however many a client invents.
fn path_label(path: &str) -> &'static str {
    let known =
        ["/healthz", "/livez", "/readyz", "/metrics", "/version", "/openapi/v2", "/openapi/v3", "/api", "/apis"];
    known.into_iter().find(|known| *known == path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_over_within_a_bound() {
        let with = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ID_HEADER, id.parse().unwrap());
            request_id(&headers)
        };
        assert_eq!(with("my-id"), "my-id");
        assert_eq!(with(&"x".repeat(100)), "x".repeat(64).as_str());
        assert_eq!(with("").len(), 36);
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("1.5h", Some(5_400_000)),
            ("0", Some(0)),
            ("30", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("1e9s", None),
            ("5x", None),
        ] {
            assert_eq!(parse_duration(text), milliseconds.map(Duration::from_millis), "{text}");
        }
    }
}
