//! GET of one object and of many.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use minato_mvcc::{Key, Object, Revision, Snapshot};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::body::{self, ResponseBody};
use crate::call::Call;
use crate::core::Core;
use crate::encode::{self, ListMetadata};
use crate::filter::Filter;
use crate::negotiate::{self, Encoding, Form};
use crate::options;
use crate::registry::Resource;
use crate::status::ApiError;
use crate::template;

/// How much of a list is put together before it is handed on.
const CHUNK_BYTES: usize = 64 * 1024;
/// How long a request waits for a revision that has not come yet.
const REVISION_WAIT: Duration = Duration::from_secs(3);
/// How many objects are encoded before others get their turn.
const OBJECTS_PER_TURN: usize = 64;
const INCONSISTENT: &str = "The provided continue parameter is too old to display a consistent list result. You can \
    start a new list without the continue parameter, or use the continue token in this response to retrieve the \
    remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were \
    created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
const GROUP_VERSION: &str = "meta.k8s.io/v1";

/// How long a continue token gives the list as it was: as long as the history that upstream keeps.
const CONTINUE_LIFE: Duration = Duration::from_secs(5 * 60);

/// Where the next page of a list begins.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Continue {
    #[serde(rename = "v")]
    version: String,
    /// The revision of the first page; below zero for the present one.
    #[serde(rename = "rv")]
    revision: i64,
    namespace: String,
    name: String,
    /// When the first page was made, in seconds.
    #[serde(rename = "t", default)]
    begun: i64,
}

impl Continue {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str) -> Result<Self, ApiError> {
        let decoded = URL_SAFE_NO_PAD.decode(text).ok();
        decoded
            .and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok())
            .filter(|token| token.version == GROUP_VERSION)
            .ok_or_else(|| ApiError::bad_request("continue key is not valid: encoded data is malformed"))
    }

    /// The objects that the list goes on with.
    fn snapshot(&self, call: &Call) -> Result<Snapshot, ApiError> {
        let memory = call.core.memory();
        let Ok(revision) = u64::try_from(self.revision) else {
            return Ok(memory.snapshot(&call.resource.storage));
        };
        let age = Timestamp::now().as_second().saturating_sub(self.begun);
        let fresh = u64::try_from(age).is_ok_and(|age| age < CONTINUE_LIFE.as_secs());
        let snapshot = fresh.then(|| snapshot_at(&call.core, &call.resource, Revision(revision))).flatten();
        snapshot.ok_or_else(|| {
            let (namespace, name) = (self.namespace.clone(), self.name.clone());
            let token = Self { version: GROUP_VERSION.to_owned(), revision: -1, namespace, name, begun: self.begun };
            ApiError::expired(INCONSISTENT).with_continue(token.encode())
        })
    }
}

/// Objects that were selected, and what their list says of itself.
struct Page {
    objects: Vec<Arc<Object>>,
    metadata: ListMetadata,
}

/// GET of one object.
pub(crate) async fn get(call: &Call, name: &str) -> Result<Response<ResponseBody>, ApiError> {
    let key = Key::new(Arc::clone(&call.resource.storage), call.namespace.as_str(), name);
    let object = call.core.memory().get(&key).ok_or_else(|| call.resource.not_found(name))?;
    let object = call.core.presented_one(&call.resource, object).await?;
    Ok(body::json_bytes(StatusCode::OK, encode::one(&call.resource, call.form, &object)?))
}

/// GET of a collection.
pub(crate) async fn list(call: &Call) -> Result<Response<ResponseBody>, ApiError> {
    let filter = Filter::parse(&call.resource, &call.namespace, &call.query)?;
    let mut page = page(call, &filter).await?;
    page.objects = call.core.presented(&call.resource, page.objects).await?;
    let resource = &call.resource;
    match call.form {
        Form::Table(include, meta) => {
            let now = Timestamp::now();
            let rows = page
                .objects
                .iter()
                .map(|object| Ok(encode::row(resource, &encode::shown_value(resource, object)?, (include, meta), now)))
                .collect::<Result<Vec<Value>, ApiError>>()?;
            Ok(body::json(StatusCode::OK, &encode::table(resource, meta, page.metadata.to_value(), rows, true)))
        }
        Form::Metadata(meta) => {
            let items = page
                .objects
                .iter()
                .map(|object| encode::outline(resource, object, meta))
                .collect::<Result<Vec<Value>, ApiError>>()?;
            let list = json!({
                "kind": "PartialObjectMetadataList", "apiVersion": meta.api_version(),
                "metadata": page.metadata.to_value(), "items": items,
            });
            Ok(body::json(StatusCode::OK, &list))
        }
        Form::Object => match call.encoding {
            Encoding::Json => objects(resource, page, negotiate::takes_gzip(&call.headers)),
            Encoding::Protobuf => protobuf(resource, page).await,
            Encoding::Yaml => whole(objects(resource, page, false)?).await,
        },
    }
}

