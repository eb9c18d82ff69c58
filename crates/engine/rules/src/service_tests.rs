use serde_json::{Value, json};

use super::*;
use crate::elements::Protocol::{Tcp, Udp};

const NODE: &str = "node-1";

/// The rules of a Service given by what differs from an ordinary one, and endpoints given as (address, conditions).
fn planned(service: Value, endpoints: &[(&str, Value)]) -> ServiceRules {
    let mut spec = json!({
        "clusterIP": "10.43.0.80", "clusterIPs": ["10.43.0.80"], "type": "ClusterIP",
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    });
    let status = service.get("status").cloned().unwrap_or_default();
    let labels = service.get("labels").cloned().unwrap_or_default();
    for (key, value) in service.as_object().unwrap().iter().filter(|(key, _)| *key != "status" && *key != "labels") {
        spec[key] = value.clone();
    }
    let service: Service =
        serde_json::from_value(json!({"metadata": {"name": "web", "labels": labels}, "spec": spec, "status": status}))
            .unwrap();
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(address, how)| {
            let node = how.get("node").cloned().unwrap_or(json!(NODE));
            json!({"addresses": [address], "conditions": how.get("conditions"), "nodeName": node, "hints": how.get("hints")})
        })
        .collect();
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": "web-1"}, "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "dns", "port": 5353, "protocol": "UDP"}],
    }))
    .unwrap();
    plan_service(&service, &[&slice], Place { node_name: NODE, zone: Some("a") })
}

#[test]
fn hints_choose_among_endpoints() {
    let zone = |zone: &str| json!({"hints": {"forZones": [{"name": zone}]}});
    let node = |node: &str, zone: &str| json!({"hints": {"forNodes": [{"name": node}], "forZones": [{"name": zone}]}});
    let ended = json!({"conditions": {"ready": false}});
    for (one, other, expected) in [
        (zone("a"), zone("b"), "10.42.0.2:8080"),
        // Nobody is for this zone, or not everybody says for whom it is.
        (zone("c"), zone("b"), "10.42.0.2:8080 10.42.0.3:8080"),
        (zone("a"), json!({}), "10.42.0.2:8080 10.42.0.3:8080"),
        // Who is not ready has no say.
        (zone("a"), ended, "10.42.0.2:8080"),
        // A node is nearer than its zone, which is nearer than the rest.
        (node("node-2", "a"), node(NODE, "a"), "10.42.0.3:8080"),
        (node("node-2", "b"), node("node-3", "a"), "10.42.0.3:8080"),
    ] {
        let expected = format!("10.43.0.80:80/tcp -> {expected}");
        check(json!({}), &[("10.42.0.2", one), ("10.42.0.3", other)], &[&expected]);
    }
}

/// `10.43.0.80:80/tcp -> 10.42.0.2:8080 …`, one line per frontend.
fn shown(rules: &ServiceRules) -> Vec<String> {
    let show = |(frontend, action): (&Frontend, &Action)| {
        let protocol = match frontend.protocol {
            Tcp => "tcp",
            Udp => "udp",
            Protocol::Sctp => "sctp",
        };
        let action = match action {
            Action::Refuse(refusal) => format!("{refusal:?}"),
            Action::Serve { endpoints, affinity_seconds } => {
                let shown: Vec<_> = endpoints.iter().map(|to| format!("{}:{}", to.address, to.port)).collect();
                let affinity = affinity_seconds.map(|seconds| format!(" for {seconds}s")).unwrap_or_default();
                shown.join(" ") + &affinity
            }
        };
        format!("{}:{}/{protocol} -> {action}", frontend.address, frontend.port)
    };
    rules.frontends.iter().map(show).collect()
}

fn check(service: Value, endpoints: &[(&str, Value)], expected: &[&str]) {
    assert_eq!(shown(&planned(service.clone(), endpoints)), expected, "{service}");
}

fn state(ready: bool, serving: bool, terminating: bool) -> Value {
    json!({"conditions": {"ready": ready, "serving": serving, "terminating": terminating}})
}

