//! Which requests a webhook or a policy is about: rules, selectors, equivalent versions.

use std::sync::Arc;

use minato_mvcc::Key;
use minato_select::LabelSelector;
use serde_json::Value;

use super::{Context, Operation};
use crate::registry::Resource;
use crate::status::ApiError;

/// A rule of a webhook or a policy (`RuleWithOperations`).
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    /// Empty: all.
    names: Vec<String>,
    scope: Scope,
}

#[derive(PartialEq, Eq)]
enum Scope {
    All,
    Cluster,
    Namespaced,
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn has(all: &[String], one: &str) -> bool {
    all.iter().any(|have| have == "*" || have == one)
}

/// A resource in a version, as rules are asked about it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    group: &'a str,
    version: &'a str,
    resource: &'a str,
}

impl Rule {
    fn new(rule: &Value) -> Self {
        Self {
            operations: texts(&rule["operations"]),
            groups: texts(&rule["apiGroups"]),
            versions: texts(&rule["apiVersions"]),
            resources: texts(&rule["resources"]),
            names: texts(&rule["resourceNames"]),
            scope: match rule["scope"].as_str() {
                Some("Cluster") => Scope::Cluster,
                Some("Namespaced") => Scope::Namespaced,
                _ => Scope::All,
            },
        }
    }

    fn matches(&self, context: &Context<'_>, asked: Asked<'_>) -> bool {
        let declaration = &context.target.resource.declaration;
        // A namespace is in itself, but it is of the cluster.
        let namespaced = declaration.namespaced;
        let scope = match self.scope {
            Scope::All => true,
            Scope::Cluster => !namespaced,
            Scope::Namespaced => namespaced,
        };
        scope
            && has(&self.operations, context.operation.as_str())
            && has(&self.groups, asked.group)
            && has(&self.versions, asked.version)
            && self.resources.iter().any(|pattern| covers(pattern, asked.resource, context.target.subresource))
            && (self.names.is_empty() || self.names.iter().any(|name| name == context.name))
    }
}

/// Whether `pattern`, such as `pods`, `pods/*`, `*/scale`, `*` or `*/*`, is about a resource or its part.
fn covers(pattern: &str, resource: &str, subresource: &str) -> bool {
    let (wanted, part) = pattern.split_once('/').unwrap_or((pattern, ""));
    (wanted == "*" || wanted == resource) && (part == "*" || part == subresource)
}

/// The version of the object that a webhook or a policy wants to see.
pub(super) enum Seen {
    /// The one that the request has.
    Requested,
    /// An equivalent one.
    Equivalent(Arc<Resource>),
}

impl Seen {
    /// The resource in the version that is wanted.
    pub(super) fn resource<'a>(&'a self, context: &'a Context<'_>) -> &'a Resource {
        match self {
            Self::Requested => context.target.resource,
            Self::Equivalent(resource) => resource,
        }
    }

    /// `object`, which is as requests are worked on, as this version has it; none where it is that already. Objects of
    /// custom kinds may have to ask a conversion webhook.
    pub(super) async fn convert(&self, context: &Context<'_>, object: &Value) -> Result<Option<Value>, ApiError> {
        let resource = self.resource(context);
        let whole = *context.kind().2 == *context.target.resource.declaration.kind;
        if !whole || object.is_null() {
            return Ok(None);
        }
        if resource.custom.is_some() {
            return match self {
                Self::Requested => Ok(None),
                Self::Equivalent(other) => context.core.between(other, object.clone()).await.map(Some),
            };
        }
        if resource.shows_stored() {
            return Ok(None);
        }
        let mut shown = object.clone();
        resource.declaration.to_version(&mut shown, &resource.api_version);
        Ok(Some(shown))
    }

    /// Likewise, of an object that may be absent.
    pub(super) async fn convert_some(
        &self,
        context: &Context<'_>,
        object: Option<&Value>,
    ) -> Result<Option<Value>, ApiError> {
        match object {
            Some(object) => self.convert(context, object).await,
            None => Ok(None),
        }
    }
}

/// Rules and selectors.
pub(super) struct Matcher {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    equivalent: bool,
    namespaces: LabelSelector,
    objects: LabelSelector,
}

impl Matcher {
    /// Of a webhook (`rules`), or of a policy's or binding's `MatchResources` (`resourceRules`).
    pub(super) fn new(from: &Value) -> Self {
        let rules = |key: &str| from[key].as_array().into_iter().flatten().map(Rule::new).collect::<Vec<_>>();
        let selector = |key: &str| match &from[key] {
            Value::Null => LabelSelector::everything(),
            selector => LabelSelector::from_object(selector).unwrap_or_else(|_| LabelSelector::nothing()),
        };
        let mut included = rules("rules");
        included.extend(rules("resourceRules"));
        Self {
            rules: included,
            excluded: rules("excludeResourceRules"),
            equivalent: from["matchPolicy"] != "Exact",
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
        }
    }

    /// Whether there are rules; a binding without any leaves the choice to its policy.
    pub(super) fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// How the webhook or policy sees the request; none where it is not about it.
    pub(super) fn find(&self, context: &Context<'_>, object: &Value) -> Result<Option<Seen>, ApiError> {
        let Some(seen) = self.by_rules(context) else { return Ok(None) };
        Ok(self.selects(context, object)?.then_some(seen))
    }

    /// Whether the selectors, and not the rules, have the request.
    pub(super) fn selects(&self, context: &Context<'_>, object: &Value) -> Result<bool, ApiError> {
        Ok(self.has_namespace(context, object)? && self.has_object(context, object))
    }

