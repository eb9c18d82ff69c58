//! Who a pod of a StatefulSet is: its ordinal, name, host name and labels.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;

use super::{Revision, storage};
use crate::history::CONTROLLER_REVISION_HASH;
use crate::ownership::controller_reference;
use crate::replica_set::pod_from_template;

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

fn name_of(set: &StatefulSet) -> &str {
    set.metadata.name.as_deref().unwrap_or_default()
}

/// The name of the pod with that ordinal.
pub(super) fn pod_name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", name_of(set))
}

/// The ordinal in the pod's name, if it is a name of the set.
#[must_use]
pub fn ordinal_of(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let (parent, ordinal) = pod.metadata.name.as_deref()?.rsplit_once('-')?;
    if parent != name_of(set) || !ordinal.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    ordinal.parse().ok()
}

/// The labels that tell who the pod is.
fn labels(set: &StatefulSet, ordinal: i32) -> [(String, String); 2] {
    [(POD_NAME.to_owned(), pod_name(set, ordinal)), (POD_INDEX.to_owned(), ordinal.to_string())]
}

/// A new pod of the set in that revision.
#[must_use]
pub fn pod_of(set: &StatefulSet, revision: Revision<'_>, ordinal: i32) -> Pod {
    let owner = controller_reference("apps/v1", "StatefulSet", &set.metadata);
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    let mut pod = pod_from_template(revision.template, namespace, owner);
    let name = pod_name(set, ordinal);
    pod.metadata.generate_name = None;
    pod.metadata.name = Some(name.clone());
    let own = pod.metadata.labels.get_or_insert_with(BTreeMap::new);
    own.extend(labels(set, ordinal));
    own.insert(CONTROLLER_REVISION_HASH.to_owned(), revision.name.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name);
    spec.subdomain = set.spec.as_ref().and_then(|spec| spec.service_name.clone()).filter(|name| !name.is_empty());
    storage::mount(set, ordinal, spec);
    pod
}

/// The pod with the labels that it lost; none if it has them all.
pub(super) fn corrected(set: &StatefulSet, pod: &Pod) -> Option<Pod> {
    let wanted = labels(set, ordinal_of(set, pod)?);
    let have = pod.metadata.labels.as_ref();
    if wanted.iter().all(|(key, value)| have.and_then(|labels| labels.get(key)) == Some(value)) {
        return None;
    }
    let mut pod = pod.clone();
    pod.metadata.labels.get_or_insert_with(BTreeMap::new).extend(wanted);
    Some(pod)
}
