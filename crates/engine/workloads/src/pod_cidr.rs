//! Which part of the cluster's address range a node gives to its pods.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 range such as `10.42.0.0/16`; the address is the first of the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    first: u32,
    prefix: u8,
}

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IPv4 range such as 10.42.0.0/16")]
pub struct ParseCidrError(String);

impl Cidr {
    fn size(self) -> u64 {
        1 << (32 - u32::from(self.prefix))
    }

    fn overlaps(self, other: Self) -> bool {
        let end = |cidr: Self| u64::from(cidr.first) + cidr.size();
        u64::from(self.first) < end(other) && u64::from(other.first) < end(self)
    }
}

impl FromStr for Cidr {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Self, ParseCidrError> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            let address: Ipv4Addr = address.parse().ok()?;
            let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Some(Self { first: u32::from(address) & mask, prefix })
        };
        parse().ok_or_else(|| ParseCidrError(text.to_owned()))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }
}

/// The first range of `prefix` bits in `cluster` that overlaps none of `used`; none if all are taken.
#[must_use]
pub fn allocate(cluster: Cidr, prefix: u8, used: &[Cidr]) -> Option<Cidr> {
    if prefix < cluster.prefix || prefix > 32 {
        return None;
    }
    let count = 1_u64 << (prefix - cluster.prefix);
    let mut used = used.to_vec();
    used.sort_unstable();
    let candidate = |number: u64| {
        let first = u64::from(cluster.first) + (number << (32 - u32::from(prefix)));
        Some(Cidr { first: u32::try_from(first).ok()?, prefix })
    };
    let wider: Vec<Cidr> = used.iter().filter(|found| found.prefix < prefix).copied().collect();
    (0..count).filter_map(candidate).find(|candidate| {
        // Of ranges that are not wider, only the neighbours in order can overlap.
        let after = used.partition_point(|found| found.first <= candidate.first);
        let mut near = used[..after].last().into_iter().chain(used.get(after)).chain(&wider);
        !near.any(|found| found.overlaps(*candidate))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations() {
        let check = |cluster: &str, prefix: u8, used: &[&str], expected: Option<&str>| {
            let used: Vec<Cidr> = used.iter().map(|text| text.parse().unwrap()).collect();
            let found = allocate(cluster.parse().unwrap(), prefix, &used).map(|cidr| cidr.to_string());
            assert_eq!(found.as_deref(), expected, "{cluster} /{prefix} {used:?}");
        };
        check("10.42.0.0/16", 24, &[], Some("10.42.0.0/24"));
        check("10.42.7.9/16", 24, &["10.42.0.0/24"], Some("10.42.1.0/24"));
        check("10.42.0.0/16", 24, &["10.42.0.0/24", "10.42.2.0/24"], Some("10.42.1.0/24"));
        check("10.42.0.0/16", 24, &["10.42.0.0/22", "10.42.4.128/25"], Some("10.42.5.0/24"));
        check("10.42.0.0/16", 24, &["192.168.0.0/16"], Some("10.42.0.0/24"));
        check("10.42.0.0/24", 24, &["10.42.0.0/24"], None);
        check("10.42.0.0/24", 16, &[], None);
        check("0.0.0.0/0", 24, &["0.0.0.0/24"], Some("0.0.1.0/24"));
        check("255.255.255.0/24", 32, &["255.255.255.0/25"], Some("255.255.255.128/32"));
    }

    #[test]
    fn ranges_are_parsed_strictly() {
        for text in ["", "10.42.0.0", "10.42.0.0/33", "10.42.0/16", "fd00::/64", "10.42.0.0/-1"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
