//! The packet filter of one cluster: the nftables table `minato-<cluster id>`.
//!
//! [`Firewall::open`] puts the fixed chains and the maps in place without touching what the maps hold, so traffic goes
//! on while a server restarts. [`Firewall::read`] tells what they hold, [`Firewall::apply`] changes it atomically.

mod element;
mod ruleset;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use minato_rules::{Changes, Elements, Ipv4Cidr};
use nix::libc;

use crate::nft::batch::{self, Batch, Encoded};
use crate::nft::socket::{NetfilterSocket, NftError};
use ruleset::{AFFINITY, CLUSTER_IPS, HAIRPINS, REFUSED, SERVED, SLOTS, STICKY, SWITCHED_ON};

const TABLE_PREFIX: &str = "minato-";

/// What the packet filter of a node has to know.
#[derive(Clone, Debug)]
pub struct FirewallConfig {
    /// Eight hex digits that name the cluster on this host.
    pub cluster_id: String,
    /// This node's share of the pod range.
    pub pod_cidr: Ipv4Cidr,
    /// The pod range of the whole cluster.
    pub cluster_cidr: Ipv4Cidr,
    /// The range of virtual service addresses.
    pub service_cidr: Ipv4Cidr,
    /// The source address of traffic that must not show its own.
    pub node_ip: Ipv4Addr,
}

/// The cluster's table. Calls block for as long as the kernel works: 10,000 services at once are about 0.1 s.
#[derive(Debug)]
pub struct Firewall {
    table: String,
    socket: NetfilterSocket,
}

impl Firewall {
    /// Puts the table in place, or renews its fixed part; what the maps hold stays. A table of another shape (made by
    /// another version) is replaced as a whole.
    ///
    /// # Errors
    /// [`NftError`] when the kernel refuses.
    pub fn open(config: &FirewallConfig) -> Result<Self, NftError> {
        let mut firewall = Self { table: table(&config.cluster_id), socket: NetfilterSocket::open()? };
        let renewed = firewall.commit(|batch| {
            batch.add_table();
            ruleset::write(batch, config);
        });
        if let Err(refused @ NftError::Refused { .. }) = renewed {
            tracing::info!(table = firewall.table, error = %refused, "replacing a table of another shape");
            firewall.commit(|batch| {
                batch.add_table();
                batch.delete_table();
                batch.add_table();
                ruleset::write(batch, config);
            })?;
        }
        let existing: Vec<_> = firewall.chains()?.iter().filter_map(|name| element::balance_from_chain(name)).collect();
        firewall.commit(|batch| existing.iter().for_each(|balance| ruleset::write_balance(batch, *balance)))?;
        Ok(firewall)
    }

    /// What the maps hold.
    ///
    /// # Errors
    /// [`NftError`] when the table is gone or the kernel refuses.
    pub fn read(&mut self) -> Result<Elements, NftError> {
        Ok(Elements {
            balances: self.chains()?.iter().filter_map(|name| element::balance_from_chain(name)).collect(),
            served: self.read_set(SERVED.name)?.iter().filter_map(element::served).collect(),
            slots: self.read_set(SLOTS.name)?.iter().filter_map(element::slot).collect(),
            sticky: self.read_set(STICKY.name)?.iter().filter_map(element::sticky).collect(),
            refused: self.read_set(REFUSED.name)?.iter().filter_map(element::refused).collect(),
            hairpins: self.read_set(HAIRPINS.name)?.iter().filter_map(element::address).collect(),
            cluster_ips: self.read_set(CLUSTER_IPS.name)?.iter().filter_map(element::address).collect(),
        })
    }

    /// Whether the cluster's table is there: somebody may have emptied the packet filter.
    ///
    /// # Errors
    /// [`NftError`] when the kernel refuses.
    pub fn is_in_place(&mut self) -> Result<bool, NftError> {
        Ok(self.tables()?.contains(&self.table))
    }

    /// Changes what the maps hold, all at once (new chains come before); then has UDP clients of endpoints that are gone sent on elsewhere.
    ///
    /// # Errors
    /// [`NftError`] when the kernel refuses. Nothing has changed then, unless it is the last step that was refused.
    pub fn apply(&mut self, changes: &Changes) -> Result<(), NftError> {
        // Chains come before what leads to them. A packet that is on its way while a transaction takes effect may see
        // new map elements but the old rules of a chain, so new chains have a transaction of their own.
        self.commit(|batch| changes.add.balances.iter().for_each(|new| ruleset::write_balance(batch, *new)))?;
        self.commit(|batch| {
            let (remove, add) = (&changes.remove, &changes.add);
            batch.delete_elements(SERVED.name, remove.served.keys().map(|key| element::of_frontend_key(*key)));
            batch.delete_elements(SLOTS.name, remove.slots.keys().map(|key| element::of_slot_key(*key)));
            batch.delete_elements(STICKY.name, remove.sticky.iter().map(|pair| element::of_sticky(*pair)));
            batch.delete_elements(REFUSED.name, remove.refused.keys().map(|key| element::of_frontend_key(*key)));
            batch.delete_elements(HAIRPINS.name, remove.hairpins.iter().map(|ip| element::of_pair(*ip)));
            batch.delete_elements(CLUSTER_IPS.name, remove.cluster_ips.iter().map(|ip| element::of_address(*ip)));
            batch.add_elements(SLOTS.name, add.slots.iter().map(|(key, to)| element::of_slot(*key, *to)));
            batch.add_elements(STICKY.name, add.sticky.iter().map(|pair| element::of_sticky(*pair)));
            batch.add_elements(SERVED.name, add.served.iter().map(|(key, how)| element::of_served(*key, *how)));
            batch.add_elements(REFUSED.name, add.refused.iter().map(|(key, how)| element::of_refused(*key, *how)));
            batch.add_elements(HAIRPINS.name, add.hairpins.iter().map(|ip| element::of_pair(*ip)));
            batch.add_elements(CLUSTER_IPS.name, add.cluster_ips.iter().map(|ip| element::of_address(*ip)));
            remove.balances.iter().for_each(|balance| batch.delete_chain(&element::chain_name(*balance)));
        })?;
        match changes.stale_udp.is_empty() {
            true => Ok(()),
            false => crate::conntrack::forget(&mut self.socket, &changes.stale_udp),
        }
    }

