//! Addresses and networks.

use std::fmt;
use std::net::IpAddr;

use crate::error::EvalError;
use crate::functions::{Cost, Row, Tools};
use crate::value::Value;

type Result<'a> = std::result::Result<Value<'a>, EvalError>;

pub(crate) const ROWS: &[Row] = &[
    ("ip", &["(string)->ip", "cidr.()->ip"], to_ip, Cost::Traverse(0)),
    ("isIP", &["(string)->bool"], is_ip, Cost::Traverse(0)),
    ("ip.isCanonical", &["(string)->bool"], is_canonical, Cost::Traverse(0)),
    ("family", &["ip.()->int"], |_, args| of(args, |ip| Value::Int(if ip.is_ipv4() { 4 } else { 6 })), Cost::Fixed(1)),
    ("isUnspecified", &["ip.()->bool"], |_, args| of(args, |ip| Value::Bool(ip.is_unspecified())), Cost::Fixed(1)),
    ("isLoopback", &["ip.()->bool"], |_, args| of(args, |ip| Value::Bool(ip.is_loopback())), Cost::Fixed(1)),
    (
        "isLinkLocalMulticast",
        &["ip.()->bool"],
        |_, args| of(args, |ip| Value::Bool(link_local_multicast(ip))),
        Cost::Fixed(1),
    ),
    (
        "isLinkLocalUnicast",
        &["ip.()->bool"],
        |_, args| of(args, |ip| Value::Bool(link_local_unicast(ip))),
        Cost::Fixed(1),
    ),
    ("isGlobalUnicast", &["ip.()->bool"], |_, args| of(args, |ip| Value::Bool(global_unicast(ip))), Cost::Fixed(1)),
    ("cidr", &["(string)->cidr"], to_cidr, Cost::Traverse(0)),
    ("isCIDR", &["(string)->bool"], is_cidr, Cost::Traverse(0)),
    ("containsIP", &["cidr.(string)->bool", "cidr.(ip)->bool"], contains_ip, Cost::Fixed(1)),
    ("containsCIDR", &["cidr.(string)->bool", "cidr.(cidr)->bool"], contains_cidr, Cost::Fixed(1)),
    ("masked", &["cidr.()->cidr"], masked, Cost::Fixed(1)),
    ("prefixLength", &["cidr.()->int"], prefix_length, Cost::Fixed(1)),
];

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Network {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let wrong = |why: &str| {
            format!("network address parse error during conversion from string: netip.ParsePrefix({text:?}): {why}")
        };
        let (address, bits) = text.split_once('/').ok_or_else(|| wrong("no '/'"))?;
        let address = parse_ip(address).map_err(|_| wrong("unable to parse IP"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        match bits.parse::<u8>() {
            Ok(length) if length <= most && (bits == "0" || !bits.starts_with(['0', '+'])) => {
                Ok(Self { address, bits: length })
            }
            _ => Err(wrong(&format!("bad bits after slash: {bits:?}"))),
        }
    }

    fn number(address: IpAddr) -> (u128, u32) {
        match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        }
    }

    /// The bits that address and network have in common, of `bits`.
    fn prefix(address: IpAddr, bits: u8) -> u128 {
        let (number, width) = Self::number(address);
        number.checked_shr(width - u32::from(bits)).unwrap_or(0)
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && Self::prefix(address, self.bits) == Self::prefix(self.address, self.bits)
    }

    fn masked(&self) -> Self {
        let prefix = Self::prefix(self.address, self.bits);
        let address = match self.address {
            IpAddr::V4(_) => {
                let number = prefix.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V4(u32::try_from(number).unwrap_or(0).into())
            }
            IpAddr::V6(_) => IpAddr::V6(prefix.checked_shl(128 - u32::from(self.bits)).unwrap_or(0).into()),
        };
        Self { address, bits: self.bits }
    }
}

/// Neither zones nor IPv4 written as IPv6.
fn parse_ip(text: &str) -> std::result::Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| {
        format!(
            "IP Address {text:?} parse error during conversion from string: ParseAddr({text:?}): unable to parse IP"
        )
    })?;
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err(format!("IPv4-mapped IPv6 address {text:?} is not allowed"))
        }
        address => Ok(address),
    }
}

fn link_local_multicast(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => matches!(v4.octets(), [224, 0, 0, _]),
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    }
}

fn link_local_unicast(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn global_unicast(ip: &IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !(broadcast || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local_unicast(ip))
}

fn to_ip<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text)] => parse_ip(text).map(Value::Ip).map_err(EvalError::of),
        [Value::Cidr(network)] => Ok(Value::Ip(network.address)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn is_ip<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(parse_ip(text).is_ok())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn is_canonical<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text)] => parse_ip(text).map(|ip| Value::Bool(ip.to_string() == **text)).map_err(EvalError::of),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn of<'a>(args: &[Value<'a>], what: fn(&IpAddr) -> Value<'static>) -> Result<'a> {
    match args {
        [Value::Ip(ip)] => Ok(what(ip)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn to_cidr<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text)] => Network::parse(text).map(Value::Cidr).map_err(EvalError::of),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn is_cidr<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(Network::parse(text).is_ok())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn contains_ip<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Cidr(network), Value::Ip(ip)] => Ok(Value::Bool(network.contains(*ip))),
        [Value::Cidr(network), Value::String(text)] => {
            parse_ip(text).map(|ip| Value::Bool(network.contains(ip))).map_err(EvalError::of)
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn contains_cidr<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let (outer, inner) = match args {
        [Value::Cidr(outer), Value::Cidr(inner)] => (outer, *inner),
        [Value::Cidr(outer), Value::String(text)] => (outer, Network::parse(text).map_err(EvalError::of)?),
        _ => return Err(EvalError::NoSuchOverload),
    };
    Ok(Value::Bool(outer.bits <= inner.bits && outer.contains(inner.address)))
}

fn masked<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Cidr(network)] => Ok(Value::Cidr(network.masked())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn prefix_length<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Cidr(network)] => Ok(Value::Int(network.bits.into())),
        _ => Err(EvalError::NoSuchOverload),
    }
}
