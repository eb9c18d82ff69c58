//! How the group is announced: its APIService, its place in discovery, its shapes in `/openapi/v2`.

use serde_json::{Value, json};

use crate::aggregate::OpenApi;
use crate::core::Core;
use crate::registry;
use crate::write::parse;

/// The group.
pub(crate) const GROUP: &str = "metrics.k8s.io";
/// Its only version.
pub(crate) const VERSION: &str = "v1beta1";
pub(super) const API_VERSION: &str = "metrics.k8s.io/v1beta1";
/// The name of the version's APIService.
pub(crate) const API_SERVICE: &str = "v1beta1.metrics.k8s.io";
const API_SERVICES: &str = "apiregistration.k8s.io/apiservices";
/// `groupPriorityMinimum` and `versionPriority` as metrics-server's manifest has them.
const PRIORITY: u32 = 100;

/// What the APIService says when nobody else serves the group.
pub(crate) fn api_service() -> Value {
    json!({"group": GROUP, "version": VERSION, "groupPriorityMinimum": PRIORITY, "versionPriority": PRIORITY})
}

/// Lists the group in discovery, unless another server is to serve it or it is listed already.
pub(crate) fn keep(core: &Core) {
    let services = core.memory().snapshot(API_SERVICES);
    let service = services.get("", API_SERVICE).and_then(|object| parse(object).ok());
    if service.is_some_and(|service| !service["spec"]["service"].is_null()) {
        return;
    }
    let listed =
        |group: &registry::Group| group.versions.iter().any(|known| known.name == VERSION && known.remote.is_some());
    if core.registry.served().group(GROUP).is_some_and(|group| listed(group)) {
        return;
    }
    core.registry.change(|served| served.put_remote(GROUP, PRIORITY, VERSION, entry()));
}

const RESOURCES: [(&str, &str, bool); 2] = [("nodes", "NodeMetrics", false), ("pods", "PodMetrics", true)];
const VERBS: [&str; 2] = ["get", "list"];

fn entry() -> registry::Remote {
    let classic = RESOURCES.map(|(name, kind, namespaced)| {
        json!({"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": VERBS})
    });
    let aggregated = RESOURCES.map(|(name, kind, namespaced)| {
        json!({
            "resource": name, "responseKind": {"group": GROUP, "version": VERSION, "kind": kind},
            "scope": if namespaced { "Namespaced" } else { "Cluster" }, "singularResource": "", "verbs": VERBS,
        })
    });
    let (paths, definitions) = shapes();
    registry::Remote {
        classic: classic.to_vec(),
        aggregated: aggregated.to_vec(),
        openapi: OpenApi::own(paths, definitions),
        current: true,
    }
}

const PACKAGE: &str = "io.k8s.metrics.pkg.apis.metrics.v1beta1";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Paths and definitions as in `/openapi/v2`.
fn shapes() -> (Value, Value) {
    let reference = |package: &str, kind: &str| json!({"$ref": format!("#/definitions/{package}.{kind}")});
    let string = || json!({"type": "string"});
    let usage = json!({"type": "object", "description": "The memory usage is the memory working set.",
        "additionalProperties": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.api.resource.Quantity"}});
    let mut paths = json!({});
    let mut definitions = json!({
        format!("{PACKAGE}.ContainerMetrics"): {
            "description": "ContainerMetrics sets resource usage metrics of a container.", "type": "object",
            "required": ["name", "usage"], "properties": {"name": string(), "usage": usage},
        },
    });
    for (name, kind, namespaced) in RESOURCES {
        let what = if namespaced { "pod" } else { "node" };
        let own = if namespaced {
            json!({"type": "array", "items": reference(PACKAGE, "ContainerMetrics"),
                "description": "Metrics for all containers are collected within the same time window."})
        } else {
            usage.clone()
        };
        definitions[format!("{PACKAGE}.{kind}")] = json!({
            "description": format!("{kind} sets resource usage metrics of a {what}."), "type": "object",
            "required": ["timestamp", "window", if namespaced { "containers" } else { "usage" }],
            "properties": {
                "apiVersion": string(), "kind": string(), "metadata": reference(META, "ObjectMeta"),
                "timestamp": reference(META, "Time"), "window": {"type": "string"},
                (if namespaced { "containers" } else { "usage" }): own,
            },
            "x-kubernetes-group-version-kind": [{"group": GROUP, "version": VERSION, "kind": kind}],
        });
        definitions[format!("{PACKAGE}.{kind}List")] = json!({
            "description": format!("{kind}List is a list of {kind}."), "type": "object", "required": ["items"],
            "properties": {
                "apiVersion": string(), "kind": string(), "metadata": reference(META, "ListMeta"),
                "items": {"type": "array", "items": reference(PACKAGE, kind)},
            },
            "x-kubernetes-group-version-kind": [{"group": GROUP, "version": VERSION, "kind": format!("{kind}List")}],
        });
        let operation = |action: &str, id: String, schema: Value| {
            json!({"get": {
                "operationId": id, "produces": ["application/json"], "schemes": ["https"],
                "responses": {"200": {"description": "OK", "schema": schema}, "401": {"description": "Unauthorized"}},
                "x-kubernetes-action": action,
                "x-kubernetes-group-version-kind": {"group": GROUP, "version": VERSION, "kind": kind},
            }})
        };
        let list = reference(PACKAGE, &format!("{kind}List"));
        let root = format!("/apis/{API_VERSION}");
        let scope = if namespaced { "Namespaced" } else { "" };
        let below =
            if namespaced { format!("{root}/namespaces/{{namespace}}/{name}") } else { format!("{root}/{name}") };
        let id = |verb: &str| format!("{verb}MetricsV1beta1{scope}{kind}");
        paths[&below] = operation("list", id("list"), list.clone());
        paths[format!("{below}/{{name}}")] = operation("get", id("read"), reference(PACKAGE, kind));
        if namespaced {
            let id = format!("listMetricsV1beta1{kind}ForAllNamespaces");
            paths[format!("{root}/{name}")] = operation("list", id, list);
        }
    }
    (paths, definitions)
}
