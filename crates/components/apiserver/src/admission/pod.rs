//! What the cluster adds to pods: their service account, their priority, their patience with a sick node.

use minato_mvcc::Key;
use serde_json::{Map, Value, json};

use super::Context;
use crate::status::ApiError;

const TOKEN_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Seconds that a pod's token is valid: an hour, and seven seconds by which upstream tells its own from users' choices.
const TOKEN_SECONDS: u32 = 3607;
/// Seconds that a pod stays on a node that is not ready or cannot be reached.
const TOLERATION_SECONDS: u32 = 300;
const MIRROR: &str = "kubernetes.io/config.mirror";
const PRIORITY_CLASSES: &str = "scheduling.k8s.io/priorityclasses";

fn is_new_pod(context: &Context<'_>) -> bool {
    context.creates("core/pods")
}

/// ServiceAccount: the pod runs as an account that exists, and gets the account's token and pull secrets.
pub(super) fn service_account(context: &Context<'_>, pod: &mut Value) -> Result<(), ApiError> {
    if !is_new_pod(context) || !pod["metadata"]["annotations"][MIRROR].is_null() {
        return Ok(());
    }
    let target = context.target;
    let given = [&pod["spec"]["serviceAccountName"], &pod["spec"]["serviceAccount"]];
    let name = given.iter().filter_map(|name| name.as_str()).find(|name| !name.is_empty()).unwrap_or("default");
    let name = name.to_owned();
    let key = Key::new("core/serviceaccounts", target.namespace, name.as_str());
    let Some(account) = context.memory.get(&key) else {
        let subject = target.resource.subject(crate::object::text(pod, "name"));
        let namespace = target.namespace;
        let why = format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        return Err(ApiError::forbidden(&subject, &why));
    };
    let account = crate::write::parse(&account)?;
    let spec = &mut pod["spec"];
    spec["serviceAccountName"] = name.as_str().into();
    spec["serviceAccount"] = name.as_str().into();
    if spec["imagePullSecrets"].as_array().is_none_or(Vec::is_empty)
        && let Some(secrets) = account["imagePullSecrets"].as_array()
        && !secrets.is_empty()
    {
        spec["imagePullSecrets"] = secrets.clone().into();
    }
    let wanted = [&spec["automountServiceAccountToken"], &account["automountServiceAccountToken"]];
    if wanted.iter().find_map(|wanted| wanted.as_bool()).unwrap_or(true) {
        mount_token(spec);
    }
    Ok(())
}

fn mount_token(spec: &mut Value) {
    let volumes = spec["volumes"].as_array();
    let existing = volumes.into_iter().flatten().filter_map(|volume| volume["name"].as_str());
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

/// Priority: the number and preemption policy of the pod's class, or of the default class.
pub(super) fn priority(context: &Context<'_>, pod: &mut Value) -> Result<(), ApiError> {
    if !is_new_pod(context) {
        return Ok(());
    }
    let name = pod["spec"]["priorityClassName"].as_str().unwrap_or_default().to_owned();
    let class = if name.is_empty() {
        default_class(context)?
    } else {
        let key = Key::new(PRIORITY_CLASSES, "", name.as_str());
        let Some(class) = context.memory.get(&key) else {
            let subject = context.target.resource.subject(crate::object::text(pod, "name"));
            return Err(ApiError::forbidden(&subject, &format!("no PriorityClass with name {name} was found")));
        };
        Some(crate::write::parse(&class)?)
    };
    let spec = &mut pod["spec"];
    let value = class.as_ref().and_then(|class| class["value"].as_i64()).unwrap_or(0);
    if let Some(asked) = spec["priority"].as_i64()
        && asked != value
    {
        let subject = context.target.resource.subject("");
        let why = format!(
            "the integer value of priority ({asked}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
        );
        return Err(ApiError::forbidden(&subject, &why));
    }
    if let Some(class) = &class
        && name.is_empty()
    {
        spec["priorityClassName"] = class["metadata"]["name"].clone();
    }
    spec["priority"] = value.into();
    let policy = class.as_ref().and_then(|class| class["preemptionPolicy"].as_str());
    spec["preemptionPolicy"] = policy.unwrap_or("PreemptLowerPriority").into();
    Ok(())
}

/// The class marked `globalDefault`, the lowest where there are several.
fn default_class(context: &Context<'_>) -> Result<Option<Value>, ApiError> {
    let mut default: Option<Value> = None;
    for class in context.memory.snapshot(PRIORITY_CLASSES).iter() {
        let class = crate::write::parse(class)?;
        let lower = |than: &Value| class["value"].as_i64() < than["value"].as_i64();
        if class["globalDefault"] == true && default.as_ref().is_none_or(lower) {
            default = Some(class);
        }
    }
    Ok(default)
}

/// DefaultTolerationSeconds: five minutes of patience with a node that is not ready or unreachable.
pub(super) fn default_tolerations(context: &Context<'_>, pod: &mut Value) -> Result<(), ApiError> {
    if !is_new_pod(context) {
        return Ok(());
    }
    let Value::Object(spec) = &mut pod["spec"] else { return Ok(()) };
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Value::Array(tolerations) = tolerations else { return Ok(()) };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        if !tolerations.iter().any(|toleration| tolerates(toleration, key)) {
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS,
            }));
        }
    }
    Ok(())
}

fn tolerates(toleration: &Value, key: &str) -> bool {
    let empty = Map::new();
    let toleration = toleration.as_object().unwrap_or(&empty);
    let text = |field: &str| toleration.get(field).and_then(Value::as_str).unwrap_or_default();
    (text("key") == key || (text("key").is_empty() && text("operator") == "Exists"))
        && matches!(text("effect"), "" | "NoExecute")
}
