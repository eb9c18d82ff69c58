//! Interfaces, addresses, neighbours and routes of one network namespace, by rtnetlink.
//!
//! Every change is idempotent: what exists already is replaced, what is gone already counts as removed.

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use futures::{StreamExt as _, TryStreamExt as _};
use minato_linux::netns::in_netns;
use nix::libc;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::{RouteAttribute, RouteScope};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use tokio::task::JoinHandle;

use crate::NetError;

/// A connection to the routing tables of one namespace.
#[derive(Debug)]
pub(crate) struct Links {
    handle: Handle,
    connection: JoinHandle<()>,
}

/// The part of an interface that matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mtu: u32,
    pub(crate) mac: Vec<u8>,
}

/// A pair of interfaces to be made: one end here, the other in the pod.
pub(crate) struct Pair<'a> {
    pub(crate) host_name: &'a str,
    pub(crate) host_mac: [u8; 6],
    pub(crate) alias: String,
    pub(crate) pod_name: &'a str,
    pub(crate) pod_mac: [u8; 6],
    pub(crate) mtu: u32,
}

impl Links {
    /// The tables of the caller's own namespace.
    pub(crate) fn here() -> Result<Self, NetError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(NetError::Socket)?;
        Ok(Self { handle, connection: tokio::spawn(connection) })
    }

    /// The tables of another namespace.
    pub(crate) async fn inside(netns: &Path) -> Result<Self, NetError> {
        let (netns, runtime) = (netns.to_owned(), tokio::runtime::Handle::current());
        tokio::task::spawn_blocking(move || {
            let opened = in_netns(&netns, || {
                let _entered = runtime.enter();
                Self::here()
            });
            opened.map_err(|source| NetError::Netns { path: netns, source })?
        })
        .await
        .map_err(|_| NetError::Cancelled)?
    }

    pub(crate) async fn find(&self, name: &str) -> Result<Option<Link>, NetError> {
        let mut found = Box::pin(self.handle.link().get().match_name(name).execute());
        match found.next().await {
            Some(Ok(message)) => Ok(Some(link(&message))),
            None => Ok(None),
            Some(Err(error)) if code(&error) == libc::ENODEV => Ok(None),
            Some(Err(source)) => Err(failed(format!("look up interface {name}"))(source)),
        }
    }

    pub(crate) async fn need(&self, name: &str) -> Result<Link, NetError> {
        self.find(name).await?.ok_or_else(|| NetError::InterfaceGone(name.to_owned()))
    }

    pub(crate) async fn all(&self) -> Result<Vec<Link>, NetError> {
        let links: Vec<LinkMessage> =
            self.handle.link().get().execute().try_collect().await.map_err(failed("list interfaces"))?;
        Ok(links.iter().map(link).collect())
    }

    pub(crate) async fn add_pair(&self, pair: &Pair<'_>, netns: &Path) -> Result<(), NetError> {
        let namespace =
            std::fs::File::open(netns).map_err(|source| NetError::Netns { path: netns.to_owned(), source })?;
        let inside = LinkMessageBuilder::<LinkUnspec>::new()
            .name(pair.pod_name)
            .address(pair.pod_mac.to_vec())
            .mtu(pair.mtu)
            .setns_by_fd(namespace.as_raw_fd())
            .build();
        let message = LinkVeth::new(pair.host_name, pair.pod_name)
            .address(pair.host_mac.to_vec())
            .mtu(pair.mtu)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(inside)))
            .build();
        let made = self.handle.link().add(message).execute().await;
        made.map_err(failed(format!("create interface {}", pair.host_name)))?;
        let index = self.need(pair.host_name).await?.index;
        let aliased = LinkUnspec::new_with_index(index).alias(pair.alias.as_str()).build();
        let named = self.handle.link().set(aliased).execute().await;
        named.map_err(failed(format!("set the alias of interface {}", pair.host_name)))
    }

    pub(crate) async fn remove(&self, name: &str) -> Result<(), NetError> {
        let Some(link) = self.find(name).await? else { return Ok(()) };
        match self.handle.link().del(link.index).execute().await {
            Err(error) if code(&error) != libc::ENODEV => Err(failed(format!("remove interface {name}"))(error)),
            _ => Ok(()),
        }
    }

    pub(crate) async fn up(&self, link: &Link) -> Result<(), NetError> {
        let message = LinkUnspec::new_with_index(link.index).up().build();
        let set = self.handle.link().set(message).execute().await;
        set.map_err(failed(format!("bring up interface {}", link.name)))
    }

    pub(crate) async fn add_address(&self, link: &Link, address: Ipv4Addr) -> Result<(), NetError> {
        let added = self.handle.address().add(link.index, address.into(), 32).replace().execute().await;
        added.map_err(failed(format!("add address {address} to interface {}", link.name)))
    }

    pub(crate) async fn add_neighbour(&self, link: &Link, address: Ipv4Addr, mac: [u8; 6]) -> Result<(), NetError> {
        let request = self.handle.neighbours().add(link.index, address.into()).link_layer_address(&mac);
        let added = request.replace().execute().await;
        added.map_err(failed(format!("add neighbour {address} to interface {}", link.name)))
    }

    /// A route to what is directly behind `link`.
    pub(crate) async fn add_link_route(&self, link: &Link, target: Ipv4Addr) -> Result<(), NetError> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(target, 32)
            .output_interface(link.index)
            .scope(RouteScope::Link)
            .build();
        let added = self.handle.route().add(route).replace().execute().await;
        added.map_err(failed(format!("add a route to {target} through interface {}", link.name)))
    }

    pub(crate) async fn add_default_route(&self, link: &Link, gateway: Ipv4Addr) -> Result<(), NetError> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(link.index).build();
        let added = self.handle.route().add(route).replace().execute().await;
        added.map_err(failed(format!("add the default route through {gateway}")))
    }

    /// The IPv4 addresses of the namespace, each with the index of its interface.
    pub(crate) async fn addresses(&self) -> Result<Vec<(u32, Ipv4Addr)>, NetError> {
        let mut addresses = Vec::new();
        let mut messages = Box::pin(self.handle.address().get().execute());
        while let Some(message) = messages.try_next().await.map_err(failed("list addresses"))? {
            let local = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(std::net::IpAddr::V4(address)) => Some(*address),
                _ => None,
            });
            addresses.extend(local.map(|local| (message.header.index, local)));
        }
        Ok(addresses)
    }

    /// The interface of the default route.
    pub(crate) async fn default_route_interface(&self) -> Result<Option<u32>, NetError> {
        let filter = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let mut routes = Box::pin(self.handle.route().get(filter).execute());
        let mut found = None;
        while let Some(route) = routes.try_next().await.map_err(failed("list routes"))? {
            if route.header.destination_prefix_length != 0 || route.header.address_family != AddressFamily::Inet {
                continue;
            }
            found = found.or(route.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Oif(index) => Some(*index),
                _ => None,
            }));
        }
        Ok(found)
    }

    /// The interfaces whose names start with `prefix`. Their routes need no list: a route goes with its interface.
    pub(crate) async fn starting_with(&self, prefix: &str) -> Result<Vec<Link>, NetError> {
        Ok(self.all().await?.into_iter().filter(|link| link.name.starts_with(prefix)).collect())
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn link(message: &LinkMessage) -> Link {
    let mut link = Link { index: message.header.index, name: String::new(), mtu: 1500, mac: Vec::new() };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Address(mac) => link.mac.clone_from(mac),
            _ => {}
        }
    }
    link
}

fn code(error: &rtnetlink::Error) -> i32 {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.raw_code().abs(),
        _ => 0,
    }
}

fn failed(action: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> NetError {
    move |source| NetError::Route { action: action.into(), source }
}
