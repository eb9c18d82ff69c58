//! AlwaysPullImages: a private image on a node is for those alone who can pull it.

use minato_kinds::{FieldError, FieldErrorKind, FieldPath};
use serde_json::Value;

use super::{Context, Operation, items};
use crate::status::ApiError;

const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

fn concerns(context: &Context<'_>, pod: &Value) -> bool {
    context.is("core/pods")
        && match context.operation {
            Operation::Create => true,
            Operation::Update => context.old.is_none_or(|old| has_new_images(pod, old)),
            Operation::Delete | Operation::Connect => false,
        }
}

fn has_new_images(pod: &Value, old: &Value) -> bool {
    let images = |pod: &Value| -> Vec<String> {
        let containers = CONTAINERS.iter().flat_map(|list| items(&pod["spec"][list]));
        let volumes = items(&pod["spec"]["volumes"]).map(|volume| &volume["image"]["reference"]);
        let images = containers.map(|container| &container["image"]).chain(volumes);
        images.filter_map(|image| image.as_str().map(str::to_owned)).collect()
    };
    let before = images(old);
    images(pod).iter().any(|image| !before.contains(image))
}

pub(super) fn fill(context: &Context<'_>, pod: &mut Value) -> Result<(), ApiError> {
    if !concerns(context, pod) {
        return Ok(());
    }
    let spec = &mut pod["spec"];
    for list in CONTAINERS {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            container["imagePullPolicy"] = "Always".into();
        }
    }
    for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(image) = volume.get_mut("image").filter(|image| image.is_object()) {
            image["pullPolicy"] = "Always".into();
        }
    }
    Ok(())
}

pub(super) fn check(context: &Context<'_>, pod: &Value) -> Result<(), ApiError> {
    if !concerns(context, pod) {
        return Ok(());
    }
    let mut errors = Vec::new();
    let mut wants = |policy: &Value, path: String| {
        if policy != "Always" {
            errors.push(FieldError {
                path: FieldPath::new(path),
                kind: FieldErrorKind::NotSupported,
                value: policy.clone(),
                detail: "supported values: \"Always\"".to_owned(),
            });
        }
    };
    for list in CONTAINERS {
        for (index, container) in items(&pod["spec"][list]).enumerate() {
            wants(&container["imagePullPolicy"], format!("spec.{list}[{index}].imagePullPolicy"));
        }
    }
    for (index, volume) in items(&pod["spec"]["volumes"]).enumerate() {
        if volume["image"].is_object() {
            wants(&volume["image"]["pullPolicy"], format!("spec.volumes[{index}].image.pullPolicy"));
        }
    }
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    match errors.as_slice() {
        [] => Ok(()),
        [one] => Err(context.forbidden(pod, one)),
        many => Err(context.forbidden(pod, &format!("[{}]", many.join(", ")))),
    }
}
