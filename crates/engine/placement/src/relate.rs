//! The pods that are there, seen by one that comes: what its affinity and spread constraints count in each place.
//!
//! This is upstream's `PreFilter` state of `PodTopologySpread` and `InterPodAffinity`. It is made anew for each pod, by
//! one pass over the nodes that have pods of the kinds in question.

use crate::census::{Attitude, Census};
use crate::class::Class;
use crate::cluster::Slot;
use crate::demand::Demand;
use crate::matcher::{Matcher, Namespaces};
use crate::profile::{Plugin, Profile};
use crate::refusal::Refusal;
use crate::relations::{Constraint, Relations};
use crate::shared::Shared;
use crate::topology::{NOWHERE, Topology};
use crate::volume::{Storage, Volumes};

/// How many pods there are in each place: by the numbers of the values in a column.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) column: usize,
    pub(crate) tally: Vec<i64>,
}

impl Field {
    pub(crate) fn new(column: usize, topology: &Topology) -> Self {
        Self { column, tally: vec![0; topology.get(column).len()] }
    }

    /// What is counted where the node is; `None` if it is nowhere.
    pub(crate) fn at(&self, topology: &Topology, slot: usize) -> Option<i64> {
        match topology.get(self.column).at(slot) {
            NOWHERE => None,
            value => Some(self.tally.get(value as usize).copied().unwrap_or_default()),
        }
    }

    pub(crate) fn add(&mut self, topology: &Topology, slot: usize, by: i64) -> bool {
        let value = topology.get(self.column).at(slot);
        match self.tally.get_mut(value as usize) {
            Some(count) if value != NOWHERE => {
                *count += by;
                true
            }
            _ => false,
        }
    }
}

/// A hard spread constraint.
#[derive(Clone, Debug)]
struct HardSpread {
    field: Field,
    /// Which places take part.
    present: Vec<bool>,
    /// Which nodes take part.
    counted: Vec<bool>,
    max_skew: i64,
    min_domains: i64,
    /// What the pod itself adds.
    own: i64,
    /// The least that is counted in any place.
    least: i64,
    matcher: Shared<Matcher>,
}

impl HardSpread {
    fn find_least(&mut self) {
        let tally = self.field.tally.iter().zip(&self.present).filter(|(_, present)| **present);
        let (mut places, mut least) = (0, i64::from(i32::MAX));
        for (count, _) in tally {
            places += 1;
            least = least.min(*count);
        }
        self.least = if places < self.min_domains { 0 } else { least };
    }
}

/// What hinders or allows the pod in each place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Related {
    spread: Vec<HardSpread>,
    affinity: Vec<Field>,
    affinity_to: Option<Shared<Matcher>>,
    /// How many pods it has affinity to, anywhere.
    affinity_total: i64,
    /// It would satisfy its own affinity: the first of its kind may come.
    serves_itself: bool,
    anti: Vec<(Field, Shared<Matcher>)>,
    /// Places that pods that are there refuse to share with it.
    refusing: Vec<Field>,
    storage: Option<Storage>,
}

/// What the state is made of.
pub(crate) struct Ground<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) slots: &'a [Slot],
    pub(crate) class: &'a Class,
    pub(crate) topology: &'a mut Topology,
    pub(crate) census: &'a mut Census,
    pub(crate) volumes: &'a Volumes,
}

impl Ground<'_> {
    pub(crate) fn column(&mut self, key: &str) -> usize {
        let labels = self.slots.iter().enumerate();
        let labels = labels.filter_map(|(slot, one)| Some((slot, &one.offer.as_ref()?.labels)));
        self.topology.column(key, labels)
    }
}

/// The spread constraints of a pod: its own, or those of its profile.
pub(crate) fn constraints(profile: &Profile, demand: &Demand) -> Vec<Constraint> {
    if !demand.relations.spread.is_empty() {
        return demand.relations.spread.clone();
    }
    let Some(group) = &demand.identity.group else { return Vec::new() };
    let matcher = Shared::new(Matcher::Group(group.clone()));
    let read = |one: &crate::profile::DefaultConstraint| Constraint {
        topology_key: one.topology_key.clone(),
        max_skew: one.max_skew,
        is_hard: one.is_hard,
        min_domains: 1,
        honors_affinity: true,
        honors_taints: false,
        matcher: matcher.clone(),
    };
    profile.default_constraints.iter().map(read).collect()
}

