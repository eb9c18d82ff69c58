//! Applying a configuration.

use crate::{
    compare::Comparison,
    error::{ApplyError, Conflict},
    field_set::FieldSet,
    identity::Ignored,
    last_applied,
    managers::{self, Manager, Managers, Operation, Ownership},
    merge, prune,
    topology::Topology,
    track::{Track, track},
};
use serde_json::{Map, Value};

/// A request to apply.
#[derive(Debug, Clone, Copy)]
pub struct Apply<'a> {
    /// The `fieldManager` of the request.
    pub manager: &'a str,
    /// The `apiVersion` of the request.
    pub api_version: &'a str,
    /// The subresource applied to; empty for the object itself.
    pub subresource: &'a str,
    /// When, RFC 3339.
    pub now: &'a str,
    /// Top-level fields that such a request cannot change, `status` for the object itself.
    pub reset: &'a [&'a str],
    /// Take fields from others instead of refusing.
    pub force: bool,
}

/// Who owned the fields of an object before anybody applied to it.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Applies `config` to `live` (none when the object is to be created) and gives the object as it is to be stored, with
/// its managers; the kind's rules are not yet applied to it.
pub fn apply(
    schema: &dyn Topology,
    live: Option<&Value>,
    config: Value,
    request: &Apply<'_>,
) -> Result<Value, ApplyError> {
    let config = checked(schema, config, request)?;
    match apply_once(schema, live, &config, request) {
        Err(ApplyError::Conflicts(conflicts)) => {
            let rest = last_applied::without_own(schema, live, conflicts, request);
            if !rest.is_empty() {
                return Err(ApplyError::Conflicts(rest));
            }
            apply_once(schema, live, &config, &Apply { force: true, ..*request })
        }
        other => other,
    }
    .map(|mut applied| {
        last_applied::sync(live, &config, &mut applied, request);
        applied
    })
}

/// The configuration in the API's form, if it has the shape of its kind.
fn checked(schema: &dyn Topology, mut config: Value, request: &Apply<'_>) -> Result<Value, ApplyError> {
    let malformed = |config: &Value, reason: String| ApplyError::Malformed { object: described(config), reason };
    if config.pointer("/metadata/managedFields").is_some_and(|entries| !entries.is_null()) {
        return Err(ApplyError::ManagedFieldsGiven);
    }
    let found = config.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if found != request.api_version {
        return Err(ApplyError::WrongVersion { found: found.to_owned(), wanted: request.api_version.to_owned() });
    }
    schema.check(&mut config).map_err(|reason| malformed(&config, reason))?;
    match merge::check(Some(schema), &config) {
        Ok(()) => Ok(config),
        Err(error) => Err(malformed(&config, format!("{}: {}", error.path, error.reason))),
    }
}

/// `default/web; apps/v1, Kind=Deployment`
fn described(config: &Value) -> String {
    let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let api_version = text("/apiVersion");
    // The core group has no name: Go prints it all the same.
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!("{namespace}/{name}; {slash}{api_version}, Kind={}", text("/kind"))
}

fn apply_once(
    schema: &dyn Topology,
    live: Option<&Value>,
    config: &Value,
    request: &Apply<'_>,
) -> Result<Value, ApplyError> {
    let mut managers = managers_of(schema, live, request);
    let mut before = live.cloned().unwrap_or_else(|| Value::Object(Map::new()));
    managers::strip(&mut before);
    let applier = Manager {
        name: request.manager.to_owned(),
        operation: Operation::Apply,
        api_version: None,
        subresource: request.subresource.to_owned(),
    };
    let ignored = Ignored { reset: request.reset };
    let last = managers.0.remove(&applier);
    let fields = FieldSet::of(Some(schema), config).without(ignored);

    let merged = merge::merge(Some(schema), before.clone(), config.clone());
    let owned = managers.all_fields().union(&fields);
    let mut applied = match &last {
        // An object that the configuration wants empty is gone with the last field in it: it is laid over once more.
        Some(last) => {
            let pruned = prune::prune(schema, merged, &last.fields, &owned);
            merge::merge(Some(schema), pruned, config.clone())
        }
        None => merged,
    };
    let comparison = Comparison::of(schema, ignored, &before, &applied);
    take_over(&mut managers, &comparison, request.force)?;

    let same = last.as_ref().is_some_and(|last| last.fields == fields) && before == applied;
    let time = match last {
        Some(last) if same => last.time,
        _ => Some(request.now.to_owned()),
    };
    managers.0.insert(applier, Ownership { fields, api_version: request.api_version.to_owned(), time });
    managers.drop_empty();
    managers.cap();
    managers.write(&mut applied);
    Ok(applied)
}

/// The managers of the live object. What nobody was noted for belongs to those before the first apply.
fn managers_of(schema: &dyn Topology, live: Option<&Value>, request: &Apply<'_>) -> Managers {
    let Some(live) = live else { return Managers::default() };
    match Managers::of(live) {
        Some(managers) if !managers.0.is_empty() => managers,
        _ => {
            let mut noted = live.clone();
            managers::strip(&mut noted);
            let Apply { api_version, now, reset, .. } = *request;
            let first = Track { manager: BEFORE_FIRST_APPLY, api_version, subresource: "", now, reset };
            track(schema, None, &mut noted, &first);
            Managers::of(&noted).unwrap_or_default()
        }
    }
}

/// Takes the fields that change from those that own them, or refuses.
fn take_over(managers: &mut Managers, comparison: &Comparison, force: bool) -> Result<(), ApplyError> {
    let changed = comparison.changed();
    let conflicts: Vec<Conflict> = managers
        .0
        .iter()
        .flat_map(|(manager, ownership)| {
            let paths = ownership.fields.intersection(&changed).paths();
            paths.into_iter().map(|path| Conflict { manager: manager.clone(), path })
        })
        .collect();
    if !force && !conflicts.is_empty() {
        return Err(ApplyError::Conflicts(conflicts));
    }
    for ownership in managers.0.values_mut() {
        ownership.fields = ownership.fields.difference(&changed).difference(&comparison.removed);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
