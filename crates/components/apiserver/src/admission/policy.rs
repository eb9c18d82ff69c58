//! Policies in CEL: those that judge, those that change, and how bindings bring both to where they apply.

mod lay_over;
mod mutating;
mod validating;

use minato_cel::admission::{Scope, Wanted, compile_expression, environment};
use minato_cel::{Environment, Type};
use minato_mvcc::Key;
use minato_select::LabelSelector;
use serde_json::Value;

pub(super) use mutating::{Applied, MutatingPolicy, mutate};
pub(super) use validating::{ValidatingPolicy, judge};

use super::Context;
use super::expressions::{Compiled, Conditions};
use super::matching::{Matcher, Seen};
use crate::object;
use crate::registry::Resource;
use crate::status::ApiError;

/// Most parameters that one binding may bring.
const PARAMS_MAX: usize = 100;

/// What policies of both sorts have in common.
struct Policy {
    name: String,
    matcher: Matcher,
    conditions: Conditions,
    fails: bool,
    /// Where the parameters come from: `apiVersion` and `kind`.
    param_kind: Option<(String, String)>,
    variables: Vec<Compiled>,
    bindings: Vec<Binding>,
}

/// What brings a policy to some requests.
struct Binding {
    name: String,
    matcher: Option<Matcher>,
    param: Option<ParamRef>,
    actions: Vec<String>,
}

struct ParamRef {
    name: String,
    namespace: String,
    selector: Option<LabelSelector>,
    denies_without: bool,
}

impl Policy {
    /// The policy with those of `bindings` that are its own, and the environment of its expressions; none where no
    /// binding brings it anywhere.
    fn new(policy: &Value, bindings: &[Value]) -> Option<(Self, Environment)> {
        let spec = &policy["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = object::text(policy, "name").to_owned();
        let bindings: Vec<Binding> =
            bindings.iter().filter(|binding| binding["spec"]["policyName"] == *name).map(Binding::new).collect();
        if bindings.is_empty() {
            return None;
        }
        let param_kind = &spec["paramKind"];
        let param_kind = param_kind.is_object().then(|| (text(&param_kind["apiVersion"]), text(&param_kind["kind"])));
        let scope = if param_kind.is_some() { Scope::PolicyWithParams } else { Scope::Policy };
        let conditions = Conditions::new(&spec["matchConditions"], &environment(scope, &[]));
        let mut declared: Vec<(String, Type)> = Vec::new();
        let mut variables = Vec::new();
        for variable in spec["variables"].as_array().into_iter().flatten() {
            let program =
                compile_expression(&environment(scope, &declared), &text(&variable["expression"]), Wanted::Any);
            let ty = program.as_ref().map_or(Type::Dyn, |program| program.output_type().clone());
            declared.push((text(&variable["name"]), ty));
            variables.push(program);
        }
        let policy = Self {
            name,
            matcher: Matcher::new(&spec["matchConstraints"]),
            conditions,
            fails: spec["failurePolicy"] != "Ignore",
            param_kind,
            variables,
            bindings,
        };
        Some((policy, environment(scope, &declared)))
    }

    /// How `binding` lets the policy see the request; none where it does not.
    fn seen_by(&self, binding: &Binding, context: &Context<'_>, object: &Value) -> Result<Option<Seen>, ApiError> {
        let Some(matcher) = &binding.matcher else { return Ok(Some(Seen::Requested)) };
        if !matcher.has_rules() {
            return Ok(matcher.selects(context, object)?.then_some(Seen::Requested));
        }
        matcher.find(context, object)
    }

    /// The parameters of `binding` for this request, or why there are none.
    fn params(&self, binding: &Binding, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let Some((api_version, kind)) = &self.param_kind else { return Ok(vec![Value::Null]) };
        let Some(reference) = &binding.param else { return Ok(vec![Value::Null]) };
        let Some(resource) = resource_of(context, api_version, kind) else {
            return Err(format!("failed to find resource referenced by paramKind: '{api_version}, Kind={kind}'"));
        };
        let namespace = if !resource.declaration.namespaced {
            if !reference.namespace.is_empty() {
                return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned());
            }
            ""
        } else if reference.namespace.is_empty() {
            if context.target.namespace.is_empty() {
                return Err(
                    "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned()
                );
            }
            context.target.namespace
        } else {
            &reference.namespace
        };
        let show = |object: &minato_mvcc::Object| -> Result<Value, String> {
            let mut value: Value = serde_json::from_slice(&object.value).map_err(|error| error.to_string())?;
            if !resource.shows_stored() {
                resource.declaration.to_version(&mut value, &resource.api_version);
            }
            Ok(value)
        };
        let mut found = Vec::new();
        if let Some(selector) = &reference.selector {
            let snapshot = context.memory.snapshot(&resource.storage);
            let all = snapshot.iter_namespace(namespace);
            for object in all.filter(|object| selector.matches(|key| object.attributes.label(key))).take(PARAMS_MAX) {
                found.push(show(object)?);
            }
        } else if let Some(object) =
            context.memory.get(&Key::new(resource.storage.clone(), namespace, reference.name.as_str()))
        {
            found.push(show(&object)?);
        }
        if found.is_empty() && reference.denies_without {
            return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
        }
        Ok(found)
    }
}

impl Binding {
    fn new(binding: &Value) -> Self {
        let spec = &binding["spec"];
        let actions = spec["validationActions"].as_array().into_iter().flatten();
        let reference = &spec["paramRef"];
        let text = |key: &str| reference[key].as_str().unwrap_or_default().to_owned();
        Self {
            name: object::text(binding, "name").to_owned(),
            matcher: spec["matchResources"].is_object().then(|| Matcher::new(&spec["matchResources"])),
            param: reference.is_object().then(|| ParamRef {
                name: text("name"),
                namespace: text("namespace"),
                selector: reference["selector"].is_object().then(|| {
                    LabelSelector::from_object(&reference["selector"]).unwrap_or_else(|_| LabelSelector::nothing())
                }),
                denies_without: reference["parameterNotFoundAction"] != "Allow",
            }),
            actions: actions.filter_map(|action| action.as_str().map(str::to_owned)).collect(),
        }
    }

    fn does(&self, action: &str) -> bool {
        self.actions.iter().any(|have| have == action)
    }
}

/// The resource whose objects are of this kind.
pub(super) fn resource_of(context: &Context<'_>, api_version: &str, kind: &str) -> Option<std::sync::Arc<Resource>> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let served = context.core.registry.served();
    let version = served.group(group)?.versions.iter().find(|have| have.name == version)?;
    let mut resources = version.resources.values();
    resources
        .find(|resource| resource.declaration.kind == *kind && !resource.declaration.resource.contains('/'))
        .cloned()
}

/// The namespace of a request as an object; null for what is in none.
fn namespace_of(context: &Context<'_>) -> Value {
    let namespace = context.target.namespace;
    if namespace.is_empty() {
        return Value::Null;
    }
    let found = context.memory.get(&Key::new("core/namespaces", "", namespace));
    found.and_then(|object| serde_json::from_slice(&object.value).ok()).unwrap_or(Value::Null)
}
