//! ServiceAccount: pods run as an account that exists, with its token and pull secrets, and with no secrets but its own
//! where the account insists.

use minato_mvcc::Key;
use serde_json::{Value, json};

use super::{Context, items, text};
use crate::status::ApiError;

const TOKEN_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Seconds that a pod's token is valid: an hour, and seven seconds by which upstream tells its own from users' choices.
const TOKEN_SECONDS: u32 = 3607;
const MIRROR: &str = "kubernetes.io/config.mirror";
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

fn is_mirror(pod: &Value) -> bool {
    !pod["metadata"]["annotations"][MIRROR].is_null()
}

/// Finds the account of a new pod and gives the pod what is the account's.
pub(super) fn fill(context: &Context<'_>, pod: &mut Value) -> Result<(), ApiError> {
    if !context.creates("core/pods") || is_mirror(pod) {
        return Ok(());
    }
    let given = [&pod["spec"]["serviceAccountName"], &pod["spec"]["serviceAccount"]];
    let name = given.into_iter().map(text).find(|name| !name.is_empty()).unwrap_or("default").to_owned();
    let account = find(context, pod, &name)?;
    let Value::Object(spec) = &mut pod["spec"] else { return Ok(()) };
    spec.insert("serviceAccountName".to_owned(), name.as_str().into());
    spec.insert("serviceAccount".to_owned(), name.as_str().into());
    let secrets = spec.get("imagePullSecrets").and_then(Value::as_array);
    if secrets.is_none_or(Vec::is_empty)
        && let Some(secrets) = account["imagePullSecrets"].as_array()
        && !secrets.is_empty()
    {
        spec.insert("imagePullSecrets".to_owned(), secrets.clone().into());
    }
    let spec = &mut pod["spec"];
    let wanted = [&spec["automountServiceAccountToken"], &account["automountServiceAccountToken"]];
    if wanted.iter().find_map(|wanted| wanted.as_bool()).unwrap_or(true) {
        mount_token(spec);
    }
    Ok(())
}

fn find(context: &Context<'_>, pod: &Value, name: &str) -> Result<Value, ApiError> {
    let namespace = context.target.namespace;
    match context.memory.get(&Key::new("core/serviceaccounts", namespace, name)) {
        Some(account) => crate::write::parse(&account),
        None => {
            let why = format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
            Err(context.forbidden(pod, &why))
        }
    }
}

