//! Map keys and values as the kernel holds them: every component fills a register of four bytes.

use std::net::Ipv4Addr;

use minato_rules::{Balance, Endpoint, Frontend, Protocol, Refusal};

use super::ruleset::REJECT_CHAIN;
use crate::nft::batch::{Element, Value};
use crate::nft::expression::Verdict;

/// `IFNAMSIZ`.
pub(super) const INTERFACE_BYTES: usize = 16;

fn frontend_key(frontend: Frontend) -> Vec<u8> {
    let mut key = frontend.address.octets().to_vec();
    key.extend([frontend.protocol.number(), 0, 0, 0]);
    key.extend(frontend.port.to_be_bytes());
    key.extend([0, 0]);
    key
}

/// The kernel's random numbers are in its own byte order, so slots are too.
fn slot_key((frontend, slot): (Frontend, u32)) -> Vec<u8> {
    let mut key = frontend_key(frontend);
    key.extend(slot.to_ne_bytes());
    key
}

/// The chain that spreads packets in that way, such as `lb-3` or `node-lb-2-for-10800s`.
pub(super) fn chain_name(balance: Balance) -> String {
    let place = if balance.node_port { "node-" } else { "" };
    let affinity = balance.affinity_seconds.map(|seconds| format!("-for-{seconds}s")).unwrap_or_default();
    format!("{place}lb-{}{affinity}", balance.endpoints)
}

pub(super) fn balance_from_chain(name: &str) -> Option<Balance> {
    let (node_port, rest) = match name.strip_prefix("node-") {
        Some(rest) => (true, rest),
        None => (false, name),
    };
    let rest = rest.strip_prefix("lb-")?;
    let (endpoints, affinity_seconds) = match rest.split_once("-for-") {
        Some((endpoints, seconds)) => (endpoints, Some(seconds.strip_suffix('s')?.parse().ok()?)),
        None => (rest, None),
    };
    Some(Balance { node_port, endpoints: endpoints.parse().ok()?, affinity_seconds })
}

pub(super) fn of_frontend_key(frontend: Frontend) -> Element {
    (frontend_key(frontend), Value::None)
}

pub(super) fn of_slot_key(key: (Frontend, u32)) -> Element {
    (slot_key(key), Value::None)
}

pub(super) fn of_slot(key: (Frontend, u32), endpoint: Endpoint) -> Element {
    (slot_key(key), Value::Data(endpoint_bytes(endpoint)))
}

pub(super) fn of_sticky((frontend, endpoint): (Frontend, Endpoint)) -> Element {
    ([frontend_key(frontend), endpoint_bytes(endpoint)].concat(), Value::None)
}

fn endpoint_bytes(endpoint: Endpoint) -> Vec<u8> {
    let mut bytes = endpoint.address.octets().to_vec();
    bytes.extend(endpoint.port.to_be_bytes());
    bytes.extend([0, 0]);
    bytes
}

fn read_endpoint(bytes: &[u8]) -> Option<Endpoint> {
    let port = u16::from_be_bytes([*bytes.get(4)?, *bytes.get(5)?]);
    Some(Endpoint { address: address_at(bytes, 0)?, port })
}

pub(super) fn of_served(frontend: Frontend, balance: Balance) -> Element {
    (frontend_key(frontend), Value::Verdict(Verdict::Goto(chain_name(balance))))
}

pub(super) fn of_refused(frontend: Frontend, refusal: Refusal) -> Element {
    let verdict = match refusal {
        Refusal::Reject => Verdict::Goto(REJECT_CHAIN.to_owned()),
        Refusal::Drop => Verdict::Drop,
    };
    (frontend_key(frontend), Value::Verdict(verdict))
}

pub(super) fn of_pair(address: Ipv4Addr) -> Element {
    ([address.octets(), address.octets()].concat(), Value::None)
}

pub(super) fn of_address(address: Ipv4Addr) -> Element {
    (address.octets().to_vec(), Value::None)
}

/// Interface names fill four registers.
pub(super) fn of_interface(name: &str) -> Element {
    let mut key = name.as_bytes().to_vec();
    key.resize(INTERFACE_BYTES, 0);
    (key, Value::None)
}

pub(super) fn interface((key, _): &Element) -> Option<String> {
    let name = key.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(name).ok().map(str::to_owned)
}

fn read_frontend(key: &[u8]) -> Option<Frontend> {
    Some(Frontend {
        address: address_at(key, 0)?,
        protocol: Protocol::from_number(*key.get(4)?)?,
        port: u16::from_be_bytes([*key.get(8)?, *key.get(9)?]),
    })
}

fn address_at(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    bytes.get(at..)?.first_chunk().map(|octets: &[u8; 4]| Ipv4Addr::from(*octets))
}

pub(super) fn served((key, value): &Element) -> Option<(Frontend, Balance)> {
    match value {
        Value::Verdict(Verdict::Goto(chain)) => Some((read_frontend(key)?, balance_from_chain(chain)?)),
        _ => None,
    }
}

pub(super) fn slot((key, value): &Element) -> Option<((Frontend, u32), Endpoint)> {
    let Value::Data(value) = value else { return None };
    let slot = u32::from_ne_bytes(*key.get(12..)?.first_chunk()?);
    Some(((read_frontend(key)?, slot), read_endpoint(value)?))
}

pub(super) fn sticky((key, _): &Element) -> Option<(Frontend, Endpoint)> {
    Some((read_frontend(key)?, read_endpoint(key.get(12..)?)?))
}

pub(super) fn refused((key, value): &Element) -> Option<(Frontend, Refusal)> {
    let refusal = match value {
        Value::Verdict(Verdict::Drop) => Refusal::Drop,
        Value::Verdict(_) => Refusal::Reject,
        _ => return None,
    };
    Some((read_frontend(key)?, refusal))
}

pub(super) fn address((key, _): &Element) -> Option<Ipv4Addr> {
    address_at(key, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let frontend = Frontend { address: Ipv4Addr::new(10, 43, 0, 10), protocol: Protocol::Udp, port: 53 };
        let endpoint = Endpoint { address: Ipv4Addr::new(10, 42, 0, 7), port: 5353 };
        assert_eq!(slot(&of_slot((frontend, 2), endpoint)), Some(((frontend, 2), endpoint)));
        assert_eq!(sticky(&of_sticky((frontend, endpoint))), Some((frontend, endpoint)));
        for node_port in [true, false] {
            for affinity_seconds in [None, Some(10_800)] {
                let balance = Balance { node_port, endpoints: 12, affinity_seconds };
                assert_eq!(served(&of_served(frontend, balance)), Some((frontend, balance)));
            }
        }
        for refusal in [Refusal::Reject, Refusal::Drop] {
            assert_eq!(refused(&of_refused(frontend, refusal)), Some((frontend, refusal)));
        }
        assert_eq!(address(&of_pair(endpoint.address)), Some(endpoint.address));
        assert_eq!(balance_from_chain("services"), None);
        assert_eq!(interface(&of_interface("mn0123abcdxyz55")).as_deref(), Some("mn0123abcdxyz55"));
    }
}
