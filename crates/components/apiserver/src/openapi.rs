//! `/openapi/v2` and `/openapi/v3`: made when first asked for, then kept compressed.
//!
//! The documents are megabytes of prose that few clients read, so an idle server holds none of them.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use minato_schema::openapi::{self, Resource, Subresource};
use parking_lot::Mutex;
use serde_json::Value;

use crate::body::{self, ResponseBody};
use crate::core::Core;
use crate::registry::{self, Served};
use crate::status::ApiError;

/// The documents that were asked for so far, by path and media type, compressed.
#[derive(Default)]
pub(crate) struct Documents {
    made: Mutex<HashMap<(String, &'static str), Made>>,
}

/// A document and what it was made from.
struct Made {
    fingerprint: String,
    compressed: Bytes,
}

/// Group versions whose documents are kept; those of custom kinds come and go.
const MADE_MAX: usize = 256;

const JSON: &str = "application/json";

/// Answers a path below `/openapi`.
pub(crate) fn answer(core: &Core, path: &str, headers: &HeaderMap) -> Option<Result<Response<ResponseBody>, ApiError>> {
    let below = path.strip_prefix("/openapi/")?.trim_end_matches('/');
    let served = &*core.registry.served();
    let all = |_: &registry::Resource| true;
    Some(match below {
        "v2" if wants_protobuf(headers) => document(core, path, openapi::V2_PROTOBUF, headers, served, all, |all| {
            openapi::v2_protobuf(&v2(served, all))
        }),
        "v2" => document(core, path, JSON, headers, served, all, |all| v2(served, all).to_string().into_bytes()),
        "v3" => Ok(body::json(StatusCode::OK, &v3_index(served))),
        other => {
            let words: Vec<&str> = other.split('/').collect();
            let (group, version) = match words.as_slice() {
                ["v3", "api", version] => ("", *version),
                ["v3", "apis", group, version] => (*group, *version),
                _ => return Some(Err(ApiError::no_route())),
            };
            let wanted =
                |resource: &registry::Resource| (&*resource.declaration.group, &*resource.version) == (group, version);
            if !served.resources().any(|resource| wanted(resource)) {
                return Some(Err(ApiError::no_route()));
            }
            document(core, path, JSON, headers, served, wanted, |some| openapi::v3(some).to_string().into_bytes())
        }
    })
}

/// The version of a group whose document is at `path`, if another server has it.
pub(crate) fn remote_version(core: &Core, path: &str) -> Option<(String, String)> {
    let mut words = path.strip_prefix("/openapi/v3/apis/")?.trim_end_matches('/').split('/');
    let (group, version) = (words.next()?, words.next()?);
    let served = core.registry.served();
    let remote = words.next().is_none() && served.remotes().any(|(g, v, _)| (g, v) == (group, version));
    remote.then(|| (group.to_owned(), version.to_owned()))
}

/// Everything, with the parts of other servers.
fn v2(served: &Served, all: &[Resource<'_>]) -> Value {
    let mut document = openapi::v2(all);
    served.remotes().for_each(|(_, _, remote)| remote.openapi.merge_into(&mut document));
    document
}

fn v3_index(served: &Served) -> Value {
    let mut index = openapi::v3_index(&describe_all(served, |_| true, &[]));
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

fn document(
    core: &Core,
    path: &str,
    media: &'static str,
    headers: &HeaderMap,
    served: &Served,
    wanted: impl Fn(&registry::Resource) -> bool,
    make: impl FnOnce(&[Resource<'_>]) -> Vec<u8>,
) -> Result<Response<ResponseBody>, ApiError> {
    let mut fingerprint = openapi::fingerprint(&describe_all(served, &wanted, &[]));
    if path.starts_with("/openapi/v2") {
        let parts = served.remotes().filter_map(|(_, _, remote)| remote.openapi.fingerprint());
        parts.for_each(|part| fingerprint.push_str(&format!("{part:X}")));
    }
    let etag = format!("\"{fingerprint}\"");
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        let mut response = body::json_bytes(StatusCode::NOT_MODIFIED, Bytes::new());
        mark(&mut response, media, &etag);
        return Ok(response);
    }
    let key = (path.to_owned(), media);
    let made = &core.documents.made;
    let known =
        made.lock().get(&key).filter(|made| made.fingerprint == fingerprint).map(|made| made.compressed.clone());
    let compressed = match known {
        Some(compressed) => compressed,
        None => {
            let resources = served.resources().filter(|resource| wanted(resource));
            let schemas: Vec<Option<Value>> =
                resources.map(|resource| resource.custom.as_ref().map(|custom| custom.written_schema())).collect();
            let compressed = compress(&make(&describe_all(served, &wanted, &schemas))).map_err(ApiError::internal)?;
            let mut made = made.lock();
            if made.len() >= MADE_MAX {
                made.clear();
            }
            made.insert(key, Made { fingerprint, compressed: compressed.clone() });
            compressed
        }
    };
    let takes_gzip = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .any(|value| value.to_str().is_ok_and(|value| value.contains("gzip")));
    let mut response = if takes_gzip {
        let mut response = body::json_bytes(StatusCode::OK, compressed);
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        let mut plain = Vec::new();
        GzDecoder::new(&compressed[..]).read_to_end(&mut plain).map_err(ApiError::internal)?;
        body::json_bytes(StatusCode::OK, plain.into())
    };
    mark(&mut response, media, &etag);
    Ok(response)
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

/// The wanted resources as documents describe them, in the order of the registry, each with its schema where `schemas`
/// has one at its place.
fn describe_all<'a>(
    served: &'a Served,
    wanted: impl Fn(&registry::Resource) -> bool,
    schemas: &'a [Option<Value>],
) -> Vec<Resource<'a>> {
    let resources = served.resources().filter(|resource| wanted(resource));
    resources
        .enumerate()
        .map(|(index, resource)| {
            let schema = schemas.get(index).and_then(Option::as_ref);
            describe(resource, schema)
        })
        .collect()
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
