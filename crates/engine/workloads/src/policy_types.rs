//! What a ValidatingAdmissionPolicy's expressions say of the kinds that it matches: their types are checked against the
//! published schemas, and what does not fit is a warning in the policy's status. The policy works all the same.

mod declared;

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::api::admissionregistration::v1::{
    ExpressionWarning, NamedRuleWithOperations, ValidatingAdmissionPolicy,
};
use minato_cel::admission::{Scope, Subject, Wanted, compile_expression, environment_about};

pub use declared::declared_type;
pub use minato_cel::Type;

/// Kinds that one policy is checked against, at most.
pub const KINDS_MAX: usize = 10;

/// A kind in a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionedKind {
    /// `apps`; empty for the core group.
    pub group: String,
    /// `v1`
    pub version: String,
    /// `Deployment`
    pub kind: String,
}

impl VersionedKind {
    /// Where the API publishes the kind's schema.
    #[must_use]
    pub fn schema_path(&self) -> String {
        match self.group.as_str() {
            "" => format!("/openapi/v3/api/{}", self.version),
            group => format!("/openapi/v3/apis/{group}/{}", self.version),
        }
    }
}

impl fmt::Display for VersionedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, Kind={}", self.group, self.version, self.kind)
    }
}

/// A resource that a policy names without wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedResource {
    /// `apps`
    pub group: String,
    /// `v1`
    pub version: String,
    /// `deployments`
    pub resource: String,
}

/// The resources whose kinds the policy is checked against. Rules with wildcards name none, nor do subresources.
#[must_use]
pub fn named_resources(policy: &ValidatingAdmissionPolicy) -> Vec<NamedResource> {
    let constraints = policy.spec.as_ref().and_then(|spec| spec.match_constraints.as_ref());
    let rules = constraints.and_then(|constraints| constraints.resource_rules.as_deref()).unwrap_or_default();
    rules.iter().flat_map(resources_of).collect()
}

fn resources_of(rule: &NamedRuleWithOperations) -> Vec<NamedResource> {
    let sorted = |texts: &Option<Vec<String>>| -> BTreeSet<String> { texts.iter().flatten().cloned().collect() };
    let (groups, versions) = (sorted(&rule.api_groups), sorted(&rule.api_versions));
    if groups.iter().chain(&versions).any(|text| text.contains('*')) {
        return Vec::new();
    }
    let mut resources = sorted(&rule.resources);
    resources.retain(|resource| !resource.contains(['*', '/']));
    let mut named = Vec::new();
    for group in &groups {
        for version in &versions {
            for resource in &resources {
                let (group, version, resource) = (group.clone(), version.clone(), resource.clone());
                named.push(NamedResource { group, version, resource });
            }
        }
    }
    named
}

/// The kind of the policy's parameters, if it has some.
#[must_use]
pub fn param_kind(policy: &ValidatingAdmissionPolicy) -> Option<VersionedKind> {
    let kind = policy.spec.as_ref()?.param_kind.as_ref()?;
    let api_version = kind.api_version.as_deref().unwrap_or_default();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = kind.kind.clone().unwrap_or_default();
    Some(VersionedKind { group: group.to_owned(), version: version.to_owned(), kind })
}

/// What is wrong with the policy's validations, looked at with each of `kinds` in turn.
#[must_use]
pub fn expression_warnings(
    policy: &ValidatingAdmissionPolicy,
    kinds: &[(VersionedKind, Type)],
    params: Option<&Type>,
) -> Vec<ExpressionWarning> {
    let validations = policy.spec.as_ref().and_then(|spec| spec.validations.as_deref()).unwrap_or_default();
    let mut warnings = Vec::new();
    for (index, validation) in validations.iter().enumerate() {
        let message = validation.message_expression.as_deref().unwrap_or_default();
        for (field, source) in [("expression", validation.expression.as_str()), ("messageExpression", message)] {
            let complaints = if source.is_empty() { Vec::new() } else { complaints(policy, source, kinds, params) };
            if !complaints.is_empty() {
                let field_ref = format!("spec.validations[{index}].{field}");
                warnings.push(ExpressionWarning { field_ref, warning: complaints.join("\n") });
            }
        }
    }
    warnings
}

fn complaints(
    policy: &ValidatingAdmissionPolicy,
    source: &str,
    kinds: &[(VersionedKind, Type)],
    params: Option<&Type>,
) -> Vec<String> {
    let scope = if params.is_some() { Scope::PolicyWithParams } else { Scope::Policy };
    let variables = policy.spec.as_ref().and_then(|spec| spec.variables.as_deref()).unwrap_or_default();
    let complaint = |(kind, object): &(VersionedKind, Type)| {
        let subject = Subject { object: object.clone(), params: params.cloned().unwrap_or(Type::Dyn) };
        let mut declared: Vec<(String, Type)> = Vec::new();
        for variable in variables {
            let known = environment_about(&subject, scope, &declared);
            let program = compile_expression(&known, &variable.expression, Wanted::Any);
            // What does not compile is complained about where it is used as something else, if at all.
            let ty = program.map_or(Type::Dyn, |program| program.output_type().clone());
            declared.push((variable.name.clone(), ty));
        }
        let known = environment_about(&subject, scope, &declared);
        let error = compile_expression(&known, source, Wanted::Any).err()?;
        Some(format!("{kind}: {error}\n"))
    };
    kinds.iter().filter_map(complaint).collect()
}

#[cfg(test)]
mod tests;
