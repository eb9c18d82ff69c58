//! Resources of which nothing may be used unless a quota says how much (`limitedResources` of the plugin's
//! `ResourceQuotaConfiguration`).

use serde_json::Value;

use crate::amounts::{items, text};
use crate::quota::{Change, Quota, Refusal};
use crate::scope::Scope;
use crate::usage;

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limited {
    storage: String,
    /// Resources whose names contain one of these.
    contains: Vec<String>,
    /// Objects within one of these scopes.
    scopes: Vec<Scope>,
}

impl Limited {
    /// Reads an entry: `apiGroup`, `resource`, `matchContains`, `matchScopes`.
    pub fn read(entry: &Value) -> Limited {
        let (group, resource) = (text(&entry["apiGroup"]), text(&entry["resource"]));
        let group = if group.is_empty() { "core" } else { group };
        Limited {
            storage: format!("{group}/{resource}"),
            contains: items(&entry["matchContains"]).map(|part| text(part).to_owned()).collect(),
            scopes: items(&entry["matchScopes"]).map(Scope::read).collect(),
        }
    }

    /// The kind that it is about, by storage name.
    pub fn storage(&self) -> &str {
        &self.storage
    }
}

/// Checks that one of `quotas`, all of the namespace, allows what `change` uses of what is limited.
///
/// # Errors
/// [`Refusal::Uncovered`], [`Refusal::UncoveredScopes`].
pub fn check_limited(limited: &[Limited], quotas: &[Quota], change: Change<'_>) -> Result<(), Refusal> {
    let Change { storage, new, old, now } = change;
    let about = || limited.iter().filter(|limited| limited.storage == storage);
    if about().next().is_none() {
        return Ok(());
    }
    let all = usage::usage(storage, new, now);
    let mut delta = all.clone();
    if let Some(old) = old {
        delta.subtract_all(&usage::usage(storage, old, now));
    }
    if delta.0.values().all(|amount| amount.is_zero()) {
        return Ok(());
    }
    let is_limited =
        |name: &str| about().any(|limited| limited.contains.iter().any(|part| name.contains(part.as_str())));
    let covering: Vec<&Quota> = quotas.iter().filter(|quota| quota.covers(storage, new)).collect();
    let uncovered: Vec<String> = all
        .0
        .keys()
        .filter(|name| is_limited(name) && !covering.iter().any(|quota| quota.governs(name)))
        .cloned()
        .collect();
    if !uncovered.is_empty() {
        return Err(Refusal::Uncovered { resources: uncovered });
    }
    let scopes = about().flat_map(|limited| &limited.scopes).filter(|scope| scope.holds(storage, new));
    let uncovered: Vec<String> = scopes
        .filter(|scope| !quotas.iter().any(|quota| quota.has_scope(scope, storage, new)))
        .map(ToString::to_string)
        .collect();
    if uncovered.is_empty() { Ok(()) } else { Err(Refusal::UncoveredScopes { scopes: uncovered }) }
}
