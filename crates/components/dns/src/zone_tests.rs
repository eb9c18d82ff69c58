use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::directory::SERVICE_NAME_LABEL;

/// Services and slices of a test.
#[derive(Default)]
pub(crate) struct Listed {
    pub(crate) services: Vec<Arc<Service>>,
    pub(crate) slices: Vec<Arc<EndpointSlice>>,
}

impl Directory for Listed {
    fn is_complete(&self) -> bool {
        !self.services.is_empty()
    }

    fn has_namespace(&self, namespace: &str) -> bool {
        namespace == "shop"
    }

    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        let is_it = |service: &&Arc<Service>| service.metadata.name.as_deref() == Some(name) && namespace == "shop";
        self.services.iter().find(is_it).cloned()
    }

    fn slices(&self, _namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>> {
        let name = |slice: &EndpointSlice| slice.metadata.labels.as_ref().unwrap()[SERVICE_NAME_LABEL].clone();
        self.slices.iter().filter(|slice| name(slice) == service).cloned().collect()
    }

    fn services_at(&self, address: IpAddr) -> Vec<Arc<Service>> {
        self.services.iter().filter(|service| cluster_ips(service).contains(&address)).cloned().collect()
    }

    fn slices_with(&self, address: IpAddr) -> Vec<Arc<EndpointSlice>> {
        let has = |slice: &&Arc<EndpointSlice>| ready_of(slice).any(|(_, found)| found == address);
        self.slices.iter().filter(has).cloned().collect()
    }
}

