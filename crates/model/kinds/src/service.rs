//! Services.

mod addresses;
mod rules;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::{Errors, FieldError};
use crate::path::At;
use crate::read::{Fill, Read};
use crate::same::same;
use crate::strategy::Strategy;
use crate::warnings::Warnings;

pub(crate) struct Service;

const AFFINITY_SECONDS: i64 = 10_800;

impl Strategy for Service {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        spec.fill_text("sessionAffinity", "None");
        match spec.text("sessionAffinity") {
            "None" => {
                spec.remove("sessionAffinityConfig");
            }
            "ClientIP" => {
                let config = spec.or_null("sessionAffinityConfig").or_null("clientIP");
                if !config.has("timeoutSeconds") {
                    spec.set("sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}));
                }
            }
            _ => {}
        }
        spec.fill_text("type", "ClusterIP");
        for port in spec.each("ports") {
            port.fill_text("protocol", "TCP");
            let unset = match port.or_null("targetPort") {
                Value::String(name) => name.is_empty(),
                number => number.as_i64().unwrap_or(0) == 0,
            };
            if unset {
                let number = port.or_null("port").clone();
                port.set("targetPort", number);
            }
        }
        if is_external(spec) {
            spec.fill_text("externalTrafficPolicy", "Cluster");
        }
        let kind = spec.text("type").to_owned();
        if kind != "ExternalName" {
            spec.fill("internalTrafficPolicy", "Cluster");
        }
        if kind == "LoadBalancer" {
            spec.fill("allocateLoadBalancerNodePorts", true);
            default_ip_modes(object);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({"loadBalancer": {}}));
        if let Some(spec) = object.inside("spec") {
            addresses::agree(spec, &Value::Null);
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        let old_spec = old.or_null("spec");
        if let Some(spec) = new.inside("spec") {
            addresses::keep_allocated(spec, old_spec);
            addresses::agree(spec, old_spec);
            drop_for_type(spec, old_spec);
        }
    }

    fn prepare_for_status_update(&self, new: &mut Value, _old: &Value) {
        if new.or_null("spec").text("type") == "LoadBalancer" {
            default_ip_modes(new);
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        rules::validate(object, &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        addresses::validate_update(new.or_null("spec"), old.or_null("spec"), &mut errors);
        rules::validate_update(new.or_null("spec"), old.or_null("spec"), &mut errors);
        rules::validate(new, &mut errors);
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        rules::load_balancer(new, &At::Root.field("status"), &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut warnings = Warnings::default();
        rules::warn(new, &mut warnings);
        warnings.into_vec()
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

/// A load balancer's address is a virtual one unless its controller says otherwise.
fn default_ip_modes(object: &mut Value) {
    let Some(balancer) = object.inside("status").and_then(|status| status.inside("loadBalancer")) else { return };
    for ingress in balancer.each("ingress") {
        if !ingress.text("ip").is_empty() {
            ingress.fill("ipMode", "VIP");
        }
    }
}

/// Reachable from outside the cluster.
fn is_external(spec: &Value) -> bool {
    match spec.text("type") {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !spec.list("externalIPs").is_empty(),
        _ => false,
    }
}

/// Whether load balancers ask nodes by a port of their own if they have endpoints.
fn needs_health_check(spec: &Value) -> bool {
    spec.text("type") == "LoadBalancer" && spec.text("externalTrafficPolicy") == "Local"
}

fn is_headless(spec: &Value) -> bool {
    let addresses = spec.list("clusterIPs");
    match addresses {
        [] => spec.text("clusterIP") == "None",
        [only] => only.as_str() == Some("None"),
        _ => false,
    }
}

/// When the type changes, values that the old type needed and the user did not touch go away.
fn drop_for_type(spec: &mut Value, old: &Value) {
    let (new_type, old_type) = (spec.text("type").to_owned(), old.text("type"));
    if new_type == old_type && needs_health_check(spec) == needs_health_check(old) {
        return;
    }
    let has_node_ports = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    let untouched = |spec: &Value, field: &str| same(spec.at(field), old.at(field));
    if new_type == "ExternalName" && old_type != "ExternalName" {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if untouched(spec, field) {
                spec.remove(field);
            }
        }
    }
    if has_node_ports(old_type) && !has_node_ports(&new_type) {
        for (index, port) in spec.each("ports").enumerate() {
            let before = old.list("ports").get(index).and_then(|port| port.int("nodePort"));
            if port.int("nodePort") == before {
                port.remove("nodePort");
            }
        }
    }
    if needs_health_check(old) && !needs_health_check(spec) && untouched(spec, "healthCheckNodePort") {
        spec.remove("healthCheckNodePort");
    }
    if old_type == "LoadBalancer" && new_type != "LoadBalancer" {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if untouched(spec, field) {
                spec.remove(field);
            }
        }
    }
    if is_external(old) && !is_external(spec) && untouched(spec, "externalTrafficPolicy") {
        spec.remove("externalTrafficPolicy");
    }
}
