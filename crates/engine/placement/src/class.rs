//! What is known of one class of pods, those of equal [`Local`] demands: for every node, whether it fits and how well.
//!
//! A node that changes is looked at again, the others are not. What depends on pods elsewhere is not in here.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use crate::cluster::Slot;
use crate::demand::Local;
use crate::node::{Offer, fixed_refusal, load_refusals, tolerates_all, unwelcoming_taints};
use crate::profile::Profile;
use crate::refusal::{Refusals, Unschedulable};
use crate::score::resource_score;

/// No number.
const NONE: u32 = u32::MAX;

/// The verdicts on all nodes up to a point in the cluster's log of changes.
#[derive(Debug, Default)]
pub(crate) struct Class {
    /// Changes up to this one are taken into account.
    pub(crate) position: u64,
    /// When the class was last asked for, in the cluster's count of questions.
    pub(crate) used: u64,
    verdicts: Vec<Verdict>,
    /// The nodes that fit, in no order.
    fitting: Vec<u32>,
    /// The same, those with the best resources first, of equal ones the one that was known first.
    ranked: BTreeSet<(Reverse<i64>, u32)>,
    /// Each different refusal once, with the number of nodes that say it.
    refusals: Vec<(Refusals, usize)>,
    by_refusal: HashMap<Refusals, u32>,
    /// How many nodes there are.
    nodes: usize,
    /// How many of them have an image, a taint or a label that makes the part of the score not the same for all.
    pub(crate) with_images: usize,
    pub(crate) with_taints: usize,
    pub(crate) with_preference: usize,
}

/// What is known of one node.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// The version of the node's offer that `fixed`, and what follows it, is about; 0 if there is no node.
    version: u64,
    fixed: u32,
    /// It satisfies the pod's own node selector and affinity.
    pub(crate) matches_affinity: bool,
    /// The pod tolerates its taints.
    pub(crate) tolerates_taints: bool,
    pub(crate) taints: i64,
    pub(crate) preference: i64,
    /// The pod's images that are there, by their place in [`Local::images`], with their sizes.
    pub(crate) images: Box<[(u32, i64)]>,
    refused: u32,
    /// Where it stands in `fitting`.
    at: u32,
    pub(crate) resources: i64,
}

impl Default for Verdict {
    fn default() -> Self {
        Self {
            version: 0,
            fixed: NONE,
            matches_affinity: false,
            tolerates_taints: false,
            taints: 0,
            preference: 0,
            images: Box::default(),
            refused: NONE,
            at: NONE,
            resources: 0,
        }
    }
}

impl Class {
    /// Looks at every node.
    pub(crate) fn rebuild(&mut self, profile: &Profile, demand: &Local, slots: &[Slot]) {
        *self = Self { position: self.position, used: self.used, ..Self::default() };
        self.verdicts.reserve(slots.len());
        for index in 0..slots.len() {
            self.look_again(profile, demand, slots, index);
        }
    }

    /// Looks at one node.
    pub(crate) fn look_again(&mut self, profile: &Profile, demand: &Local, slots: &[Slot], index: usize) {
        let Some(slot) = slots.get(index) else { return };
        if self.verdicts.len() <= index {
            self.verdicts.resize(index + 1, Verdict::default());
        }
        let Some(offer) = &slot.offer else { return self.forget(index) };
        if self.verdicts[index].version != slot.version {
            self.read(profile, demand, slot, offer, index);
        }
        let fixed = self.verdicts[index].fixed;
        let refused = match fixed {
            NONE => load_refusals(profile, demand, offer, &slot.load).map_or(NONE, |refusals| self.number(refusals)),
            fixed => fixed,
        };
        if refused == NONE {
            self.set_resources(index, resource_score(profile, demand, offer, &slot.load));
        }
        self.set_refused(index, refused);
    }

    fn forget(&mut self, index: usize) {
        if self.verdicts[index].version == 0 {
            return;
        }
        self.count_parts(index, false);
        self.unlist(index);
        self.verdicts[index] = Verdict::default();
        self.nodes -= 1;
    }

