//! Services, Endpoints and EndpointSlices.

use serde_json::json;

use crate::case::{Edits, Table, created, edited, kind, status_errors};

fn services() -> Table {
    Table {
        kind: "services",
        base: json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}], "clusterIP": "10.43.0.7", "clusterIPs": ["10.43.0.7"]},
        }),
    }
}

#[test]
fn defaults() {
    let services = services();
    services.defaults(
        &[],
        &[
            ("/spec/type", json!("ClusterIP")),
            ("/spec/sessionAffinity", json!("None")),
            ("/spec/internalTrafficPolicy", json!("Cluster")),
            ("/spec/externalTrafficPolicy", json!(null)),
            ("/spec/ports/0", json!({"port": 80, "protocol": "TCP", "targetPort": 80})),
            ("/status", json!({"loadBalancer": {}})),
        ],
    );
    services.defaults(
        &[("/spec/type", json!("NodePort"))],
        &[("/spec/externalTrafficPolicy", json!("Cluster")), ("/spec/allocateLoadBalancerNodePorts", json!(null))],
    );
    services
        .defaults(&[("/spec/type", json!("LoadBalancer"))], &[("/spec/allocateLoadBalancerNodePorts", json!(true))]);
    services.defaults(
        &[("/spec/sessionAffinity", json!("ClientIP"))],
        &[("/spec/sessionAffinityConfig/clientIP/timeoutSeconds", json!(10800))],
    );
    services.defaults(
        &[("/spec/ports/0/targetPort", json!("http")), ("/spec/ports/0/protocol", json!("UDP"))],
        &[("/spec/ports/0", json!({"port": 80, "protocol": "UDP", "targetPort": "http"}))],
    );
    services.defaults(&[("/spec/clusterIPs", json!(null))], &[("/spec/clusterIPs", json!(["10.43.0.7"]))]);
    services.defaults(
        &[("/spec/clusterIP", json!("None")), ("/spec/clusterIPs", json!(null))],
        &[("/spec/clusterIPs", json!(["None"]))],
    );
}

