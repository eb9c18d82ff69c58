//! The parts of a rule: each reads or writes registers of four bytes, or ends the rule.

use std::net::Ipv4Addr;

use minato_rules::Ipv4Cidr;

use super::wire::Wire;

/// A four-byte register; consecutive ones form the key or value of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Register(pub(crate) u8);

impl Register {
    /// `NFT_REG32_00`.
    fn number(self) -> u32 {
        8 + u32::from(self.0)
    }
}

const VERDICT_REGISTER: u32 = 0;

/// What happens to a packet that a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Drop,
    Accept,
    Return,
    Jump(String),
    Goto(String),
}

impl Verdict {
    pub(crate) fn write(&self, wire: &mut Wire, attribute: u16) {
        let (code, chain): (i32, Option<&str>) = match self {
            Self::Drop => (0, None),
            Self::Accept => (1, None),
            Self::Return => (-5, None),
            Self::Jump(chain) => (-3, Some(chain)),
            Self::Goto(chain) => (-4, Some(chain)),
        };
        wire.nest(attribute, |wire| {
            wire.nest(DATA_VERDICT, |wire| {
                wire.bytes(1, &code.to_be_bytes());
                if let Some(chain) = chain {
                    wire.text(2, chain);
                }
            });
        });
    }
}

/// Where a packet's bytes are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Network = 1,
    Transport = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal = 0,
    NotEqual = 1,
}

/// `NFT_META_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meta {
    InputName = 6,
    OutputName = 7,
    TransportProtocol = 16,
}

/// `NFT_CT_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    State = 0,
    Status = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NatKind {
    Source = 0,
    Destination = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learn {
    /// Adds the key, or prolongs its life.
    Update = 1,
    Delete = 2,
}

/// One step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    Payload {
        base: Base,
        offset: u32,
        length: u32,
        to: Register,
    },
    Meta {
        key: Meta,
        to: Register,
    },
    Connection {
        key: Connection,
        to: Register,
    },
    Compare {
        register: Register,
        how: Compare,
        value: Vec<u8>,
    },
    /// Keeps the bits of `mask`.
    Mask {
        register: Register,
        mask: [u8; 4],
    },
    Value {
        value: [u8; 4],
        to: Register,
    },
    Verdict(Verdict),
    /// Ends the rule when the key is not there.
    Lookup {
        set: &'static str,
        key: Register,
        to: Register,
    },
    /// Ends the rule when the key is not there, otherwise follows the verdict that is found.
    LookupVerdict {
        set: &'static str,
        key: Register,
    },
    /// Ends the rule when the key is not there.
    Contains {
        set: &'static str,
        key: Register,
    },
    Random {
        below: u32,
        to: Register,
    },
    Nat {
        kind: NatKind,
        address: Register,
        port: Option<Register>,
    },
    Masquerade,
    Learn {
        set: &'static str,
        how: Learn,
        key: Register,
        value: Register,
        timeout_ms: Option<u64>,
    },
    RejectWithReset,
    RejectUnreachable,
    /// The kind of address (`RTN_*`) the packet goes to, as this host's routing sees it.
    DestinationKind {
        to: Register,
    },
}

const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const FIB_RESULT_ADDRESS_TYPE: u32 = 3;
const FIB_FLAG_DESTINATION: u32 = 2;
const ICMP_PORT_UNREACHABLE: u8 = 3;

