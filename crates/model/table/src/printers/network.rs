//! Services, endpoints, ingresses, policies, addresses.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cells::{
    NONE, UNSET, age, at, first_three, host_port, integer, items, join, labels, name, or, selector, text,
};
use crate::column::{AGE, Column, NAME, Printer, SELECTOR};

pub(super) const SERVICE: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Type", "How the service is exposed."),
        Column::string("Cluster-IP", "The address inside the cluster."),
        Column::string("External-IP", "Addresses outside the cluster."),
        Column::string("Port(s)", "Ports, with the node port where there is one."),
        AGE,
        SELECTOR,
    ],
    cells: |object, now| {
        let cluster_ip = items(object, "spec.clusterIPs").first().and_then(Value::as_str);
        let cluster_ip = cluster_ip.unwrap_or(text(object, "spec.clusterIP"));
        vec![
            name(object),
            text(object, "spec.type").into(),
            or(cluster_ip, NONE).into(),
            external_ip(object).into(),
            or(&service_ports(object), NONE).into(),
            age(object, now),
            labels(at(object, "spec.selector")).into(),
        ]
    },
};

fn external_ip(service: &Value) -> String {
    let external = items(service, "spec.externalIPs").iter().filter_map(Value::as_str);
    match text(service, "spec.type") {
        "ClusterIP" | "NodePort" => or(&join(external, ","), NONE).to_owned(),
        "LoadBalancer" => {
            let balancer = balancer_addresses(service);
            let all = balancer.iter().map(String::as_str).chain(external);
            or(&join(all, ","), "<pending>").to_owned()
        }
        "ExternalName" => text(service, "spec.externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn balancer_addresses(object: &Value) -> BTreeSet<String> {
    let ingress = items(object, "status.loadBalancer.ingress").iter();
    let addresses = ingress.map(|point| or(text(point, "ip"), text(point, "hostname")).to_owned());
    addresses.filter(|address| !address.is_empty()).collect()
}

fn service_ports(service: &Value) -> String {
    let port = |port: &Value| match (integer(port, "port"), integer(port, "nodePort"), text(port, "protocol")) {
        (number, 0, protocol) => format!("{number}/{protocol}"),
        (number, node_port, protocol) => format!("{number}:{node_port}/{protocol}"),
    };
    items(service, "spec.ports").iter().map(port).collect::<Vec<_>>().join(",")
}

pub(super) const ENDPOINTS: Printer = Printer {
    columns: &[NAME, Column::string("Endpoints", "Addresses and ports that are ready."), AGE],
    cells: |object, now| vec![name(object), endpoints(object).into(), age(object, now)],
};

fn endpoints(object: &Value) -> String {
    let mut list = Vec::new();
    for subset in items(object, "subsets") {
        let addresses = || items(subset, "addresses").iter().map(|address| text(address, "ip"));
        let ports = items(subset, "ports");
        if ports.is_empty() {
            list.extend(addresses().map(str::to_owned));
        }
        for port in ports {
            list.extend(addresses().map(|address| host_port(address, integer(port, "port"))));
        }
    }
    first_three(&list, if items(object, "subsets").is_empty() { NONE } else { "" })
}

pub(super) const ENDPOINT_SLICE: Printer = Printer {
    columns: &[
        NAME,
        Column::string("AddressType", "What kind of addresses the endpoints have."),
        Column::string("Ports", "The ports of every endpoint."),
        Column::string("Endpoints", "The addresses of the endpoints."),
        AGE,
    ],
    cells: |object, now| {
        let port = |port: &Value| match (at(port, "port"), text(port, "name")) {
            (Value::Number(number), _) => number.to_string(),
            (_, name) => or(name, "*").to_owned(),
        };
        let ports: Vec<String> = items(object, "ports").iter().map(port).collect();
        let addresses = items(object, "endpoints").iter().flat_map(|endpoint| items(endpoint, "addresses"));
        let addresses: Vec<String> = addresses.filter_map(Value::as_str).map(str::to_owned).collect();
        vec![
            name(object),
            text(object, "addressType").into(),
            first_three(&ports, UNSET).into(),
            first_three(&addresses, UNSET).into(),
            age(object, now),
        ]
    },
};

pub(super) const INGRESS: Printer = Printer {
    columns: &[
        NAME,
        Column::string(
            "Class",
            "The name of the IngressClass resource that should be used for additional configuration",
        ),
        Column::string("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
        Column::string("Address", "Address is a list containing ingress points for the load-balancer"),
        Column::string("Ports", "Ports of TLS configurations that open"),
        AGE,
    ],
    cells: |object, now| {
        let hosts = items(object, "spec.rules").iter().map(|rule| text(rule, "host").to_owned());
        let hosts: Vec<String> = hosts.filter(|host| !host.is_empty()).collect();
        let addresses = balancer_addresses(object);
        vec![
            name(object),
            or(text(object, "spec.ingressClassName"), NONE).into(),
            first_three(&hosts, "*").into(),
            join(addresses.iter().map(String::as_str), ",").into(),
            (if items(object, "spec.tls").is_empty() { "80" } else { "80, 443" }).into(),
            age(object, now),
        ]
    },
};

pub(super) const INGRESS_CLASS: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Controller", "Controller that is responsible for handling this class"),
        Column::string("Parameters", "A reference to a resource with additional parameters"),
        AGE,
    ],
    cells: |object, now| {
        let parameters = at(object, "spec.parameters");
        let parameters = if parameters.is_null() {
            NONE.to_owned()
        } else {
            let group = text(parameters, "apiGroup");
            let dot = if group.is_empty() { "" } else { "." };
            format!("{}{dot}{group}/{}", text(parameters, "kind"), text(parameters, "name"))
        };
        vec![name(object), text(object, "spec.controller").into(), parameters.into(), age(object, now)]
    },
};

pub(super) const NETWORK_POLICY: Printer = Printer {
    columns: &[NAME, Column::string("Pod-Selector", "The pods that the policy is for."), AGE],
    cells: |object, now| vec![name(object), selector(at(object, "spec.podSelector")).into(), age(object, now)],
};

pub(super) const SERVICE_CIDR: Printer = Printer {
    columns: &[NAME, Column::string("CIDRs", "The ranges that cluster IPs come from."), AGE],
    cells: |object, now| {
        let ranges = join(items(object, "spec.cidrs").iter().filter_map(Value::as_str), ",");
        vec![name(object), ranges.into(), age(object, now)]
    },
};

pub(super) const IP_ADDRESS: Printer = Printer {
    columns: &[NAME, Column::string("ParentRef", "What the address belongs to."), AGE],
    cells: |object, now| {
        let parent = at(object, "spec.parentRef");
        let parts = ["resource", "namespace", "name"].map(|part| text(parent, part));
        let group = text(parent, "group");
        let dot = if group.is_empty() { "" } else { "." };
        let [resource, namespace, parent_name] = parts;
        let slash = if namespace.is_empty() { "" } else { "/" };
        let parent = match resource {
            "" => NONE.to_owned(),
            _ => format!("{resource}{dot}{group}/{namespace}{slash}{parent_name}"),
        };
        vec![name(object), parent.into(), age(object, now)]
    },
};