/// All of a list at once, for an encoding that has no parts.
async fn whole(response: Response<ResponseBody>) -> Result<Response<ResponseBody>, ApiError> {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map_err(ApiError::internal)?.to_bytes();
    Ok(Response::from_parts(parts, ResponseBody::Whole(Some(bytes))))
}

/// A list in protobuf, which says its length first.
async fn protobuf(resource: &Resource, page: Page) -> Result<Response<ResponseBody>, ApiError> {
    let declaration = &resource.declaration;
    let mut list = minato_protobuf::List::new();
    for (index, object) in page.objects.iter().enumerate() {
        let value = encode::shown_value(resource, object)?;
        list.push(&resource.api_version, &declaration.kind, &value).map_err(ApiError::internal)?;
        if index % OBJECTS_PER_TURN == OBJECTS_PER_TURN - 1 {
            tokio::task::yield_now().await;
        }
    }
    let bytes = list.finish(&resource.api_version, &declaration.list_kind, &page.metadata.to_value());
    Ok(body::bytes(StatusCode::OK, minato_protobuf::MEDIA_TYPE, bytes.into()))
}

/// A list of objects as they are: joined stored bytes, made while they are sent where they are many.
fn objects(resource: &Arc<Resource>, page: Page, gzip: bool) -> Result<Response<ResponseBody>, ApiError> {
    let declaration = &resource.declaration;
    let opening = format!(
        "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{},\"items\":[",
        json!(declaration.list_kind),
        json!(resource.api_version),
        page.metadata.to_value()
    );
    // Items of built-in kinds do not repeat what the list says of them all: in Go they are values of one type.
    let common = resource.custom.is_none().then(|| template::opening(&declaration.kind, &resource.api_version));
    let resource = Arc::clone(resource);
    let mut objects = page.objects.into_iter().peekable();
    let mut opening = Some(opening);
    let mut first = true;
    let mut chunk = move || -> Result<Option<Bytes>, ApiError> {
        let mut chunk = BytesMut::new();
        if let Some(opening) = opening.take() {
            chunk.put(opening.as_bytes());
        } else if objects.peek().is_none() {
            return Ok(None);
        }
        while let Some(object) = objects.next() {
            let shown = encode::shown(&resource, &object)?;
            chunk.reserve(if chunk.is_empty() { CHUNK_BYTES } else { shown.len() + 3 });
            if !std::mem::take(&mut first) {
                chunk.put_u8(b',');
            }
            match common.as_ref().and_then(|common| shown.strip_prefix(common.as_bytes())) {
                Some(own) => {
                    chunk.put_u8(b'{');
                    chunk.put(own);
                }
                None => chunk.put(shown),
            }
            if chunk.len() >= CHUNK_BYTES && objects.peek().is_some() {
                return Ok(Some(chunk.freeze()));
            }
        }
        chunk.put(&b"]}"[..]);
        Ok(Some(chunk.freeze()))
    };
    let head = chunk()?.unwrap_or_default();
    let Some(second) = chunk()? else { return Ok(body::json_bytes(StatusCode::OK, head)) };
    let rest = std::iter::from_fn(move || chunk().map_err(Into::into).transpose());
    let all = [head, second].into_iter().map(Ok).chain(rest);
    Ok(if gzip { body::compressed_json_chunks(all) } else { body::json_chunks(futures::stream::iter(all)) })
}

