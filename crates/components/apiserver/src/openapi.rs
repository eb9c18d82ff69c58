//! `/openapi/v2` and `/openapi/v3`: made when first asked for, then kept compressed.
//!
//! The documents are megabytes of prose that few clients read, so an idle server holds none of them. With thousands of
//! custom resources one takes seconds: it is made beside the server's own work, once for all who ask meanwhile.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use minato_http::BoxError;
use minato_schema::openapi::{self, Form, Resource, Subresource};
use parking_lot::Mutex;
use serde_json::Value;

use crate::body::{self, ResponseBody};
use crate::core::Core;
use crate::registry::{self, Served};
use crate::status::ApiError;

/// The documents that were asked for so far.
#[derive(Default)]
pub(crate) struct Documents {
    made: Mutex<HashMap<Document, Slot>>,
}

/// Held while the document is made.
type Slot = Arc<tokio::sync::Mutex<Option<Made>>>;

/// A document and what it was made from.
struct Made {
    fingerprint: String,
    compressed: Bytes,
}

/// Documents that are kept; those of custom kinds come and go.
const MADE_MAX: usize = 256;
/// A document of this size leaves behind so much unused memory that it is worth giving back.
const LARGE_BYTES: usize = 8 * 1024 * 1024;

/// One of the documents that there are.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Document {
    V2(Form),
    V3 { group: String, version: String },
}

impl Document {
    /// What is at `below`, a path below `/openapi/`.
    fn at(below: &str, headers: &HeaderMap) -> Option<Self> {
        let words: Vec<&str> = below.split('/').collect();
        let (group, version) = match words.as_slice() {
            ["v2"] => return Some(Self::V2(if wants_protobuf(headers) { Form::Protobuf } else { Form::Json })),
            ["v3", "api", version] => ("", *version),
            ["v3", "apis", group, version] => (*group, *version),
            _ => return None,
        };
        Some(Self::V3 { group: group.to_owned(), version: version.to_owned() })
    }

    fn media_type(&self) -> &'static str {
        match self {
            Self::V2(Form::Protobuf) => openapi::V2_PROTOBUF,
            _ => "application/json",
        }
    }

    fn describes(&self, resource: &registry::Resource) -> bool {
        match self {
            Self::V2(_) => true,
            Self::V3 { group, version } => *resource.declaration.group == **group && *resource.version == **version,
        }
    }

    /// Changes when the document does.
    fn fingerprint(&self, served: &Served) -> String {
        let mut fingerprint = openapi::fingerprint(&describe_all(served, self, &[]));
        if matches!(self, Self::V2(_)) {
            let parts = served.remotes().filter_map(|(_, _, remote)| remote.openapi.fingerprint());
            parts.for_each(|part| fingerprint.push_str(&format!("{part:X}")));
        }
        fingerprint
    }

    fn make(&self, served: &Served) -> std::io::Result<Bytes> {
        let resources = served.resources().filter(|resource| self.describes(resource));
        let schemas: Vec<Option<Value>> =
            resources.map(|resource| resource.custom.as_ref().map(|custom| custom.written_schema())).collect();
        let described = describe_all(served, self, &schemas);
        let plain = match self {
            Self::V2(form) => {
                let parts: Vec<_> = served.remotes().filter_map(|(_, _, remote)| remote.openapi.part()).collect();
                openapi::v2(&described, &parts, *form)
            }
            Self::V3 { .. } => openapi::v3(&described).to_string().into_bytes(),
        };
        let size = plain.len();
        let compressed = compress(&plain)?;
        drop((plain, schemas));
        if size >= LARGE_BYTES {
            minato_linux::memory::trim_heap();
        }
        Ok(compressed)
    }
}

/// Answers a path below `/openapi`.
pub(crate) async fn answer(
    core: &Arc<Core>,
    path: &str,
    headers: &HeaderMap,
) -> Option<Result<Response<ResponseBody>, ApiError>> {
    let below = path.strip_prefix("/openapi/")?.trim_end_matches('/');
    if below == "v3" {
        return Some(Ok(body::json(StatusCode::OK, &v3_index(&core.registry.served()))));
    }
    let Some(document) = Document::at(below, headers) else { return Some(Err(ApiError::no_route())) };
    Some(send(core, document, headers).await)
}

/// The version of a group whose document is at `path`, if another server has it.
pub(crate) fn remote_version(core: &Core, path: &str) -> Option<(String, String)> {
    let mut words = path.strip_prefix("/openapi/v3/apis/")?.trim_end_matches('/').split('/');
    let (group, version) = (words.next()?, words.next()?);
    let served = core.registry.served();
    let remote = words.next().is_none() && served.remotes().any(|(g, v, _)| (g, v) == (group, version));
    remote.then(|| (group.to_owned(), version.to_owned()))
}

