//! The address by which this machine is reached.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// The address that the kernel would send from along the default route, else the first that is not of the loopback.
pub(crate) fn of_this_machine() -> Option<Ipv4Addr> {
    by_route().or_else(first_global)
}

/// Connecting a UDP socket sends nothing; it only makes the kernel choose a route (TEST-NET-2, RFC 5737).
fn by_route() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(198, 51, 100, 1), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) if !address.is_unspecified() && !address.is_loopback() => Some(address),
        _ => None,
    }
}

fn first_global() -> Option<Ipv4Addr> {
    nix::ifaddrs::getifaddrs().ok()?.find_map(|interface| {
        let address = interface.address?.as_sockaddr_in()?.ip();
        (!address.is_loopback() && !address.is_link_local()).then_some(address)
    })
}