#[test]
fn rules() {
    let services = services();
    services.create(&[], &[]);
    let cases: &[(Edits<'_>, &[&str])] = &[
        (&[("/spec/ports", json!([]))], &["spec.ports: Required value"]),
        (&[("/spec/ports", json!([])), ("/spec/clusterIP", json!("None")), ("/spec/clusterIPs", json!(["None"]))], &[]),
        (
            &[("/spec/ports/0/port", json!(0))],
            &[
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            &[("/spec/ports/0/port", json!(70000)), ("/spec/ports/0/targetPort", json!(1))],
            &["spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive"],
        ),
        (
            &[("/spec/ports/0/targetPort", json!("Not A Name"))],
            &[
                "spec.ports[0].targetPort: Invalid value: \"Not A Name\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            ],
        ),
        (
            &[("/spec/ports/0/protocol", json!("ICMP"))],
            &["spec.ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\""],
        ),
        (
            &[("/spec/ports/1", json!({"port": 81}))],
            &["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        (
            &[("/spec/ports", json!([{"name": "a", "port": 1}, {"name": "a", "port": 2}]))],
            &["spec.ports[1].name: Duplicate value: \"a\""],
        ),
        (
            &[("/spec/ports", json!([{"name": "a", "port": 1}, {"name": "b", "port": 1}]))],
            &["spec.ports[1]: Duplicate value: {\"port\":1,\"protocol\":\"TCP\"}"],
        ),
        (&[("/spec/ports", json!([{"name": "a", "port": 1}, {"name": "b", "port": 1, "protocol": "UDP"}]))], &[]),
        (
            &[("/spec/ports/0/nodePort", json!(30000))],
            &["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        (
            &[("/spec/type", json!("Nope"))],
            &[
                "spec.type: Unsupported value: \"Nope\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
            ],
        ),
        (
            &[("/spec/sessionAffinity", json!("Cookie"))],
            &["spec.sessionAffinity: Unsupported value: \"Cookie\": supported values: \"ClientIP\", \"None\""],
        ),
        (
            &[("/spec/clusterIP", json!("x")), ("/spec/clusterIPs", json!(["x"]))],
            &[
                "spec.clusterIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ],
        ),
        (
            &[("/spec/clusterIP", json!("10.0.0.1"))],
            &["spec.clusterIPs: Invalid value: [\"10.43.0.7\"]: first value must match `clusterIP`"],
        ),
        (
            &[("/spec/clusterIPs", json!(["10.43.0.7", "10.43.0.8"]))],
            &[
                "spec.clusterIPs: Invalid value: [\"10.43.0.7\",\"10.43.0.8\"]: may specify no more than one IP for each IP family",
            ],
        ),
        (
            &[("/spec/ipFamilies", json!(["IPv6"]))],
            &[
                "spec.clusterIPs[0]: Invalid value: \"10.43.0.7\": expected an IPv6 value as indicated by `ipFamilies[0]`",
            ],
        ),
        (
            &[("/spec/ipFamilies", json!(["IPv5"]))],
            &["spec.ipFamilies[0]: Unsupported value: \"IPv5\": supported values: \"IPv4\", \"IPv6\""],
        ),
        (
            &[
                ("/spec/type", json!("NodePort")),
                ("/spec/clusterIP", json!("None")),
                ("/spec/clusterIPs", json!(["None"])),
            ],
            &["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
        ),
        (
            &[
                ("/spec/type", json!("ExternalName")),
                ("/spec/clusterIP", json!(null)),
                ("/spec/clusterIPs", json!(null)),
                ("/spec/externalName", json!("db.example.com.")),
            ],
            &[],
        ),
        (
            &[
                ("/spec/type", json!("ExternalName")),
                ("/spec/clusterIP", json!(null)),
                ("/spec/clusterIPs", json!(null)),
            ],
            &["spec.externalName: Required value"],
        ),
        (
            &[("/spec/externalIPs", json!(["127.0.0.1"]))],
            &[
                "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ],
        ),
        (
            &[("/spec/externalTrafficPolicy", json!("Local"))],
            &[
                "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
            ],
        ),
        (
            &[("/spec/loadBalancerClass", json!("example.com/lb"))],
            &["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
        ),
        (
            &[("/spec/type", json!("LoadBalancer")), ("/spec/externalTrafficPolicy", json!("Local"))],
            &["spec.healthCheckNodePort: Required value"],
        ),
        (
            &[("/spec/trafficDistribution", json!("Far"))],
            &[
                "spec.trafficDistribution: Unsupported value: \"Far\": supported values: \"PreferClose\", \"PreferSameNode\", \"PreferSameZone\"",
            ],
        ),
        (
            &[
                ("/spec/sessionAffinity", json!("ClientIP")),
                ("/spec/sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 100000}})),
            ],
            &[
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 100000: must be greater than 0 and less than 86400",
            ],
        ),
        (
            &[("/spec/loadBalancerSourceRanges", json!(["10.0.0.0/8"]))],
            &["spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'"],
        ),
    ];
    for (edits, errors) in cases {
        services.create(edits, errors);
    }
}

#[test]
fn updates() {
    let services = services();
    services.update(&[("/metadata/labels", json!({"a": "b"}))], &[]);
    services.update(
        &[("/spec/clusterIP", json!("10.43.0.8"))],
        &["spec.clusterIPs[0]: Invalid value: [\"10.43.0.8\"]: may not change once set"],
    );
    // A manifest without addresses keeps those that were given.
    services.update(&[("/spec/clusterIP", json!(null)), ("/spec/clusterIPs", json!(null))], &[]);

    let kind = kind("services");
    let node_port =
        edited(&services.base, &[("/spec/type", json!("NodePort")), ("/spec/ports/0/nodePort", json!(30080))]);
    let old = created(kind, &node_port);
    let mut new = edited(&old, &[("/spec/ports/0/nodePort", json!(null))]);
    kind.prepare_for_update(&mut new, &old);
    assert_eq!(new["spec"]["ports"][0]["nodePort"], 30080);
    let mut cluster = edited(&old, &[("/spec/type", json!("ClusterIP"))]);
    kind.prepare_for_update(&mut cluster, &old);
    assert_eq!(cluster["spec"]["ports"][0].get("nodePort"), None);
    assert_eq!(cluster["spec"].get("externalTrafficPolicy"), None);
    assert_eq!(kind.validate_update(&cluster, &old), []);
    let mut external = edited(&old, &[("/spec/type", json!("ExternalName")), ("/spec/externalName", json!("a.b"))]);
    kind.prepare_for_update(&mut external, &old);
    assert_eq!(external["spec"].get("clusterIP"), None);
}

#[test]
fn status() {
    let services = services();
    let new = edited(
        &services.base,
        &[("/status", json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4", "ipMode": "VIP"}]}}))],
    );
    assert_eq!(
        status_errors(kind("services"), &services.base, &new),
        ["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"]
    );
}

#[test]
fn endpoints() {
    let table = Table {
        kind: "endpoints",
        base: json!({"metadata": {"name": "a", "namespace": "b"}, "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]}),
    };
    table.create(&[], &[]);
    table.defaults(&[], &[("/subsets/0/ports/0/protocol", json!("TCP"))]);
    table.create(
        &[("/subsets/0/addresses", json!([]))],
        &["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"],
    );
    table.create(
        &[("/subsets/0/addresses/0/ip", json!("169.254.1.1"))],
        &["subsets[0].addresses[0].ip: Invalid value: \"169.254.1.1\": may not be in the link-local range (169.254.0.0/16, fe80::/10)"],
    );
    table.create(
        &[("/subsets/0/ports/1", json!({"port": 81, "name": "b"}))],
        &["subsets[0].ports[0].name: Required value"],
    );
}

#[test]
fn endpoint_slices() {
    let table = Table {
        kind: "discovery.k8s.io/endpointslices",
        base: json!({"metadata": {"name": "a", "namespace": "b"}, "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}),
    };
    table.create(&[], &[]);
    table.defaults(
        &[],
        &[("/ports/0", json!({"port": 80, "name": "", "protocol": "TCP"})), ("/metadata/generation", json!(1))],
    );
    table.create(&[("/addressType", json!(null))], &["addressType: Required value"]);
    table.create(
        &[("/addressType", json!("X25"))],
        &["addressType: Unsupported value: \"X25\": supported values: \"FQDN\", \"IPv4\", \"IPv6\""],
    );
    table.create(
        &[("/endpoints/0/addresses", json!(["::1"]))],
        &["endpoints[0].addresses[0]: Invalid value: \"::1\": must be a valid IPv4 address"],
    );
    table.create(
        &[("/endpoints/0/addresses", json!([]))],
        &["endpoints[0].addresses: Required value: must contain at least 1 address"],
    );
    table.create(
        &[("/ports", json!([{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]))],
        &["ports[1].name: Duplicate value: \"a\""],
    );
    table.update(
        &[("/addressType", json!("FQDN")), ("/endpoints", json!([]))],
        &["addressType: Invalid value: \"FQDN\": field is immutable"],
    );
}
