//! What restricted asks for beyond baseline: no way to root, no other volumes than the core ones.

use crate::pod::{Pod, Values, Violation, items, named, plural, quoted, text};

pub(super) fn privilege_escalation(pod: &Pod<'_>) -> Option<Violation> {
    let bad = pod.bad(|container| container["securityContext"]["allowPrivilegeEscalation"] != false);
    (!bad.is_empty()).then(|| {
        let who = named("container", &bad);
        Violation::new(
            "allowPrivilegeEscalation != false",
            format!("{who} must set securityContext.allowPrivilegeEscalation=false"),
        )
    })
}

pub(super) fn privilege_escalation_1_25(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_windows() { None } else { privilege_escalation(pod) }
}

pub(super) fn capabilities(pod: &Pod<'_>) -> Option<Violation> {
    let keeping = pod.bad(|container| {
        !items(&container["securityContext"]["capabilities"]["drop"]).any(|capability| capability == "ALL")
    });
    let mut added = Values::new();
    let adding = pod.bad(|container| {
        let forbidden = items(&container["securityContext"]["capabilities"]["add"]).map(text);
        let forbidden: Vec<&str> = forbidden.filter(|capability| *capability != "NET_BIND_SERVICE").collect();
        added.extend(&forbidden);
        !forbidden.is_empty()
    });
    let mut told = Vec::new();
    if !keeping.is_empty() {
        told.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named("container", &keeping)));
    }
    if !adding.is_empty() {
        let (who, what) = (named("container", &adding), quoted(added));
        told.push(format!("{who} must not include {what} in securityContext.capabilities.add"));
    }
    (!told.is_empty()).then(|| Violation::new("unrestricted capabilities", told.join("; ")))
}

pub(super) fn capabilities_1_25(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_windows() { None } else { capabilities(pod) }
}

/// What the standard lets everybody mount.
const VOLUMES: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
/// What it does not, in the order in which upstream looks.
const RESTRICTED_VOLUMES: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

pub(super) fn volumes(pod: &Pod<'_>) -> Option<Violation> {
    let mut types = Values::new();
    let mut names = Vec::new();
    for volume in items(&pod.spec["volumes"]) {
        let is = |source: &&&str| !volume[**source].is_null();
        if VOLUMES.iter().any(|source| is(&source)) {
            continue;
        }
        names.push(text(&volume["name"]));
        types.insert(RESTRICTED_VOLUMES.iter().find(is).copied().unwrap_or("unknown"));
    }
    (!names.is_empty()).then(|| {
        let detail = format!(
            "{} {} {} {}",
            named("volume", &names),
            plural("uses", "use", names.len()),
            plural("restricted volume type", "restricted volume types", types.len()),
            quoted(types)
        );
        Violation::new("restricted volume types", detail)
    })
}

pub(super) fn run_as_non_root(pod: &Pod<'_>) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    if let Some(who) = pod.bad_setters(|context| context["runAsNonRoot"] == false) {
        return Some(Violation::new(REASON, format!("{who} must not set securityContext.runAsNonRoot=false")));
    }
    if pod.security_context()["runAsNonRoot"] == true {
        return None;
    }
    let bad = pod.bad(|container| container["securityContext"]["runAsNonRoot"].is_null());
    (!bad.is_empty()).then(|| {
        let who = named("container", &bad);
        Violation::new(REASON, format!("pod or {who} must set securityContext.runAsNonRoot=true"))
    })
}

/// Root in a pod with users of its own is nobody on the node (KEP-127).
pub(super) fn run_as_non_root_1_35(pod: &Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { run_as_non_root(pod) }
}

pub(super) fn run_as_user(pod: &Pod<'_>) -> Option<Violation> {
    let who = pod.bad_setters(|context| context["runAsUser"] == 0)?;
    Some(Violation::new("runAsUser=0", format!("{who} must not set runAsUser=0")))
}

pub(super) fn run_as_user_1_35(pod: &Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { run_as_user(pod) }
}
