//! Content negotiation: which of an object's forms a client asks for.

use http::{HeaderMap, header};

use crate::route::Query;
use crate::status::ApiError;

/// The form in which objects are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As stored.
    Object,
    /// `meta.k8s.io/v1 Table`, with what of each object in `rows[].object`.
    Table(IncludeObject),
    /// `meta.k8s.io/v1 PartialObjectMetadata`.
    Metadata,
}

/// The query parameter `includeObject` of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    None,
    Metadata,
    Object,
}

const OFFERED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// The first form in `Accept` that can be served.
pub(crate) fn form(headers: &HeaderMap, query: &Query) -> Result<Form, ApiError> {
    let mut asked = false;
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            if media.is_empty() {
                continue;
            }
            asked = true;
            if !matches!(media, "application/json" | "*/*" | "application/*") {
                continue;
            }
            let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
            let get = |key| parameters.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
            match (get("as"), get("g"), get("v")) {
                (None, _, _) => return Ok(Form::Object),
                (Some("Table"), Some("meta.k8s.io"), Some("v1")) => return Ok(Form::Table(include(query)?)),
                (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("meta.k8s.io"), Some("v1")) => {
                    return Ok(Form::Metadata);
                }
                _ => {}
            }
        }
    }
    if asked { Err(ApiError::not_acceptable("application/json")) } else { Ok(Form::Object) }
}

fn include(query: &Query) -> Result<IncludeObject, ApiError> {
    match query.get("includeObject") {
        None | Some("Metadata") => Ok(IncludeObject::Metadata),
        Some("None") => Ok(IncludeObject::None),
        Some("Object") => Ok(IncludeObject::Object),
        Some(other) => Err(ApiError::bad_request(format!(
            "invalid includeObject {other:?}: must be one of None, Metadata, Object"
        ))),
    }
}

/// How a request's body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFormat {
    Json,
    Yaml,
    Protobuf,
}

/// The format of an object in a request's body; JSON where the client does not say.
pub(crate) fn body_format(headers: &HeaderMap) -> Result<BodyFormat, ApiError> {
    let media = media_type(headers);
    match media {
        "" | "application/json" | "*/*" => Ok(BodyFormat::Json),
        minato_protobuf::MEDIA_TYPE => Ok(BodyFormat::Protobuf),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(BodyFormat::Yaml),
        other => Err(ApiError::unsupported_media_type(other, OFFERED)),
    }
}

/// The media type of the body, without parameters; empty where absent.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expected: Option<Form>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        assert_eq!(form(&headers, &Query::default()).ok(), expected, "{accept}");
    }

    #[test]
    fn forms() {
        let table = Some(Form::Table(IncludeObject::Metadata));
        check("application/json", Some(Form::Object));
        check("*/*", Some(Form::Object));
        check("application/vnd.kubernetes.protobuf,application/json", Some(Form::Object));
        check("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", table);
        check("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", Some(Form::Object));
        check("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Some(Form::Metadata));
        check("application/xml", None);
        check("application/vnd.kubernetes.protobuf", None);
        assert_eq!(form(&HeaderMap::new(), &Query::default()).ok(), Some(Form::Object));
    }
}
