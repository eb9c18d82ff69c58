//! A question to `grpc.health.v1.Health` (the gRPC health checking protocol), over HTTP/2 in the clear.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::http::connect;

const ANSWER_BYTES_MAX: usize = 4096;
/// The status of a method that the server does not know.
const UNIMPLEMENTED: &str = "12";
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING: u64 = 1;

/// Asks whether `service` is served; the error is what the event says.
pub(super) async fn check(host: &str, port: u16, service: &str, timeout: Duration) -> Result<(), String> {
    let dialled = tokio::time::timeout(timeout, connect(host, port)).await;
    let dialled = dialled.unwrap_or_else(|_| Err("context deadline exceeded".to_owned()));
    let stream = dialled
        .map_err(|error| format!("timeout: failed to connect service \"{host}:{port}\" within {timeout:?}: {error}"))?;
    let failed = |error: hyper::Error| format!("error: health rpc probe failed: {error}");
    let exchange = async {
        let io = TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.map_err(failed)?;
        let request = Request::post(format!("http://{host}:{port}/grpc.health.v1.Health/Check"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("user-agent", "kube-probe/1.36")
            .body(Full::new(question(service)))
            .map_err(|error| format!("error: health rpc probe failed: {error}"))?;
        let answer = async {
            let (head, body) = sender.send_request(request).await.map_err(failed)?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| format!("error: health rpc probe failed: {error}"))?;
            let end = body.trailers().filter(|end| end.contains_key("grpc-status")).unwrap_or(&head.headers).clone();
            judge(&end, &body.to_bytes())
        };
        tokio::pin!(answer, connection);
        tokio::select! {
            biased;
            verdict = &mut answer => verdict,
            ended = &mut connection => match ended {
                Ok(()) => answer.await,
                Err(error) => Err(failed(error)),
            },
        }
    };
    let expired = |_| Err(format!("timeout: health rpc did not complete within {timeout:?}"));
    tokio::time::timeout(timeout, exchange).await.unwrap_or_else(expired)
}

/// `HealthCheckRequest { service = 1 }` in gRPC's frame.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(1 << 3 | 2);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(&message);
    frame.freeze()
}

/// What follows from the end of the call and `HealthCheckResponse { status = 1 }`.
fn judge(end: &HeaderMap, body: &[u8]) -> Result<(), String> {
    let text = |name| end.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match text("grpc-status") {
        "0" => {}
        UNIMPLEMENTED => {
            return Err("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "
                .to_owned()
                + text("grpc-message"));
        }
        code => return Err(format!("error: health rpc probe failed: code {code:?}: {}", text("grpc-message"))),
    }
    match status(body) {
        Some(SERVING) => Ok(()),
        other => {
            let name = usize::try_from(other.unwrap_or(0)).ok().and_then(|status| STATUSES.get(status));
            Err(format!("service unhealthy (responded with \"{}\")", name.unwrap_or(&"UNKNOWN")))
        }
    }
}

/// The first field of the message, 0 if it is absent; `None` for what is no such message.
fn status(mut body: &[u8]) -> Option<u64> {
    if body.len() < 5 || body.get_u8() != 0 {
        return None;
    }
    let length = usize::try_from(body.get_u32()).ok()?;
    let mut message = body.get(..length)?;
    if message.is_empty() {
        return Some(0);
    }
    if message.get_u8() != 1 << 3 {
        return None;
    }
    let mut value = 0;
    for (place, byte) in message.iter().enumerate().take(9) {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_framed() {
        assert_eq!(question(""), Bytes::from_static(&[0, 0, 0, 0, 0]));
        assert_eq!(question("db"), Bytes::from_static(b"\x00\x00\x00\x00\x04\x0a\x02db"));
    }

    #[test]
    fn answers_are_judged() {
        let check = |code: &str, body: &[u8], expected: Result<(), &str>| {
            let mut end = HeaderMap::new();
            end.insert("grpc-status", code.parse().unwrap());
            let verdict = judge(&end, body);
            let as_expected = match (&verdict, expected) {
                (Err(text), Err(beginning)) => text.starts_with(beginning),
                (verdict, expected) => verdict.is_ok() == expected.is_ok(),
            };
            assert!(as_expected, "{code} {body:?}: {verdict:?}");
        };
        check("0", &[0, 0, 0, 0, 2, 8, 1], Ok(()));
        check("0", &[0, 0, 0, 0, 2, 8, 2], Err("service unhealthy (responded with \"NOT_SE"));
        check("0", &[0, 0, 0, 0, 0], Err("service unhealthy (responded with \"UNKNOW"));
        check("0", &[0, 0, 0, 0, 9, 8], Err("service unhealthy (responded with \"UNKNOW"));
        check("0", &[], Err("service unhealthy (responded with \"UNKNOW"));
        check("12", &[], Err("error: this server does not implement the"));
        check("5", &[], Err("error: health rpc probe failed: code \"5\""));
    }
}
