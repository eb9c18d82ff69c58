//! The cluster's names, after the Kubernetes DNS specification 1.1.0.
//!
//! | name (before the cluster domain) | answer |
//! |---|---|
//! | `service.namespace.svc` | cluster IPs; of a headless Service all ready endpoints; CNAME of an ExternalName |
//! | `_port._protocol.service.namespace.svc` | SRV for the named port |
//! | `hostname.service.namespace.svc` | an endpoint of a Service, by hostname or dashed address |
//! | `1-2-3-4.namespace.pod` | the address in the name |
//! | `dns-version` | TXT |
//!
//! and PTR records for cluster IPs and endpoints. A name that exists but lacks the type gets an empty answer, any other
//! NXDOMAIN, both with the zone's SOA.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr as _;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::names::{Key, Port, Target};
use crate::table::Table;

/// Seconds for which an answer may be kept.
const TTL: u32 = 5;
const SPECIFICATION_VERSION: &str = "1.1.0";

/// What is known about a name.
#[derive(Debug, PartialEq)]
pub(crate) enum Lookup {
    /// The name is not of this zone: somebody else knows.
    Elsewhere,
    Found(Found),
}

/// What the zone says about one of its names.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Found {
    pub(crate) code: ResponseCode,
    pub(crate) answers: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
    /// The SOA of an empty answer.
    pub(crate) authority: Vec<Record>,
    /// The name that a CNAME in `answers` leads to, still to be looked up.
    pub(crate) alias: Option<Name>,
}

/// The names of one cluster.
pub(crate) struct Zone<'a> {
    /// In lower case.
    domain: &'a Name,
    table: &'a Table,
}

impl<'a> Zone<'a> {
    pub(crate) fn new(domain: &'a Name, table: &'a Table) -> Self {
        Self { domain, table }
    }

    /// What is known about `name`, as far as `kind` is concerned.
    pub(crate) fn look_up(&self, name: &Name, kind: RecordType) -> Lookup {
        if !self.domain.zone_of(name) {
            return self.look_up_address(name, kind);
        }
        let below = usize::from(name.num_labels() - self.domain.num_labels());
        let labels: Vec<String> =
            name.iter().take(below).map(|label| String::from_utf8_lossy(label).to_lowercase()).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        Lookup::Found(self.finish(self.answer(name, &labels, kind)))
    }

    /// None: there is no such name.
    fn answer(&self, name: &Name, labels: &[&str], kind: RecordType) -> Option<Found> {
        let of_name = |data: RData| Found { answers: vec![record(name, data)], ..Found::default() };
        match labels {
            [] => Some(match kind {
                RecordType::SOA => Found { answers: vec![self.soa()], ..Found::default() },
                RecordType::NS => {
                    self.below(&["ns", "dns"]).map(|server| of_name(RData::NS(NS(server)))).unwrap_or_default()
                }
                _ => Found::default(),
            }),
            ["dns-version"] => Some(match kind {
                RecordType::TXT => of_name(RData::TXT(TXT::new(vec![SPECIFICATION_VERSION.to_owned()]))),
                _ => Found::default(),
            }),
            ["svc" | "pod"] => Some(Found::default()),
            [namespace, "svc" | "pod"] => self.table.has_namespace(namespace).then(Found::default),
            [address, namespace, "pod"] => {
                let address = dashed_address(address).filter(|_| self.table.has_namespace(namespace))?;
                Some(Found { answers: address_records(name, [address], kind), ..Found::default() })
            }
            [service, namespace, "svc"] => self.answer_service(name, namespace, service, kind),
            [label, service, namespace, "svc"] => self.answer_endpoint(name, namespace, service, label, kind),
            [port, protocol, service, namespace, "svc"] => {
                let port = port.strip_prefix('_')?;
                let protocol = protocol.strip_prefix('_')?.to_uppercase();
                self.answer_port(name, namespace, service, Some((port, &protocol)), kind)
            }
            _ => None,
        }
    }

