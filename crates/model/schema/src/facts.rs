//! What the OpenAPI document of Kubernetes v1.36 knows and `k8s-openapi`'s schemas do not: how lists and maps merge.
//!
//! One row per definition, one line per field. The facts are those of the published document; a test compares every
//! row with it, in both directions, where the document is at hand.

mod core;
mod defaults;
mod deletion;
mod machinery;
mod required;
mod resource;
mod storage_and_policy;
mod workloads;

pub(crate) use defaults::default_of;
pub use deletion::deletion_answers_with_object;
pub(crate) use required::{is_always_written, required_of};

/// How server-side apply treats a list or a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topology {
    /// `x-kubernetes-list-type: map`, with its keys.
    ListMap(&'static [&'static str]),
    /// `x-kubernetes-list-type: set`.
    ListSet,
    /// `x-kubernetes-list-type: atomic`.
    ListAtomic,
    /// `x-kubernetes-map-type: atomic`.
    MapAtomic,
    /// `x-kubernetes-map-type: granular`.
    MapGranular,
}

/// How a strategic merge patch treats a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PatchFacts {
    pub(crate) merge: bool,
    pub(crate) replace: bool,
    pub(crate) retain_keys: bool,
    pub(crate) merge_key: Option<&'static str>,
}

impl PatchFacts {
    /// The value of `x-kubernetes-patch-strategy`.
    pub(crate) fn strategy(self) -> Option<&'static str> {
        match (self.merge, self.replace, self.retain_keys) {
            (true, _, true) => Some("merge,retainKeys"),
            (true, _, false) => Some("merge"),
            (false, true, _) => Some("replace"),
            (false, false, true) => Some("retainKeys"),
            (false, false, false) => None,
        }
    }
}

/// The facts of one field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) topology: Option<Topology>,
    pub(crate) patch: PatchFacts,
}

/// `x-kubernetes-unions`: which field goes with which value of the discriminator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Union {
    pub(crate) discriminator: Option<&'static str>,
    pub(crate) fields: &'static [(&'static str, &'static str)],
}

/// The facts of one definition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
    pub(crate) atomic: bool,
    pub(crate) union: Option<Union>,
}

impl Definition {
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    const fn atomic(mut self) -> Self {
        self.atomic = true;
        self
    }

    const fn union(
        mut self,
        discriminator: Option<&'static str>,
        fields: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.union = Some(Union { discriminator, fields });
        self
    }
}

impl Field {
    const fn map(mut self, keys: &'static [&'static str]) -> Self {
        self.topology = Some(Topology::ListMap(keys));
        self
    }

    const fn set(mut self) -> Self {
        self.topology = Some(Topology::ListSet);
        self
    }

    const fn atomic(mut self) -> Self {
        self.topology = Some(Topology::ListAtomic);
        self
    }

    const fn atomic_map(mut self) -> Self {
        self.topology = Some(Topology::MapAtomic);
        self
    }

    const fn granular_map(mut self) -> Self {
        self.topology = Some(Topology::MapGranular);
        self
    }

    const fn merge(mut self, key: &'static str) -> Self {
        self.patch.merge = true;
        self.patch.merge_key = Some(key);
        self
    }

    const fn merge_primitives(mut self) -> Self {
        self.patch.merge = true;
        self
    }

    const fn retain_keys(mut self) -> Self {
        self.patch.retain_keys = true;
        self
    }

    const fn replace(mut self) -> Self {
        self.patch.replace = true;
        self
    }
}

const fn definition(name: &'static str, fields: &'static [Field]) -> Definition {
    Definition { name, fields, atomic: false, union: None }
}

const fn field(name: &'static str) -> Field {
    Field {
        name,
        topology: None,
        patch: PatchFacts { merge: false, replace: false, retain_keys: false, merge_key: None },
    }
}

/// The five tables, each sorted by definition name.
const TABLES: [&[Definition]; 5] = [
    core::DEFINITIONS,
    machinery::DEFINITIONS,
    resource::DEFINITIONS,
    storage_and_policy::DEFINITIONS,
    workloads::DEFINITIONS,
];

/// The facts of the definition `name` (`io.k8s.api.core.v1.PodSpec`).
pub(crate) fn of(name: &str) -> Option<&'static Definition> {
    TABLES.iter().find_map(|table| {
        let index = table.binary_search_by(|row| row.name.cmp(name)).ok()?;
        table.get(index)
    })
}

#[cfg(test)]
mod tests;
