//! The fields by which objects can be selected, with the values the reference gives them when unset.

use serde_json::Value;

use crate::read::Read;

/// The selectable values of an object kept at `storage`, besides name and namespace.
pub(crate) fn values(storage: &str, object: &Value) -> Vec<(&'static str, String)> {
    let spec = object.or_null("spec");
    let status = object.or_null("status");
    let text = |value: &str| value.to_owned();
    match storage {
        "core/pods" => vec![
            ("spec.hostNetwork", spec.is("hostNetwork").to_string()),
            ("spec.nodeName", text(spec.text("nodeName"))),
            ("spec.restartPolicy", text(spec.text("restartPolicy"))),
            ("spec.schedulerName", text(spec.text("schedulerName"))),
            ("spec.serviceAccountName", text(spec.text("serviceAccountName"))),
            ("status.nominatedNodeName", text(status.text("nominatedNodeName"))),
            ("status.phase", text(status.text("phase"))),
            ("status.podIP", text(status.text("podIP"))),
        ],
        "core/nodes" => vec![("spec.unschedulable", spec.is("unschedulable").to_string())],
        "core/namespaces" => vec![("status.phase", text(status.text("phase")))],
        "core/secrets" => vec![("type", text(object.text("type")))],
        "core/services" => {
            vec![("spec.clusterIP", text(spec.text("clusterIP"))), ("spec.type", text(spec.text("type")))]
        }
        "core/replicationcontrollers" | "apps/replicasets" => {
            vec![("status.replicas", status.int("replicas").unwrap_or(0).to_string())]
        }
        "batch/jobs" => vec![("status.successful", status.int("succeeded").unwrap_or(0).to_string())],
        "certificates.k8s.io/certificatesigningrequests" => vec![("spec.signerName", text(spec.text("signerName")))],
        "resource.k8s.io/resourceslices" => {
            vec![("spec.driver", text(spec.text("driver"))), ("spec.nodeName", text(spec.text("nodeName")))]
        }
        "core/events" => event(object),
        _ => Vec::new(),
    }
}

fn event(object: &Value) -> Vec<(&'static str, String)> {
    let involved = object.or_null("involvedObject");
    let text = |value: &str| value.to_owned();
    let source = match object.or_null("source").text("component") {
        "" => object.text("reportingComponent"),
        component => component,
    };
    vec![
        ("involvedObject.apiVersion", text(involved.text("apiVersion"))),
        ("involvedObject.fieldPath", text(involved.text("fieldPath"))),
        ("involvedObject.kind", text(involved.text("kind"))),
        ("involvedObject.name", text(involved.text("name"))),
        ("involvedObject.namespace", text(involved.text("namespace"))),
        ("involvedObject.resourceVersion", text(involved.text("resourceVersion"))),
        ("involvedObject.uid", text(involved.text("uid"))),
        ("reason", text(object.text("reason"))),
        ("reportingComponent", text(object.text("reportingComponent"))),
        ("source", text(source)),
        ("type", text(object.text("type"))),
    ]
}