impl Related {
    pub(crate) fn new(ground: &mut Ground<'_>, demand: &Demand) -> Self {
        let mut related = Self::default();
        if ground.profile.filters(Plugin::PodTopologySpread) {
            related.count_spread(ground, demand);
        }
        if ground.profile.filters(Plugin::InterPodAffinity) {
            related.count_affinity(ground, demand);
        }
        related.storage = Storage::new(ground.volumes, ground.profile, ground.slots, demand);
        related
    }

    /// What speaks against the pod wherever it goes.
    pub(crate) fn everywhere(&self) -> Option<&Refusal> {
        self.storage.as_ref().and_then(Storage::everywhere)
    }

    fn count_spread(&mut self, ground: &mut Ground<'_>, demand: &Demand) {
        let hard: Vec<Constraint> =
            constraints(ground.profile, demand).into_iter().filter(|constraint| constraint.is_hard).collect();
        if hard.is_empty() {
            return;
        }
        let columns: Vec<usize> = hard.iter().map(|constraint| ground.column(&constraint.topology_key)).collect();
        for (constraint, column) in hard.into_iter().zip(&columns) {
            let topology = &*ground.topology;
            let mut field = Field::new(*column, topology);
            let mut present = vec![false; field.tally.len()];
            let has_all = |slot: usize| columns.iter().all(|column| topology.get(*column).at(slot) != NOWHERE);
            let counts = |slot| {
                ground.class.is_counted(slot, constraint.honors_affinity, constraint.honors_taints) && has_all(slot)
            };
            let counted: Vec<bool> = (0..ground.slots.len()).map(counts).collect();
            for (slot, _) in counted.iter().enumerate().filter(|(_, counted)| **counted) {
                present[topology.get(*column).at(slot) as usize] = true;
            }
            for (slot, count) in ground.census.pods_of(&constraint.matcher) {
                if counted.get(slot).copied().unwrap_or_default() {
                    field.add(topology, slot, count.into());
                }
            }
            let own = ground.census.speaks_of(&constraint.matcher, &demand.identity);
            let (max_skew, min_domains, matcher) = (constraint.max_skew, constraint.min_domains, constraint.matcher);
            let mut spread =
                HardSpread { field, present, counted, max_skew, min_domains, own: own.into(), least: 0, matcher };
            spread.find_least();
            self.spread.push(spread);
        }
    }

    fn count_affinity(&mut self, ground: &mut Ground<'_>, demand: &Demand) {
        if let Some(matcher) = &demand.relations.affinity_to {
            for term in &demand.relations.affinity {
                let column = ground.column(&term.topology_key);
                let mut field = Field::new(column, ground.topology);
                for (slot, count) in ground.census.pods_of(matcher) {
                    if field.add(ground.topology, slot, count.into()) {
                        self.affinity_total += i64::from(count);
                    }
                }
                self.affinity.push(field);
            }
            self.serves_itself = ground.census.speaks_of(matcher, &demand.identity);
            self.affinity_to = Some(matcher.clone());
        }
        for term in &demand.relations.anti {
            let column = ground.column(&term.topology_key);
            let mut field = Field::new(column, ground.topology);
            for (slot, count) in ground.census.pods_of(&term.matcher) {
                field.add(ground.topology, slot, count.into());
            }
            self.anti.push((field, term.matcher.clone()));
        }
        for (column, owners) in owners_about(ground, demand, |attitude| (attitude == Attitude::Refuses).then_some(1)) {
            let field = field_of(&mut self.refusing, column, ground.topology);
            for (slot, count) in owners {
                field.add(ground.topology, slot, count);
            }
        }
    }

    /// Whether there is anything that could refuse a node.
    pub(crate) fn is_empty(&self) -> bool {
        self.spread.is_empty()
            && self.affinity.is_empty()
            && self.anti.is_empty()
            && self.refusing.is_empty()
            && self.storage.is_none()
    }

    /// What speaks against a node, the first thing that upstream would name.
    pub(crate) fn refusal(&self, topology: &Topology, slot: usize) -> Option<Refusal> {
        if let Some(refusal) = self.storage.as_ref().and_then(|storage| storage.refusal(slot)) {
            return Some(refusal);
        }
        for spread in &self.spread {
            let Some(count) = spread.field.at(topology, slot) else { return Some(Refusal::SpreadWithoutLabel) };
            if count + spread.own - spread.least > spread.max_skew {
                return Some(Refusal::Spread);
            }
        }
        if !self.affinity.is_empty() {
            let mut missing = false;
            for field in &self.affinity {
                match field.at(topology, slot) {
                    None => return Some(Refusal::PodAffinity),
                    Some(count) => missing |= count <= 0,
                }
            }
            if missing && !(self.affinity_total == 0 && self.serves_itself) {
                return Some(Refusal::PodAffinity);
            }
        }
        let occupied = |field: &Field| field.at(topology, slot).is_some_and(|count| count > 0);
        if self.anti.iter().any(|(field, _)| occupied(field)) {
            return Some(Refusal::PodAntiAffinity);
        }
        self.refusing.iter().any(occupied).then_some(Refusal::ExistingAntiAffinity)
    }

