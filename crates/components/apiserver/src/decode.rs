//! From a request's bytes to an object in the storage version: parsed, of the right kind, of the right shape.

mod repeats;

use minato_schema::{Conformed, Schema};
use serde_json::{Map, Value};

use crate::custom::Custom;
use crate::negotiate::BodyFormat;
use crate::registry::Resource;
use crate::route::Query;
use crate::status::ApiError;

pub(crate) use repeats::repeated_keys;

/// The query parameter `fieldValidation`: what to do about unknown and duplicate fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

impl FieldValidation {
    pub(crate) fn parse(query: &Query) -> Result<Self, ApiError> {
        match query.get("fieldValidation") {
            None | Some("Warn") => Ok(Self::Warn),
            Some("Ignore") => Ok(Self::Ignore),
            Some("Strict") => Ok(Self::Strict),
            Some(other) => Err(ApiError::bad_request(format!(
                "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }
}

/// A parsed body, and what strictness holds against its text.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) value: Value,
    /// The paths of keys that it has twice.
    pub(crate) duplicates: Vec<String>,
    /// What else there is to say, ready to be said: of YAML, or of the patch that made the value.
    pub(crate) complaints: Vec<String>,
}

impl From<Value> for Parsed {
    fn from(value: Value) -> Self {
        Self { value, ..Self::default() }
    }
}

/// Parses a body; it must be an object.
pub(crate) fn parse(bytes: &[u8], format: BodyFormat) -> Result<Parsed, ApiError> {
    let parsed = match format {
        BodyFormat::Json => {
            let (value, duplicates) = minato_schema::parse_json(bytes)
                .map_err(|error| ApiError::bad_request(format!("couldn't parse the body as JSON: {error}")))?;
            Parsed { value, duplicates, complaints: Vec::new() }
        }
        BodyFormat::Protobuf => {
            minato_protobuf::decode(bytes).map_err(|error| ApiError::bad_request(error.to_string()))?.into()
        }
        BodyFormat::Yaml => {
            let text = std::str::from_utf8(bytes).map_err(|_| ApiError::bad_request("the body is not valid UTF-8"))?;
            let (value, repeated) = repeats::parse_yaml(text)
                .map_err(|error| ApiError::bad_request(format!("error converting YAML to JSON: yaml: {error}")))?;
            Parsed { value, duplicates: Vec::new(), complaints: repeated.into_iter().collect() }
        }
    };
    if !parsed.value.is_object() {
        return Err(ApiError::bad_request("the object provided is unrecognized (must be of type object)"));
    }
    Ok(parsed)
}

/// Checks `apiVersion` and `kind` of a body that must be `kind` in `api_version`; sets them where absent.
pub(crate) fn check_kind(object: &mut Value, api_version: &str, kind: &str) -> Result<(), ApiError> {
    let Value::Object(fields) = object else { return Ok(()) };
    let found_version = fields.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let found_kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default();
    if !found_kind.is_empty() && found_kind != kind {
        return Err(ApiError::bad_request(format!(
            "{found_kind} in version {:?} cannot be handled as a {kind}: converting (unknown) to ({kind}): unknown conversion",
            found_version.rsplit('/').next().unwrap_or_default()
        )));
    }
    if !found_version.is_empty() && found_version != api_version {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({found_version}) does not match the expected API version ({api_version})"
        )));
    }
    fields.insert("apiVersion".to_owned(), api_version.into());
    fields.insert("kind".to_owned(), kind.into());
    Ok(())
}

/// Brings a body to the shape of `schema`; complaints about unknown and duplicate fields become an error or warnings, as
/// `validation` says.
pub(crate) fn conform(
    schema: Option<&Schema>,
    body: &mut Parsed,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    let object = &mut body.value;
    let Conformed { unknown_fields } = match schema {
        None => Conformed { unknown_fields: Vec::new() },
        Some(schema) => minato_schema::conform(schema, object).map_err(|mismatch| {
            let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
            let version = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
            let version = version.rsplit('/').next().unwrap_or_default();
            ApiError::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {mismatch}"))
        })?,
    };
    // What is unknown is not read, so that nothing is told of what it repeats.
    body.duplicates.retain(|path| !unknown_fields.iter().any(|unknown| lies_in(path, unknown)));
    complain(body, &unknown_fields, validation, warnings)
}

/// Whether the field `path` is `other` or below it.
fn lies_in(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Unknown and duplicate fields become an error or warnings, as `validation` says.
fn complain(
    body: &Parsed,
    unknown_fields: &[String],
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    let Parsed { value: object, duplicates, complaints } = body;
    let duplicates = duplicates.iter().map(|path| format!("duplicate field {path:?}"));
    let complaints: Vec<String> = complaints
        .iter()
        .cloned()
        .chain(duplicates)
        .chain(unknown_fields.iter().map(|path| format!("unknown field {path:?}")))
        .collect();
    match validation {
        FieldValidation::Strict if !complaints.is_empty() => Err(ApiError::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
            object.get("kind").and_then(Value::as_str).unwrap_or_default(),
            object.get("apiVersion").and_then(Value::as_str).unwrap_or_default().rsplit('/').next().unwrap_or_default(),
            object.get("kind").and_then(Value::as_str).unwrap_or_default(),
            complaints.join(", "),
        ))),
        FieldValidation::Warn => {
            warnings.extend(complaints);
            Ok(())
        }
        FieldValidation::Strict | FieldValidation::Ignore => Ok(()),
    }
}

