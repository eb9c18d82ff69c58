//! Cluster IPs: from which ranges they are taken, and the IPAddress objects that say whose they are (KEP-1880).
//!
//! An IPAddress is written and removed in the transaction that writes or removes its Service, so that neither is ever
//! without the other. What somebody else does to IPAddresses, a controller repairs.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use minato_mvcc::{Expected, Key, Memory, Operation};
use parking_lot::Mutex;
use serde_json::{Value, json};
use uuid::Uuid;

use super::pool::{Refusal, find_free};
use crate::object;
use crate::status::ApiError;
use crate::template::template;
use crate::write::parse;

const RANGES: &str = "networking.k8s.io/servicecidrs";
const ADDRESSES: &str = "networking.k8s.io/ipaddresses";
const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const MANAGER: &str = "ipallocator.k8s.io";

/// One range of a ServiceCIDR, without network and broadcast address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AddressRange {
    first: u32,
    last: u32,
    cidr: String,
}

impl AddressRange {
    fn parse(cidr: &str) -> Option<Self> {
        let (address, bits) = cidr.split_once('/')?;
        let (address, bits): (Ipv4Addr, u32) = (address.parse().ok()?, bits.parse().ok()?);
        let rest = u32::MAX.checked_shr(bits).unwrap_or(0);
        let network = u32::from(address) & !rest;
        let (first, last) = if rest < 2 { (network, network | rest) } else { (network + 1, (network | rest) - 1) };
        Some(Self { first, last, cidr: cidr.to_owned() })
    }

    fn contains(&self, address: u32) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// How many of the first addresses are kept for those who ask by address (KEP-3070).
    fn reserved_count(&self) -> u32 {
        ((self.last - self.first) / 16).clamp(16, 256)
    }
}

/// Which addresses are taken.
pub(super) struct Addresses {
    memory: Memory,
    taken: Mutex<BTreeSet<u32>>,
}

impl Addresses {
    pub(super) fn new(memory: Memory) -> Self {
        Self { memory, taken: Mutex::default() }
    }

    /// The ranges that are ready to be used.
    fn ranges(&self) -> Vec<AddressRange> {
        let stored = self.memory.snapshot(RANGES);
        let ready = stored.iter().filter_map(|range| parse(range).ok()).filter(is_usable);
        let cidrs = ready.flat_map(|range| match range["spec"]["cidrs"].as_array() {
            Some(cidrs) => cidrs.iter().filter_map(|cidr| AddressRange::parse(cidr.as_str()?)).collect(),
            None => Vec::new(),
        });
        cidrs.collect()
    }

    /// The ranges, as messages have them.
    pub(super) fn words(&self) -> String {
        let ranges: Vec<String> = self.ranges().into_iter().map(|range| range.cidr).collect();
        ranges.join(", ")
    }

    fn is_claimed(&self, address: u32) -> bool {
        self.memory.get(&key(Ipv4Addr::from(address))).is_some()
    }

    /// Notes that a stored service has `address`; says whether nobody else has.
    pub(super) fn note(&self, address: u32) -> bool {
        self.taken.lock().insert(address)
    }

    pub(super) fn take(&self, address: u32) -> Result<(), Refusal> {
        if !self.ranges().iter().any(|range| range.contains(address)) {
            return Err(Refusal::OutOfRange);
        }
        let mut taken = self.taken.lock();
        if self.is_claimed(address) || !taken.insert(address) {
            return Err(Refusal::Taken);
        }
        Ok(())
    }

    /// Takes any free address.
    pub(super) fn take_any(&self) -> Result<u32, Refusal> {
        let ranges = self.ranges();
        let mut taken = self.taken.lock();
        let free = ranges.iter().find_map(|range| {
            find_free(range.first..=range.last, range.reserved_count(), |address| {
                taken.contains(&address) || self.is_claimed(address)
            })
        });
        let free = free.ok_or(Refusal::Exhausted)?;
        taken.insert(free);
        Ok(free)
    }

    pub(super) fn give_back(&self, address: u32) {
        self.taken.lock().remove(&address);
    }
}

/// Whether new addresses may be taken from a ServiceCIDR.
fn is_usable(range: &Value) -> bool {
    let conditions = range["status"]["conditions"].as_array();
    let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    !object::is_terminating(range) && conditions.is_some_and(|conditions| conditions.iter().any(ready))
}

fn key(address: Ipv4Addr) -> Key {
    Key::new(ADDRESSES, "", address.to_string())
}

/// An IPAddress that comes or goes with a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Companion {
    /// The address is now that of the service `namespace/name`.
    Claim { address: Ipv4Addr, namespace: String, name: String },
    /// The address is nobody's any more.
    Free { address: Ipv4Addr },
}

impl Companion {
    /// What is to be written, as things stand in `memory`.
    pub(crate) fn operation(&self, memory: &Memory) -> Result<Option<Operation>, ApiError> {
        match self {
            Self::Claim { address, namespace, name } => Ok(claim(*address, namespace, name)),
            Self::Free { address } => free(memory, *address),
        }
    }
}

fn claim(address: Ipv4Addr, namespace: &str, name: &str) -> Option<Operation> {
    let declaration = minato_kinds::by_storage(ADDRESSES)?;
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
        "metadata": {
            "name": address.to_string(), "uid": Uuid::new_v4().to_string(), "generation": 1, "resourceVersion": "",
            "creationTimestamp": object::time(Timestamp::now()), "labels": {FAMILY: "IPv4", MANAGED_BY: MANAGER},
        },
        "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": name}},
    });
    let attributes = object::attributes(declaration, &object);
    let value = template(object.as_object()?);
    Some(Operation::Put { key: key(address), value, attributes, expected: Expected::Absent })
}

fn free(memory: &Memory, address: Ipv4Addr) -> Result<Option<Operation>, ApiError> {
    let Some(stored) = memory.get(&key(address)) else { return Ok(None) };
    let last = parse(&stored)?;
    if last["metadata"]["labels"][MANAGED_BY] != MANAGER {
        return Ok(None);
    }
    let expected = Expected::Revision(stored.revision);
    let last = last.as_object().map(template);
    Ok(last.map(|last| Operation::Delete { key: stored.key.clone(), expected, last }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_leave_out_network_and_broadcast() {
        let range =
            |cidr: &str| AddressRange::parse(cidr).map(|range| (range.first, range.last, range.reserved_count()));
        let number = |a, b, c, d| u32::from(Ipv4Addr::new(a, b, c, d));
        assert_eq!(range("10.43.0.0/16"), Some((number(10, 43, 0, 1), number(10, 43, 255, 254), 256)));
        assert_eq!(range("10.0.0.0/28"), Some((number(10, 0, 0, 1), number(10, 0, 0, 14), 16)));
        assert_eq!(range("10.0.0.4/32"), Some((number(10, 0, 0, 4), number(10, 0, 0, 4), 16)));
        assert_eq!(range("2001:db8::/64"), None);
    }

    #[test]
    fn only_ready_ranges_give_addresses() {
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        assert!(is_usable(&ready));
        let mut going = ready.clone();
        going["metadata"]["deletionTimestamp"] = "2020-01-01T00:00:00Z".into();
        for range in [going, json!({}), json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}})] {
            assert!(!is_usable(&range), "{range}");
        }
    }
}
