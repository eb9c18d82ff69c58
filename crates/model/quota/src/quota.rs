//! One ResourceQuota.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use minato_quantity::Quantity;
use serde_json::Value;

use crate::amounts::{Amounts, items, text};
use crate::scope::Scope;
use crate::usage::{self, PODS, add_compute, is_used_by, source_of};

/// A ResourceQuota, read.
#[derive(Clone, Debug)]
pub struct Quota {
    name: String,
    /// What its owner wants.
    spec_hard: Amounts,
    /// What is in force: what its owner wanted when usage was counted last.
    status_hard: Amounts,
    used: Amounts,
    scopes: Vec<Scope>,
}

/// A new object, or a new state of an old one.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The kind, such as `core/pods`.
    pub storage: &'a str,
    /// How the object will be.
    pub new: &'a Value,
    /// How it was, where it is not new.
    pub old: Option<&'a Value>,
    /// The present.
    pub now: Timestamp,
}

/// Why a change does not fit; its text follows `is forbidden: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The object does not say how much it needs.
    Unspecified {
        /// The quota that wants to know.
        quota: String,
        /// By resource, the containers that do not say.
        missing: BTreeMap<String, BTreeSet<String>>,
    },
    /// Usage has not been counted yet.
    Uncounted {
        /// The quota.
        quota: String,
        /// What is not known.
        resources: Vec<String>,
    },
    /// An object would use less than nothing.
    Negative {
        /// Of what.
        resources: Vec<String>,
    },
    /// No quota says how much may be used of what nobody may use otherwise.
    Uncovered {
        /// Of what.
        resources: Vec<String>,
    },
    /// No quota is about objects that nobody may make otherwise.
    UncoveredScopes {
        /// In which scopes they are.
        scopes: Vec<String>,
    },
    /// There is not enough left.
    Exceeded {
        /// The quota.
        quota: String,
        /// How much is asked for of what is exceeded,
        requested: Amounts,
        /// how much is used,
        used: Amounts,
        /// and how much there is.
        limited: Amounts,
    },
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unspecified { quota, missing } => {
                let told = missing.iter().map(|(resource, containers)| {
                    let containers: Vec<&str> = containers.iter().map(String::as_str).collect();
                    format!("{resource} for: {}", containers.join(","))
                });
                write!(f, "failed quota: {quota}: must specify {}", told.collect::<Vec<_>>().join("; "))
            }
            Self::Uncounted { quota, resources } => {
                write!(f, "status unknown for quota: {quota}, resources: {}", resources.join(","))
            }
            Self::Negative { resources } => {
                write!(f, "quota usage is negative for resource(s): {}", resources.join(","))
            }
            Self::Uncovered { resources } => write!(f, "insufficient quota to consume: {}", resources.join(",")),
            Self::UncoveredScopes { scopes } => {
                write!(f, "insufficient quota to match these scopes: [{}]", scopes.join(" "))
            }
            Self::Exceeded { quota, requested, used, limited } => {
                write!(f, "exceeded quota: {quota}, requested: {requested}, used: {used}, limited: {limited}")
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// What each container must say once a quota speaks of it. New resources are not added to this list, because of those
/// who do not know of them.
const MUST_SAY: &[&str] = &["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

impl Quota {
    /// Reads a stored ResourceQuota.
    pub fn read(object: &Value) -> Quota {
        Quota {
            name: text(&object["metadata"]["name"]).to_owned(),
            spec_hard: Amounts::read(&object["spec"]["hard"]),
            status_hard: Amounts::read(&object["status"]["hard"]),
            used: Amounts::read(&object["status"]["used"]),
            scopes: Scope::read_all(&object["spec"]),
        }
    }

    /// The kinds whose objects it counts, by storage name.
    pub fn sources(&self) -> BTreeSet<String> {
        self.spec_hard.0.keys().map(|name| source_of(name)).collect()
    }

    pub(crate) fn covers(&self, storage: &str, object: &Value) -> bool {
        self.scopes.iter().all(|scope| scope.holds(storage, object))
    }

    /// Whether it limits the resource `name`.
    pub(crate) fn governs(&self, name: &str) -> bool {
        self.status_hard.0.contains_key(name)
    }

    /// Whether one of its scopes, in which the object is, is about the same as `scope`.
    pub(crate) fn has_scope(&self, scope: &Scope, storage: &str, object: &Value) -> bool {
        self.scopes.iter().any(|own| own.is_about_the_same(scope) && own.holds(storage, object))
    }

    /// What an object that is stored counts for in this quota.
    pub fn share(&self, storage: &str, object: &Value, now: Timestamp) -> Amounts {
        if !self.covers(storage, object) {
            return Amounts::default();
        }
        usage::usage(storage, object, now).only(|name| self.spec_hard.0.contains_key(name))
    }

    /// The status of this quota when all objects of the kinds that are served together use `total`; `None` when that is
    /// what it says already.
    pub fn counted(&self, total: &Amounts, is_served: impl Fn(&str) -> bool) -> Option<(Amounts, Amounts)> {
        let names = self.spec_hard.0.keys().filter(|name| {
            let source = source_of(name);
            is_served(&source) && is_used_by(name, &source)
        });
        let used = names.map(|name| (name.clone(), total.get(name).unwrap_or_default())).collect();
        let used = Amounts(used);
        (used != self.used || self.spec_hard != self.status_hard).then(|| (self.spec_hard.clone(), used))
    }

    /// Judges a change; answers what will be used of everything if it happens, or `None` when this quota does not care.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn charge(&self, change: Change<'_>) -> Result<Option<Amounts>, Refusal> {
        let Change { storage, new, old, now } = change;
        let governed: Vec<&str> =
            self.status_hard.0.keys().map(String::as_str).filter(|name| is_used_by(name, storage)).collect();
        if governed.is_empty() || !self.covers(storage, new) {
            return Ok(None);
        }
        if storage == PODS {
            self.check_said(&governed, new)?;
        }
        if governed.iter().any(|name| self.used.get(name).is_none()) {
            let resources = governed.into_iter().map(str::to_owned).collect();
            return Err(Refusal::Uncounted { quota: self.name.clone(), resources });
        }
        let mut delta = usage::usage(storage, new, now);
        let negative: Vec<String> =
            delta.0.iter().filter(|(_, amount)| amount.signum() < 0).map(|(name, _)| name.clone()).collect();
        if !negative.is_empty() {
            return Err(Refusal::Negative { resources: negative });
        }
        if let Some(old) = old.filter(|old| self.covers(storage, old)) {
            delta.subtract_all(&usage::usage(storage, old, now));
        }
        let requested = Amounts(
            delta
                .0
                .into_iter()
                .filter(|(name, amount)| !amount.is_zero() && governed.contains(&name.as_str()))
                .collect(),
        );
        if requested.0.is_empty() {
            return Ok(None);
        }
        let mut used = self.used.clone();
        used.add_all(&requested);
        // Giving something back is fine even where too much is used still.
        let exceeds = |name: &str| {
            requested.get(name).is_some_and(|amount| amount > Quantity::ZERO)
                && used.get(name) > self.status_hard.get(name)
        };
        if requested.0.keys().any(|name| exceeds(name)) {
            return Err(Refusal::Exceeded {
                quota: self.name.clone(),
                requested: requested.only(exceeds),
                used: self.used.only(exceeds),
                limited: self.status_hard.only(exceeds),
            });
        }
        Ok(Some(used))
    }

    fn check_said(&self, governed: &[&str], pod: &Value) -> Result<(), Refusal> {
        let required: Vec<&str> = governed.iter().copied().filter(|name| MUST_SAY.contains(name)).collect();
        if required.is_empty() {
            return Ok(());
        }
        let spec = &pod["spec"];
        let said_by = |holder: &Value| {
            let list = |list: &str| Amounts::read(&holder["resources"][list]);
            let mut said = Amounts::default();
            add_compute(&mut said, &list("requests"), &list("limits"));
            said
        };
        let of_the_whole = said_by(spec);
        let mut missing: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for container in items(&spec["containers"]).chain(items(&spec["initContainers"])) {
            let said = said_by(container);
            for name in &required {
                if said.get(name).is_none() && of_the_whole.get(name).is_none() {
                    let containers = missing.entry((*name).to_owned()).or_default();
                    containers.insert(text(&container["name"]).to_owned());
                }
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(Refusal::Unspecified { quota: self.name.clone(), missing }) }
    }
}