#[test]
fn kinds_of_services() {
    let one = [("10.42.0.2", json!({}))];
    check(json!({}), &one, &["10.43.0.80:80/tcp -> 10.42.0.2:8080"]);
    check(json!({"clusterIP": "None", "clusterIPs": ["None"]}), &one, &[]);
    check(json!({"type": "ExternalName", "externalName": "example.com"}), &one, &[]);
    check(json!({"labels": {"service.kubernetes.io/service-proxy-name": "other"}}), &one, &[]);
    check(json!({"labels": {"service.kubernetes.io/headless": ""}}), &one, &[]);
    check(json!({"clusterIP": "fd00::1", "clusterIPs": ["fd00::1"]}), &one, &[]);
    let node_port = json!([{"name": "http", "port": 80, "nodePort": 30080}]);
    check(
        json!({"type": "NodePort", "ports": node_port}),
        &one,
        &["0.0.0.0:30080/tcp -> 10.42.0.2:8080", "10.43.0.80:80/tcp -> 10.42.0.2:8080"],
    );
    check(
        json!({"externalIPs": ["203.0.113.9"]}),
        &one,
        &["10.43.0.80:80/tcp -> 10.42.0.2:8080", "203.0.113.9:80/tcp -> 10.42.0.2:8080"],
    );
    let ingress =
        json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}, {"ip": "203.0.113.8", "ipMode": "Proxy"}]}});
    check(
        json!({"type": "LoadBalancer", "status": ingress}),
        &one,
        &["10.43.0.80:80/tcp -> 10.42.0.2:8080", "203.0.113.7:80/tcp -> 10.42.0.2:8080"],
    );
}

#[test]
fn ports_are_matched_by_name() {
    let one = [("10.42.0.2", json!({}))];
    let ports = json!([
        {"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "none", "port": 81},
        {"name": "dns", "port": 54, "protocol": "TCP"},
    ]);
    check(
        json!({"ports": ports}),
        &one,
        &[
            "10.43.0.80:54/tcp -> Reject",
            "10.43.0.80:80/tcp -> 10.42.0.2:8080",
            "10.43.0.80:81/tcp -> Reject",
            "10.43.0.80:53/udp -> 10.42.0.2:5353",
        ],
    );
}

#[test]
fn states_of_endpoints() {
    let ready = || state(true, true, false);
    let starting = || state(false, false, false);
    let ending = || state(false, true, true);
    let ended = || state(false, false, true);
    let cases: &[(&[Value], &str)] = &[
        (&[], "Reject"),
        (&[json!({})], "10.42.0.2:8080"),
        (&[ready(), starting()], "10.42.0.2:8080"),
        (&[starting(), ready()], "10.42.0.3:8080"),
        (&[starting()], "Reject"),
        (&[ready(), ending()], "10.42.0.2:8080"),
        (&[ending(), starting()], "10.42.0.2:8080"),
        (&[ending(), ended()], "10.42.0.2:8080"),
        (&[ended()], "Reject"),
    ];
    for (states, expected) in cases {
        let endpoints: Vec<_> = ["10.42.0.2", "10.42.0.3"].into_iter().zip(states.iter().cloned()).collect();
        check(json!({}), &endpoints, &[&format!("10.43.0.80:80/tcp -> {expected}")]);
    }
}

#[test]
fn traffic_policies() {
    let here = ("10.42.0.2", json!({}));
    let there = ("10.42.1.2", json!({"node": "node-2"}));
    let ports = json!([{"name": "http", "port": 80, "nodePort": 30080}]);
    let external = json!({"type": "NodePort", "externalTrafficPolicy": "Local", "ports": ports});
    let internal = json!({"internalTrafficPolicy": "Local"});
    check(internal.clone(), &[here.clone(), there.clone()], &["10.43.0.80:80/tcp -> 10.42.0.2:8080"]);
    check(internal.clone(), std::slice::from_ref(&there), &["10.43.0.80:80/tcp -> Drop"]);
    check(internal, &[], &["10.43.0.80:80/tcp -> Reject"]);
    check(
        external.clone(),
        &[here, there.clone()],
        &["0.0.0.0:30080/tcp -> 10.42.0.2:8080", "10.43.0.80:80/tcp -> 10.42.0.2:8080 10.42.1.2:8080"],
    );
    check(external, &[there], &["0.0.0.0:30080/tcp -> Drop", "10.43.0.80:80/tcp -> 10.42.1.2:8080"]);
}

#[test]
fn affinity() {
    let one = [("10.42.0.2", json!({}))];
    check(json!({"sessionAffinity": "ClientIP"}), &one, &["10.43.0.80:80/tcp -> 10.42.0.2:8080 for 10800s"]);
    let config = json!({"clientIP": {"timeoutSeconds": 60}});
    check(
        json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": config}),
        &one,
        &["10.43.0.80:80/tcp -> 10.42.0.2:8080 for 60s"],
    );
}

#[test]
fn only_endpoints_here_can_reach_themselves() {
    let rules = planned(json!({}), &[("10.42.0.2", json!({})), ("10.42.1.2", json!({"node": "node-2"}))]);
    assert_eq!(rules.hairpins, ["10.42.0.2".parse().unwrap()].into());
    assert_eq!(rules.cluster_ips, ["10.43.0.80".parse().unwrap()].into());
}