fn mount_token(spec: &mut Value) {
    let existing = items(&spec["volumes"]).map(|volume| text(&volume["name"]));
    let existing = existing.filter(|name| name.starts_with("kube-api-access-")).map(str::to_owned).next();
    let suffix = uuid::Uuid::new_v4().simple().to_string();
    let volume = existing.clone().unwrap_or_else(|| format!("kube-api-access-{}", &suffix[..5]));
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Value::Object(container) = container else { continue };
            let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
            let Value::Array(mounts) = mounts else { continue };
            if mounts.iter().any(|mount| mount["mountPath"] == TOKEN_MOUNT) {
                continue;
            }
            mounts.push(json!({"name": volume, "readOnly": true, "mountPath": TOKEN_MOUNT}));
            mounted = true;
        }
    }
    if !mounted || existing.is_some() {
        return;
    }
    let source = json!({"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]});
    if !spec["volumes"].is_array() {
        spec["volumes"] = json!([]);
    }
    if let Value::Array(volumes) = &mut spec["volumes"] {
        volumes.push(json!({"name": volume, "projected": source}));
    }
}

/// Refuses pods that use secrets which are not their account's, and mirror pods that use any account or secret.
pub(super) fn check(context: &Context<'_>, pod: &Value) -> Result<(), ApiError> {
    let debugs = context.operation == super::Operation::Update
        && context.target.subresource == "ephemeralcontainers"
        && &*context.target.resource.storage == "core/pods";
    if !context.creates("core/pods") && !debugs {
        return Ok(());
    }
    let spec = &pod["spec"];
    let complaint = if is_mirror(pod) {
        mirror_complaint(spec)
    } else {
        let account = find(context, pod, text(&spec["serviceAccountName"]))?;
        let enforces = account["metadata"]["annotations"][ENFORCE].as_str();
        // As Go's strconv.ParseBool.
        let enforces = enforces.is_some_and(|value| matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"));
        if enforces { secret_complaint(spec, &account, debugs) } else { None }
    };
    complaint.map_or(Ok(()), |why| Err(context.forbidden(pod, &why)))
}

fn mirror_complaint(spec: &Value) -> Option<String> {
    if !text(&spec["serviceAccountName"]).is_empty() {
        return Some("a mirror pod may not reference service accounts".to_owned());
    }
    if references(spec, "secret") {
        return Some("a mirror pod may not reference secrets".to_owned());
    }
    let sources = items(&spec["volumes"]).flat_map(|volume| items(&volume["projected"]["sources"]));
    sources
        .into_iter()
        .any(|source| !source["serviceAccountToken"].is_null())
        .then(|| "a mirror pod may not use ServiceAccountToken volume projections".to_owned())
}

/// Whether a volume or a variable of the pod reads a `secret` or a `configMap`.
pub(super) fn references(spec: &Value, kind: &str) -> bool {
    let of_volume = |volume: &Value| {
        !volume[kind].is_null() || items(&volume["projected"]["sources"]).any(|source| !source[kind].is_null())
    };
    let of_container = |container: &Value| {
        let (key, whole) = (format!("{kind}KeyRef"), format!("{kind}Ref"));
        items(&container["env"]).any(|variable| !variable["valueFrom"][&key].is_null())
            || items(&container["envFrom"]).any(|source| !source[&whole].is_null())
    };
    items(&spec["volumes"]).any(of_volume)
        || (kind == "secret" && items(&spec["imagePullSecrets"]).next().is_some())
        || ["initContainers", "containers", "ephemeralContainers"]
            .iter()
            .any(|list| items(&spec[list]).any(of_container))
}

fn secret_complaint(spec: &Value, account: &Value, debugs: bool) -> Option<String> {
    let account_name = crate::object::text(account, "name");
    let mountable = |name: &str| items(&account["secrets"]).any(|secret| secret["name"] == name);
    let of_variables = |list: &str, noun: &str| {
        items(&spec[list]).find_map(|container| {
            items(&container["env"]).find_map(|variable| {
                let reference = &variable["valueFrom"]["secretKeyRef"];
                let secret = text(&reference["name"]);
                (!reference.is_null() && !mountable(secret)).then(|| {
                    format!(
                        "{noun} {} with envVar {} referencing secret.secretName=\"{secret}\" is not allowed because service account {account_name} does not reference that secret",
                        text(&container["name"]),
                        text(&variable["name"])
                    )
                })
            })
        })
    };
    if debugs {
        return of_variables("ephemeralContainers", "ephemeral container");
    }
    for volume in items(&spec["volumes"]).filter(|volume| !volume["secret"].is_null()) {
        let secret = text(&volume["secret"]["secretName"]);
        if !mountable(secret) {
            return Some(format!(
                "volume with secret.secretName=\"{secret}\" is not allowed because service account {account_name} does not reference that secret"
            ));
        }
    }
    let of_containers =
        of_variables("initContainers", "init container").or_else(|| of_variables("containers", "container"));
    if of_containers.is_some() {
        return of_containers;
    }
    items(&spec["imagePullSecrets"]).enumerate().find_map(|(index, secret)| {
        let name = text(&secret["name"]);
        let known = items(&account["imagePullSecrets"]).any(|secret| secret["name"] == name);
        (!known).then(|| {
            format!(
                "imagePullSecrets[{index}].name=\"{name}\" is not allowed because service account {account_name} does not reference that imagePullSecret"
            )
        })
    })
}
