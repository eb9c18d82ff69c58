//! Who controls what: controller references, and adoption and release of objects by selector.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use minato_select::LabelSelector;

/// The owner reference with `controller: true`, of which there is at most one.
#[must_use]
pub fn controller_of(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true))
}

/// Whether the object of that uid controls the object that carries `metadata`.
#[must_use]
pub fn is_controlled_by(metadata: &ObjectMeta, uid: &str) -> bool {
    controller_of(metadata).is_some_and(|owner| owner.uid == uid)
}

/// The reference by which a controller marks what it makes or adopts.
#[must_use]
pub fn controller_reference(api_version: &str, kind: &str, owner: &ObjectMeta) -> OwnerReference {
    OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: owner.name.clone().unwrap_or_default(),
        uid: owner.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// What a controller with a selector should do about one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is the controller's already.
    Own,
    /// Nobody controls it and the selector matches: take it.
    Adopt,
    /// The controller's, but the selector does not match any more: let it go.
    Release,
    /// Not the controller's business.
    Leave,
}

/// Decides about one object of the controller's namespace.
#[must_use]
pub fn claim(controller: &ObjectMeta, selector: &LabelSelector, object: &ObjectMeta) -> Claim {
    let matches = match &object.labels {
        Some(labels) => selector.matches_labels(labels),
        None => selector.matches(|_| None),
    };
    let controller_goes = controller.deletion_timestamp.is_some();
    match controller_of(object) {
        Some(owner) if Some(&owner.uid) != controller.uid.as_ref() => Claim::Leave,
        Some(_) if matches => Claim::Own,
        Some(_) if controller_goes => Claim::Leave, // let the garbage collector decide
        Some(_) => Claim::Release,
        None if !matches || controller_goes || object.deletion_timestamp.is_some() => Claim::Leave,
        None => Claim::Adopt,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn metadata(uid: &str, owner: Option<&str>, app: &str, deleting: bool) -> ObjectMeta {
        let owner = owner.map(|uid| {
            controller_reference("apps/v1", "ReplicaSet", &ObjectMeta { uid: Some(uid.into()), ..Default::default() })
        });
        ObjectMeta {
            uid: Some(uid.to_owned()),
            labels: Some(BTreeMap::from([("app".to_owned(), app.to_owned())])),
            owner_references: owner.map(|owner| vec![owner]),
            deletion_timestamp: deleting.then_some(Time(Timestamp::UNIX_EPOCH)),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn claims() {
        let selector = LabelSelector::parse("app=web").unwrap();
        #[rustfmt::skip]
        let cases = [
            // owner,        app,   pod goes, controller goes
            (Some("me"),    "web",  false, false, Claim::Own),
            (Some("me"),    "web",  true,  false, Claim::Own),
            (Some("me"),    "web",  false, true,  Claim::Own),
            (Some("me"),    "db",   false, false, Claim::Release),
            (Some("me"),    "db",   false, true,  Claim::Leave),
            (Some("other"), "web",  false, false, Claim::Leave),
            (Some("other"), "db",   false, false, Claim::Leave),
            (None,          "web",  false, false, Claim::Adopt),
            (None,          "web",  true,  false, Claim::Leave),
            (None,          "web",  false, true,  Claim::Leave),
            (None,          "db",   false, false, Claim::Leave),
        ];
        for (owner, app, pod_goes, controller_goes, expected) in cases {
            let found =
                claim(&metadata("me", None, "x", controller_goes), &selector, &metadata("pod", owner, app, pod_goes));
            assert_eq!(found, expected, "{owner:?} {app} {pod_goes} {controller_goes}");
        }
    }
}