fn v3_index(served: &Served) -> Value {
    let resources: Vec<_> = served.resources().map(|resource| describe(resource, None)).collect();
    let mut index = openapi::v3_index(&resources);
    for (group, version, remote) in served.remotes() {
        if let Some(entry) = &remote.openapi.index {
            index["paths"][format!("apis/{group}/{version}")] = entry.clone();
        }
    }
    index
}

fn wants_protobuf(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let first =
        accepted.flat_map(|value| value.split(',')).map(|range| range.split(';').next().unwrap_or_default().trim());
    first.take(1).any(|media| openapi::V2_PROTOBUF_ACCEPTED.contains(&media))
}

/// How much of a document is unfolded at once.
const UNFOLDED_BYTES: usize = 64 * 1024;

/// A document as it was before it was compressed, made while it is sent: whoever asks a thousand times and reads nothing
/// fills no memory with it.
fn unfold(compressed: Bytes) -> impl Iterator<Item = Result<Bytes, BoxError>> + Send {
    let mut decoder = Some(GzDecoder::new(compressed.reader()));
    std::iter::from_fn(move || {
        let mut chunk = vec![0; UNFOLDED_BYTES];
        match decoder.as_mut()?.read(&mut chunk) {
            Ok(0) => None,
            Ok(length) => {
                chunk.truncate(length);
                Some(Ok(chunk.into()))
            }
            Err(error) => {
                decoder = None;
                Some(Err(error.into()))
            }
        }
    })
}

async fn send(core: &Arc<Core>, document: Document, headers: &HeaderMap) -> Result<Response<ResponseBody>, ApiError> {
    let served = Arc::clone(&core.registry.served());
    if !served.resources().any(|resource| document.describes(resource)) {
        return Err(ApiError::no_route());
    }
    let (media_type, fingerprint) = (document.media_type(), document.fingerprint(&served));
    let etag = format!("\"{fingerprint}\"");
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        let mut response = body::json_bytes(StatusCode::NOT_MODIFIED, Bytes::new());
        mark(&mut response, media_type, &etag);
        return Ok(response);
    }
    let compressed = compressed(core, document, served, fingerprint).await?;
    let takes_gzip = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .any(|value| value.to_str().is_ok_and(|value| value.contains("gzip")));
    let mut response = if takes_gzip {
        let mut response = body::json_bytes(StatusCode::OK, compressed);
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        body::json_chunks(futures::stream::iter(unfold(compressed)))
    };
    mark(&mut response, media_type, &etag);
    Ok(response)
}

/// The document as it was made before, or made now.
async fn compressed(
    core: &Core,
    document: Document,
    served: Arc<Served>,
    fingerprint: String,
) -> Result<Bytes, ApiError> {
    let slot = {
        let mut made = core.documents.made.lock();
        if made.len() >= MADE_MAX && !made.contains_key(&document) {
            made.clear();
        }
        Arc::clone(made.entry(document.clone()).or_default())
    };
    let mut made = slot.lock().await;
    if let Some(known) = made.as_ref().filter(|made| made.fingerprint == fingerprint) {
        return Ok(known.compressed.clone());
    }
    let making = tokio::task::spawn_blocking(move || document.make(&served));
    let compressed = making.await.map_err(ApiError::internal)?.map_err(ApiError::internal)?;
    *made = Some(Made { fingerprint, compressed: compressed.clone() });
    Ok(compressed)
}

fn mark(response: &mut Response<ResponseBody>, media: &'static str, etag: &str) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
}

fn compress(plain: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain)?;
    encoder.finish().map(Bytes::from)
}

/// The resources of a document, in the order of the registry, each with its schema where `schemas` has one at its place.
fn describe_all<'a>(served: &'a Served, document: &Document, schemas: &'a [Option<Value>]) -> Vec<Resource<'a>> {
    let resources = served.resources().filter(|resource| document.describes(resource));
    let schemas = schemas.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    resources.zip(schemas).map(|(resource, schema)| describe(resource, schema)).collect()
}

fn describe<'a>(resource: &'a registry::Resource, schema: Option<&'a Value>) -> Resource<'a> {
    let declaration = &*resource.declaration;
    let subresources = declaration.subresources.iter();
    Resource {
        group: &declaration.group,
        version: &resource.version,
        plural: &declaration.resource,
        kind: &declaration.kind,
        namespaced: declaration.namespaced,
        verbs: declaration.verbs.names(),
        subresources: subresources
            .map(|subresource| Subresource {
                name: subresource.name(),
                verbs: subresource.verbs(),
                body: subresource.body(),
            })
            .collect(),
        schema,
        edition: resource.custom.as_ref().map_or(0, |custom| custom.edition()),
    }
}
