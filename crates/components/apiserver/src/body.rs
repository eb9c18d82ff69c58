//! Bodies: reading a request's within bounds, and the forms that a response's takes.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::Stream;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use minato_http::BoxError;
use serde_json::Value;

use crate::negotiate::Encoding;
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
    chunks("application/json", stream)
}

/// A response that is made while it is sent.
pub(crate) fn chunks(
    media: &'static str,
    stream: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::chunks(stream));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// A response of bytes in another form than JSON.
pub(crate) fn bytes(code: StatusCode, media: &'static str, bytes: Bytes) -> Response<ResponseBody> {
    let mut response = json_bytes(code, bytes);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// `response` in the encoding that the client asked for, where it is JSON and has that form.
pub(crate) fn encoded(mut response: Response<ResponseBody>, encoding: Encoding) -> Response<ResponseBody> {
    if encoding == Encoding::Json || response.headers().get(header::CONTENT_TYPE) != Some(&JSON) {
        return response;
    }
    let ResponseBody::Whole(Some(plain)) = response.body_mut() else { return response };
    let Ok(value) = serde_json::from_slice::<Value>(plain) else { return response };
    let (bytes, media) = match encoding {
        Encoding::Json => return response,
        Encoding::Yaml => match serde_saphyr::to_string(&value) {
            Ok(text) => (text.into_bytes(), "application/yaml"),
            Err(_) => return response,
        },
        Encoding::Protobuf => match minato_protobuf::encode(&value) {
            Ok(bytes) => (bytes, minato_protobuf::MEDIA_TYPE),
            Err(_) => return response,
        },
    };
    *plain = bytes.into();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// From this size on, answers are compressed for clients that take it.
const COMPRESSED_BYTES_MIN: usize = 128 * 1024;

/// Compresses a response that is there as a whole, where that pays.
pub(crate) fn compress(response: &mut Response<ResponseBody>) {
    if response.headers().contains_key(header::CONTENT_ENCODING) {
        return;
    }
    let ResponseBody::Whole(Some(plain)) = response.body_mut() else { return };
    if plain.len() < COMPRESSED_BYTES_MIN {
        return;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    let Ok(compressed) = encoder.write_all(plain).and_then(|()| encoder.finish()) else { return };
    *plain = compressed.into();
    say_compressed(response);
}

fn say_compressed(response: &mut Response<ResponseBody>) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
}

/// A compressed JSON response that is made while it is sent.
pub(crate) fn compressed_json_chunks(
    mut chunks: impl Iterator<Item = Result<Bytes, BoxError>> + Send + 'static,
) -> Response<ResponseBody> {
    let mut encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
    let compressed = std::iter::from_fn(move || {
        loop {
            let writer = encoder.as_mut()?;
            let written = match chunks.next() {
                Some(Ok(chunk)) => writer.write_all(&chunk).map(|()| std::mem::take(writer.get_mut())),
                Some(Err(error)) => return Some(Err(error)),
                None => encoder.take()?.finish(),
            };
            match written {
                Ok(bytes) if bytes.is_empty() => {}
                other => return Some(other.map(Bytes::from).map_err(Into::into)),
            }
        }
    });
    let mut response = json_chunks(futures::stream::iter(compressed));
    say_compressed(&mut response);
    response
}

/// Makes the answer to HEAD of that to GET: only the body's length is said.
pub(crate) fn leave_out(response: &mut Response<ResponseBody>) {
    if let ResponseBody::Whole(Some(bytes)) = response.body() {
        let length = HeaderValue::from(bytes.len());
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    *response.body_mut() = ResponseBody::Whole(None);
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
