//! How traffic finds its way: Ingresses, NetworkPolicies, address ranges.

mod addresses;
mod ingress;
mod policy;

pub(crate) use addresses::{IpAddress, ServiceCidr};
pub(crate) use ingress::{Ingress, IngressClass};
pub(crate) use policy::NetworkPolicy;