impl Expression {
    pub(crate) fn write(&self, wire: &mut Wire) {
        wire.nest(1, |wire| {
            wire.text(1, self.name());
            wire.nest(2, |wire| self.write_data(wire));
        });
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Payload { .. } => "payload",
            Self::Meta { .. } => "meta",
            Self::Connection { .. } => "ct",
            Self::Compare { .. } => "cmp",
            Self::Mask { .. } => "bitwise",
            Self::Value { .. } | Self::Verdict(_) => "immediate",
            Self::Lookup { .. } | Self::LookupVerdict { .. } | Self::Contains { .. } => "lookup",
            Self::Random { .. } => "numgen",
            Self::Nat { .. } => "nat",
            Self::Masquerade => "masq",
            Self::Learn { .. } => "dynset",
            Self::RejectWithReset | Self::RejectUnreachable => "reject",
            Self::DestinationKind { .. } => "fib",
        }
    }

    fn write_data(&self, wire: &mut Wire) {
        match self {
            Self::Payload { base, offset, length, to } => {
                wire.be32(1, to.number());
                wire.be32(2, *base as u32);
                wire.be32(3, *offset);
                wire.be32(4, *length);
            }
            Self::Meta { key, to } => {
                wire.be32(1, to.number());
                wire.be32(2, *key as u32);
            }
            Self::Connection { key, to } => {
                wire.be32(1, to.number());
                wire.be32(2, *key as u32);
            }
            Self::Compare { register, how, value } => {
                wire.be32(1, register.number());
                wire.be32(2, *how as u32);
                wire.nest(3, |wire| wire.bytes(DATA_VALUE, value));
            }
            Self::Mask { register, mask } => {
                wire.be32(1, register.number());
                wire.be32(2, register.number());
                wire.be32(3, 4);
                wire.nest(4, |wire| wire.bytes(DATA_VALUE, mask));
                wire.nest(5, |wire| wire.bytes(DATA_VALUE, &[0; 4]));
            }
            Self::Value { value, to } => {
                wire.be32(1, to.number());
                wire.nest(2, |wire| wire.bytes(DATA_VALUE, value));
            }
            Self::Verdict(verdict) => {
                wire.be32(1, VERDICT_REGISTER);
                verdict.write(wire, 2);
            }
            Self::Lookup { set, key, to } => {
                wire.text(1, set);
                wire.be32(2, key.number());
                wire.be32(3, to.number());
            }
            Self::LookupVerdict { set, key } => {
                wire.text(1, set);
                wire.be32(2, key.number());
                wire.be32(3, VERDICT_REGISTER);
            }
            Self::Contains { set, key } => {
                wire.text(1, set);
                wire.be32(2, key.number());
            }
            Self::Random { below, to } => {
                wire.be32(1, to.number());
                wire.be32(2, *below);
                wire.be32(3, 1);
            }
            Self::Nat { kind, address, port } => {
                wire.be32(1, *kind as u32);
                wire.be32(2, u32::from(super::wire::IPV4));
                wire.be32(3, address.number());
                if let Some(port) = port {
                    wire.be32(5, port.number());
                }
            }
            Self::Masquerade => {}
            Self::Learn { set, how, key, value, timeout_ms } => {
                wire.text(1, set);
                wire.be32(3, *how as u32);
                wire.be32(4, key.number());
                wire.be32(5, value.number());
                if let Some(timeout_ms) = timeout_ms {
                    wire.be64(6, *timeout_ms);
                }
            }
            Self::RejectWithReset => wire.be32(1, 1),
            Self::RejectUnreachable => {
                wire.be32(1, 0);
                wire.bytes(2, &[ICMP_PORT_UNREACHABLE]);
            }
            Self::DestinationKind { to } => {
                wire.be32(1, to.number());
                wire.be32(2, FIB_RESULT_ADDRESS_TYPE);
                wire.be32(3, FIB_FLAG_DESTINATION);
            }
        }
    }
}

/// Where a packet's source address is.
pub(crate) fn source(to: Register) -> Expression {
    Expression::Payload { base: Base::Network, offset: 12, length: 4, to }
}

/// Where a packet's destination address is.
pub(crate) fn destination(to: Register) -> Expression {
    Expression::Payload { base: Base::Network, offset: 16, length: 4, to }
}

/// The destination port of TCP, UDP and SCTP.
pub(crate) fn destination_port(to: Register) -> Expression {
    Expression::Payload { base: Base::Transport, offset: 2, length: 2, to }
}

/// The transport protocol's number, padded to a register.
pub(crate) fn transport_protocol(to: Register) -> Expression {
    Expression::Meta { key: Meta::TransportProtocol, to }
}

pub(crate) fn address_value(address: Ipv4Addr, to: Register) -> Expression {
    Expression::Value { value: address.octets(), to }
}

/// Whether the address that `load` puts into a register lies in `range`, or not.
pub(crate) fn in_range(load: fn(Register) -> Expression, how: Compare, range: Ipv4Cidr) -> [Expression; 3] {
    let register = Register(0);
    [
        load(register),
        Expression::Mask { register, mask: range.mask().octets() },
        Expression::Compare { register, how, value: range.network().octets().to_vec() },
    ]
}

/// Whether the name of an interface starts with `prefix`, or not.
pub(crate) fn interface_prefix(key: Meta, how: Compare, prefix: &str) -> [Expression; 2] {
    let register = Register(0);
    [Expression::Meta { key, to: register }, Expression::Compare { register, how, value: prefix.as_bytes().to_vec() }]
}

/// Whether any (or none) of `bits` is set in a property of the packet's connection.
pub(crate) fn connection_bits(key: Connection, bits: u32, any: bool) -> [Expression; 3] {
    let register = Register(0);
    let how = if any { Compare::NotEqual } else { Compare::Equal };
    [
        Expression::Connection { key, to: register },
        Expression::Mask { register, mask: bits.to_ne_bytes() },
        Expression::Compare { register, how, value: vec![0; 4] },
    ]
}
