//! Content negotiation: which of an object's forms a client asks for.

use http::{HeaderMap, header};

use crate::route::Query;
use crate::status::ApiError;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Yaml,
    Protobuf,
}

impl Encoding {
    fn of(media: &str) -> Option<Self> {
        match media {
            "application/json" | "*/*" | "application/*" => Some(Self::Json),
            "application/yaml" => Some(Self::Yaml),
            minato_protobuf::MEDIA_TYPE => Some(Self::Protobuf),
            _ => None,
        }
    }
}

/// What the answer will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) form: Form,
    pub(crate) encoding: Encoding,
}

/// What can be offered besides JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    /// The answer is a stream: there is no YAML of it.
    pub(crate) watch: bool,
    /// Whole objects have a protobuf form; metadata always has.
    pub(crate) protobuf: bool,
}

/// The form in which objects are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As stored.
    Object,
    /// `Table`, with what of each object in `rows[].object`.
    Table(IncludeObject, MetaVersion),
    /// `PartialObjectMetadata`.
    Metadata(MetaVersion),
}

/// The version of `meta.k8s.io` in which tables and metadata are sent; they look the same in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaVersion {
    V1,
    V1Beta1,
}

impl MetaVersion {
    fn parse(version: &str) -> Option<Self> {
        match version {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        }
    }

    /// What stands in `apiVersion`.
    pub(crate) fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// The query parameter `includeObject` of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    None,
    Metadata,
    Object,
}

const OFFERED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// One range of an `Accept` header.
struct Range<'a> {
    media: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().filter(|media| !media.is_empty())?;
        let parameters: Vec<(&str, &str)> =
            parts.filter_map(|part| part.split_once('=')).map(|(key, value)| (key.trim(), value.trim())).collect();
        let quality = parameters.iter().find(|(key, _)| *key == "q").and_then(|(_, value)| value.parse().ok());
        Some(Self { media, quality: quality.unwrap_or(1.0), parameters })
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(have, _)| *have == key).map(|(_, value)| *value)
    }

    /// The form that is asked for; `None` where there is none such.
    fn form(&self, query: &Query) -> Option<Result<Form, ApiError>> {
        let (as_kind, group, version) = (self.get("as"), self.get("g"), self.get("v"));
        if (as_kind, group, version) == (None, None, None) {
            return Some(Ok(Form::Object));
        }
        let version = MetaVersion::parse(version?).filter(|_| group == Some("meta.k8s.io"))?;
        match as_kind? {
            "Table" => Some(include(query).map(|include| Form::Table(include, version))),
            "PartialObjectMetadata" | "PartialObjectMetadataList" => Some(Ok(Form::Metadata(version))),
            _ => None,
        }
    }
}

/// The ranges of `Accept`, best first: by quality, then what is named before what is not, then as they come.
fn ranges(headers: &HeaderMap) -> Vec<Range<'_>> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges: Vec<Range<'_>> = values.flat_map(|value| value.split(',')).filter_map(Range::parse).collect();
    ranges.sort_by(|a, b| {
        let wild = |range: &Range<'_>| (range.media.starts_with("*/"), range.media.ends_with("/*"));
        b.quality.total_cmp(&a.quality).then_with(|| wild(a).cmp(&wild(b)))
    });
    ranges
}

/// Whether `Accept` says what nearly all say: JSON, or nothing.
pub(crate) fn is_plain(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::ACCEPT).iter();
    match (values.next(), values.next()) {
        (None, _) => true,
        (Some(only), None) => matches!(only.as_bytes(), b"application/json" | b"*/*" | b"application/json, */*" | b""),
        _ => false,
    }
}

/// The best of what `Accept` lists that can be served.
pub(crate) fn accepted(headers: &HeaderMap, query: &Query, offer: Offer) -> Result<Accepted, ApiError> {
    let plain = Accepted { form: Form::Object, encoding: Encoding::Json };
    if is_plain(headers) {
        return Ok(plain);
    }
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Ok(plain);
    }
    for range in &ranges {
        let Some(encoding) = Encoding::of(range.media) else { continue };
        if range.get("stream").is_some_and(|stream| stream != "watch") {
            continue;
        }
        let form = match range.form(query) {
            Some(form) => form?,
            None => continue,
        };
        let served = match (encoding, form) {
            (Encoding::Json, _) => true,
            (Encoding::Yaml, _) => !offer.watch,
            // Tables are never protobuf.
            (Encoding::Protobuf, Form::Table(..)) => false,
            (Encoding::Protobuf, Form::Metadata(_)) => true,
            (Encoding::Protobuf, Form::Object) => offer.protobuf,
        };
        if served {
            return Ok(Accepted { form, encoding });
        }
    }
    Err(not_acceptable(offer))
}

