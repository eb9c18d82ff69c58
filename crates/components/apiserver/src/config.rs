//! What the API server must be told.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use crate::admission::{AdmissionError, AdmissionOptions};
use crate::aggregate::FrontProxy;
use crate::audit::{AuditError, AuditOptions};
use crate::authenticate::{Authentication, AuthenticationError};
use crate::authorize::{AuthorizationError, AuthorizationMode};

/// Configuration of an API server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Range of cluster IPs, such as `10.43.0.0/16`.
    pub service_cidr: String,
    /// Ports that services can have on every node.
    pub service_node_ports: RangeInclusive<u16>,
    /// An address of this server that pods can reach.
    pub advertise_address: Ipv4Addr,
    /// The port that this server listens on.
    pub port: u16,
    /// The issuer of service-account tokens.
    pub issuer: String,
    /// Requests that run at once, shared by the priority levels; watches and connections do not count.
    pub requests_inflight_max: u32,
    /// Which admission plugins are on, and what they are told.
    pub admission: AdmissionOptions,
    /// What is told of requests, and where.
    pub audit: AuditOptions,
    /// What aggregated API servers know this one by; without it they are reached without credentials.
    pub front_proxy: Option<FrontProxy>,
    /// How users prove who they are.
    pub authentication: Authentication,
    /// Who decides what they may, in order.
    pub authorization: Vec<AuthorizationMode>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            service_cidr: "10.43.0.0/16".to_owned(),
            service_node_ports: 30_000..=32_767,
            advertise_address: Ipv4Addr::LOCALHOST,
            port: 6443,
            issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
            requests_inflight_max: 600,
            admission: AdmissionOptions::default(),
            audit: AuditOptions::default(),
            front_proxy: None,
            authentication: Authentication::default(),
            authorization: vec![AuthorizationMode::Node, AuthorizationMode::Rbac],
        }
    }
}

/// A value that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Admission plugins.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Ways to prove who one is.
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    /// Who decides.
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    /// Not an IPv4 network.
    #[error("service-cidr: {given:?} is not an IPv4 network such as 10.43.0.0/16")]
    Cidr {
        /// What was given.
        given: String,
    },
    /// Too small or too large.
    #[error("service-cidr: {given:?} must have a prefix of 12 to 28 bits")]
    CidrSize {
        /// What was given.
        given: String,
    },
}

/// First and last address of `cidr` that a service can have: without the network's and the broadcast address.
pub(crate) fn service_addresses(cidr: &str) -> Result<(Ipv4Addr, Ipv4Addr), ConfigError> {
    let malformed = || ConfigError::Cidr { given: cidr.to_owned() };
    let (network, bits) = cidr.split_once('/').ok_or_else(malformed)?;
    let network: Ipv4Addr = network.parse().map_err(|_| malformed())?;
    let bits: u32 = bits.parse().map_err(|_| malformed())?;
    if !(12..=28).contains(&bits) {
        return Err(ConfigError::CidrSize { given: cidr.to_owned() });
    }
    let size = 1u32 << (32 - bits);
    let first = u32::from(network) & !(size - 1);
    if first != u32::from(network) {
        return Err(malformed());
    }
    Ok((Ipv4Addr::from(first + 1), Ipv4Addr::from(first + size - 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_ranges() {
        let range = |a: [u8; 4], b: [u8; 4]| Some((Ipv4Addr::from(a), Ipv4Addr::from(b)));
        assert_eq!(service_addresses("10.43.0.0/16").ok(), range([10, 43, 0, 1], [10, 43, 255, 254]));
        for bad in ["", "10.43.0.0", "10.43.0.1/16", "fd00::/108", "10.43.0.0/8", "10.43.0.0/30", "a/b"] {
            assert!(service_addresses(bad).is_err(), "{bad}");
        }
    }
}
