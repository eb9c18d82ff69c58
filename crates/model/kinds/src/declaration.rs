//! How a kind is declared, and the steps every object of any kind goes through.

use std::borrow::Cow;
use std::mem::{forget, replace};
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::error::FieldError;
use crate::metadata;
use crate::names;
use crate::read::{Fill, Read};
use crate::same::same;
use crate::strategy::{Plain, Strategy};

/// A name of a kind: fixed for built-in kinds, owned for custom ones.
pub type Name = Cow<'static, str>;

/// Several names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// Of a built-in kind.
    Fixed(&'static [&'static str]),
    /// Of a custom kind.
    Owned(Vec<String>),
}

impl Names {
    /// Each of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        let (fixed, owned): (&[&'static str], &[String]) = match self {
            Self::Fixed(names) => (names, &[]),
            Self::Owned(names) => (&[], names),
        };
        let count = fixed.len() + owned.len();
        (0..count).map(move |index| match fixed.get(index) {
            Some(name) => *name,
            None => owned[index - fixed.len()].as_str(),
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().len() == 0
    }
}

/// The rules of a kind: those of a built-in kind live as long as the program, those of a custom kind as long as it.
#[derive(Clone)]
pub enum Rules {
    /// Of a built-in kind.
    Fixed(&'static dyn Strategy),
    /// Of a custom kind.
    Shared(Arc<dyn Strategy>),
}

impl Deref for Rules {
    type Target = dyn Strategy;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Fixed(strategy) => *strategy,
            Self::Shared(strategy) => &**strategy,
        }
    }
}

/// Where a scale subresource finds its numbers in the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// The wanted number.
    pub spec_replicas: Name,
    /// The observed number.
    pub status_replicas: Name,
    /// The selector of the counted pods, as an object (`matchLabels`), a plain map of labels, or a string. Empty where
    /// there is none.
    pub label_selector: Name,
}

impl ScalePaths {
    /// Where `spec.replicas`, `status.replicas` and `spec.selector` are what their names say.
    pub const USUAL: Self = Self {
        spec_replicas: Name::Borrowed("spec.replicas"),
        status_replicas: Name::Borrowed("status.replicas"),
        label_selector: Name::Borrowed("spec.selector"),
    };
}

/// The parts of a resource that have a URL of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    /// `status`: get, patch, update.
    Status,
    /// `scale`, an `autoscaling/v1` Scale at the places that [`Declaration::scale`] tells: get, patch, update.
    Scale,
    /// `eviction`, a `policy/v1` Eviction: create.
    Eviction,
    /// `binding`, a `v1` Binding: create.
    Binding,
    /// `log`: get.
    Log,
    /// `exec`: connect.
    Exec,
    /// `attach`: connect.
    Attach,
    /// `portforward`: connect.
    PortForward,
    /// `proxy` and what is below it: connect.
    Proxy,
    /// `token`, an `authentication.k8s.io/v1` TokenRequest: create.
    Token,
    /// `approval`: get, patch, update.
    Approval,
    /// `ephemeralcontainers`: get, patch, update.
    EphemeralContainers,
    /// `resize`: get, patch, update.
    Resize,
    /// `finalize`: update.
    Finalize,
}

impl Subresource {
    /// The name in the URL.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Eviction => "eviction",
            Self::Binding => "binding",
            Self::Log => "log",
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::PortForward => "portforward",
            Self::Proxy => "proxy",
            Self::Token => "token",
            Self::Approval => "approval",
            Self::EphemeralContainers => "ephemeralcontainers",
            Self::Resize => "resize",
            Self::Finalize => "finalize",
        }
    }

    /// The verbs discovery announces for it.
    pub const fn verbs(&self) -> &'static [&'static str] {
        match self {
            Self::Status | Self::Scale | Self::Approval | Self::EphemeralContainers | Self::Resize => {
                &["get", "patch", "update"]
            }
            Self::Eviction | Self::Binding | Self::Token => &["create"],
            Self::Log => &["get"],
            Self::Exec | Self::Attach | Self::PortForward => &["create", "get"],
            Self::Proxy => &["create", "delete", "get", "patch", "update"],
            Self::Finalize => &["update"],
        }
    }

    /// Group, version and kind of its body, where that is not the parent's.
    pub const fn body(&self) -> Option<(&'static str, &'static str, &'static str)> {
        match self {
            Self::Scale => Some(("autoscaling", "v1", "Scale")),
            Self::Eviction => Some(("policy", "v1", "Eviction")),
            Self::Binding => Some(("", "v1", "Binding")),
            Self::Token => Some(("authentication.k8s.io", "v1", "TokenRequest")),
            _ => None,
        }
    }
}

