//! All that the resolver knows, to be looked up by name and by address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::names::{Change, Key, ServiceNames, SliceNames, Target};

/// The names of one cluster at one moment.
#[derive(Debug, Default)]
pub(crate) struct Table {
    namespaces: BTreeSet<String>,
    services: BTreeMap<Key, ServiceNames>,
    slices: BTreeMap<Key, SliceNames>,
    /// Services by their cluster IPs.
    services_at: BTreeMap<IpAddr, BTreeSet<Key>>,
    /// Slices by their Service.
    slices_of: BTreeMap<Key, BTreeSet<Key>>,
    /// Slices by their endpoints' addresses.
    slices_with: BTreeMap<IpAddr, BTreeSet<Key>>,
}

impl Table {
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Namespace { name, exists: true } => drop(self.namespaces.insert(name)),
            Change::Namespace { name, exists: false } => drop(self.namespaces.remove(&name)),
            Change::Service(key, now) => {
                if let Some(before) = self.services.remove(&key) {
                    unlink(&mut self.services_at, before.addresses(), &key);
                }
                if let Some(now) = now {
                    link(&mut self.services_at, now.addresses(), &key);
                    self.services.insert(key, now);
                }
            }
            Change::Slice(key, now) => {
                if let Some(before) = self.slices.remove(&key) {
                    unlink(&mut self.slices_of, [before.service_key(&key)], &key);
                    unlink(&mut self.slices_with, before.addresses(), &key);
                }
                if let Some(now) = now {
                    link(&mut self.slices_of, [now.service_key(&key)], &key);
                    link(&mut self.slices_with, now.addresses(), &key);
                    self.slices.insert(key, now);
                }
            }
        }
    }

    pub(crate) fn has_namespace(&self, namespace: &str) -> bool {
        self.namespaces.contains(namespace)
    }

    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<&ServiceNames> {
        self.services.get(&Key::new(namespace, name))
    }

    pub(crate) fn slices(&self, namespace: &str, service: &str) -> impl Iterator<Item = &SliceNames> {
        let keys = self.slices_of.get(&Key::new(namespace, service));
        keys.into_iter().flatten().filter_map(|key| self.slices.get(key))
    }

    pub(crate) fn services_at(&self, address: IpAddr) -> impl Iterator<Item = &Key> {
        self.services_at.get(&address).into_iter().flatten()
    }

    /// The slices that have the address, and their namespaces.
    pub(crate) fn slices_with(&self, address: IpAddr) -> impl Iterator<Item = (&str, &SliceNames)> {
        let keys = self.slices_with.get(&address).into_iter().flatten();
        keys.filter_map(|key| Some((key.namespace.as_str(), self.slices.get(key)?)))
    }
}

impl ServiceNames {
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let addresses = match &self.target {
            Target::ClusterIps(addresses) => Some(addresses),
            Target::Headless | Target::External(_) => None,
        };
        addresses.into_iter().flatten().copied()
    }
}

impl SliceNames {
    fn service_key(&self, key: &Key) -> Key {
        Key::new(&key.namespace, &self.service)
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.endpoints.iter().map(|(_, address)| *address)
    }
}

fn link<K: Ord>(index: &mut BTreeMap<K, BTreeSet<Key>>, values: impl IntoIterator<Item = K>, key: &Key) {
    for value in values {
        index.entry(value).or_default().insert(key.clone());
    }
}

fn unlink<K: Ord>(index: &mut BTreeMap<K, BTreeSet<Key>>, values: impl IntoIterator<Item = K>, key: &Key) {
    for value in values {
        if let Some(keys) = index.get_mut(&value) {
            keys.remove(key);
            if keys.is_empty() {
                index.remove(&value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_or_gone_is_in_no_index() {
        let mut table = Table::default();
        let key = Key::new("shop", "web");
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let service = |ip: &str| ServiceNames { target: Target::ClusterIps([address(ip)].into()), ports: Vec::new() };
        let slice = |service: &str, ip: &str| SliceNames {
            service: service.to_owned(),
            ports: Vec::new(),
            endpoints: vec![("a".to_owned(), address(ip))],
        };
        table.apply(Change::Service(key.clone(), Some(service("10.0.0.1"))));
        table.apply(Change::Service(key.clone(), Some(service("10.0.0.2"))));
        assert_eq!(table.services_at(address("10.0.0.1")).count(), 0);
        assert_eq!(table.services_at(address("10.0.0.2")).collect::<Vec<_>>(), [&key]);
        table.apply(Change::Slice(key.clone(), Some(slice("web", "10.1.0.1"))));
        table.apply(Change::Slice(key.clone(), Some(slice("other", "10.1.0.2"))));
        assert_eq!((table.slices("shop", "web").count(), table.slices("shop", "other").count()), (0, 1));
        assert_eq!(table.slices_with(address("10.1.0.1")).count(), 0);
        table.apply(Change::Service(key.clone(), None));
        table.apply(Change::Slice(key, None));
        assert!(table.services_at.is_empty() && table.slices_of.is_empty() && table.slices_with.is_empty());
    }
}
