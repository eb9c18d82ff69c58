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

use crate::body::{self, ResponseBody};
use crate::core::Core;
use crate::registry::{self, Served};
use crate::status::ApiError;

/// The documents that were asked for so far, by path and media type, compressed.
#[derive(Default)]
pub(crate) struct Documents {
    made: Mutex<HashMap<(String, &'static str), Bytes>>,
}

const JSON: &str = "application/json";

/// Answers a path below `/openapi`.
pub(crate) fn answer(core: &Core, path: &str, headers: &HeaderMap) -> Option<Result<Response<ResponseBody>, ApiError>> {
    let below = path.strip_prefix("/openapi/")?.trim_end_matches('/');
    let served = &*core.registry.served();
    Some(match below {
        "v2" if wants_protobuf(headers) => document(core, path, openapi::V2_PROTOBUF, headers, || {
            openapi::v2_protobuf(&openapi::v2(&resources(served, |_| true)))
        }),
        "v2" => {
            document(core, path, JSON, headers, || openapi::v2(&resources(served, |_| true)).to_string().into_bytes())
        }
        "v3" => Ok(body::json(StatusCode::OK, &openapi::v3_index(&resources(served, |_| true)))),
        other => {
            let words: Vec<&str> = other.split('/').collect();
            let (group, version) = match words.as_slice() {
                ["v3", "api", version] => ("", *version),
                ["v3", "apis", group, version] => (*group, *version),
                _ => return Some(Err(ApiError::no_route())),
            };
            let of_version = resources(served, |resource| (resource.group, resource.version) == (group, version));
            if of_version.is_empty() {
                return Some(Err(ApiError::no_route()));
            }
            document(core, path, JSON, headers, || openapi::v3(&of_version).to_string().into_bytes())
        }
    })
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
    make: impl FnOnce() -> Vec<u8>,
) -> Result<Response<ResponseBody>, ApiError> {
    let key = (path.to_owned(), media);
    let known = core.documents.made.lock().get(&key).cloned();
    let compressed = match known {
        Some(compressed) => compressed,
        None => {
            let compressed = compress(&make()).map_err(ApiError::internal)?;
            core.documents.made.lock().insert(key, compressed.clone());
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
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    Ok(response)
}

fn compress(plain: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain)?;
    encoder.finish().map(Bytes::from)
}

fn resources(served: &Served, wanted: impl Fn(&Resource<'_>) -> bool) -> Vec<Resource<'_>> {
    served.resources().map(|resource| describe(resource)).filter(|resource| wanted(resource)).collect()
}

fn describe(resource: &registry::Resource) -> Resource<'_> {
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
        schema: None,
    }
}
