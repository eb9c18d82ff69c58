//! NodeRestriction: a node writes about itself alone. It owns its Node, its lease, its CSINode and slices, the status of
//! its pods, its mirror pods, and tokens of its pods.

use std::collections::BTreeSet;

use minato_mvcc::Key;
use serde_json::{Map, Value};

use super::{Context, Operation, items, service_account, text};
use crate::identity::User;
use crate::status::ApiError;

const MIRROR: &str = "kubernetes.io/config.mirror";

/// The node that `user` is: `Some` for every node, empty where its name does not say which.
pub(crate) fn node_of(user: &User) -> Option<&str> {
    if !user.in_group("system:nodes") {
        return None;
    }
    user.name.strip_prefix("system:node:")
}

pub(super) fn restrict(context: &Context<'_>, object: &mut Value) -> Result<(), ApiError> {
    let Some(node) = node_of(context.target.user) else { return Ok(()) };
    if node.is_empty() {
        let why = format!("could not determine node from user {:?}", context.target.user.name);
        return Err(context.forbidden(object, &why));
    }
    let complaint = match &*context.target.resource.storage {
        "core/pods" => match context.target.subresource {
            "" => pod(context, node, object)?,
            "status" => pod_status(context, node, object),
            "eviction" => eviction(context, node)?,
            other => Some(format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed")),
        },
        "core/nodes" => node_itself(context, node, object),
        "core/persistentvolumeclaims" => claim(context, node, object),
        "core/serviceaccounts" => token(context, node, object)?,
        "coordination.k8s.io/leases" => lease(context, node, object),
        "storage.k8s.io/csinodes" => (wanted_name(context, object) != node)
            .then(|| "can only access CSINode with the same name as the requesting node".to_owned()),
        "resource.k8s.io/resourceslices" => slice(context, node, object),
        _ => None,
    };
    complaint.map_or(Ok(()), |why| Err(context.forbidden(object, &why)))
}

/// The name in the URL, or of the object that is created.
fn wanted_name<'a>(context: &Context<'a>, object: &'a Value) -> &'a str {
    if context.name.is_empty() { crate::object::text(object, "name") } else { context.name }
}

fn stored_pod(context: &Context<'_>, name: &str) -> Result<Value, ApiError> {
    match context.memory.get(&Key::new("core/pods", context.target.namespace, name)) {
        Some(pod) => crate::write::parse(&pod),
        None => Err(ApiError::not_found(&crate::status::Subject { group: "", resource: "pods", name })),
    }
}

fn pod(context: &Context<'_>, node: &str, pod: &Value) -> Result<Option<String>, ApiError> {
    Ok(match context.operation {
        Operation::Create => mirror_pod(context, node, pod),
        Operation::Delete => (stored_pod(context, context.name)?["spec"]["nodeName"] != node)
            .then(|| format!("node {node:?} can only delete pods with spec.nodeName set to itself")),
        other => Some(format!(
            "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
            other.as_str()
        )),
    })
}

fn mirror_pod(context: &Context<'_>, node: &str, pod: &Value) -> Option<String> {
    let (metadata, spec) = (&pod["metadata"], &pod["spec"]);
    if metadata["annotations"][MIRROR].is_null() {
        return Some(format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"));
    }
    let may = |what: &str| Some(format!("node {node:?} can only create pods with {what}"));
    if spec["nodeName"] != node {
        return may("spec.nodeName set to itself");
    }
    let mut owners = items(&metadata["ownerReferences"]);
    let Some(owner) = owners.next() else { return may("an owner reference set to itself") };
    if owners.next().is_some() {
        return may("a single owner reference set to itself");
    }
    if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != node {
        return may("an owner reference set to itself");
    }
    if owner["controller"] != true {
        return may("a controller owner reference set to itself");
    }
    if owner["blockOwnerDeletion"] == true {
        return Some(format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
    }
    let stored = context.memory.get(&Key::new("core/nodes", "", node)).and_then(|node| crate::write::parse(&node).ok());
    let uid = stored.as_ref().map_or("", |node| crate::object::text(node, "uid"));
    if owner["uid"] != uid {
        return Some(format!("node {node} UID mismatch: expected {uid} got {}", text(&owner["uid"])));
    }
    let reads = |what: &str| Some(format!("node {node:?} can not create pods that reference {what}"));
    if !text(&spec["serviceAccountName"]).is_empty() {
        return reads("a service account");
    }
    if service_account::references(spec, "secret") {
        return reads("secrets");
    }
    if service_account::references(spec, "configMap") {
        return reads("configmaps");
    }
    if items(&spec["volumes"]).any(|volume| !volume["persistentVolumeClaim"].is_null()) {
        return reads("persistentvolumeclaims");
    }
    if items(&spec["resourceClaims"]).next().is_some() {
        return reads("resourceclaims");
    }
    None
}

fn pod_status(context: &Context<'_>, node: &str, pod: &Value) -> Option<String> {
    let Some(old) = context.old.filter(|_| context.operation == Operation::Update) else {
        return Some(format!(
            "unexpected operation {:?}, node {node:?} can only update pod status",
            context.operation.as_str()
        ));
    };
    if old["spec"]["nodeName"] != node {
        return Some(format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself"));
    }
    if labels(pod) != labels(old) {
        return Some(format!("node {node:?} cannot update labels through pod status"));
    }
    if differ(&pod["status"]["resourceClaimStatuses"], &old["status"]["resourceClaimStatuses"]) {
        return Some(format!("node {node:?} cannot update resource claim statuses"));
    }
    None
}

/// Whether two values differ, where nothing and empty are the same.
fn differ(one: &Value, other: &Value) -> bool {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    one != other && !(empty(one) && empty(other))
}

fn eviction(context: &Context<'_>, node: &str) -> Result<Option<String>, ApiError> {
    if context.operation != Operation::Create {
        return Ok(Some(format!(
            "unexpected operation {}, node {node:?} can only evict pods",
            context.operation.as_str()
        )));
    }
    Ok((stored_pod(context, context.name)?["spec"]["nodeName"] != node)
        .then(|| format!("node {node} can only evict pods with spec.nodeName set to itself")))
}

fn claim(context: &Context<'_>, node: &str, claim: &Value) -> Option<String> {
    let Some(old) = context.old.filter(|_| context.target.subresource == "status") else {
        return Some("may only update PVC status".to_owned());
    };
    let kept = |claim: &Value| {
        let mut kept = claim.clone();
        if let Value::Object(fields) = &mut kept {
            fields.remove("status");
        }
        if let Value::Object(metadata) = &mut kept["metadata"] {
            metadata.remove("managedFields");
            metadata.remove("resourceVersion");
        }
        kept
    };
    (kept(claim) != kept(old)).then(|| format!("node {node:?} is not allowed to update fields other than status"))
}

fn lease(context: &Context<'_>, node: &str, lease: &Value) -> Option<String> {
    if context.target.namespace != "kube-node-lease" {
        return Some("can only access leases in the \"kube-node-lease\" system namespace".to_owned());
    }
    (wanted_name(context, lease) != node)
        .then(|| "can only access node lease with the same name as the requesting node".to_owned())
}

fn slice(context: &Context<'_>, node: &str, slice: &Value) -> Option<String> {
    let (of, verb) = match context.operation {
        Operation::Create => (Some(slice), "create"),
        Operation::Update => (context.old, "update"),
        _ => (context.old, "delete"),
    };
    let own = of.is_some_and(|slice| slice["spec"]["nodeName"] == node);
    (!own).then(|| format!("can only {verb} ResourceSlice with the same NodeName as the requesting node"))
}

fn token(context: &Context<'_>, node: &str, request: &Value) -> Result<Option<String>, ApiError> {
    if context.operation != Operation::Create || context.target.subresource != "token" {
        return Ok(None);
    }
    let bound = &request["spec"]["boundObjectRef"];
    if bound["apiVersion"] != "v1" || bound["kind"] != "Pod" || text(&bound["name"]).is_empty() {
        return Ok(Some("node requested token not bound to a pod".to_owned()));
    }
    let uid = text(&bound["uid"]);
    if uid.is_empty() {
        return Ok(Some("node requested token with a pod binding without a uid".to_owned()));
    }
    let name = text(&bound["name"]);
    let pod = stored_pod(context, name)?;
    let have = crate::object::text(&pod, "uid");
    if uid != have {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(ApiError::conflict(&crate::status::Subject { group: "", resource: "pods", name }, &why));
    }
    if pod["spec"]["nodeName"] != node {
        return Ok(Some("node requested token bound to a pod scheduled on a different node".to_owned()));
    }
    Ok(audience_complaint(context, &pod, request))
}

/// A node asks for tokens for the audiences that its pods name, by projected volumes or CSI drivers, and no others.
fn audience_complaint(context: &Context<'_>, pod: &Value, request: &Value) -> Option<String> {
    let audiences: Vec<&str> = items(&request["spec"]["audiences"]).map(text).collect();
    let wanted = match audiences.as_slice() {
        [] => "",
        [one] => one,
        _ => return Some("node may only request 0 or 1 audiences".to_owned()),
    };
    let driver_asks = |driver: &str| {
        let driver = context.memory.get(&Key::new("storage.k8s.io/csidrivers", "", driver));
        let driver = driver.and_then(|driver| crate::write::parse(&driver).ok());
        driver.is_some_and(|driver| {
            items(&driver["spec"]["tokenRequests"]).any(|token| text(&token["audience"]) == wanted)
        })
    };
    let claimed_by = |claim: &str| {
        let claim = context.memory.get(&Key::new("core/persistentvolumeclaims", context.target.namespace, claim))?;
        let claim = crate::write::parse(&claim).ok()?;
        let volume = context.memory.get(&Key::new("core/persistentvolumes", "", text(&claim["spec"]["volumeName"])))?;
        let volume = crate::write::parse(&volume).ok()?;
        Some(text(&volume["spec"]["csi"]["driver"]).to_owned())
    };
    let pod_name = crate::object::text(pod, "name");
    let found = items(&pod["spec"]["volumes"]).any(|volume| {
        let projected = items(&volume["projected"]["sources"]).map(|source| &source["serviceAccountToken"]);
        projected.filter(|token| !token.is_null()).any(|token| text(&token["audience"]) == wanted)
            || volume["csi"]["driver"].as_str().is_some_and(driver_asks)
            || volume["persistentVolumeClaim"]["claimName"]
                .as_str()
                .and_then(claimed_by)
                .is_some_and(|d| driver_asks(&d))
            || (volume["ephemeral"].is_object()
                && claimed_by(&format!("{pod_name}-{}", text(&volume["name"]))).is_some_and(|d| driver_asks(&d)))
    });
    (!found).then(|| format!("audience {wanted:?} not found in pod spec volume"))
}

fn node_itself(context: &Context<'_>, node: &str, object: &Value) -> Option<String> {
    let creates = context.operation == Operation::Create;
    if creates {
        let forbidden = forbidden_labels(object, None);
        if !forbidden.is_empty() {
            return Some(format!("is not allowed to set the following labels: {}", forbidden.join(", ")));
        }
    }
    let requested = wanted_name(context, object);
    if requested != node {
        return Some(format!("node {node:?} is not allowed to modify node {requested:?}"));
    }
    let old = context.old.filter(|_| context.operation == Operation::Update)?;
    if differ(&object["spec"]["taints"], &old["spec"]["taints"]) {
        return Some(format!("node {node:?} is not allowed to modify taints"));
    }
    if differ(&object["metadata"]["ownerReferences"], &old["metadata"]["ownerReferences"]) {
        return Some(format!("node {node:?} is not allowed to modify ownerReferences"));
    }
    let forbidden = forbidden_labels(object, Some(old));
    (!forbidden.is_empty()).then(|| format!("is not allowed to modify labels: {}", forbidden.join(", ")))
}

fn labels(object: &Value) -> Map<String, Value> {
    object["metadata"]["labels"].as_object().cloned().unwrap_or_default()
}

/// Labels that a node changes and may not: what others rely on to keep nodes apart.
fn forbidden_labels(new: &Value, old: Option<&Value>) -> Vec<String> {
    let (new, old) = (labels(new), old.map(labels).unwrap_or_default());
    let keys: BTreeSet<&String> = new.keys().chain(old.keys()).collect();
    let changed = keys.into_iter().filter(|key| new.get(*key) != old.get(*key));
    changed.filter(|key| is_forbidden(key)).cloned().collect()
}

/// What kubelets say of themselves.
const OWN_LABELS: &[&str] = &[
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/windows-build",
];

fn is_forbidden(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let within = |parent: &str| domain.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if within("node-restriction.kubernetes.io") {
        return true;
    }
    let own = OWN_LABELS.contains(&label) || within("kubelet.kubernetes.io") || within("node.kubernetes.io");
    (within("kubernetes.io") || within("k8s.io")) && !own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_a_node() {
        let check = |label: &str, expected: bool| assert_eq!(is_forbidden(label), expected, "{label}");
        check("node-restriction.kubernetes.io/team", true);
        check("a.node-restriction.kubernetes.io/team", true);
        check("node-role.kubernetes.io/control-plane", true);
        check("kubernetes.io/hostname", false);
        check("kubernetes.io/x", true);
        check("example.k8s.io/x", true);
        check("kubelet.kubernetes.io/x", false);
        check("a.node.kubernetes.io/x", false);
        check("xnode-restriction.kubernetes.io/x", true);
        check("example.com/x", false);
        check("plain", false);
    }
}
