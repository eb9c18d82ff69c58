//! The contents of the packet filter's maps, and the difference between two of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// A transport protocol that Services know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// `TCP`
    Tcp,
    /// `UDP`
    Udp,
    /// `SCTP`
    Sctp,
}

impl Protocol {
    /// By the API's name; absent means TCP.
    #[must_use]
    pub fn from_name(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("TCP" | "") => Some(Self::Tcp),
            Some("UDP") => Some(Self::Udp),
            Some("SCTP") => Some(Self::Sctp),
            Some(_) => None,
        }
    }

    /// As in an IP header.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// By the number in an IP header.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|protocol| protocol.number() == number)
    }
}

/// Where clients send their packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Frontend {
    /// A virtual address, or [`Frontend::ANY_NODE_ADDRESS`].
    pub address: Ipv4Addr,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The port on that address.
    pub port: u16,
}

impl Frontend {
    /// Stands for every address of the node: node ports.
    pub const ANY_NODE_ADDRESS: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
}

/// Where a packet is sent on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// A pod's or node's address.
    pub address: Ipv4Addr,
    /// The port there.
    pub port: u16,
}

impl Endpoint {
    /// No endpoint sorts before this one.
    pub(crate) const FIRST: Self = Self { address: Ipv4Addr::UNSPECIFIED, port: 0 };
    /// No endpoint sorts after this one.
    pub(crate) const LAST: Self = Self { address: Ipv4Addr::BROADCAST, port: u16::MAX };
}

/// How packets to a frontend are spread; each kind that is in use has one chain, shared by all frontends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Balance {
    /// Whether the frontend is [`Frontend::ANY_NODE_ADDRESS`].
    pub node_port: bool,
    /// Among how many endpoints, at least one.
    pub endpoints: u32,
    /// For how many seconds a client sticks to its endpoint (`sessionAffinity: ClientIP`).
    pub affinity_seconds: Option<u32>,
}

/// What happens to packets that no endpoint can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// The client is told at once: the Service has no endpoints.
    Reject,
    /// Silence: the endpoints are on other nodes and the traffic policy is `Local`, so another node may answer.
    Drop,
}

/// Everything the maps and sets hold, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elements {
    /// Kinds of balance, each a chain.
    pub balances: BTreeSet<Balance>,
    /// Frontend to kind of balance.
    pub served: BTreeMap<Frontend, Balance>,
    /// Frontend and slot to endpoint.
    pub slots: BTreeMap<(Frontend, u32), Endpoint>,
    /// Endpoints of the frontends whose clients stick to them.
    pub sticky: BTreeSet<(Frontend, Endpoint)>,
    /// Frontend to refusal.
    pub refused: BTreeMap<Frontend, Refusal>,
    /// Pod addresses.
    pub hairpins: BTreeSet<Ipv4Addr>,
    /// Virtual addresses.
    pub cluster_ips: BTreeSet<Ipv4Addr>,
}

impl Elements {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What these become once `changes` have happened.
    pub fn apply(&mut self, changes: &Changes) {
        let (remove, add) = (&changes.remove, &changes.add);
        // By key: retain would look at everything for every small change.
        for balance in &remove.balances {
            self.balances.remove(balance);
        }
        for frontend in remove.served.keys() {
            self.served.remove(frontend);
        }
        for slot in remove.slots.keys() {
            self.slots.remove(slot);
        }
        for pair in &remove.sticky {
            self.sticky.remove(pair);
        }
        for frontend in remove.refused.keys() {
            self.refused.remove(frontend);
        }
        for address in &remove.hairpins {
            self.hairpins.remove(address);
        }
        for address in &remove.cluster_ips {
            self.cluster_ips.remove(address);
        }
        self.balances.extend(&add.balances);
        self.served.extend(&add.served);
        self.slots.extend(&add.slots);
        self.sticky.extend(&add.sticky);
        self.refused.extend(&add.refused);
        self.hairpins.extend(&add.hairpins);
        self.cluster_ips.extend(&add.cluster_ips);
    }

    /// The endpoints of a frontend by slot.
    #[must_use]
    pub fn slots_of(&self, frontend: Frontend) -> Vec<Endpoint> {
        self.slots.range((frontend, 0)..=(frontend, u32::MAX)).map(|(_, endpoint)| *endpoint).collect()
    }
}

/// What has to happen, all at once, so that the maps hold something else. A changed element is in both lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What goes, before anything comes.
    pub remove: Elements,
    /// What comes.
    pub add: Elements,
    /// Connectionless traffic keeps going where it went; what the kernel remembers of these has to be forgotten.
    pub stale_udp: BTreeSet<(Frontend, Endpoint)>,
}

impl Changes {
    /// Whether nothing has to happen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty() && self.stale_udp.is_empty()
    }
}

/// What has to happen so that `before` becomes `after`.
#[must_use]
pub fn diff(before: &Elements, after: &Elements) -> Changes {
    let mut changes = Changes {
        remove: Elements {
            balances: before.balances.difference(&after.balances).copied().collect(),
            served: lost(&before.served, &after.served),
            slots: lost(&before.slots, &after.slots),
            sticky: before.sticky.difference(&after.sticky).copied().collect(),
            refused: lost(&before.refused, &after.refused),
            hairpins: before.hairpins.difference(&after.hairpins).copied().collect(),
            cluster_ips: before.cluster_ips.difference(&after.cluster_ips).copied().collect(),
        },
        add: Elements {
            balances: after.balances.difference(&before.balances).copied().collect(),
            served: lost(&after.served, &before.served),
            slots: lost(&after.slots, &before.slots),
            sticky: after.sticky.difference(&before.sticky).copied().collect(),
            refused: lost(&after.refused, &before.refused),
            hairpins: after.hairpins.difference(&before.hairpins).copied().collect(),
            cluster_ips: after.cluster_ips.difference(&before.cluster_ips).copied().collect(),
        },
        stale_udp: BTreeSet::new(),
    };
    changes.stale_udp = stale_udp(&changes, after);
    changes
}

/// The entries of `from` that `to` does not have, or has with another value.
fn lost<K: Ord + Copy, V: PartialEq + Copy>(from: &BTreeMap<K, V>, to: &BTreeMap<K, V>) -> BTreeMap<K, V> {
    from.iter().filter(|(key, value)| to.get(key) != Some(value)).map(|(key, value)| (*key, *value)).collect()
}

/// UDP endpoints that left their frontend, rather than only changed the slot.
fn stale_udp(changes: &Changes, after: &Elements) -> BTreeSet<(Frontend, Endpoint)> {
    let left = changes.remove.slots.iter().filter(|((frontend, _), _)| frontend.protocol == Protocol::Udp);
    left.map(|((frontend, _), endpoint)| (*frontend, *endpoint))
        .filter(|(frontend, endpoint)| !after.slots_of(*frontend).contains(endpoint))
        .collect()
}