/// Brings the metadata of a custom object and of the resources in it to its shape and drops what its schema does not
/// specify; the paths of what was unknown.
fn prune(custom: &Custom, object: &mut Value) -> Result<Vec<String>, ApiError> {
    let (mut unknown, mut refused) = (Vec::new(), None);
    let mut shape_of = |path: &str, metadata: &mut Value| {
        let Some(shape) = metadata_shape() else { return };
        match minato_schema::conform(shape, metadata) {
            Ok(Conformed { unknown_fields }) => {
                unknown.extend(unknown_fields.iter().map(|field| format!("{path}.{field}")));
            }
            Err(mismatch) => {
                refused.get_or_insert(mismatch);
            }
        }
    };
    if let Some(metadata) = object.get_mut("metadata") {
        shape_of("metadata", metadata);
    }
    let pruned = minato_structural::prune_and_visit(custom.schema(), object, &mut shape_of);
    if let Some(mismatch) = refused {
        return Err(ApiError::bad_request(format!("failed to convert metadata to ObjectMeta: {mismatch}")));
    }
    unknown.extend(pruned);
    Ok(unknown)
}

/// The shape of `metadata`, which is the same for all kinds.
pub(crate) fn metadata_shape() -> Option<&'static Schema> {
    minato_schema::builtin("", "v1", "ConfigMap")?.field("metadata")
}

/// Takes a parsed body of `resource` to its storage version.
pub(crate) fn object(
    resource: &Resource,
    mut parsed: Parsed,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<Value, ApiError> {
    check_kind(&mut parsed.value, &resource.api_version, &resource.declaration.kind)?;
    match &resource.custom {
        Some(custom) => {
            let unknown = prune(custom, &mut parsed.value)?;
            complain(&parsed, &unknown, validation, warnings)?;
        }
        None => conform(resource.schema(), &mut parsed, validation, warnings)?,
    }
    let mut value = parsed.value;
    resource.declaration.to_storage(&mut value);
    if let Value::Object(fields) = &mut value {
        let metadata = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if !metadata.is_object() {
            *metadata = Value::Object(Map::new());
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Every kind that is served, from each of its three forms, to the same object, and back.
    #[test]
    fn the_three_forms_of_a_kind_are_one_object() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/spec/roundtrip");
        let Ok(entries) = std::fs::read_dir(&folder) else {
            println!("skipped: {} is absent", folder.display());
            return;
        };
        let (mut checked, mut wrong) = (0, Vec::new());
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // `after_roundtrip` shows what upstream loses of fields that it does not know.
            if !name.ends_with(".json") || name.contains("after_roundtrip") {
                continue;
            }
            let read = |extension: &str, format| parse(&std::fs::read(path.with_extension(extension)).unwrap(), format);
            let json = read("json", BodyFormat::Json).unwrap().value;
            let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
            let (api_version, kind) = (text("apiVersion"), text("kind"));
            let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
            let Some(schema) = minato_schema::builtin(group, version, &kind) else { continue };
            let shaped = |parsed: Result<Parsed, ApiError>| {
                let mut value = parsed.map_err(|error| error.message)?.value;
                let unknown = minato_schema::conform(schema, &mut value).map_err(|error| error.to_string())?;
                let unknown = unknown.unknown_fields;
                if unknown.is_empty() { Ok(value) } else { Err(unknown.join(", ")) }
            };
            let Ok(expected) = shaped(Ok(json.into())) else {
                wrong.push(format!("{name}: JSON"));
                continue;
            };
            let yaml = serde_saphyr::to_string(&expected).unwrap();
            let mut forms = vec![
                ("yaml", shaped(read("yaml", BodyFormat::Yaml))),
                ("yaml again", shaped(parse(yaml.as_bytes(), BodyFormat::Yaml))),
            ];
            if minato_protobuf::has_form(&api_version, &kind) {
                let again = minato_protobuf::encode(&expected).unwrap();
                forms.push(("protobuf", shaped(read("pb", BodyFormat::Protobuf))));
                forms.push(("protobuf again", shaped(parse(&again, BodyFormat::Protobuf))));
            }
            checked += 1;
            for (form, found) in forms {
                if found.as_ref() != Ok(&expected) {
                    wrong.push(format!("{name}: {form}: {}", found.err().unwrap_or_else(|| "differs".to_owned())));
                }
            }
        }
        assert!(wrong.is_empty(), "{} of {checked}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(checked > 50, "{checked}");
    }
}
