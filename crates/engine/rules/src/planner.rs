//! Keeps the maps in step with the Services, one change at a time.
//!
//! The planner knows what is programmed and what each Service asks for. A changed Service costs as much as its own
//! frontends, however many others there are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::elements::{Balance, Changes, Elements, Endpoint, Frontend, diff};
use crate::service::{Action, ServiceRules};

/// Who asks for rules: a Service, or a pod with host ports, each by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A Service.
    Service(String, String),
    /// A pod.
    Pod(String, String),
}

/// What is programmed, what is wanted, and where the two may differ.
#[derive(Debug, Default)]
pub struct Planner {
    programmed: Elements,
    services: BTreeMap<Owner, ServiceRules>,
    /// Who asks for a frontend; of several the first by name gets it.
    claims: BTreeMap<Frontend, BTreeSet<Owner>>,
    balances: Counted<Balance>,
    hairpins: Counted<Ipv4Addr>,
    cluster_ips: Counted<Ipv4Addr>,
    touched: Touched,
    /// Whether kinds of balance that nothing uses have to go: only once after a start, since they come back often.
    sweeping: bool,
}

/// What may differ from what is programmed.
#[derive(Debug, Default)]
struct Touched {
    frontends: BTreeSet<Frontend>,
    hairpins: BTreeSet<Ipv4Addr>,
    cluster_ips: BTreeSet<Ipv4Addr>,
}

/// How many want each thing.
#[derive(Debug)]
struct Counted<T> {
    counts: BTreeMap<T, usize>,
}

impl<T> Default for Counted<T> {
    fn default() -> Self {
        Self { counts: BTreeMap::new() }
    }
}

impl<T: Ord + Copy> Counted<T> {
    fn add(&mut self, item: T) {
        *self.counts.entry(item).or_default() += 1;
    }

    fn remove(&mut self, item: T) {
        if let Some(count) = self.counts.get_mut(&item) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&item);
            }
        }
    }

    fn wanted(&self, among: &BTreeSet<T>) -> BTreeSet<T> {
        among.iter().filter(|item| self.counts.contains_key(item)).copied().collect()
    }
}

impl Planner {
    /// Starts from what the packet filter holds. Everything in it that no Service asks for will go.
    #[must_use]
    pub fn new(programmed: Elements) -> Self {
        let mut planner = Self::default();
        planner.reset(programmed);
        planner
    }

    /// Takes another look at what the packet filter holds, after a change went wrong.
    pub fn reset(&mut self, programmed: Elements) {
        let known = programmed.served.keys().chain(programmed.refused.keys());
        let in_slots = programmed.slots.keys().map(|(frontend, _)| frontend);
        let sticky = programmed.sticky.iter().map(|(frontend, _)| frontend);
        self.touched.frontends = known.chain(in_slots).chain(sticky).chain(self.claims.keys()).copied().collect();
        self.touched.hairpins = programmed.hairpins.iter().chain(self.hairpins.counts.keys()).copied().collect();
        self.touched.cluster_ips =
            programmed.cluster_ips.iter().chain(self.cluster_ips.counts.keys()).copied().collect();
        self.balances = Counted::default();
        for balance in programmed.served.values() {
            self.balances.add(*balance);
        }
        self.programmed = programmed;
        self.sweeping = true;
    }

    /// Notes what somebody asks for now; nothing, when it is gone.
    pub fn set(&mut self, key: &Owner, rules: ServiceRules) {
        let before = self.services.remove(key).unwrap_or_default();
        if before == rules {
            self.keep(key, rules);
            return;
        }
        for frontend in before.frontends.keys().chain(rules.frontends.keys()) {
            if before.frontends.get(frontend) != rules.frontends.get(frontend) {
                self.touched.frontends.insert(*frontend);
            }
        }
        for frontend in before.frontends.keys() {
            if let Some(claims) = self.claims.get_mut(frontend) {
                claims.remove(key);
                if claims.is_empty() {
                    self.claims.remove(frontend);
                }
            }
        }
        for frontend in rules.frontends.keys() {
            self.claims.entry(*frontend).or_default().insert(key.clone());
        }
        recount(&mut self.hairpins, &mut self.touched.hairpins, &before.hairpins, &rules.hairpins);
        recount(&mut self.cluster_ips, &mut self.touched.cluster_ips, &before.cluster_ips, &rules.cluster_ips);
        self.keep(key, rules);
    }

    fn keep(&mut self, key: &Owner, rules: ServiceRules) {
        if rules != ServiceRules::default() {
            self.services.insert(key.clone(), rules);
        }
    }

