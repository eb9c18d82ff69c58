//! A passage's place among those that run at once.

use std::sync::Arc;

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};

use super::{Passage, lasts};
use crate::body::{self, ResponseBody};
use crate::core::Core;
use crate::flow::{Asked, Rejected};
use crate::identity::User;
use crate::route::{Query, Route};

/// The answer's headers that tell which FlowSchema and priority level the request had.
pub(super) const HEADERS: [HeaderName; 2] = [
    HeaderName::from_static("x-kubernetes-pf-flowschema-uid"),
    HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid"),
];
/// A list takes a seat for so many objects, up to a bound, as upstream reckons.
const OBJECTS_PER_SEAT: usize = 100;
const LIST_SEATS_MAX: usize = 10;

impl Passage {
    /// Waits until the request may run; the answer where it may not.
    pub(crate) async fn take_seat(
        &mut self,
        core: &Arc<Core>,
        user: &User,
        route: &Route,
        query: &Query,
        method: &Method,
    ) -> Option<Response<ResponseBody>> {
        let watches = query.flag("watch");
        // Connections last as long as they like; a watch has a seat until it has begun.
        if !watches && lasts(route, query) {
            return None;
        }
        let lower;
        let (verb, namespace) = match route {
            Route::Resource(route) => (route.verb(method, watches).unwrap_or_default(), route.authorized_namespace()),
            Route::Path(_) => {
                lower = method.as_str().to_ascii_lowercase();
                (lower.as_str(), "")
            }
        };
        let width = if verb == "list" { list_width(core, route, query) } else { 1 };
        let asked = Asked { user, verb, route, namespace };
        match core.flow.admit(&core.metrics, &asked, width).await {
            Ok(ticket) => {
                self.ticket = ticket;
                None
            }
            Err(Rejected { headers }) => {
                self.terminated(StatusCode::TOO_MANY_REQUESTS);
                let text = "Too many requests, please try again later.\n";
                let mut response = body::text(StatusCode::TOO_MANY_REQUESTS, text);
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                for (name, value) in HEADERS.into_iter().zip(headers) {
                    response.headers_mut().insert(name, value);
                }
                Some(response)
            }
        }
    }
}

fn list_width(core: &Core, route: &Route, query: &Query) -> u32 {
    let Route::Resource(route) = route else { return 1 };
    let Some(resource) = core.registry.find(&route.group, &route.version, &route.resource) else { return 1 };
    let stored = core.memory().snapshot(&resource.storage).len();
    let limit = query.get("limit").and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
    let objects = limit.map_or(stored, |limit: usize| stored.min(limit));
    u32::try_from(objects.div_ceil(OBJECTS_PER_SEAT).clamp(1, LIST_SEATS_MAX)).unwrap_or(1)
}