    /// Counts another pod as if it came to (`by` 1) or left (-1) a node.
    pub(crate) fn shift(&mut self, around: &Around<'_>, own: &Demand, other: &Demand, slot: usize, by: i64) {
        let Around { topology, namespaces } = around;
        if let Some(storage) = &mut self.storage {
            storage.shift(other, by);
        }
        for spread in &mut self.spread {
            if spread.counted.get(slot).copied().unwrap_or_default()
                && spread.matcher.matches(&other.identity, namespaces)
                && spread.field.add(topology, slot, by)
            {
                spread.find_least();
            }
        }
        if self.affinity_to.as_ref().is_some_and(|matcher| matcher.matches(&other.identity, namespaces)) {
            for field in &mut self.affinity {
                if field.add(topology, slot, by) {
                    self.affinity_total += by;
                }
            }
        }
        for (field, matcher) in &mut self.anti {
            if matcher.matches(&other.identity, namespaces) {
                field.add(topology, slot, by);
            }
        }
        for term in &other.relations.anti {
            if let Some(column) = topology.known(&term.topology_key)
                && term.matcher.matches(&own.identity, namespaces)
            {
                field_of(&mut self.refusing, column, topology).add(topology, slot, by);
            }
        }
    }
}

/// What [`Related::shift`] looks things up in.
pub(crate) struct Around<'a> {
    pub(crate) topology: &'a Topology,
    pub(crate) namespaces: &'a Namespaces,
}

fn field_of<'a>(fields: &'a mut Vec<Field>, column: usize, topology: &Topology) -> &'a mut Field {
    let at = fields.iter().position(|field| field.column == column).unwrap_or_else(|| {
        fields.push(Field::new(column, topology));
        fields.len() - 1
    });
    &mut fields[at]
}

/// The terms of placed pods about this one: the column of each, and its owners by node, times their weight.
fn owners_about(
    ground: &mut Ground<'_>,
    demand: &Demand,
    weight: impl Fn(Attitude) -> Option<i64>,
) -> Vec<(usize, Vec<(usize, i64)>)> {
    let owned = ground.census.owned_about(&demand.identity);
    let weighed = owned.filter_map(|owned| {
        let weight = weight(owned.attitude)?;
        let owners = owned.owners.iter().map(|(slot, count)| (slot, weight * i64::from(count))).collect();
        Some((owned.topology_key.clone(), owners))
    });
    let weighed: Vec<(String, Vec<(usize, i64)>)> = weighed.collect();
    weighed.into_iter().map(|(key, owners)| (ground.column(&key), owners)).collect()
}

/// A soft spread constraint.
struct SoftSpread {
    field: Field,
    /// Of the host name the pods of the node itself are counted.
    of_slots: Option<Vec<i64>>,
    weight: f64,
    max_skew: i64,
}

/// What makes one place better than another.
#[derive(Default)]
pub(crate) struct Liked {
    spread: Vec<SoftSpread>,
    /// Nodes that lack one of the labels get no marks for spread.
    needs_all_labels: bool,
    affinity: Vec<Field>,
}

impl Liked {
    pub(crate) fn new(ground: &mut Ground<'_>, demand: &Demand, fitting: &[u32]) -> Self {
        let mut liked = Self::default();
        if ground.profile.weight(Plugin::PodTopologySpread) != 0 {
            liked.count_spread(ground, demand, fitting);
        }
        if ground.profile.weight(Plugin::InterPodAffinity) != 0 {
            liked.count_affinity(ground, demand);
        }
        liked
    }