async fn page(call: &Call, filter: &Filter) -> Result<Page, ApiError> {
    options::check_list(&call.query, false)?;
    let limit = match call.query.get("limit") {
        None => 0,
        Some(text) => {
            let limit: i64 =
                text.parse().map_err(|_| ApiError::bad_request(format!("limit: {text:?} is not a number")))?;
            // Below zero there is none, as upstream has it.
            usize::try_from(limit).unwrap_or(0)
        }
    };
    let token = call.query.get("continue").map(Continue::decode).transpose()?;
    let asked = call.query.get("resourceVersion");
    let matching = call.query.get("resourceVersionMatch");
    if token.is_some() && asked.is_some_and(|version| version != "0") {
        return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
    }
    let snapshot = match &token {
        Some(token) => token.snapshot(call)?,
        None => {
            let revision = asked.map_or(Ok(Revision(0)), revision)?;
            // The first page of a list at a version is of that version, if nothing else is said.
            let exact = matching == Some("Exact") || (matching.is_none() && limit > 0 && revision.0 > 0);
            call.core.wait_for(revision).await?;
            if exact {
                snapshot_at(&call.core, &call.resource, revision)
                    .ok_or_else(|| ApiError::expired("The resourceVersion for the provided list is too old."))?
            } else {
                call.core.memory().snapshot(&call.resource.storage)
            }
        }
    };
    Ok(select(&snapshot, filter, limit, token.as_ref()))
}

fn snapshot_at(core: &Core, resource: &Resource, revision: Revision) -> Option<Snapshot> {
    core.memory().snapshot_at(&resource.storage, revision)
}

/// The objects after `token` that match, at most `limit` of them (0: all).
fn select(snapshot: &Snapshot, filter: &Filter, limit: usize, token: Option<&Continue>) -> Page {
    let all: Box<dyn Iterator<Item = &Arc<Object>>> = match (token, filter.namespace.as_str(), filter.name()) {
        (None, "", None) => Box::new(snapshot.iter()),
        (None, namespace, Some(name)) if !namespace.is_empty() => Box::new(snapshot.get(namespace, name).into_iter()),
        (None, "", Some(_)) => Box::new(snapshot.iter()),
        (None, namespace, _) => Box::new(snapshot.iter_namespace(namespace)),
        (Some(token), "", _) => Box::new(snapshot.iter_after(&token.namespace, &token.name)),
        (Some(token), namespace, _) => Box::new(snapshot.iter_namespace_after(namespace, &token.name)),
    };
    let mut matching = all.filter(|object| filter.matches(object));
    let mut metadata = ListMetadata { resource_version: snapshot.revision().to_string(), next: None, remaining: None };
    if limit == 0 {
        return Page { objects: matching.cloned().collect(), metadata };
    }
    let objects: Vec<Arc<Object>> = matching.by_ref().take(limit).cloned().collect();
    let remaining = if filter.selects_all() { matching.count() } else { usize::from(matching.next().is_some()) };
    if remaining > 0
        && let Some(last) = objects.last()
    {
        let now = Timestamp::now().as_second();
        let token = Continue {
            version: GROUP_VERSION.to_owned(),
            // What goes on inconsistently goes on from where it has come to.
            revision: i64::try_from(snapshot.revision().0).unwrap_or(-1),
            begun: token.filter(|token| token.revision >= 0).map_or(now, |token| token.begun),
            namespace: last.key.namespace.to_string(),
            name: last.key.name.to_string(),
        };
        metadata.next = Some(token.encode());
        metadata.remaining = filter.selects_all().then_some(remaining);
    }
    Page { objects, metadata }
}

/// All objects that `filter` selects now.
pub(crate) fn selected(core: &Core, resource: &Resource, filter: &Filter) -> Vec<Arc<Object>> {
    select(&core.memory().snapshot(&resource.storage), filter, 0, None).objects
}

/// A resource version of a query.
pub(crate) fn revision(text: &str) -> Result<Revision, ApiError> {
    text.parse().map(Revision).map_err(|_| {
        ApiError::bad_request(format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}

impl Core {
    /// Waits until memory is not older than `revision`; a little, since another server may be ahead of this one.
    pub(crate) async fn wait_for(&self, revision: Revision) -> Result<(), ApiError> {
        if self.memory().revision() >= revision {
            return Ok(());
        }
        let reached = self.memory().reached(revision);
        tokio::time::timeout(REVISION_WAIT, reached)
            .await
            .map_err(|_| ApiError::too_large_resource_version(revision.0, self.memory().revision().0))
    }
}