/// What can be done with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbs {
    /// Everything.
    All,
    /// Everything but deleting a collection.
    NoDeleteCollection,
    /// A question that is answered at once: nothing is stored.
    CreateOnly,
    /// What is left of a custom kind that is being deleted: nothing can be made or changed.
    Ending,
}

impl Verbs {
    /// The verbs as discovery announces them.
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::All => &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            Self::NoDeleteCollection => &["create", "delete", "get", "list", "patch", "update", "watch"],
            Self::CreateOnly => &["create"],
            Self::Ending => &["delete", "deletecollection", "get", "list", "watch"],
        }
    }
}

/// What makes a valid `metadata.name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// RFC 1123 subdomain: most kinds.
    DnsSubdomain,
    /// RFC 1123 label: namespaces.
    DnsLabel,
    /// RFC 1035 label.
    Dns1035Label,
    /// One segment of a URL path: RBAC.
    PathSegment,
    /// An IP address in its canonical form.
    IpAddress,
    /// Not checked: the object has no name.
    Any,
}

impl NameRule {
    /// What is wrong with `name`. With `prefix`, more will be appended, so a trailing dash is fine.
    pub fn check(self, name: &str, prefix: bool) -> names::Complaints {
        // `generateName: web-` is checked as if the dash were a letter, as the reference does.
        let masked;
        let name = match name.strip_suffix('-') {
            Some(start) if prefix && self != Self::PathSegment && !start.is_empty() => {
                masked = format!("{start}a");
                &masked
            }
            _ => name,
        };
        match self {
            Self::DnsSubdomain => names::dns_subdomain(name),
            Self::DnsLabel => names::dns_label(name),
            Self::Dns1035Label => names::dns_1035_label(name),
            Self::PathSegment => names::path_segment(name),
            Self::IpAddress => match name.parse::<std::net::IpAddr>() {
                Ok(address) if address.to_string() == name => Vec::new(),
                Ok(_) => vec!["must be in canonical form"],
                Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"],
            },
            Self::Any => Vec::new(),
        }
    }
}

/// Rewrites an object to the given `apiVersion`.
pub type Convert = fn(&mut Value, &str);

/// One kind, built in or defined by a CustomResourceDefinition.
#[derive(Clone)]
pub struct Declaration {
    /// API group, `""` for the core group.
    pub group: Name,
    /// The URL part: `pods`.
    pub resource: Name,
    /// `pod`.
    pub singular: Name,
    /// `Pod`.
    pub kind: Name,
    /// `PodList`.
    pub list_kind: Name,
    /// `po`.
    pub short_names: Names,
    /// `all`.
    pub categories: Names,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Served versions, the preferred one first.
    pub versions: Names,
    /// What has a URL below the object's.
    pub subresources: &'static [Subresource],
    /// Where its scale subresource finds its numbers.
    pub scale: ScalePaths,
    /// What can be done with it.
    pub verbs: Verbs,
    /// Fields that selectors may name, besides `metadata.name` and `metadata.namespace`: the name in this API and the
    /// name among [`Declaration::selectable_values`] of what is stored.
    pub selectable_fields: &'static [(&'static str, &'static str)],
    /// What makes a valid name.
    pub name_rule: NameRule,
    /// Where its objects are kept: `core/pods`. Kinds with the same place are views of the same objects.
    pub storage: Name,
    /// The `apiVersion` of what is kept.
    pub storage_api_version: Name,
    /// From any served version to any other, if there is more than one way to write the object.
    pub convert: Option<Convert>,
    /// What every request for it is warned of, if it is on its way out.
    pub deprecation: Option<Name>,
    /// Its rules.
    pub strategy: Rules,
}

impl std::fmt::Debug for Declaration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.storage, self.versions.iter().collect::<Vec<_>>().join(","))
    }
}

/// The identity of a built-in kind; the rest of a [`Declaration`] is added by the methods that follow.
pub(crate) struct Identity {
    pub(crate) group: &'static str,
    pub(crate) resource: &'static str,
    pub(crate) singular: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) list_kind: &'static str,
    pub(crate) storage: &'static str,
    pub(crate) api_version: &'static str,
}

