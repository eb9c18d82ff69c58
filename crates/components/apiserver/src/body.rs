//! Bodies: reading a request's within bounds, and the forms that a response's takes.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use minato_http::BoxError;
use serde_json::Value;

use crate::status::ApiError;

/// The largest request body that is read, as upstream's.
pub(crate) const REQUEST_BYTES_MAX: usize = 3 * 1024 * 1024;

/// How much of a body that is too large is taken in before its sender is cut off, and for how long.
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;
const LINGER: Duration = Duration::from_secs(5);

/// A request's body, whatever transport it came by.
pub(crate) type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// Chunks of a response that are made while they are sent.
type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>;

/// A response's body.
pub enum ResponseBody {
    /// All of it is there; `None` once it was sent.
    Whole(Option<Bytes>),
    /// It is made while it is sent: lists and watches.
    Chunks(Chunks),
}

impl ResponseBody {
    pub(crate) fn chunks(stream: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> Self {
        Self::Chunks(Box::pin(stream))
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b)))),
            Self::Chunks(chunks) => chunks.as_mut().poll_next(context).map(|item| item.map(|c| c.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.as_ref().is_none_or(Bytes::is_empty))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Whole(bytes) => http_body::SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Chunks(_) => http_body::SizeHint::default(),
        }
    }
}

/// Reads a request's body, at most [`REQUEST_BYTES_MAX`].
pub(crate) async fn read(headers: &HeaderMap, body: RequestBody) -> Result<Bytes, ApiError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > REQUEST_BYTES_MAX) {
        linger(body);
        return Err(ApiError::too_large(REQUEST_BYTES_MAX));
    }
    let mut body = body;
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| ApiError::bad_request(format!("failed to read the request's body: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > REQUEST_BYTES_MAX {
            linger(body);
            return Err(ApiError::too_large(REQUEST_BYTES_MAX));
        }
        if read.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

/// Takes in what is left of a body that nobody wants, within bounds: many clients look at the answer only after they
/// have sent everything, and give up when the server ends the stream before.
fn linger(mut body: RequestBody) {
    tokio::spawn(async move {
        let mut left = LINGER_BYTES_MAX;
        let drained = async {
            while let Some(Ok(frame)) = body.frame().await {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if left == 0 {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, drained).await;
    });
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A JSON response of bytes that are there already.
pub(crate) fn json_bytes(code: StatusCode, bytes: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Whole(Some(bytes)));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// A JSON response of a value.
pub(crate) fn json(code: StatusCode, value: &Value) -> Response<ResponseBody> {
    json_bytes(code, Bytes::from(value.to_string()))
}

/// A JSON response that is made while it is sent.
pub(crate) fn json_chunks(
    stream: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::chunks(stream));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// A plain-text response.
pub(crate) fn text(code: StatusCode, text: impl Into<String>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Whole(Some(Bytes::from(text.into()))));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The response that an error is.
pub(crate) fn error(error: &ApiError) -> Response<ResponseBody> {
    let mut response = json(error.code, &error.to_status());
    if let Some(seconds) = error.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if error.code == StatusCode::UNAUTHORIZED {
        let realm = HeaderValue::from_static("Bearer realm=\"kubernetes\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    }
    response
}
