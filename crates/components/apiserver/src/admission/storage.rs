//! Claims and volumes: the default storage class, protection of what is in use, growth only where the class allows it.

use minato_mvcc::Key;
use minato_quantity::Quantity;
use serde_json::{Value, json};

use super::{Context, Operation, default_class, text};
use crate::status::ApiError;

const CLASSES: &str = "storage.k8s.io/storageclasses";
const CLAIMS: &str = "core/persistentvolumeclaims";
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT: &[&str] =
    &["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// By kind, the finalizer that a controller takes away once nobody uses the object.
const PROTECTED: &[(&str, &str)] = &[
    (CLAIMS, "kubernetes.io/pvc-protection"),
    ("core/persistentvolumes", "kubernetes.io/pv-protection"),
    ("storage.k8s.io/volumeattributesclasses", "kubernetes.io/vac-protection"),
];

/// DefaultStorageClass: a claim that names no class gets the default one, if there is one.
pub(super) fn fill_class(context: &Context<'_>, claim: &mut Value) -> Result<(), ApiError> {
    let names_one = |claim: &Value| {
        !claim["metadata"]["annotations"][BETA_CLASS].is_null() || !claim["spec"]["storageClassName"].is_null()
    };
    if !context.creates(CLAIMS) || names_one(claim) {
        return Ok(());
    }
    if let Some(class) = default_class(context.memory, CLASSES, DEFAULT)? {
        claim["spec"]["storageClassName"] = class.into();
    }
    Ok(())
}

/// StorageObjectInUseProtection: nothing goes while it is used.
pub(super) fn protect(context: &Context<'_>, object: &mut Value) -> Result<(), ApiError> {
    if context.operation != Operation::Create {
        return Ok(());
    }
    let Some((_, finalizer)) = PROTECTED.iter().find(|(storage, _)| context.is(storage)) else { return Ok(()) };
    if crate::object::finalizers(object).any(|have| have == *finalizer) {
        return Ok(());
    }
    match crate::object::metadata(object).entry("finalizers").or_insert_with(|| json!([])) {
        Value::Array(finalizers) => finalizers.push((*finalizer).into()),
        other => *other = json!([finalizer]),
    }
    Ok(())
}

/// PersistentVolumeClaimResize: a claim grows when it is bound and its class can grow.
pub(super) fn check_growth(context: &Context<'_>, claim: &Value) -> Result<(), ApiError> {
    let Some(old) = context.old.filter(|_| context.is(CLAIMS) && context.operation == Operation::Update) else {
        return Ok(());
    };
    let size = |claim: &Value| Quantity::parse(text(&claim["spec"]["resources"]["requests"]["storage"])).ok();
    if size(claim) <= size(old) {
        return Ok(());
    }
    if old["status"]["phase"] != "Bound" {
        return Err(context.forbidden(claim, "Only bound persistent volume claims can be expanded"));
    }
    let class = |claim: &Value| match claim["metadata"]["annotations"][BETA_CLASS].as_str() {
        Some(class) => class.to_owned(),
        None => text(&claim["spec"]["storageClassName"]).to_owned(),
    };
    let name = class(claim);
    let found = context.memory.get(&Key::new(CLASSES, "", name.as_str())).map(|class| crate::write::parse(&class));
    let grows = found.transpose()?.is_some_and(|class| class["allowVolumeExpansion"] == true);
    if grows && !name.is_empty() && name == class(old) {
        return Ok(());
    }
    let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    Err(context.forbidden(claim, why))
}