    fn count_spread(&mut self, ground: &mut Ground<'_>, demand: &Demand, fitting: &[u32]) {
        let soft: Vec<Constraint> =
            constraints(ground.profile, demand).into_iter().filter(|constraint| !constraint.is_hard).collect();
        if soft.is_empty() {
            return;
        }
        self.needs_all_labels = !demand.relations.spread.is_empty() || !ground.profile.constraints_are_the_systems;
        let columns: Vec<usize> = soft.iter().map(|constraint| ground.column(&constraint.topology_key)).collect();
        let topology = &*ground.topology;
        let has_all = |slot: usize| columns.iter().all(|column| topology.get(*column).at(slot) != NOWHERE);
        let needs_all = self.needs_all_labels;
        let takes_part = |slot: usize| !needs_all || has_all(slot);
        let taking_part = fitting.iter().filter(|slot| takes_part(**slot as usize)).count();
        for (constraint, column) in soft.iter().zip(&columns) {
            let mut field = Field::new(*column, topology);
            let is_hostname = constraint.topology_key == "kubernetes.io/hostname";
            let mut of_slots = is_hostname.then(|| vec![0; ground.slots.len()]);
            let mut places = taking_part;
            if !is_hostname {
                let mut present = vec![false; field.tally.len()];
                for slot in fitting.iter().map(|slot| *slot as usize).filter(|slot| takes_part(*slot)) {
                    if let Some(present) = present.get_mut(topology.get(*column).at(slot) as usize) {
                        *present = true;
                    }
                }
                places = present.iter().filter(|present| **present).count();
            }
            for (slot, count) in ground.census.pods_of(&constraint.matcher) {
                if let Some(of_slots) = &mut of_slots {
                    of_slots[slot] = i64::from(count);
                } else if takes_part(slot)
                    && ground.class.is_counted(slot, constraint.honors_affinity, constraint.honors_taints)
                {
                    field.add(topology, slot, count.into());
                }
            }
            let weight = ((places + 2) as f64).ln();
            self.spread.push(SoftSpread { field, of_slots, weight, max_skew: constraint.max_skew });
        }
    }

    fn count_affinity(&mut self, ground: &mut Ground<'_>, demand: &Demand) {
        for (weight, term) in &demand.relations.preferred {
            let column = ground.column(&term.topology_key);
            let field = field_of(&mut self.affinity, column, ground.topology);
            for (slot, count) in ground.census.pods_of(&term.matcher) {
                field.add(ground.topology, slot, weight * i64::from(count));
            }
        }
        let hard = ground.profile.hard_pod_affinity_weight;
        if demand.relations.preferred.is_empty() && ground.profile.ignore_preferred_terms_of_existing_pods {
            return;
        }
        let weight = |attitude| match attitude {
            Attitude::Refuses => None,
            Attitude::Requires => (hard > 0).then_some(hard),
            Attitude::Prefers(weight) => Some(weight),
        };
        for (column, owners) in owners_about(ground, demand, weight) {
            let field = field_of(&mut self.affinity, column, ground.topology);
            for (slot, weighted) in owners {
                field.add(ground.topology, slot, weighted);
            }
        }
    }

    /// Whether it makes no difference between nodes.
    pub(crate) fn is_indifferent(&self) -> bool {
        !self.has_spread() && !self.has_affinity()
    }

    pub(crate) fn has_spread(&self) -> bool {
        !self.spread.is_empty()
    }

    pub(crate) fn has_affinity(&self) -> bool {
        self.affinity.iter().any(|field| field.tally.iter().any(|count| *count != 0))
    }

    /// How many pods, weighed, the spread constraints count at a node; `None` if it takes no part.
    pub(crate) fn spread_at(&self, topology: &Topology, slot: usize) -> Option<i64> {
        let mut sum = 0.0;
        for spread in &self.spread {
            match spread.field.at(topology, slot) {
                None if self.needs_all_labels => return None,
                None => {}
                Some(in_place) => {
                    let count = spread.of_slots.as_ref().map_or(in_place, |of_slots| of_slots[slot]);
                    sum += count as f64 * spread.weight + (spread.max_skew - 1) as f64;
                }
            }
        }
        Some(sum.round() as i64)
    }

    /// The sum of the weights of the preferences that a node's places fulfil.
    pub(crate) fn affinity_at(&self, topology: &Topology, slot: usize) -> i64 {
        self.affinity.iter().filter_map(|field| field.at(topology, slot)).sum()
    }
}

/// Whether a change of `other` can make a place for a pod with these relations.
pub(crate) fn concerns(relations: &Relations, own: &Demand, other: &Demand, namespaces: &Namespaces) -> bool {
    let speaks_of = |matcher: &Shared<Matcher>| matcher.matches(&other.identity, namespaces);
    relations.affinity.iter().chain(&relations.anti).any(|term| speaks_of(&term.matcher))
        || relations.spread.iter().any(|constraint| speaks_of(&constraint.matcher))
        || other.relations.anti.iter().any(|term| term.matcher.matches(&own.identity, namespaces))
}
