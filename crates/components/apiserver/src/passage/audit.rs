//! What a passage tells the audit log.

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use minato_http::BoxError;

use super::Passage;
use crate::audit::{Record, Subject};
use crate::authorize::Decision;
use crate::body::{self, RequestBody, ResponseBody};
use crate::identity::User;
use crate::route::{Query, Route};
use crate::status::ApiError;

impl Passage {
    /// Begins the record of the request, where there is an audit log that wants one.
    pub(crate) fn audit(&mut self, route: &Route, query: &Query, user: Option<&User>, request: &Request<RequestBody>) {
        let Some(audit) = &self.core.audit else { return };
        let lower = request.method().as_str().to_ascii_lowercase();
        let (verb, namespace) = match route {
            Route::Path(_) => (lower.as_str(), ""),
            Route::Resource(route) => {
                (route.verb(request.method(), query.flag("watch")).unwrap_or_default(), route.authorized_namespace())
            }
        };
        let subject = Subject { route, verb, namespace, user };
        let id = minato_http::request_id(str::to_owned).unwrap_or_default();
        self.record = Record::begin(audit, &id, request, &subject).map(Box::new);
        let shown = user.map(|user| user.impersonator.as_ref().unwrap_or(user));
        if let (Some(record), Some(stale)) = (&mut self.record, shown.and_then(|user| user.stale_token.as_ref())) {
            record.annotate("authentication.k8s.io/stale-token", stale);
        }
    }

    /// Reads the body of the request where the record wants it, and gives back a request that still has it.
    pub(crate) async fn note_request(
        &mut self,
        route: &Route,
        request: Request<RequestBody>,
    ) -> Result<Request<RequestBody>, ApiError> {
        let Some(record) = self.record.as_mut().filter(|record| record.wants_request(route)) else {
            return Ok(request);
        };
        let (parts, body) = request.into_parts();
        let bytes = body::read(&parts.headers, body).await?;
        record.request(&parts.headers, &bytes);
        let body = Full::new(bytes).map_err(|never| -> BoxError { match never {} }).boxed_unsync();
        Ok(Request::from_parts(parts, body))
    }

    /// Notes an answer that is there as a whole, before it is written in the form that the client wants.
    pub(super) fn note_answer(&mut self, response: &Response<ResponseBody>) {
        let code = response.status();
        let Some(record) = self.record.as_mut().filter(|record| record.wants_answer(code)) else { return };
        if let ResponseBody::Whole(bytes) = response.body() {
            record.answer(code, bytes.as_deref().unwrap_or_default());
        }
    }

    /// Notes whether the request may be made, and why.
    pub(crate) fn note_decision(&mut self, decision: &Decision) {
        let Some(record) = &mut self.record else { return };
        let word = if decision.is_allowed() { "allow" } else { "forbid" };
        record.annotate("authorization.k8s.io/decision", word);
        record.annotate("authorization.k8s.io/reason", decision.reason());
    }
}
