//! The rules of a custom kind: those of its schema (upstream's `customresource.customResourceStrategy`).

use jiff::Timestamp;
use minato_kinds::{FieldError, FieldErrorKind, FieldPath, Strategy};
use minato_structural as structural;
use serde_json::Value;

use super::Custom;

impl Strategy for Custom {
    fn default(&self, object: &mut Value) {
        let schema = self.schema();
        structural::default(schema, object);
        structural::drop_nulls(schema, object);
    }

    fn prepare_for_create(&self, _object: &mut Value, _now: Timestamp) {}

    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        // Labels and the like are not the status: only who wrote what is new.
        let mut metadata = old["metadata"].clone();
        for key in ["managedFields", "resourceVersion"] {
            match new["metadata"].get(key) {
                Some(value) => metadata[key] = value.clone(),
                None => {
                    if let Value::Object(fields) = &mut metadata {
                        fields.remove(key);
                    }
                }
            }
        }
        new["metadata"] = metadata;
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let schema = self.schema();
        let mut errors = structural::validate(schema, object);
        self.validate_scale(object, &mut errors);
        errors.extend(structural::validate_embedded(schema, object));
        errors.extend(structural::validate_lists(schema, object));
        self.validate_rules(object, None, &mut errors);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let schema = self.schema();
        let mut errors = structural::validate_update(schema, new, old);
        self.validate_scale(new, &mut errors);
        self.validate_change(new, old, &mut errors);
        self.validate_rules(new, Some(old), &mut errors);
        errors
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = structural::validate_update(self.schema(), new, old);
        self.validate_scale(new, &mut errors);
        self.validate_change(new, old, &mut errors);
        self.validate_rules(new, Some(old), &mut errors);
        errors
    }

    fn warnings(&self, object: &Value, _old: Option<&Value>) -> Vec<String> {
        let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str);
        finalizers
            .filter(|name| !name.contains('/') && !matches!(*name, "orphan" | "foregroundDeletion" | "kubernetes"))
            .map(|name| {
                format!(
                    "metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name including a path (/) to \
                     avoid accidental conflicts with other finalizer writers"
                )
            })
            .collect()
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn generation_changed(&self, new: &Value, old: &Value) -> bool {
        // Without a status of its own URL, `status` is a field like any other.
        let counts = |name: &str| name != "metadata" && !(self.has_status && name == "status");
        let fields = |object: &Value| -> Vec<String> {
            object
                .as_object()
                .into_iter()
                .flat_map(|fields| fields.keys())
                .filter(|name| counts(name))
                .cloned()
                .collect()
        };
        let (mut names, more) = (fields(new), fields(old));
        names.extend(more);
        names.iter().any(|name| new.get(name) != old.get(name))
    }

    fn restricts_finalizers(&self) -> bool {
        false
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

impl Custom {
    /// Embedded resources and lists are judged as a whole: if they were wrong before, they may be.
    fn validate_change(&self, new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
        let schema = self.schema();
        for check in [structural::validate_embedded, structural::validate_lists] {
            let found = check(schema, new);
            if !found.is_empty() && check(schema, old).is_empty() {
                errors.extend(found);
            }
        }
    }

    /// What the scale subresource shows must be numbers and a text.
    fn validate_scale(&self, object: &Value, errors: &mut Vec<FieldError>) {
        let Some(paths) = &self.scale else { return };
        let mut invalid = |path: &str, value: &Value, detail: String| {
            let path = FieldPath::new(path);
            errors.push(FieldError { path, kind: FieldErrorKind::Invalid, value: value.clone(), detail });
        };
        for path in [&paths.spec_replicas, &paths.status_replicas] {
            match at(object, path) {
                None | Some(Value::Null) => {}
                Some(value) => match value.as_i64() {
                    None => {
                        let detail =
                            format!("{path} accessor error: {value} is of the type {}, expected int64", go_type(value));
                        invalid(path, &Value::from(0), detail);
                    }
                    Some(number) if number < 0 => invalid(path, value, "should be a non-negative integer".to_owned()),
                    Some(number) if number > i64::from(i32::MAX) => {
                        invalid(path, value, format!("should be less than or equal to {}", i32::MAX));
                    }
                    Some(_) => {}
                },
            }
        }
        if let Some(value) = at(object, &paths.label_selector).filter(|_| !paths.label_selector.is_empty())
            && !value.is_string()
            && !value.is_null()
        {
            let path = &paths.label_selector;
            let detail = format!("{path} accessor error: {value} is of the type {}, expected string", go_type(value));
            invalid(path, &Value::from(""), detail);
        }
    }
}

fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').filter(|part| !part.is_empty()).try_fold(object, |value, part| value.get(part))
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
