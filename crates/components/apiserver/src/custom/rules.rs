//! The rules of CustomResourceDefinitions that need to know schemas, columns and paths; names are checked by
//! `minato-kinds`.

use jiff::Timestamp;
use minato_kinds::{At, Errors, FieldError, Strategy, Subresource, by_resource};
use minato_structural as structural;
use minato_table::JsonPath;
use serde_json::{Value, json};

use super::definition::CLEANUP;

/// The rules of definitions: those of the built-in kind, and more.
pub(crate) static DEFINITION_RULES: DefinitionRules = DefinitionRules;

pub(crate) struct DefinitionRules;

const SELECTABLE_MAX: usize = 8;
const COLUMN_TYPES: [&str; 5] = ["integer", "number", "string", "boolean", "date"];

impl DefinitionRules {
    fn base(&self) -> Option<&'static dyn Strategy> {
        let declaration = by_resource("apiextensions.k8s.io", "customresourcedefinitions")?;
        Some(&*declaration.strategy)
    }
}

impl Strategy for DefinitionRules {
    fn default(&self, object: &mut Value) {
        if let Some(base) = self.base() {
            base.default(object);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, now: Timestamp) {
        if let Some(base) = self.base() {
            base.prepare_for_create(object, now);
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        if let Some(base) = self.base() {
            base.prepare_for_update(new, old);
        }
    }

    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        if let Some(base) = self.base() {
            base.prepare_for_status_update(new, old);
        }
    }

    fn prepare_for_subresource_update(&self, subresource: Subresource, new: &mut Value, old: &Value) {
        if let Some(base) = self.base() {
            base.prepare_for_subresource_update(subresource, new, old);
        }
    }

    /// A definition stays until its objects are gone.
    fn prepare_for_delete(&self, object: &mut Value) {
        if !object["metadata"]["deletionTimestamp"].is_null() {
            return;
        }
        let finalizers = &mut object["metadata"]["finalizers"];
        if !finalizers.is_array() {
            *finalizers = json!([]);
        }
        if let Value::Array(finalizers) = finalizers
            && !finalizers.iter().any(|finalizer| finalizer == CLEANUP)
        {
            finalizers.push(CLEANUP.into());
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = self.base().map(|base| base.validate(object)).unwrap_or_default();
        errors.extend(versions(object, None));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.base().map(|base| base.validate_update(new, old)).unwrap_or_default();
        errors.extend(versions(new, Some(old)));
        errors.extend(stored_versions(new));
        errors
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.base().map(|base| base.validate_status_update(new, old)).unwrap_or_default();
        errors.extend(stored_versions(new));
        errors
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        self.base().map(|base| base.warnings(object, old)).unwrap_or_default()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

/// What was stored once may still be there: such a version must stay in the specification.
fn stored_versions(object: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let status = At::Root.field("status");
    let at = status.field("storedVersions");
    let versions = object["spec"]["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let stored = object["status"]["storedVersions"].as_array().map_or(&[][..], Vec::as_slice);
    if stored.is_empty() {
        errors.invalid(&at, json!([]), "must have at least one stored version");
    }
    for (index, name) in stored.iter().enumerate() {
        if !versions.iter().any(|version| version["name"] == *name) {
            errors.invalid(&at.index(index), name.clone(), "must appear in spec.versions");
        }
    }
    let storage = versions.iter().find(|version| version["storage"] == true).map(|version| &version["name"]);
    if let Some(storage) = storage
        && !stored.is_empty()
        && !stored.contains(storage)
    {
        let name = storage.as_str().unwrap_or_default();
        errors.invalid(&at, Value::Array(stored.to_vec()), format!("must have the storage version {name}"));
    }
    errors.into_vec()
}

fn versions(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let at = At::Root.field("spec");
    let versions_at = at.field("versions");
    if new["spec"]["preserveUnknownFields"] == true {
        let detail = "must be false in order to use defaults in the schema";
        let was = old.is_some_and(|old| old["spec"]["preserveUnknownFields"] == true);
        if !was {
            errors.invalid(&at.field("preserveUnknownFields"), true, detail);
        }
    }
    for (index, version) in new["spec"]["versions"].as_array().into_iter().flatten().enumerate() {
        let at = versions_at.index(index);
        let before = old.and_then(|old| {
            old["spec"]["versions"].as_array()?.iter().find(|before| before["name"] == version["name"])
        });
        let schema = &version["schema"]["openAPIV3Schema"];
        // What was accepted once is not looked at again.
        if schema.is_object() && before.is_none_or(|before| before["schema"]["openAPIV3Schema"] != *schema) {
            let schema_at = at.field("schema");
            errors.extend(structural::check(schema, &schema_at.field("openAPIV3Schema")));
        }
        columns(version, &at, &mut errors);
        selectable(version, &at, &mut errors);
        if version["deprecated"] != true
            && let Some(warning) = version["deprecationWarning"].as_str()
        {
            let detail = "can only be set for deprecated versions";
            errors.invalid(&at.field("deprecationWarning"), warning, detail);
        }
    }
    errors.into_vec()
}

fn columns(version: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("additionalPrinterColumns");
    for (index, column) in version["additionalPrinterColumns"].as_array().into_iter().flatten().enumerate() {
        let at = at.index(index);
        let text = |key: &str| column[key].as_str().unwrap_or_default();
        if text("name").is_empty() {
            errors.required(&at.field("name"), "");
        }
        match text("type") {
            "" => errors.required(&at.field("type"), &format!("must be one of {}", COLUMN_TYPES.join(","))),
            kind if COLUMN_TYPES.contains(&kind) => {}
            kind => {
                errors.invalid(&at.field("type"), kind, format!("must be one of {}", COLUMN_TYPES.join(",")));
            }
        }
        const FORMATS: [&str; 9] = ["int32", "int64", "float", "double", "byte", "date", "date-time", "password", ""];
        if !FORMATS.contains(&text("format")) {
            let detail = "must be one of byte,date,date-time,double,float,int32,int64,password";
            errors.invalid(&at.field("format"), text("format"), detail);
        }
        match text("jsonPath") {
            "" => errors.required(&at.field("jsonPath"), ""),
            path => {
                if let Err(error) = JsonPath::parse(path) {
                    errors.invalid(&at.field("jsonPath"), path, format!("illegal jsonPath: {error}"));
                }
            }
        }
    }
}

fn selectable(version: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("selectableFields");
    let fields = version["selectableFields"].as_array().map_or(&[][..], Vec::as_slice);
    if fields.len() > SELECTABLE_MAX {
        errors.too_many(&at, fields.len(), SELECTABLE_MAX);
    }
    let schema = &version["schema"]["openAPIV3Schema"];
    for (index, field) in fields.iter().enumerate() {
        let at = at.index(index);
        let at = at.field("jsonPath");
        let path = field["jsonPath"].as_str().unwrap_or_default();
        if path.is_empty() {
            errors.required(&at, "");
            continue;
        }
        let parsed = match JsonPath::parse(path) {
            Ok(parsed) if parsed.is_simple() => parsed,
            _ => {
                errors.invalid(&at, path, "is an invalid path: must be a simple path to a field");
                continue;
            }
        };
        if parsed.fields().next() == Some("metadata") {
            errors.invalid(&at, path, "must not point to fields in metadata");
            continue;
        }
        if fields[..index].iter().any(|other| other["jsonPath"] == field["jsonPath"]) {
            errors.duplicate(&at, path);
        }
        let found = parsed.fields().fold(schema, |schema, name| &schema["properties"][name]);
        if !matches!(found["type"].as_str(), Some("string" | "integer" | "boolean")) {
            let detail = if found.is_null() {
                "is an invalid path: does not refer to a valid field".to_owned()
            } else {
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.".to_owned()
            };
            errors.invalid(&at, path, detail);
        }
    }
}
