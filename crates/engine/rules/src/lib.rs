//! Which packets go where: Services and their EndpointSlices become the contents of packet-filter maps.

mod cidr;

pub use cidr::{Ipv4Cidr, ParseCidrError};