    /// Reads what the node says of itself.
    fn read(&mut self, profile: &Profile, demand: &Local, slot: &Slot, offer: &Offer, index: usize) {
        match self.verdicts[index].version {
            0 => self.nodes += 1,
            _ => self.count_parts(index, false),
        }
        let fixed = match fixed_refusal(profile, demand, &slot.name, offer) {
            Some(refusal) => self.number(Refusals::from(refusal)),
            None => NONE,
        };
        let images = demand.images.iter().enumerate();
        let images = images.filter_map(|(number, name)| Some((number as u32, *offer.images.get(name)?)));
        let verdict = &mut self.verdicts[index];
        verdict.version = slot.version;
        verdict.fixed = fixed;
        verdict.matches_affinity = demand.affinity.admits(&slot.name, &offer.labels);
        verdict.tolerates_taints = tolerates_all(demand, offer);
        verdict.taints = unwelcoming_taints(demand, offer);
        verdict.preference = demand.affinity.preference(&slot.name, &offer.labels)
            + profile.added_affinity.preference(&slot.name, &offer.labels);
        verdict.images = images.collect();
        self.count_parts(index, true);
    }

    fn count_parts(&mut self, index: usize, plus: bool) {
        let verdict = &self.verdicts[index];
        let count = |number: &mut usize, has: bool| match plus {
            true => *number += usize::from(has),
            false => *number -= usize::from(has),
        };
        count(&mut self.with_images, !verdict.images.is_empty());
        count(&mut self.with_taints, verdict.taints != 0);
        count(&mut self.with_preference, verdict.preference != 0);
    }

    fn number(&mut self, refusals: Refusals) -> u32 {
        if let Some(number) = self.by_refusal.get(&refusals) {
            return *number;
        }
        let number = self.refusals.len() as u32;
        self.refusals.push((refusals.clone(), 0));
        self.by_refusal.insert(refusals, number);
        number
    }

    fn set_resources(&mut self, index: usize, score: i64) {
        let verdict = &mut self.verdicts[index];
        let before = std::mem::replace(&mut verdict.resources, score);
        if verdict.at != NONE && before != score {
            self.ranked.remove(&(Reverse(before), index as u32));
            self.ranked.insert((Reverse(score), index as u32));
        }
    }

    fn set_refused(&mut self, index: usize, refused: u32) {
        let verdict = &self.verdicts[index];
        let is_listed = verdict.at != NONE || verdict.refused != NONE;
        if is_listed && verdict.refused == refused {
            return;
        }
        self.unlist(index);
        if refused == NONE {
            self.verdicts[index].at = self.fitting.len() as u32;
            self.fitting.push(index as u32);
            self.ranked.insert((Reverse(self.verdicts[index].resources), index as u32));
        } else {
            self.verdicts[index].refused = refused;
            self.refusals[refused as usize].1 += 1;
        }
    }

    fn unlist(&mut self, index: usize) {
        let verdict = &mut self.verdicts[index];
        let (at, refused) = (std::mem::replace(&mut verdict.at, NONE), std::mem::replace(&mut verdict.refused, NONE));
        if at != NONE {
            self.ranked.remove(&(Reverse(verdict.resources), index as u32));
            self.fitting.swap_remove(at as usize);
            if let Some(moved) = self.fitting.get(at as usize) {
                self.verdicts[*moved as usize].at = at;
            }
        }
        if refused != NONE {
            self.refusals[refused as usize].1 -= 1;
        }
    }

    /// The nodes that fit, in no order.
    pub(crate) fn fitting(&self) -> &[u32] {
        &self.fitting
    }

    /// The best of the nodes that fit, if nothing but resources tells one from another.
    pub(crate) fn best(&self) -> Option<usize> {
        let is_plain = self.with_images == 0 && self.with_taints == 0 && self.with_preference == 0;
        self.ranked.first().filter(|_| is_plain).map(|(_, index)| *index as usize)
    }

    /// What is known of a node.
    pub(crate) fn verdict(&self, index: usize) -> &Verdict {
        &self.verdicts[index]
    }

    /// Whether a node is there and satisfies what a spread constraint asks of the nodes that it counts.
    pub(crate) fn is_counted(&self, index: usize, honors_affinity: bool, honors_taints: bool) -> bool {
        self.verdicts.get(index).is_some_and(|verdict| {
            verdict.version != 0
                && (!honors_affinity || verdict.matches_affinity)
                && (!honors_taints || verdict.tolerates_taints)
        })
    }

    /// What the node itself says against the pod.
    pub(crate) fn refused(&self, index: usize) -> Option<&Refusals> {
        let number = self.verdicts.get(index)?.refused;
        (number != NONE).then(|| &self.refusals[number as usize].0)
    }

    /// Why there is no place, as far as nodes themselves are the reason.
    pub(crate) fn explain(&self) -> Unschedulable {
        let mut reasons = Unschedulable::default();
        reasons.add_nodes(self.nodes);
        for (refusals, nodes) in self.refusals.iter().filter(|(_, nodes)| *nodes > 0) {
            reasons.count(refusals, *nodes);
        }
        reasons
    }
}