impl Declaration {
    pub(crate) const fn new(names: Identity) -> Declaration {
        Declaration {
            group: Name::Borrowed(names.group),
            resource: Name::Borrowed(names.resource),
            singular: Name::Borrowed(names.singular),
            kind: Name::Borrowed(names.kind),
            list_kind: Name::Borrowed(names.list_kind),
            short_names: Names::Fixed(&[]),
            categories: Names::Fixed(&[]),
            namespaced: true,
            versions: Names::Fixed(&["v1"]),
            subresources: &[],
            scale: ScalePaths::USUAL,
            verbs: Verbs::All,
            selectable_fields: &[],
            name_rule: NameRule::DnsSubdomain,
            storage: Name::Borrowed(names.storage),
            storage_api_version: Name::Borrowed(names.api_version),
            convert: None,
            deprecation: None,
            strategy: Rules::Fixed(&Plain),
        }
    }

    pub(crate) const fn short(mut self, names: &'static [&'static str]) -> Self {
        put(&mut self.short_names, Names::Fixed(names));
        self
    }

    /// In the category that `kubectl get all` asks for.
    pub(crate) const fn in_all(mut self) -> Self {
        put(&mut self.categories, Names::Fixed(&["all"]));
        self
    }

    pub(crate) const fn categories(mut self, categories: &'static [&'static str]) -> Self {
        put(&mut self.categories, Names::Fixed(categories));
        self
    }

    pub(crate) const fn cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }

    pub(crate) const fn versions(mut self, versions: &'static [&'static str], convert: Convert) -> Self {
        put(&mut self.versions, Names::Fixed(versions));
        self.convert = Some(convert);
        self
    }

    pub(crate) const fn stored_as(
        mut self,
        storage: &'static str,
        api_version: &'static str,
        convert: Convert,
    ) -> Self {
        put(&mut self.storage, Name::Borrowed(storage));
        put(&mut self.storage_api_version, Name::Borrowed(api_version));
        self.convert = Some(convert);
        self
    }

    pub(crate) const fn subresources(mut self, subresources: &'static [Subresource]) -> Self {
        self.subresources = subresources;
        self
    }

    pub(crate) const fn verbs(mut self, verbs: Verbs) -> Self {
        self.verbs = verbs;
        self
    }

    pub(crate) const fn selectable(mut self, fields: &'static [(&'static str, &'static str)]) -> Self {
        self.selectable_fields = fields;
        self
    }

    pub(crate) const fn named(mut self, rule: NameRule) -> Self {
        self.name_rule = rule;
        self
    }

    pub(crate) const fn deprecated(mut self, text: &'static str) -> Self {
        put(&mut self.deprecation, Some(Name::Borrowed(text)));
        self
    }

    pub(crate) const fn rules(mut self, strategy: &'static dyn Strategy) -> Self {
        put(&mut self.strategy, Rules::Fixed(strategy));
        self
    }

    /// Whether the object has a status that is written by its own URL.
    pub fn has_status(&self) -> bool {
        self.subresources.contains(&Subresource::Status)
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|subresource| subresource.name() == name)
    }

    /// `apps/v1`, or `v1` in the core group.
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// The name by which a field selector's `path` is known in what is stored, or `None` if this kind cannot be
    /// selected by it. `metadata.name` and `metadata.namespace` can always be.
    pub fn stored_field(&self, path: &str) -> Option<&'static str> {
        match path {
            "metadata.name" => Some("metadata.name"),
            "metadata.namespace" => Some("metadata.namespace"),
            _ => self.selectable_fields.iter().find(|(name, _)| *name == path).map(|(_, stored)| *stored),
        }
    }

    /// The values of the selectable fields of a stored object, besides name and namespace.
    pub fn selectable_values(&self, object: &Value) -> Vec<(&'static str, String)> {
        crate::selectable::values(&self.storage, object)
    }

    /// Rewrites an object to the version that is stored.
    pub fn to_storage(&self, object: &mut Value) {
        self.to_version(object, &self.storage_api_version);
    }

    /// Rewrites an object to the given `apiVersion`, one of [`Declaration::api_version`] of the served versions.
    pub fn to_version(&self, object: &mut Value, api_version: &str) {
        if object.text("apiVersion") != api_version {
            if let Some(convert) = self.convert {
                convert(object, api_version);
            }
            object.set("apiVersion", api_version);
        }
    }

    /// Fills in the defaults, in the storage version.
    pub fn default(&self, object: &mut Value) {
        self.strategy.default(object);
    }

    /// Makes an object as it begins its life: no status of the user's making, generation 1.
    pub fn prepare_for_create(&self, object: &mut Value, now: Timestamp) {
        if self.has_status() && !self.strategy.keeps_status_on_create() {
            object.remove("status");
        }
        if let Some(metadata) = object.make("metadata") {
            if self.strategy.has_generation() {
                metadata.set("generation", 1);
            } else {
                metadata.remove("generation");
            }
        }
        self.strategy.prepare_for_create(object, now);
    }

    /// Puts back what an ordinary update may not touch; counts the generation.
    pub fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        if self.has_status() {
            new.copy("status", old);
        }
        self.strategy.prepare_for_update(new, old);
        self.count_generation(new, old);
    }

    fn count_generation(&self, new: &mut Value, old: &Value) {
        let generation = old.or_null("metadata").int("generation");
        if let Some(metadata) = new.make("metadata") {
            match generation {
                Some(generation) => metadata.set("generation", generation),
                None => {
                    metadata.remove("generation");
                }
            }
        }
        if self.strategy.has_generation() && self.strategy.generation_changed(new, old) {
            let next = generation.unwrap_or(0) + 1;
            if let Some(metadata) = new.make("metadata") {
                metadata.set("generation", next);
            }
        }
    }

    /// Puts back everything that a status update may not touch: all but `metadata` and `status`.
    pub fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        let Value::Object(fields) = new else { return };
        fields.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
        if let Some(old) = old.as_object() {
            for (name, value) in old {
                if !matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status") {
                    fields.insert(name.clone(), value.clone());
                }
            }
        }
        if let Some(metadata) = new.make("metadata") {
            metadata.copy("generation", old.or_null("metadata"));
            metadata.copy("deletionTimestamp", old.or_null("metadata"));
        }
        self.strategy.prepare_for_status_update(new, old);
    }

    /// Puts back everything that an update through `subresource` may not touch. `Status` is
    /// [`Declaration::prepare_for_status_update`].
    pub fn prepare_for_subresource_update(&self, subresource: Subresource, new: &mut Value, old: &Value) {
        if subresource == Subresource::Status {
            return self.prepare_for_status_update(new, old);
        }
        self.strategy.prepare_for_subresource_update(subresource, new, old);
        self.count_generation(new, old);
    }

    /// What is wrong with a new object, metadata included.
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate(object, self.namespaced, self.name_rule);
        if self.strategy.restricts_finalizers() {
            errors.extend(metadata::validate_builtin_finalizers(object));
        }
        errors.extend(self.strategy.validate(object));
        errors
    }

    /// What is wrong with a change, metadata included.
    pub fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate_update(new, old);
        if self.strategy.restricts_finalizers() {
            errors.extend(metadata::validate_builtin_finalizers(new));
        }
        if !self.strategy.allow_unconditional_update() {
            errors.extend(metadata::validate_resource_version(new));
        }
        errors.extend(self.strategy.validate_update(new, old));
        errors
    }

    /// What is wrong with a change of the status, metadata included.
    pub fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate_update(new, old);
        errors.extend(self.strategy.validate_status_update(new, old));
        errors
    }

    /// What is wrong with a change through `subresource`, metadata included.
    pub fn validate_subresource_update(&self, subresource: Subresource, new: &Value, old: &Value) -> Vec<FieldError> {
        if subresource == Subresource::Status {
            return self.validate_status_update(new, old);
        }
        let mut errors = metadata::validate_update(new, old);
        errors.extend(self.strategy.validate_subresource_update(subresource, new, old));
        errors
    }

    /// What the user should know of an object that is valid, new or changed from `old`.
    pub fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        self.strategy.warnings(new, old)
    }
}

/// Assignment that a constant may do: what was there was a constant and owns nothing, so that it need not be dropped.
const fn put<T>(slot: &mut T, value: T) {
    forget(replace(slot, value));
}

/// How often the object's wishes have changed.
pub(crate) fn generation(object: &Value) -> i64 {
    object.or_null("metadata").int("generation").unwrap_or(0)
}

/// Whether two states of an object differ outside `metadata` and `status`.
pub(crate) fn wishes_differ(new: &Value, old: &Value) -> bool {
    wishes(new).chain(wishes(old)).any(|name| !same(new.at(name), old.at(name)))
}

fn wishes(object: &Value) -> impl Iterator<Item = &str> {
    let fields = object.as_object().into_iter().flat_map(serde_json::Map::keys);
    fields.map(String::as_str).filter(|name| is_wish(name))
}

fn is_wish(name: &str) -> bool {
    !matches!(name, "apiVersion" | "kind" | "metadata" | "status")
}
