use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::json;

use super::*;
use crate::names::{Change, SERVICE_NAME_LABEL, ServiceNames, SliceNames};

/// `web` and `dual` with cluster IPs, `db` headless, `away` an alias, `inner` an alias of `web`.
pub(crate) fn shop() -> Vec<Change> {
    let service = |name: &str, spec: serde_json::Value| {
        let service: Service = serde_json::from_value(json!({"spec": spec})).unwrap();
        Change::Service(Key::new("shop", name), Some(ServiceNames::of(&service)))
    };
    let slice = |service: &str, kind: &str, endpoints: serde_json::Value| {
        let object = json!({
            "metadata": {"labels": {SERVICE_NAME_LABEL: service}},
            "addressType": kind, "endpoints": endpoints,
            "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}, {"name": "peer", "port": 7000, "protocol": "UDP"}],
        });
        let slice: EndpointSlice = serde_json::from_value(object).unwrap();
        Change::Slice(Key::new("shop", &format!("{service}-{kind}")), SliceNames::of(&slice))
    };
    let ports =
        json!([{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]);
    vec![
        Change::Namespace { name: "shop".to_owned(), exists: true },
        service("web", json!({"clusterIP": "10.43.0.80", "clusterIPs": ["10.43.0.80"], "ports": ports})),
        service("dual", json!({"clusterIP": "10.43.0.81", "clusterIPs": ["10.43.0.81", "fd00::81"]})),
        service("db", json!({"clusterIP": "None", "clusterIPs": ["None"]})),
        service("empty", json!({"clusterIP": "None", "clusterIPs": ["None"]})),
        service("away", json!({"type": "ExternalName", "externalName": "db.example.com"})),
        service("inner", json!({"type": "ExternalName", "externalName": "web.shop.svc.cluster.local"})),
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
    ]
}

/// A table with all of these.
pub(crate) fn table(changes: Vec<Change>) -> Table {
    let mut table = Table::default();
    changes.into_iter().for_each(|change| table.apply(change));
    table
}

/// `NOERROR` or the code's name, then the answers and, after `+`, the additional records.
fn asked(name: &str, kind: RecordType) -> String {
    let (domain, table) = (Name::from_ascii("cluster.local.").unwrap(), table(shop()));
    let found = match Zone::new(&domain, &table).look_up(&Name::from_ascii(name).unwrap(), kind) {
        Lookup::Elsewhere => return "elsewhere".to_owned(),
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
