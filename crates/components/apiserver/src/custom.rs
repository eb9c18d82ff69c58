//! Custom kinds: what CustomResourceDefinitions add to the registry.
//!
//! A served version of a definition is a [`Resource`](crate::registry::Resource) like any other, with a declaration of
//! its own and a [`Custom`] behind it: its schema, compiled when first needed, its columns, its conversion. Objects of a
//! custom kind are worked on in the version that the request names and stored in the definition's storage version; what
//! lies between is [`convert`].
//!
//! The task in [`controller`] follows the definitions: it gives out names, puts versions into the registry and takes them
//! out, and removes the objects of a definition that is deleted.

mod columns;
mod controller;
mod convert;
mod definition;
mod names;
mod rules;
mod strategy;

use std::sync::{Arc, OnceLock};

use minato_apply::{CustomTopology, Topology};
use minato_kinds::{
    Declaration, FieldError, FieldErrorKind, FieldPath, Name, NameRule, Names, Rules, ScalePaths, Subresource, Verbs,
};
use minato_mvcc::{Object, Revision};
use minato_structural::{self as structural, Schema};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::registry::Resource;

pub(crate) use columns::Columns;
pub(crate) use controller::Follower;
pub(crate) use convert::Conversion;
pub(crate) use definition::Definition;
pub(crate) use rules::DEFINITION_RULES;

/// Where definitions are kept.
pub(crate) const DEFINITIONS: &str = "apiextensions.k8s.io/customresourcedefinitions";

/// One served version of a custom kind, besides its names.
pub(crate) struct Custom {
    /// The `apiVersion` of what is stored.
    pub(crate) stored_api_version: String,
    pub(crate) conversion: Conversion,
    pub(crate) columns: Columns,
    /// JSON paths of fields that selectors may name, without the leading dot.
    pub(crate) selectable: Vec<String>,
    /// Objects written before the definition was last changed may not have its present shape.
    since: Revision,
    /// Ends the watches of this version when it is replaced.
    pub(crate) retired: CancellationToken,
    has_status: bool,
    scale: Option<ScalePaths>,
    api_version: String,
    /// The definition as it is stored, and which of its versions this is: the schema is in there.
    source: Arc<Object>,
    index: usize,
    schema: OnceLock<Compiled>,
}

/// What is made of a schema when its first object comes.
struct Compiled {
    schema: Schema,
    topology: CustomTopology,
    rules: OnceLock<structural::Rules>,
}

impl Custom {
    pub(crate) fn schema(&self) -> &Schema {
        &self.compiled().schema
    }

    fn compiled(&self) -> &Compiled {
        self.schema.get_or_init(|| {
            let schema = self.written_schema();
            Compiled { topology: CustomTopology::of(&schema), schema: Schema::compile(&schema), rules: OnceLock::new() }
        })
    }

    /// How objects divide into fields that managers own.
    pub(crate) fn topology(&self) -> &dyn Topology {
        &self.compiled().topology
    }

    /// What CEL says of the object, if the rest of the schema lets it be asked.
    fn validate_rules(&self, object: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
        let compiled = self.compiled();
        let rules = compiled.rules.get_or_init(|| structural::Rules::compile(&compiled.schema));
        if rules.is_empty() {
            return;
        }
        if structural::blocks_rules(errors) {
            errors.push(FieldError {
                path: FieldPath::new("<nil>"),
                kind: FieldErrorKind::Invalid,
                value: Value::Null,
                detail: "some validation rules were not checked because the object was invalid; correct the existing \
                         errors to complete validation"
                    .to_owned(),
            });
            return;
        }
        errors.extend(rules.validate(object, old));
    }

    /// The `openAPIV3Schema` as the definition has it.
    pub(crate) fn written_schema(&self) -> Value {
        let mut definition: Value = serde_json::from_slice(&self.source.value).unwrap_or_default();
        definition["spec"]["versions"][self.index]["schema"]["openAPIV3Schema"].take()
    }

    /// Changes whenever the schema may have.
    pub(crate) fn edition(&self) -> u64 {
        self.source.revision.0
    }

    /// Whether `object`'s stored bytes are what this version shows.
    pub(crate) fn shows(&self, object: &Object) -> bool {
        self.api_version == self.stored_api_version && object.revision > self.since
    }
}

/// The resources that `definition`, stored as `source`, makes: one for each version that is `wanted`.
pub(crate) fn resources(
    definition: &Definition,
    source: &Arc<Object>,
    wanted: impl Fn(&definition::Version) -> bool,
) -> Vec<Arc<Resource>> {
    let names = &definition.status.accepted_names;
    let group = &definition.spec.group;
    let storage = definition.storage_version().unwrap_or_default();
    let versions = definition.spec.versions.iter().enumerate().filter(|(_, version)| wanted(version));
    versions
        .map(|(index, version)| {
            let api_version = format!("{group}/{}", version.name);
            let (has_status, scale) = match &version.subresources {
                Some(subresources) => (subresources.status.is_some(), subresources.scale.as_ref()),
                None => (false, None),
            };
            let scale = scale.map(|paths| ScalePaths {
                spec_replicas: Name::Owned(paths.spec_replicas_path.clone()),
                status_replicas: Name::Owned(paths.status_replicas_path.clone()),
                label_selector: Name::Owned(paths.label_selector_path.clone()),
            });
            let custom = Arc::new(Custom {
                stored_api_version: format!("{group}/{storage}"),
                conversion: Conversion::of(definition),
                columns: Columns::new(&version.additional_printer_columns),
                selectable: version
                    .selectable_fields
                    .iter()
                    .map(|field| field.json_path.trim_start_matches('.').to_owned())
                    .collect(),
                since: source.revision,
                retired: CancellationToken::new(),
                has_status,
                scale: scale.clone(),
                api_version: api_version.clone(),
                source: Arc::clone(source),
                index,
                schema: OnceLock::new(),
            });
            let declaration = Declaration {
                group: Name::Owned(group.clone()),
                resource: Name::Owned(names.plural.clone()),
                singular: Name::Owned(names.singular.clone()),
                kind: Name::Owned(names.kind.clone()),
                list_kind: Name::Owned(names.list_kind.clone()),
                short_names: Names::Owned(names.short_names.clone()),
                categories: Names::Owned(names.categories.clone()),
                namespaced: definition.spec.scope == "Namespaced",
                versions: Names::Owned(vec![version.name.clone()]),
                subresources: match (has_status, scale.is_some()) {
                    (false, false) => &[],
                    (true, false) => &[Subresource::Status],
                    (false, true) => &[Subresource::Scale],
                    (true, true) => &[Subresource::Scale, Subresource::Status],
                },
                scale: scale.unwrap_or(ScalePaths::USUAL),
                verbs: if definition.is_terminating() { Verbs::Ending } else { Verbs::All },
                selectable_fields: &[],
                name_rule: NameRule::DnsSubdomain,
                storage: Name::Owned(format!("{group}/{}", names.plural)),
                // The version that requests work in; what is stored is converted at the edges.
                storage_api_version: Name::Owned(api_version.clone()),
                convert: None,
                deprecation: version.deprecated.then(|| {
                    Name::Owned(
                        version
                            .deprecation_warning
                            .clone()
                            .unwrap_or_else(|| format!("{api_version} {} is deprecated", names.kind)),
                    )
                }),
                strategy: Rules::Shared(Arc::clone(&custom) as Arc<dyn minato_kinds::Strategy>),
            };
            let mut resource = Resource::new(Arc::new(declaration), Name::Owned(version.name.clone()));
            resource.custom = Some(custom);
            Arc::new(resource)
        })
        .collect()
}