    fn by_rules(&self, context: &Context<'_>) -> Option<Seen> {
        let declaration = &context.target.resource.declaration;
        let asked = Asked {
            group: &declaration.group,
            version: &context.target.resource.version,
            resource: &declaration.resource,
        };
        if self.excluded.iter().any(|rule| rule.matches(context, asked)) {
            return None;
        }
        if self.rules.iter().any(|rule| rule.matches(context, asked)) {
            return Some(Seen::Requested);
        }
        if !self.equivalent {
            return None;
        }
        equivalents(context).into_iter().find_map(|resource| {
            let declaration = &resource.declaration;
            let asked =
                Asked { group: &declaration.group, version: &resource.version, resource: &declaration.resource };
            if self.excluded.iter().any(|rule| rule.matches(context, asked)) {
                return None;
            }
            let matches = self.rules.iter().any(|rule| rule.matches(context, asked));
            matches.then(|| Seen::Equivalent(Arc::clone(&resource)))
        })
    }

    fn has_namespace(&self, context: &Context<'_>, object: &Value) -> Result<bool, ApiError> {
        if self.namespaces.is_everything() {
            return Ok(true);
        }
        let target = context.target;
        if &*target.resource.storage == "core/namespaces" {
            let shown = if object.is_null() { context.old.unwrap_or(object) } else { object };
            return Ok(self.namespaces.matches(|key| shown["metadata"]["labels"][key].as_str()));
        }
        if target.namespace.is_empty() {
            return Ok(true);
        }
        match context.memory.get(&Key::new("core/namespaces", "", target.namespace)) {
            Some(namespace) => Ok(self.namespaces.matches(|key| namespace.attributes.label(key))),
            None => {
                let subject = crate::status::Subject { group: "", resource: "namespaces", name: target.namespace };
                Err(ApiError::not_found(&subject))
            }
        }
    }

    fn has_object(&self, context: &Context<'_>, object: &Value) -> bool {
        let has = |object: &Value| {
            !object.is_null() && self.objects.matches(|key| object["metadata"]["labels"][key].as_str())
        };
        self.objects.is_everything() || has(object) || context.old.is_some_and(has)
    }
}

/// The same objects under other versions and groups.
fn equivalents(context: &Context<'_>) -> Vec<Arc<Resource>> {
    let mine = context.target.resource;
    let served = context.core.registry.served();
    let groups: &[&str] = match &*mine.storage {
        "core/events" => &["", "events.k8s.io"],
        _ => &[&*mine.declaration.group],
    };
    let versions = groups.iter().filter_map(|group| served.group(group)).flat_map(|group| group.versions.iter());
    versions
        .filter_map(|version| version.resources.get(&*mine.declaration.resource))
        .filter(|have| have.storage == mine.storage && have.api_version != mine.api_version)
        .cloned()
        .collect()
}

/// Whether a request is about the configuration of admission itself, which no webhook and no policy may hinder.
pub(super) fn is_exempt(context: &Context<'_>) -> bool {
    let declaration = &context.target.resource.declaration;
    declaration.group == "admissionregistration.k8s.io"
}

/// Whether a request is a question that is never stored: policies are not asked about those.
pub(super) fn is_review(context: &Context<'_>) -> bool {
    let declaration = &context.target.resource.declaration;
    matches!(&*declaration.group, "authentication.k8s.io" | "authorization.k8s.io")
}

/// What webhooks and expressions are told of a request (`AdmissionRequest`), without its objects.
pub(super) fn request(context: &Context<'_>, seen: &Seen) -> serde_json::Map<String, Value> {
    use serde_json::json;
    let target = context.target;
    let resource = seen.resource(context);
    let (group, version, kind) = context.kind();
    let request_kind = json!({"group": group, "version": version, "kind": kind});
    let same_kind = *kind == *target.resource.declaration.kind;
    let shown_kind = match (seen, same_kind) {
        (Seen::Equivalent(other), true) => {
            json!({"group": &*other.declaration.group, "version": &*other.version, "kind": &*other.declaration.kind})
        }
        _ => request_kind.clone(),
    };
    let of = |resource: &Resource| {
        let declaration = &resource.declaration;
        json!({"group": &*declaration.group, "version": &*resource.version, "resource": &*declaration.resource})
    };
    let user = target.user;
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    let fields = json!({
        "kind": shown_kind, "resource": of(resource), "requestKind": request_kind,
        "requestResource": of(target.resource), "operation": context.operation.as_str(), "userInfo": info,
        "dryRun": target.dry_run, "options": context.options_value(),
    });
    let Value::Object(mut fields) = fields else { return serde_json::Map::new() };
    let namespace = match (&*target.resource.storage, context.operation) {
        ("core/namespaces", Operation::Create) => "",
        ("core/namespaces", _) => context.name,
        _ => target.namespace,
    };
    for (key, value) in [
        ("name", context.name),
        ("namespace", namespace),
        ("subResource", target.subresource),
        ("requestSubResource", target.subresource),
    ] {
        if !value.is_empty() {
            fields.insert(key.to_owned(), value.into());
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn patterns() {
        for (pattern, resource, subresource, expected) in [
            ("pods", "pods", "", true),
            ("pods", "pods", "exec", false),
            ("pods/exec", "pods", "exec", true),
            ("pods/*", "pods", "", true),
            ("pods/*", "pods", "log", true),
            ("*", "pods", "", true),
            ("*", "pods", "exec", false),
            ("*/*", "pods", "exec", true),
            ("*/scale", "deployments", "scale", true),
            ("*/scale", "deployments", "", false),
        ] {
            assert_eq!(covers(pattern, resource, subresource), expected, "{pattern} {resource}/{subresource}");
        }
    }
}