    /// Who asks for anything.
    pub fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.services.keys()
    }

    /// What has to happen in the packet filter. Tell with [`Planner::applied`] that it did.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let mut before = Elements::default();
        let mut after = Elements::default();
        for frontend in &self.touched.frontends {
            let slots = self.programmed.slots.range((*frontend, 0)..=(*frontend, u32::MAX));
            before.slots.extend(slots);
            let pairs = (*frontend, Endpoint::FIRST)..=(*frontend, Endpoint::LAST);
            before.sticky.extend(self.programmed.sticky.range(pairs));
            before.served.extend(self.programmed.served.get_key_value(frontend));
            before.refused.extend(self.programmed.refused.get_key_value(frontend));
            if let Some(action) = self.wanted(frontend) {
                add_action(&mut after, *frontend, action, &self.programmed.slots_of(*frontend));
            }
        }
        let within = |all: &BTreeSet<Ipv4Addr>, some: &BTreeSet<Ipv4Addr>| some.intersection(all).copied().collect();
        before.hairpins = within(&self.programmed.hairpins, &self.touched.hairpins);
        before.cluster_ips = within(&self.programmed.cluster_ips, &self.touched.cluster_ips);
        after.hairpins = self.hairpins.wanted(&self.touched.hairpins);
        after.cluster_ips = self.cluster_ips.wanted(&self.touched.cluster_ips);

        let mut changes = diff(&before, &after);
        let (added, removed) = self.balance_changes(&changes);
        changes.add.balances = added;
        changes.remove.balances = removed;
        changes
    }

    /// Notes that `changes` (those of [`Planner::changes`], with nothing set in between) are programmed.
    pub fn applied(&mut self, changes: &Changes) {
        for balance in changes.add.served.values() {
            self.balances.add(*balance);
        }
        for balance in changes.remove.served.values() {
            self.balances.remove(*balance);
        }
        self.programmed.apply(changes);
        self.touched = Touched::default();
        self.sweeping = false;
    }

    /// What is programmed as far as the planner knows.
    #[must_use]
    pub fn programmed(&self) -> &Elements {
        &self.programmed
    }

    fn wanted(&self, frontend: &Frontend) -> Option<&Action> {
        let owner = self.claims.get(frontend)?.first()?;
        self.services.get(owner)?.frontends.get(frontend)
    }

    /// The kinds of balance that come into use, and after a start those that nothing uses.
    fn balance_changes(&self, changes: &Changes) -> (BTreeSet<Balance>, BTreeSet<Balance>) {
        let mut difference: BTreeMap<Balance, isize> = BTreeMap::new();
        for balance in changes.add.served.values() {
            *difference.entry(*balance).or_default() += 1;
        }
        for balance in changes.remove.served.values() {
            *difference.entry(*balance).or_default() -= 1;
        }
        let used = |balance: &Balance| {
            let now = self.balances.counts.get(balance).copied().unwrap_or(0);
            now.saturating_add_signed(difference.get(balance).copied().unwrap_or(0)) > 0
        };
        let added = difference.keys().filter(|balance| used(balance) && !self.programmed.balances.contains(balance));
        let unused = self.programmed.balances.iter().filter(|balance| self.sweeping && !used(balance));
        (added.copied().collect(), unused.copied().collect())
    }
}

fn recount<T: Ord + Copy>(
    counted: &mut Counted<T>,
    touched: &mut BTreeSet<T>,
    before: &BTreeSet<T>,
    after: &BTreeSet<T>,
) {
    before.iter().for_each(|item| counted.remove(*item));
    after.iter().for_each(|item| counted.add(*item));
    touched.extend(before.symmetric_difference(after));
}

fn add_action(elements: &mut Elements, frontend: Frontend, action: &Action, slots_before: &[Endpoint]) {
    match action {
        Action::Serve { endpoints, affinity_seconds } => {
            let slots = arrange(slots_before, endpoints);
            let balance = Balance {
                node_port: frontend.address == Frontend::ANY_NODE_ADDRESS,
                // A Service has far fewer than 4 billion endpoints.
                endpoints: u32::try_from(slots.len()).unwrap_or(u32::MAX),
                affinity_seconds: *affinity_seconds,
            };
            elements.served.insert(frontend, balance);
            if affinity_seconds.is_some() {
                elements.sticky.extend(endpoints.iter().map(|endpoint| (frontend, *endpoint)));
            }
            elements.slots.extend((0..).zip(slots).map(|(slot, endpoint)| ((frontend, slot), endpoint)));
        }
        Action::Refuse(refusal) => {
            elements.refused.insert(frontend, *refusal);
        }
    }
}

/// Puts endpoints into slots so that as many as can keep theirs: little has to be programmed.
fn arrange(slots_before: &[Endpoint], endpoints: &BTreeSet<Endpoint>) -> Vec<Endpoint> {
    let stays = |slot: &usize| {
        slots_before
            .get(*slot)
            .is_some_and(|endpoint| endpoints.contains(endpoint) && !slots_before[..*slot].contains(endpoint))
    };
    let settled: BTreeSet<Endpoint> =
        (0..endpoints.len()).filter(stays).filter_map(|slot| slots_before.get(slot)).copied().collect();
    let mut others = endpoints.difference(&settled).copied();
    (0..endpoints.len())
        .filter_map(|slot| if stays(&slot) { slots_before.get(slot).copied() } else { others.next() })
        .collect()
}

#[cfg(test)]
#[path = "planner_tests.rs"]
mod tests;