    /// Takes the cluster's table away, if it is there. Returns the interfaces that sent no packets on before this
    /// cluster came, and that no other cluster needs.
    ///
    /// # Errors
    /// [`NftError`] when the kernel refuses.
    pub fn remove(cluster_id: &str) -> Result<BTreeSet<String>, NftError> {
        let mut firewall = Self { table: table(cluster_id), socket: NetfilterSocket::open()? };
        let own = firewall.switched_on_by(&firewall.table.clone())?;
        let others = firewall.switched_on_by_others()?;
        let removal = Batch::new(&firewall.table, firewall.socket.next_sequence()).finish_without_table();
        match firewall.socket.commit(&removal) {
            Err(error) if !error.is(libc::ENOENT) => Err(error),
            _ => Ok(own.difference(&others).cloned().collect()),
        }
    }

    /// Keeps in mind, for [`Firewall::remove`], that these interfaces sent no packets on before. The kernel is the
    /// right memory: it forgets the table together with the setting, and other clusters can read it.
    pub(crate) fn remember_switched_on<'a>(
        &mut self,
        interfaces: impl Iterator<Item = &'a str>,
    ) -> Result<(), NftError> {
        self.commit(|batch| batch.add_elements(SWITCHED_ON.name, interfaces.map(element::of_interface)))
    }

    /// The interfaces that other clusters of this host keep in mind.
    pub(crate) fn switched_on_by_others(&mut self) -> Result<BTreeSet<String>, NftError> {
        let mut tables = self.tables()?;
        tables.retain(|name: &String| name.starts_with(TABLE_PREFIX) && *name != self.table);
        let mut found = BTreeSet::new();
        for other in tables {
            found.extend(self.switched_on_by(&other)?);
        }
        Ok(found)
    }

    fn tables(&mut self) -> Result<Vec<String>, NftError> {
        let mut tables = Vec::new();
        self.socket.list("tables", batch::tables_request, |message| match message {
            Some(message) => tables.extend(batch::read_table(message.payload)),
            None => tables.clear(),
        })?;
        Ok(tables)
    }

    fn switched_on_by(&mut self, table: &str) -> Result<BTreeSet<String>, NftError> {
        match self.read_set_of(table, SWITCHED_ON.name) {
            Ok(elements) => Ok(elements.iter().filter_map(element::interface).collect()),
            Err(error) if error.is(libc::ENOENT) => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }

    /// Clients forget which endpoint they stick to. (For tests and benchmarks that start over.)
    ///
    /// # Errors
    /// [`NftError`] when the kernel refuses.
    pub fn forget_affinity(&mut self) -> Result<(), NftError> {
        self.commit(|batch| batch.flush_set(AFFINITY.name))
    }

    fn commit(&mut self, write: impl FnOnce(&mut Batch<'_>)) -> Result<(), NftError> {
        let mut batch = Batch::new(&self.table, self.socket.next_sequence());
        write(&mut batch);
        if batch.is_empty() {
            return Ok(());
        }
        let encoded: Encoded = batch.finish();
        self.socket.commit(&encoded)
    }

    fn read_set(&mut self, set: &str) -> Result<Vec<batch::Element>, NftError> {
        self.read_set_of(&self.table.clone(), set)
    }

    fn read_set_of(&mut self, table: &str, set: &str) -> Result<Vec<batch::Element>, NftError> {
        let mut elements = Vec::new();
        self.socket.list(
            &format!("set {set}"),
            |sequence| batch::elements_request(table, set, sequence),
            |message| match message {
                Some(message) => batch::read_elements(message.payload, &mut elements),
                None => elements.clear(),
            },
        )?;
        Ok(elements)
    }

    fn chains(&mut self) -> Result<Vec<String>, NftError> {
        let (table, mut names) = (&self.table, Vec::new());
        self.socket.list("chains", batch::chains_request, |message| match message {
            Some(message) => names.extend(batch::read_chain(message.payload, table)),
            None => names.clear(),
        })?;
        Ok(names)
    }
}

fn table(cluster_id: &str) -> String {
    format!("{TABLE_PREFIX}{cluster_id}")
}
