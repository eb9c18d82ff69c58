//! All nodes, all that is placed on them, and the search for a place.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;

use crate::class::Class;
use crate::demand::Demand;
use crate::node::{Load, Offer, refusals};
use crate::refusal::Unschedulable;
use crate::score::zone_score;

/// Remembered changes; a class that is further behind looks at every node anew.
const LOG_MAX: usize = 16 * 1024;
/// Remembered classes; the one that was asked for longest ago is forgotten.
const CLASSES_MAX: usize = 256;

/// A pod's `metadata.uid`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub Arc<str>);

/// One node: known by itself (`offer`), or only from pods that are bound to it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: Arc<str>,
    pub(crate) offer: Option<Offer>,
    pub(crate) load: Load,
}

/// The nodes and the demands placed on them.
#[derive(Debug, Default)]
pub struct Cluster {
    slots: Vec<Slot>,
    free: Vec<usize>,
    by_name: HashMap<Arc<str>, usize>,
    placed: HashMap<Uid, (usize, Arc<Demand>)>,
    /// How many nodes each zone has.
    zone_nodes: HashMap<String, usize>,
    /// How many pods of each group each zone has.
    zone_pods: HashMap<String, HashMap<String, u32>>,
    classes: HashMap<Arc<Demand>, Class>,
    /// Nodes that changed, oldest first; the first has the number `log_start`.
    log: VecDeque<usize>,
    log_start: u64,
    questions: u64,
}

impl Cluster {
    /// Learns of a node, or of its new state. True if the change matters to placement.
    pub fn set_node(&mut self, node: &Node) -> bool {
        let Some(name) = &node.metadata.name else { return false };
        let offer = Offer::read(node);
        let index = self.slot(name);
        if self.slots[index].offer.as_ref() == Some(&offer) {
            return false;
        }
        self.replace_offer(index, Some(offer));
        true
    }

    /// Learns that a node is gone. What is placed on it stays counted until its pods are gone too.
    pub fn remove_node(&mut self, name: &str) {
        if let Some(index) = self.by_name.get(name).copied() {
            self.replace_offer(index, None);
            self.release(index);
        }
    }

    /// The names of all nodes that are there.
    pub fn node_names(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().filter(|slot| slot.offer.is_some()).map(|slot| &*slot.name)
    }

    /// Puts a pod on a node, taking it from where it was. False if it is there already with the same demand.
    pub fn put(&mut self, uid: &Uid, demand: &Arc<Demand>, node: &str) -> bool {
        let index = self.slot(node);
        if self.placed.get(uid).is_some_and(|(on, known)| *on == index && known == demand) {
            return false;
        }
        self.take(uid);
        let index = self.slot(node); // `take` may have released it
        self.slots[index].load.add(demand);
        self.count_in_zone(index, demand, 1);
        self.placed.insert(uid.clone(), (index, Arc::clone(demand)));
        self.changed(index);
        true
    }

    /// Takes a pod off its node, and tells which that was.
    pub fn take(&mut self, uid: &Uid) -> Option<Arc<str>> {
        let (index, demand) = self.placed.remove(uid)?;
        let name = Arc::clone(&self.slots[index].name);
        self.slots[index].load.subtract(&demand);
        self.count_in_zone(index, &demand, -1);
        self.changed(index);
        self.release(index);
        Some(name)
    }

    /// The node that a pod is on.
    #[must_use]
    pub fn node_of(&self, uid: &Uid) -> Option<&str> {
        self.placed.get(uid).map(|(index, _)| &*self.slots[*index].name)
    }

    /// The uids of all pods that are placed.
    pub fn placed(&self) -> impl Iterator<Item = &Uid> {
        self.placed.keys()
    }

    /// Whether a pod would fit on a node as it is now.
    #[must_use]
    pub fn fits(&self, demand: &Demand, node: &str) -> bool {
        let slot = self.by_name.get(node).map(|index| &self.slots[*index]);
        slot.is_some_and(|slot| {
            slot.offer.as_ref().is_some_and(|offer| refusals(demand, &slot.name, offer, &slot.load).is_empty())
        })
    }

    /// The best node for a pod.
    ///
    /// # Errors
    /// [`Unschedulable`] tells why no node will do.
    pub fn place(&mut self, demand: &Arc<Demand>) -> Result<Arc<str>, Unschedulable> {
        if let Some(only) = demand.affinity.only_node() {
            return self.place_on(only, demand);
        }
        self.refresh(demand);
        let Some(class) = self.classes.get_mut(demand) else {
            return Err(Unschedulable::count(std::iter::empty())); // cannot be: it has just been put there
        };
        let pods = demand.group.as_ref().and_then(|group| self.zone_pods.get(group));
        let zone = |zone: &str| {
            let pods = pods.and_then(|zones| zones.get(zone)).copied().unwrap_or_default();
            zone_score(pods, self.zone_nodes.get(zone).copied().unwrap_or_default())
        };
        match class.best(zone) {
            Some(index) => Ok(Arc::clone(&self.slots[index].name)),
            None => Err(class.explain()),
        }
    }

