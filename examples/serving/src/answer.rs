//! Answers, and the questions' parameters.

use std::borrow::Cow;
use std::str::FromStr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{Response, StatusCode, Uri};
use serde::Serialize;

/// The body of every answer.
pub type Body = Full<Bytes>;

/// A line of plain text.
#[must_use]
pub fn text(status: StatusCode, line: &str) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", format!("{line}\n"))
}

/// A page.
#[must_use]
pub fn html(status: StatusCode, page: String) -> Response<Body> {
    answer(status, "text/html; charset=utf-8", page)
}

/// A value as JSON.
#[must_use]
pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Body> {
    match serde_json::to_string(value) {
        Ok(json) => answer(status, "application/json", json + "\n"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Look there instead, with GET.
#[must_use]
pub fn redirect(to: &str) -> Response<Body> {
    let mut response = text(StatusCode::SEE_OTHER, to);
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The parameters behind the question mark, or of a submitted form.
#[derive(Debug)]
pub struct Query<'a>(&'a [u8]);

impl<'a> Query<'a> {
    /// Those of an address.
    #[must_use]
    pub fn of(uri: &'a Uri) -> Self {
        Self(uri.query().unwrap_or_default().as_bytes())
    }

    /// Those of a form's body.
    #[must_use]
    pub fn of_form(body: &'a [u8]) -> Self {
        Self(body)
    }

    /// The first parameter of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        form_urlencoded::parse(self.0).find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The parameter as a value of some type; the default if it is absent or something else.
    #[must_use]
    pub fn get_or<T: FromStr>(&self, name: &str, default: T) -> T {
        self.get(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }
}
