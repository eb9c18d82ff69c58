//! Priority: the number and preemption policy of a pod's class, or of the default class, of which there is one at most.

use minato_mvcc::Key;
use serde_json::Value;

use super::{Context, Operation, text};
use crate::status::ApiError;

const CLASSES: &str = "scheduling.k8s.io/priorityclasses";

/// Resolves the class of a new pod; a pod that is updated keeps what was resolved.
pub(super) fn fill(context: &Context<'_>, pod: &mut Value) -> Result<(), ApiError> {
    if context.is("core/pods")
        && context.operation == Operation::Update
        && let Some(old) = context.old
    {
        for field in ["priority", "preemptionPolicy"] {
            if pod["spec"][field].is_null() && !old["spec"][field].is_null() {
                pod["spec"][field] = old["spec"][field].clone();
            }
        }
    }
    if !context.creates("core/pods") {
        return Ok(());
    }
    let name = text(&pod["spec"]["priorityClassName"]).to_owned();
    let class = if name.is_empty() {
        default_class(context)?
    } else {
        let Some(class) = context.memory.get(&Key::new(CLASSES, "", name.as_str())) else {
            return Err(context.forbidden(pod, &format!("no PriorityClass with name {name} was found")));
        };
        Some(crate::write::parse(&class)?)
    };
    let value = class.as_ref().and_then(|class| class["value"].as_i64()).unwrap_or(0);
    let policy = class.as_ref().and_then(|class| class["preemptionPolicy"].as_str()).unwrap_or("PreemptLowerPriority");
    let refused = |field: &str, asked: String, computed: &dyn std::fmt::Display| {
        let why = format!(
            "the {field} ({asked}) must not be provided in pod spec; priority admission controller computed {computed} from the given PriorityClass name"
        );
        Err(context.forbidden(pod, &why))
    };
    if let Some(asked) = pod["spec"]["priority"].as_i64().filter(|asked| *asked != value) {
        return refused("integer value of priority", asked.to_string(), &value);
    }
    if let Some(asked) = pod["spec"]["preemptionPolicy"].as_str().filter(|asked| *asked != policy) {
        return refused("string value of PreemptionPolicy", asked.to_owned(), &policy);
    }
    let spec = &mut pod["spec"];
    if let Some(class) = &class
        && name.is_empty()
    {
        spec["priorityClassName"] = class["metadata"]["name"].clone();
    }
    spec["priority"] = value.into();
    spec["preemptionPolicy"] = policy.into();
    Ok(())
}

/// Refuses a second default class.
pub(super) fn check(context: &Context<'_>, class: &Value) -> Result<(), ApiError> {
    let writes = matches!(context.operation, Operation::Create | Operation::Update);
    if !context.is(CLASSES) || !writes || class["globalDefault"] != true {
        return Ok(());
    }
    let Some(default) = default_class(context)? else { return Ok(()) };
    let name = crate::object::text(&default, "name");
    if context.operation == Operation::Update && name == context.name {
        return Ok(());
    }
    let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
    Err(context.forbidden(class, &why))
}

/// The class marked `globalDefault`, the lowest where there are several.
fn default_class(context: &Context<'_>) -> Result<Option<Value>, ApiError> {
    let mut default: Option<Value> = None;
    for class in context.memory.snapshot(CLASSES).iter() {
        let class = crate::write::parse(class)?;
        let lower = |than: &Value| class["value"].as_i64() < than["value"].as_i64();
        if class["globalDefault"] == true && default.as_ref().is_none_or(lower) {
            default = Some(class);
        }
    }
    Ok(default)
}
