//! Which packets go where: Services and their EndpointSlices become the contents of packet-filter maps.
//!
//! [`plan_service`] says what one Service asks for, [`plan_host_ports`] what a pod asks for, the [`Planner`] what has to change in the maps so that all
//! have what they ask for. The shape of the maps is fixed, whatever the number of Services:
//!
//! | map or set | key | value |
//! |---|---|---|
//! | served | address, protocol, port | how to balance: one shared chain per number of endpoints |
//! | slots | address, protocol, port, slot | endpoint's address and port |
//! | sticky | address, protocol, port, endpoint's address and port | (clients may stick to that endpoint) |
//! | refused | address, protocol, port | reject or drop |
//! | hairpins | pod address | (its traffic to itself needs another source address) |
//! | cluster IPs | address | (ports without a frontend are refused) |
//!
//! Nothing here touches the kernel; `minato-podnet` encodes [`Changes`] for it.

mod cidr;
mod elements;
mod host_port;
mod planner;
mod service;

pub use cidr::{Ipv4Cidr, ParseCidrError};
pub use elements::{Balance, Changes, Elements, Endpoint, Frontend, Protocol, Refusal, diff};
pub use host_port::plan_host_ports;
pub use planner::{Owner, Planner};
pub use service::{Action, Place, ServiceRules, plan_service};
