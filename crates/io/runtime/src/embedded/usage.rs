//! What sandboxes and containers use.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::containers::Container;
use super::{Embedded, lock};
use crate::{ContainerId, DiskUsage, GroupUsage, RuntimeUsage};

impl Embedded {
    fn group_usage(&self, path: &str) -> GroupUsage {
        GroupUsage { group: path.to_owned(), usage: self.group(path).usage() }
    }

    pub(super) fn usage_now(&self) -> RuntimeUsage {
        let sandboxes: Vec<_> = {
            let sandboxes = lock(&self.inner.sandboxes);
            sandboxes.iter().map(|(id, status)| (id.clone(), status.config.cgroup_parent.clone())).collect()
        };
        let mut containers = self.every_container();
        containers.retain(|(_, container)| container.is_running());
        RuntimeUsage {
            at: Timestamp::now(),
            sandboxes: sandboxes.into_iter().map(|(id, group)| (id, self.group_usage(&group))).collect(),
            containers: containers
                .into_iter()
                .map(|(id, container)| (id, self.group_usage(&container.bundle().cgroup)))
                .collect(),
        }
    }

    pub(super) fn measure_layers(&self) -> BTreeMap<ContainerId, DiskUsage> {
        let measured = self.every_container().into_iter().filter_map(|(id, _)| {
            let upper = self.inner.config.container(&id).path().join("upper");
            Some((id, minato_linux::disk::usage(&upper).ok()?))
        });
        measured.collect()
    }

    fn every_container(&self) -> Vec<(ContainerId, Arc<Container>)> {
        lock(&self.inner.containers).iter().map(|(id, container)| (id.clone(), Arc::clone(container))).collect()
    }
}
