//! Amounts of resources, as requested by pods and offered by nodes.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Written;
use minato_quantity::Quantity;

/// Amounts in the units in which placement counts: thousandths of a CPU, bytes, pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Resources {
    pub(crate) cpu_millis: i64,
    pub(crate) memory_bytes: i64,
    pub(crate) ephemeral_bytes: i64,
    /// Huge pages and extended resources.
    pub(crate) others: BTreeMap<String, i64>,
}

impl Resources {
    /// Reads a resource list; amounts that are no quantities (the API refuses them) count as nothing.
    pub(crate) fn read(list: &BTreeMap<String, Written>) -> Self {
        let mut resources = Self::default();
        for (name, written) in list {
            let Ok(quantity) = Quantity::parse(&written.0) else { continue };
            match name.as_str() {
                "cpu" => resources.cpu_millis = quantity.milli_value(),
                "memory" => resources.memory_bytes = quantity.value(),
                "ephemeral-storage" => resources.ephemeral_bytes = quantity.value(),
                "pods" => {}
                other => drop(resources.others.insert(other.to_owned(), quantity.value())),
            }
        }
        resources
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        self.combine(other, i64::saturating_sub);
        self.others.retain(|_, amount| *amount != 0);
    }

    /// Raises each amount to at least the other's.
    pub(crate) fn raise_to(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    fn combine(&mut self, other: &Self, with: fn(i64, i64) -> i64) {
        self.cpu_millis = with(self.cpu_millis, other.cpu_millis);
        self.memory_bytes = with(self.memory_bytes, other.memory_bytes);
        self.ephemeral_bytes = with(self.ephemeral_bytes, other.ephemeral_bytes);
        for (name, amount) in &other.others {
            match self.others.get_mut(name) {
                Some(own) => *own = with(*own, *amount),
                None => drop(self.others.insert(name.clone(), with(0, *amount))),
            }
        }
    }

    /// What is asked for and not left over; `self` is what is asked for.
    pub(crate) fn lacking(&self, capacity: &Self, used: &Self, ignored: impl Fn(&str) -> bool) -> Vec<Lack> {
        let mut lacking = Vec::new();
        let mut check = |name: &str, asked: i64, capacity: i64, used: i64| {
            if asked > 0 && asked > capacity.saturating_sub(used) {
                lacking.push(Lack { resource: name.to_owned(), requested: asked, used, capacity });
            }
        };
        check("cpu", self.cpu_millis, capacity.cpu_millis, used.cpu_millis);
        check("memory", self.memory_bytes, capacity.memory_bytes, used.memory_bytes);
        check("ephemeral-storage", self.ephemeral_bytes, capacity.ephemeral_bytes, used.ephemeral_bytes);
        let amount = |of: &Self, name: &str| of.others.get(name).copied().unwrap_or_default();
        for (name, asked) in self.others.iter().filter(|(name, _)| !ignored(name)) {
            check(name, *asked, amount(capacity, name), amount(used, name));
        }
        lacking
    }
}

/// A resource of which there is not enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    pub(crate) resource: String,
    pub(crate) requested: i64,
    pub(crate) used: i64,
    pub(crate) capacity: i64,
}

impl Lack {
    /// The node has never as much.
    pub(crate) fn exceeds_capacity(&self) -> bool {
        self.requested > self.capacity
    }
}