    fn answer_service(&self, name: &Name, namespace: &str, service: &str, kind: RecordType) -> Option<Found> {
        let found = self.table.service(namespace, service)?;
        if let Target::External(target) = &found.target {
            let alias = Name::from_str(target).ok().map(fully_qualified)?;
            let answers = vec![record(name, RData::CNAME(CNAME(alias.clone())))];
            let alias = Some(alias).filter(|_| kind != RecordType::CNAME);
            return Some(Found { answers, alias, ..Found::default() });
        }
        if kind == RecordType::SRV {
            return self.answer_port(name, namespace, service, None, kind);
        }
        let addresses = match &found.target {
            Target::ClusterIps(addresses) => addresses.clone(),
            _ => self.ready(namespace, service).map(|(_, address, _)| address).collect(),
        };
        Some(Found { answers: address_records(name, addresses, kind), ..Found::default() })
    }

    /// `label` is an endpoint's hostname or dashed address, or the protocol below which ports are.
    fn answer_endpoint(
        &self,
        name: &Name,
        namespace: &str,
        service: &str,
        label: &str,
        kind: RecordType,
    ) -> Option<Found> {
        let found = self.table.service(namespace, service)?;
        if matches!(label, "_tcp" | "_udp" | "_sctp") && !matches!(found.target, Target::External(_)) {
            return Some(Found::default());
        }
        let matching = self.ready(namespace, service).filter(|(endpoint, ..)| *endpoint == label);
        let addresses: BTreeSet<IpAddr> = matching.map(|(_, address, _)| address).collect();
        (!addresses.is_empty()).then(|| Found { answers: address_records(name, addresses, kind), ..Found::default() })
    }

    /// SRV records of one named port, or of all.
    fn answer_port(
        &self,
        name: &Name,
        namespace: &str,
        service: &str,
        port: Option<(&str, &str)>,
        kind: RecordType,
    ) -> Option<Found> {
        let found = self.table.service(namespace, service)?;
        let wanted = |candidate: &&Port| {
            port.is_none_or(|(name, protocol)| candidate.name == name && candidate.protocol == protocol)
        };
        let mut targets: BTreeSet<(u16, Vec<&str>, BTreeSet<IpAddr>)> = BTreeSet::new();
        match &found.target {
            Target::ClusterIps(addresses) => {
                for port in found.ports.iter().filter(wanted) {
                    targets.insert((port.number, vec![service, namespace, "svc"], addresses.clone()));
                }
            }
            _ => {
                for (endpoint, address, ports) in self.ready(namespace, service) {
                    for port in ports.iter().filter(wanted) {
                        targets.insert((port.number, vec![endpoint, service, namespace, "svc"], [address].into()));
                    }
                }
            }
        }
        if targets.is_empty() && port.is_some() {
            return None;
        }
        let mut answer = Found::default();
        if kind != RecordType::SRV {
            return Some(answer);
        }
        let weight = u16::try_from(100 / targets.len().max(1)).unwrap_or(1).max(1);
        for (number, labels, addresses) in targets {
            let Some(target) = self.below(&labels) else { continue };
            for kind in [RecordType::A, RecordType::AAAA] {
                answer.additionals.extend(address_records(&target, addresses.iter().copied(), kind));
            }
            answer.answers.push(record(name, RData::SRV(SRV::new(0, weight, number, target))));
        }
        Some(answer)
    }