    /// Looks at one node only; there is nothing to share with other pods.
    fn place_on(&self, only: &str, demand: &Demand) -> Result<Arc<str>, Unschedulable> {
        if self.fits(demand, only)
            && let Some(index) = self.by_name.get(only)
        {
            return Ok(Arc::clone(&self.slots[*index].name));
        }
        let offers = self.slots.iter().filter_map(|slot| Some((slot, slot.offer.as_ref()?)));
        let refused: Vec<_> = offers.map(|(slot, offer)| refusals(demand, &slot.name, offer, &slot.load)).collect();
        Err(Unschedulable::count(refused.iter().map(Vec::as_slice)))
    }

    /// Brings what is known of a class up to date.
    fn refresh(&mut self, demand: &Arc<Demand>) {
        self.questions += 1;
        if self.classes.len() >= CLASSES_MAX && !self.classes.contains_key(demand) {
            let oldest = self.classes.iter().min_by_key(|(_, class)| class.used).map(|(demand, _)| Arc::clone(demand));
            oldest.and_then(|oldest| self.classes.remove(&oldest));
        }
        let end = self.log_start + self.log.len() as u64;
        let (slots, log) = (&self.slots, &self.log);
        let class = self.classes.entry(Arc::clone(demand)).or_default();
        // A class that was never asked for, or is behind the log, starts anew; so does one that would take longer.
        let behind = class.position.checked_sub(self.log_start).and_then(|skip| usize::try_from(skip).ok());
        match behind.filter(|_| class.used > 0 && end - class.position <= slots.len() as u64) {
            Some(skip) => log.iter().skip(skip).for_each(|index| class.look_again(demand, slots, *index)),
            None => class.rebuild(demand, slots),
        }
        class.position = end;
        class.used = self.questions;
    }

    fn slot(&mut self, name: &str) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let name: Arc<str> = name.into();
        let slot = Slot { name: Arc::clone(&name), offer: None, load: Load::default() };
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.by_name.insert(name, index);
        index
    }

    /// Forgets a slot that nothing needs any more.
    fn release(&mut self, index: usize) {
        let slot = &self.slots[index];
        if slot.offer.is_none() && slot.load.pods == 0 && self.by_name.remove(&slot.name).is_some() {
            self.free.push(index);
        }
    }

    fn replace_offer(&mut self, index: usize, offer: Option<Offer>) {
        self.count_all_in_zone(index, -1);
        self.slots[index].offer = offer;
        self.count_all_in_zone(index, 1);
        self.changed(index);
    }

    fn count_all_in_zone(&mut self, index: usize, by: i32) {
        let slot = &self.slots[index];
        let Some(offer) = &slot.offer else { return };
        let nodes = self.zone_nodes.entry(offer.zone().to_owned()).or_default();
        *nodes = nodes.saturating_add_signed(by as isize);
        if *nodes == 0 {
            self.zone_nodes.remove(offer.zone());
        }
        for (group, pods) in &slot.load.groups {
            let by = by.saturating_mul(i32::try_from(*pods).unwrap_or(i32::MAX));
            count_group(&mut self.zone_pods, group, offer.zone(), by);
        }
    }

    fn count_in_zone(&mut self, index: usize, demand: &Demand, by: i32) {
        if let (Some(offer), Some(group)) = (&self.slots[index].offer, &demand.group) {
            count_group(&mut self.zone_pods, group, offer.zone(), by);
        }
    }

    fn changed(&mut self, index: usize) {
        if self.log.len() >= LOG_MAX {
            let half = LOG_MAX / 2;
            self.log.drain(..half);
            self.log_start += half as u64;
        }
        self.log.push_back(index);
    }
}

fn count_group(counts: &mut HashMap<String, HashMap<String, u32>>, group: &str, zone: &str, by: i32) {
    let zones = counts.entry(group.to_owned()).or_default();
    let count = zones.entry(zone.to_owned()).or_default();
    *count = count.saturating_add_signed(by);
    if *count == 0 {
        zones.remove(zone);
    }
    if zones.is_empty() {
        counts.remove(group);
    }
}

#[cfg(test)]
mod tests;