/// The refusal that lists what can be had.
pub(crate) fn not_acceptable(offer: Offer) -> ApiError {
    let streams = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
    let wholes = ["application/json", "application/yaml", minato_protobuf::MEDIA_TYPE];
    let offered: &[&str] = match (offer.watch, offer.protobuf) {
        (true, true) => &streams,
        (true, false) => &streams[..1],
        (false, true) => &wholes,
        (false, false) => &wholes[..2],
    };
    ApiError::not_acceptable(&offered.join(", "))
}

/// How an answer that may be anything is written: errors, and what is no object of a resource.
pub(crate) fn encoding(headers: &HeaderMap) -> Encoding {
    if is_plain(headers) {
        return Encoding::Json;
    }
    let ranges = ranges(headers);
    let known = ranges.iter().filter_map(|range| Some((range, Encoding::of(range.media)?)));
    let mut served = known.filter(|(range, encoding)| *encoding == Encoding::Json || range.get("as") != Some("Table"));
    served.next().map_or(Encoding::Json, |(_, encoding)| encoding)
}

/// Whether the client takes compressed answers. As upstream, only the plain word counts.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim() == "gzip")
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

    fn check(accept: &str, offer: Offer, expected: Option<(Form, Encoding)>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        let expected = expected.map(|(form, encoding)| Accepted { form, encoding });
        assert_eq!(accepted(&headers, &Query::default(), offer).ok(), expected, "{accept}");
    }

    #[test]
    fn forms() {
        let table = Form::Table(IncludeObject::Metadata, MetaVersion::V1);
        let one = |accept, expected| check(accept, Offer { watch: false, protobuf: true }, Some(expected));
        one("application/json", (Form::Object, Encoding::Json));
        one("*/*", (Form::Object, Encoding::Json));
        one("application/yaml, */*", (Form::Object, Encoding::Yaml));
        one("*/*, application/yaml", (Form::Object, Encoding::Yaml));
        one("application/json;q=0.5,application/yaml;q=0.9", (Form::Object, Encoding::Yaml));
        one("application/vnd.kubernetes.protobuf,application/json", (Form::Object, Encoding::Protobuf));
        one("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", (table, Encoding::Json));
        let beta = Form::Table(IncludeObject::Metadata, MetaVersion::V1Beta1);
        one("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", (beta, Encoding::Json));
        one("application/json;as=Table;v=v2;g=meta.k8s.io,application/json", (Form::Object, Encoding::Json));
        one("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,*/*", (Form::Object, Encoding::Json));
        one(
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            (Form::Metadata(MetaVersion::V1), Encoding::Json),
        );
        one(
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            (Form::Metadata(MetaVersion::V1), Encoding::Protobuf),
        );
        one("text/html, application/xhtml+xml, */*;q=0.8", (Form::Object, Encoding::Json));
        check("application/xml", Offer { watch: false, protobuf: true }, None);
        let headers = HeaderMap::new();
        let none = accepted(&headers, &Query::default(), Offer { watch: false, protobuf: true });
        assert_eq!(none.ok(), Some(Accepted { form: Form::Object, encoding: Encoding::Json }));
    }

    #[test]
    fn what_is_not_offered_is_passed_over() {
        let custom = Offer { watch: false, protobuf: false };
        check("application/vnd.kubernetes.protobuf", custom, None);
        check("application/vnd.kubernetes.protobuf,application/json", custom, Some((Form::Object, Encoding::Json)));
        check(
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            custom,
            Some((Form::Metadata(MetaVersion::V1), Encoding::Protobuf)),
        );
        let watch = Offer { watch: true, protobuf: true };
        check("application/yaml", watch, None);
        check("application/vnd.kubernetes.protobuf;stream=watch", watch, Some((Form::Object, Encoding::Protobuf)));
        check("application/json;stream=other", watch, None);
    }
}