    /// The name of an address of this cluster.
    fn look_up_address(&self, name: &Name, kind: RecordType) -> Lookup {
        let Some(address) = arpa_address(name) else { return Lookup::Elsewhere };
        let mut names: Vec<Name> = Vec::new();
        for Key { namespace, name } in self.table.services_at(address) {
            names.extend(self.below(&[name, namespace, "svc"]));
        }
        for (namespace, slice) in self.table.slices_with(address) {
            let labels = slice.endpoints.iter().filter(|(_, found)| *found == address).map(|(label, _)| label);
            names.extend(labels.filter_map(|label| self.below(&[label, &slice.service, namespace, "svc"])));
        }
        if names.is_empty() {
            return Lookup::Elsewhere;
        }
        names.sort();
        names.dedup();
        let answers = match kind {
            RecordType::PTR => names.into_iter().map(|target| record(name, RData::PTR(PTR(target)))).collect(),
            _ => Vec::new(),
        };
        Lookup::Found(Found { answers, ..Found::default() })
    }

    /// Label, address and ports of each endpoint that is ready.
    fn ready(&self, namespace: &str, service: &str) -> impl Iterator<Item = (&str, IpAddr, &[Port])> {
        let slices = self.table.slices(namespace, service);
        slices.flat_map(|slice| {
            let endpoints = slice.endpoints.iter();
            endpoints.map(|(label, address)| (label.as_str(), *address, slice.ports.as_slice()))
        })
    }

    fn finish(&self, found: Option<Found>) -> Found {
        let missing = || Found { code: ResponseCode::NXDomain, ..Found::default() };
        let mut found = found.unwrap_or_else(missing);
        if found.answers.is_empty() {
            found.authority = vec![self.soa()];
        }
        found
    }

    fn below(&self, labels: &[&str]) -> Option<Name> {
        let labels = labels.iter().map(|label| label.as_bytes()).chain(self.domain.iter());
        Name::from_labels(labels).ok().map(fully_qualified)
    }

    fn soa(&self) -> Record {
        let server = self.below(&["ns", "dns"]).unwrap_or_else(|| self.domain.clone());
        let mailbox = self.below(&["hostmaster"]).unwrap_or_else(|| self.domain.clone());
        record(self.domain, RData::SOA(SOA::new(server, mailbox, 1, 7200, 1800, 86_400, TTL)))
    }
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL, data)
}

fn fully_qualified(mut name: Name) -> Name {
    name.set_fqdn(true);
    name
}

fn address_records(name: &Name, addresses: impl IntoIterator<Item = IpAddr>, kind: RecordType) -> Vec<Record> {
    let distinct: BTreeSet<IpAddr> = addresses.into_iter().collect();
    let data = distinct.into_iter().filter_map(|address| match (address, kind) {
        (IpAddr::V4(address), RecordType::A | RecordType::ANY) => Some(RData::A(A(address))),
        (IpAddr::V6(address), RecordType::AAAA | RecordType::ANY) => Some(RData::AAAA(AAAA(address))),
        _ => None,
    });
    data.map(|data| record(name, data)).collect()
}

fn dashed_address(label: &str) -> Option<IpAddr> {
    let v4 = Ipv4Addr::from_str(&label.replace('-', ".")).ok().map(IpAddr::V4);
    v4.or_else(|| Ipv6Addr::from_str(&label.replace('-', ":")).ok().map(IpAddr::V6))
}

/// The address that a name like `7.0.42.10.in-addr.arpa` stands for; ranges are of no interest.
fn arpa_address(name: &Name) -> Option<IpAddr> {
    let labels: Vec<String> = name.iter().map(|label| String::from_utf8_lossy(label).to_lowercase()).collect();
    let (digits, suffix) = labels.split_at_checked(labels.len().checked_sub(2)?)?;
    match (suffix[0].as_str(), suffix[1].as_str(), digits.len()) {
        ("in-addr", "arpa", 4) => {
            let octets: Vec<&str> = digits.iter().rev().map(String::as_str).collect();
            octets.join(".").parse().ok().map(IpAddr::V4)
        }
        ("ip6", "arpa", 32) => {
            let text: String = digits.iter().rev().map(String::as_str).collect();
            u128::from_str_radix(&text, 16).ok().map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "zone_tests.rs"]
pub(crate) mod tests;
