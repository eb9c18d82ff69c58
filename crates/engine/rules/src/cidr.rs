//! An IPv4 range in CIDR form.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A network such as `10.42.0.0/16`; the host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ipv4Cidr {
    network: Ipv4Addr,
    prefix: u8,
}

/// Why a text is no IPv4 range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an IPv4 range like 10.42.0.0/16")]
pub struct ParseCidrError {
    text: String,
}

impl Ipv4Cidr {
    /// The range of `prefix` bits (32 at most) that holds `address`.
    #[must_use]
    pub fn around(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self { network: Ipv4Addr::from_bits(address.to_bits() & mask(prefix)), prefix }
    }

    /// The first address.
    #[must_use]
    pub fn network(self) -> Ipv4Addr {
        self.network
    }

    /// How many leading bits are fixed.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The bits that are fixed, as an address.
    #[must_use]
    pub fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask(self.prefix))
    }

    /// Whether `address` lies in the range.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.network.to_bits()
    }

    /// How many addresses the range has.
    #[must_use]
    pub fn size(self) -> u64 {
        1 << (32 - u32::from(self.prefix))
    }

    /// The address `offset` places after the first, if the range has it.
    #[must_use]
    pub fn nth(self, offset: u64) -> Option<Ipv4Addr> {
        let offset = u32::try_from(offset).ok().filter(|offset| u64::from(*offset) < self.size())?;
        Some(Ipv4Addr::from_bits(self.network.to_bits() + offset))
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Ipv4Cidr {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Self, ParseCidrError> {
        let error = || ParseCidrError { text: text.to_owned() };
        let (address, prefix) = text.split_once('/').ok_or_else(error)?;
        let address: Ipv4Addr = address.parse().map_err(|_| error())?;
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32).ok_or_else(error)?;
        let range = Self::around(address, prefix);
        if range.network == address { Ok(range) } else { Err(error()) }
    }
}

impl fmt::Display for Ipv4Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        for text in ["10.42.0.0/16", "0.0.0.0/0", "192.0.2.7/32"] {
            assert_eq!(text.parse::<Ipv4Cidr>().unwrap().to_string(), text);
        }
        for text in ["10.42.0.0", "10.42.0.1/16", "10.42.0.0/33", "fd00::/8", "", "/"] {
            assert!(text.parse::<Ipv4Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn knows_its_addresses() {
        let range: Ipv4Cidr = "10.42.0.0/24".parse().unwrap();
        assert!(range.contains(Ipv4Addr::new(10, 42, 0, 255)) && !range.contains(Ipv4Addr::new(10, 42, 1, 0)));
        assert_eq!(range.nth(255), Some(Ipv4Addr::new(10, 42, 0, 255)));
        assert_eq!(range.nth(256), None);
        assert_eq!("0.0.0.0/0".parse::<Ipv4Cidr>().unwrap().size(), 1 << 32);
    }
}
