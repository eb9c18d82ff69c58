//! What the engine asks of a schema: how the values of a kind divide into fields.

use minato_schema::{Conformed, ListType, Schema, conform_configuration};
use serde_json::Value;

/// How values divide into fields, each of which somebody may own. Built-in kinds bring [`Schema`], custom resources
/// what their definition says.
pub trait Topology: Sync {
    /// The topology of the value under `name`: a known field's, or that of a map's values.
    fn field(&self, name: &str) -> Option<&dyn Topology>;

    /// Whether `name` is a field that the schema names, not a free key of a map.
    fn names(&self, name: &str) -> bool;

    /// The topology of an array's items.
    fn items(&self) -> Option<&dyn Topology>;

    /// How an array merges; `None` for anything else.
    fn list_type(&self) -> Option<&ListType>;

    /// Whether an object or map is one field.
    fn is_atomic(&self) -> bool;

    /// The default that completes the keys of list maps.
    fn default(&self) -> Option<&Value>;

    /// Whether the field `name` is there even in an object that says nothing of it, so that nobody comes to own it by
    /// creating the object: in Go, a struct or list that is neither a pointer nor `omitempty`.
    fn is_always_there(&self, name: &str) -> bool;

    /// Brings an applied configuration of the kind into the API's form, or says what is wrong with it:
    /// `.spec.foo: field not declared in schema`.
    ///
    /// # Errors
    /// The first field that is not as the schema has it.
    fn check(&self, configuration: &mut Value) -> Result<(), String>;
}

impl Topology for Schema {
    fn field(&self, name: &str) -> Option<&dyn Topology> {
        Schema::field(self, name).map(|schema| schema as &dyn Topology)
    }

    fn names(&self, name: &str) -> bool {
        self.properties().is_some() && Schema::field(self, name).is_some()
    }

    fn items(&self) -> Option<&dyn Topology> {
        Schema::items(self).map(|schema| schema as &dyn Topology)
    }

    fn list_type(&self) -> Option<&ListType> {
        Schema::list_type(self)
    }

    fn is_atomic(&self) -> bool {
        Schema::is_atomic(self)
    }

    fn default(&self) -> Option<&Value> {
        Schema::default(self)
    }

    fn is_always_there(&self, name: &str) -> bool {
        let Some(field) = Schema::field(self, name) else { return false };
        match field.definition() {
            Some(definition) => is_plain_struct(definition),
            // The lists that Go always writes, where they hold what an object cannot be without.
            None => matches!(
                (name, self.definition().map(last_word)),
                ("containers", Some("PodSpec")) | ("rules", Some("Role" | "ClusterRole"))
            ),
        }
    }

    fn check(&self, configuration: &mut Value) -> Result<(), String> {
        let Conformed { unknown_fields } =
            conform_configuration(self, configuration).map_err(|mismatch| mismatch.to_string())?;
        match unknown_fields.first() {
            Some(field) => Err(format!(".{field}: field not declared in schema")),
            None => Ok(()),
        }
    }
}

fn last_word(definition: &str) -> &str {
    definition.rsplit('.').next().unwrap_or(definition)
}

/// Structs that Go's types of the API embed by value wherever they are fields.
fn is_plain_struct(definition: &str) -> bool {
    let name = last_word(definition);
    match name {
        "DeploymentStrategy"
        | "DaemonSetUpdateStrategy"
        | "StatefulSetUpdateStrategy"
        | "ObjectMeta"
        | "PodTemplateSpec"
        | "JobTemplateSpec"
        | "PersistentVolumeClaimSpec" => true,
        _ => (name.ends_with("Spec") || name.ends_with("Status")) && !name.ends_with("TemplateSpec"),
    }
}
