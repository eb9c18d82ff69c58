//! What the API fills into pods and pod templates.

use serde_json::{Value, json};

use crate::read::{Fill, Read};
use crate::resources;

const LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Defaults of the spec of a pod, after those of any pod spec: those that templates do not get.
pub(crate) fn pod(pod: &mut Value) {
    let Some(spec) = pod.inside("spec") else { return };
    pod_spec(spec);
    for list in ["containers", "initContainers"] {
        for container in spec.each(list) {
            resources::requests_from_limits(container);
        }
    }
    resources::canonicalise_requirements(spec, "resources");
    resources::requests_from_limits(spec);
    spec.fill("enableServiceLinks", true);
    if spec.is("hostNetwork") {
        host_ports(spec);
    }
}

/// With the host's network, a container's port is the host's.
fn host_ports(spec: &mut Value) {
    for list in ["containers", "initContainers"] {
        for container in spec.each(list) {
            for port in container.each("ports") {
                if port.int("hostPort").unwrap_or(0) == 0
                    && let Some(number) = port.int("containerPort")
                {
                    port.set("hostPort", number);
                }
            }
        }
    }
}

/// Defaults of a pod template: `{metadata, spec}`.
pub(crate) fn template(holder: &mut Value) {
    if let Some(template) = holder.inside("template") {
        template.fill("metadata", json!({}));
        template.fill("spec", json!({}));
        if let Some(spec) = template.inside("spec") {
            pod_spec(spec);
        }
    }
}

/// Defaults of any pod spec.
pub(crate) fn pod_spec(spec: &mut Value) {
    spec.fill_text("dnsPolicy", "ClusterFirst");
    spec.fill_text("restartPolicy", "Always");
    spec.fill("securityContext", json!({}));
    spec.fill("terminationGracePeriodSeconds", 30);
    spec.fill_text("schedulerName", "default-scheduler");
    service_account(spec);
    resources::canonicalise_list(spec, "overhead");
    for volume in spec.each("volumes") {
        super::volumes::default(volume);
    }
    for list in LISTS {
        for container in spec.each(list) {
            self::container(container);
        }
    }
}

/// The deprecated `serviceAccount` and `serviceAccountName` always say the same.
fn service_account(spec: &mut Value) {
    let name = match spec.text("serviceAccountName") {
        "" => spec.text("serviceAccount"),
        name => name,
    };
    if !name.is_empty() && (spec.text("serviceAccount") != name || spec.text("serviceAccountName") != name) {
        let name = name.to_owned();
        spec.set("serviceAccount", name.clone());
        spec.set("serviceAccountName", name);
    }
}

fn container(container: &mut Value) {
    if container.text("imagePullPolicy").is_empty() {
        let policy = pull_policy(container.text("image"));
        container.set("imagePullPolicy", policy);
    }
    container.fill_text("terminationMessagePath", "/dev/termination-log");
    container.fill_text("terminationMessagePolicy", "File");
    container.fill("resources", json!({}));
    resources::canonicalise_requirements(container, "resources");
    for port in container.each("ports") {
        port.fill_text("protocol", "TCP");
    }
    for variable in container.each("env") {
        if let Some(source) = variable.inside("valueFrom") {
            field_source(source);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.inside(name) {
            self::probe(probe);
        }
    }
    if let Some(lifecycle) = container.inside("lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(handler) = lifecycle.inside(name) {
                self::handler(handler);
            }
        }
    }
}

/// `fieldRef` and `resourceFieldRef`, of variables and files alike.
pub(super) fn field_source(source: &mut Value) {
    if let Some(field) = source.inside("fieldRef") {
        field.fill_text("apiVersion", "v1");
    }
    if let Some(field) = source.inside("resourceFieldRef") {
        field.fill("divisor", "0");
        resources::canonicalise(field, "divisor");
    }
}

fn probe(probe: &mut Value) {
    for (name, number) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        if probe.int(name).unwrap_or(0) == 0 {
            probe.set(name, number);
        }
    }
    if let Some(grpc) = probe.inside("grpc") {
        grpc.fill("service", "");
    }
    handler(probe);
}

fn handler(handler: &mut Value) {
    if let Some(http) = handler.inside("httpGet") {
        http.fill_text("path", "/");
        http.fill_text("scheme", "HTTP");
    }
}

/// `Always` for the tag `latest`, written or implied.
pub(super) fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    // A colon after the last slash begins the tag; one before it a port.
    let tag = name.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
    match tag {
        Some("latest") => "Always",
        None if !digest && !image.is_empty() => "Always",
        _ => "IfNotPresent",
    }
}