/// `web` and `dual` with cluster IPs, `db` headless, `away` an alias, `inner` an alias of `web`.
pub(crate) fn shop() -> Listed {
    let service = |name: &str, spec: serde_json::Value| {
        let object = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
        Arc::new(serde_json::from_value(object).unwrap())
    };
    let slice = |service: &str, kind: &str, endpoints: serde_json::Value| {
        let object = json!({
            "metadata": {"name": format!("{service}-1"), "namespace": "shop", "labels": {SERVICE_NAME_LABEL: service}},
            "addressType": kind, "endpoints": endpoints,
            "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}, {"name": "peer", "port": 7000, "protocol": "UDP"}],
        });
        Arc::new(serde_json::from_value(object).unwrap())
    };
    let ports =
        json!([{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]);
    Listed {
        services: vec![
            service("web", json!({"clusterIP": "10.43.0.80", "clusterIPs": ["10.43.0.80"], "ports": ports})),
            service("dual", json!({"clusterIP": "10.43.0.81", "clusterIPs": ["10.43.0.81", "fd00::81"]})),
            service("db", json!({"clusterIP": "None", "clusterIPs": ["None"]})),
            service("empty", json!({"clusterIP": "None", "clusterIPs": ["None"]})),
            service("away", json!({"type": "ExternalName", "externalName": "db.example.com"})),
            service("inner", json!({"type": "ExternalName", "externalName": "web.shop.svc.cluster.local"})),
        ],
        slices: vec![
            slice(
                "db",
                "IPv4",
                json!([
                    {"addresses": ["10.42.0.2"], "hostname": "db-0", "conditions": {"ready": true}},
                    {"addresses": ["10.42.0.3"], "conditions": {}},
                    {"addresses": ["10.42.0.4"], "hostname": "db-2", "conditions": {"ready": false}},
                ]),
            ),
            slice("db", "IPv6", json!([{"addresses": ["fd00::2"], "hostname": "db-0"}])),
        ],
    }
}

/// `NOERROR` or the code's name, then the answers and, after `+`, the additional records.
fn asked(name: &str, kind: RecordType) -> String {
    let zone = Zone::new(Name::from_ascii("cluster.local.").unwrap(), Arc::new(shop()));
    let found = match zone.look_up(&Name::from_ascii(name).unwrap(), kind) {
        Lookup::Elsewhere => return "elsewhere".to_owned(),
        Lookup::NotReady => return "not ready".to_owned(),
        Lookup::Found(found) => found,
    };
    assert!(found.answers.iter().all(|record| record.ttl == TTL && record.name == Name::from_ascii(name).unwrap()));
    let shown = |records: &[Record]| {
        records.iter().map(|record| format!("{} {}", record.record_type(), record.data)).collect::<Vec<_>>().join(", ")
    };
    let additionals =
        if found.additionals.is_empty() { String::new() } else { format!(" + {}", shown(&found.additionals)) };
    match found.code {
        ResponseCode::NoError if found.answers.is_empty() => {
            assert!(name.ends_with("arpa.") || found.authority.len() == 1, "{name}: no SOA");
            "nothing".to_owned()
        }
        ResponseCode::NXDomain => {
            assert_eq!(found.authority.len(), 1, "{name}: no SOA");
            "no such name".to_owned()
        }
        ResponseCode::NoError => shown(&found.answers) + &additionals,
        other => other.to_string(),
    }
}

#[test]
fn names_and_their_answers() {
    use RecordType as T;
    let cases = [
        ("web.shop.svc.cluster.local.", T::A, "A 10.43.0.80"),
        ("WEB.Shop.svc.CLUSTER.local.", T::A, "A 10.43.0.80"),
        ("web.shop.svc.cluster.local.", T::AAAA, "nothing"),
        ("web.shop.svc.cluster.local.", T::TXT, "nothing"),
        ("dual.shop.svc.cluster.local.", T::A, "A 10.43.0.81"),
        ("dual.shop.svc.cluster.local.", T::AAAA, "AAAA fd00::81"),
        ("none.shop.svc.cluster.local.", T::A, "no such name"),
        ("web.other.svc.cluster.local.", T::A, "no such name"),
        ("shop.svc.cluster.local.", T::A, "nothing"),
        ("other.svc.cluster.local.", T::A, "no such name"),
        ("svc.cluster.local.", T::A, "nothing"),
        ("cluster.local.", T::A, "nothing"),
        ("example.com.cluster.local.", T::A, "no such name"),
        ("a.b.c.d.e.f.svc.cluster.local.", T::A, "no such name"),
        // Headless: ready endpoints.
        ("db.shop.svc.cluster.local.", T::A, "A 10.42.0.2, A 10.42.0.3"),
        ("db.shop.svc.cluster.local.", T::AAAA, "AAAA fd00::2"),
        ("db-0.db.shop.svc.cluster.local.", T::A, "A 10.42.0.2"),
        ("10-42-0-3.db.shop.svc.cluster.local.", T::A, "A 10.42.0.3"),
        ("db-2.db.shop.svc.cluster.local.", T::A, "no such name"),
        ("empty.shop.svc.cluster.local.", T::A, "nothing"),
        // Ports.
        ("_http._tcp.web.shop.svc.cluster.local.", T::SRV, "SRV 0 100 80 web.shop.svc.cluster.local. + A 10.43.0.80"),
        ("_dns._udp.web.shop.svc.cluster.local.", T::SRV, "SRV 0 100 53 web.shop.svc.cluster.local. + A 10.43.0.80"),
        ("_http._udp.web.shop.svc.cluster.local.", T::SRV, "no such name"),
        ("_http._tcp.web.shop.svc.cluster.local.", T::A, "nothing"),
        ("_tcp.web.shop.svc.cluster.local.", T::SRV, "nothing"),
        (
            "_sql._tcp.db.shop.svc.cluster.local.",
            T::SRV,
            "SRV 0 33 5432 10-42-0-3.db.shop.svc.cluster.local., SRV 0 33 5432 db-0.db.shop.svc.cluster.local., \
             SRV 0 33 5432 db-0.db.shop.svc.cluster.local. + A 10.42.0.3, A 10.42.0.2, AAAA fd00::2",
        ),
        // Aliases.
        ("away.shop.svc.cluster.local.", T::A, "CNAME db.example.com."),
        ("away.shop.svc.cluster.local.", T::CNAME, "CNAME db.example.com."),
        // Pods.
        ("10-42-0-9.shop.pod.cluster.local.", T::A, "A 10.42.0.9"),
        ("10-42-0-9.shop.pod.cluster.local.", T::AAAA, "nothing"),
        ("fd00--9.shop.pod.cluster.local.", T::AAAA, "AAAA fd00::9"),
        ("10-42-0-9.other.pod.cluster.local.", T::A, "no such name"),
        ("nonsense.shop.pod.cluster.local.", T::A, "no such name"),
        // The zone itself.
        ("dns-version.cluster.local.", T::TXT, "TXT 1.1.0"),
        ("cluster.local.", T::NS, "NS ns.dns.cluster.local."),
        ("cluster.local.", T::SOA, "SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"),
        // Addresses.
        ("80.0.43.10.in-addr.arpa.", T::PTR, "PTR web.shop.svc.cluster.local."),
        ("2.0.42.10.in-addr.arpa.", T::PTR, "PTR db-0.db.shop.svc.cluster.local."),
        ("3.0.42.10.in-addr.arpa.", T::PTR, "PTR 10-42-0-3.db.shop.svc.cluster.local."),
        ("4.0.42.10.in-addr.arpa.", T::PTR, "elsewhere"),
        ("80.0.43.10.in-addr.arpa.", T::A, "nothing"),
        ("43.10.in-addr.arpa.", T::PTR, "elsewhere"),
        // Others.
        ("example.com.", T::A, "elsewhere"),
        ("local.", T::A, "elsewhere"),
        (".", T::NS, "elsewhere"),
        ("xcluster.local.", T::A, "elsewhere"),
    ];
    for (name, kind, expected) in cases {
        assert_eq!(asked(name, kind), expected, "{name} {kind}");
    }
}

#[test]
fn until_everything_is_known_nothing_is_denied() {
    let zone = Zone::new(Name::from_ascii("cluster.local.").unwrap(), Arc::new(Listed::default()));
    let name = Name::from_ascii("web.shop.svc.cluster.local.").unwrap();
    assert_eq!(zone.look_up(&name, RecordType::A), Lookup::NotReady);
}
