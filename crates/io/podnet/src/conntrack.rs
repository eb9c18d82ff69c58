//! Makes the kernel forget UDP flows to endpoints that are gone (ctnetlink).
//!
//! The packet filter decides where a flow goes when its first packet comes. TCP clients start over when their server
//! is gone; a UDP client may go on sending from the same port for ever.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use minato_rules::{Endpoint, Frontend, Protocol};
use nix::libc;

use crate::nft::socket::{NetfilterSocket, NftError};
use crate::nft::wire::{ACK, DUMP, FAMILY_HEADER, Header, IPV4, REQUEST, Wire, attribute};

const SUBSYSTEM: u16 = 1;
const GET: u16 = 1;
const DELETE: u16 = 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;

/// One direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tuple {
    source: (Ipv4Addr, u16),
    destination: (Ipv4Addr, u16),
    protocol: u8,
}

/// Forgets the flows that went through these frontends to these endpoints.
pub(crate) fn forget(socket: &mut NetfilterSocket, stale: &BTreeSet<(Frontend, Endpoint)>) -> Result<(), NftError> {
    let mut flows = Vec::new();
    let request = |sequence| {
        let mut wire = Wire::default();
        wire.message(header(GET, DUMP, sequence), |_| {});
        wire.into_bytes()
    };
    socket.list("tracked connections", request, |message| match message {
        Some(message) => flows.extend(stale_flow(message.payload, stale)),
        None => flows.clear(),
    })?;
    for original in flows {
        let request = |sequence| {
            let mut wire = Wire::default();
            wire.message(header(DELETE, ACK, sequence), |wire| {
                wire.nest(TUPLE_ORIGINAL, |wire| wire.raw(&original));
            });
            wire.into_bytes()
        };
        match socket.list("a tracked connection", request, |_| {}) {
            // It may have ended meanwhile.
            Err(error) if !error.is(libc::ENOENT) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn header(kind: u16, flags: u16, sequence: u32) -> Header {
    Header { kind: SUBSYSTEM << 8 | kind, flags: REQUEST | flags, sequence, family: IPV4, resource: 0 }
}

/// The original direction of the flow in one message of the listing, as the kernel wrote it, if the flow is stale.
fn stale_flow(payload: &[u8], stale: &BTreeSet<(Frontend, Endpoint)>) -> Option<Vec<u8>> {
    let body = payload.get(FAMILY_HEADER..)?;
    let bytes = attribute(body, TUPLE_ORIGINAL)?;
    let (original, reply) = (tuple(bytes)?, tuple(attribute(body, TUPLE_REPLY)?)?);
    let protocol = Protocol::from_number(original.protocol)?;
    let (address, port) = original.destination;
    let endpoint = Endpoint { address: reply.source.0, port: reply.source.1 };
    let went_through = |address| stale.contains(&(Frontend { address, protocol, port }, endpoint));
    (went_through(address) || went_through(Frontend::ANY_NODE_ADDRESS)).then(|| bytes.to_vec())
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (addresses, transport) = (attribute(bytes, 1)?, attribute(bytes, 2)?);
    let address = |kind| attribute(addresses, kind)?.first_chunk().map(|octets: &[u8; 4]| Ipv4Addr::from(*octets));
    let port = |kind| attribute(transport, kind)?.first_chunk().map(|bytes: &[u8; 2]| u16::from_be_bytes(*bytes));
    Some(Tuple {
        source: (address(1)?, port(2)?),
        destination: (address(2)?, port(3)?),
        protocol: *attribute(transport, 1)?.first()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_stale_by_where_it_was_sent_and_where_it_went() {
        let write = |wire: &mut Wire, kind, from: (u8, u16), to: (u8, u16), protocol: u8| {
            wire.nest(kind, |wire| {
                wire.nest(1, |wire| {
                    wire.bytes(1, &[10, 0, 0, from.0]);
                    wire.bytes(2, &[10, 0, 0, to.0]);
                });
                wire.nest(2, |wire| {
                    wire.bytes(1, &[protocol]);
                    wire.bytes(2, &from.1.to_be_bytes());
                    wire.bytes(3, &to.1.to_be_bytes());
                });
            });
        };
        let flow = |frontend, endpoint, protocol| {
            let mut wire = Wire::default();
            wire.raw(&[2, 0, 0, 0]);
            write(&mut wire, TUPLE_ORIGINAL, (1, 4000), frontend, protocol);
            write(&mut wire, TUPLE_REPLY, endpoint, (1, 4000), protocol);
            wire.into_bytes()
        };
        let at = |last| Ipv4Addr::new(10, 0, 0, last);
        let service = Frontend { address: at(53), protocol: Protocol::Udp, port: 53 };
        let node_port = Frontend { address: Frontend::ANY_NODE_ADDRESS, protocol: Protocol::Udp, port: 30053 };
        let gone = Endpoint { address: at(7), port: 5353 };
        let stale = [(service, gone), (node_port, gone)].into();
        let cases = [
            (flow((53, 53), (7, 5353), 17), true),
            (flow((9, 30053), (7, 5353), 17), true),
            (flow((53, 53), (8, 5353), 17), false),
            (flow((53, 53), (7, 5354), 17), false),
            (flow((53, 54), (7, 5353), 17), false),
            (flow((53, 53), (7, 5353), 6), false),
            (vec![2, 0, 0, 0], false),
        ];
        for (payload, expected) in cases {
            assert_eq!(stale_flow(&payload, &stale).is_some(), expected);
        }
    }
}
