//! What is known of one class of pods: for every node, whether it fits and how well.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use crate::cluster::Slot;
use crate::demand::Demand;
use crate::node::refusals;
use crate::refusal::{Refusal, Unschedulable};
use crate::score::local_score;

/// The verdicts on all nodes up to a point in the cluster's log of changes.
#[derive(Debug, Default)]
pub(crate) struct Class {
    /// Changes up to this one are taken into account.
    pub(crate) position: u64,
    /// When the class was last asked for, in the cluster's count of questions.
    pub(crate) used: u64,
    verdicts: Vec<Verdict>,
    /// The nodes that fit, per zone, best last.
    zones: HashMap<String, BTreeSet<Candidate>>,
    /// Why there is no place, as long as no verdict changes.
    explanation: Option<Unschedulable>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Verdict {
    /// There is no such node.
    #[default]
    Absent,
    Fits {
        zone: String,
        candidate: Candidate,
    },
    Refused(Vec<Refusal>),
}

/// Score, then the node that was known first.
type Candidate = (i64, Reverse<usize>);

impl Class {
    /// Looks at every node.
    pub(crate) fn rebuild(&mut self, demand: &Demand, slots: &[Slot]) {
        self.verdicts.clear();
        self.zones.clear();
        self.explanation = None;
        for index in 0..slots.len() {
            self.look_again(demand, slots, index);
        }
    }

    /// Looks at one node.
    pub(crate) fn look_again(&mut self, demand: &Demand, slots: &[Slot], index: usize) {
        let Some(slot) = slots.get(index) else { return };
        if self.verdicts.len() <= index {
            self.verdicts.resize(index + 1, Verdict::Absent);
        }
        let verdict = judge(demand, slot, index);
        if verdict == self.verdicts[index] {
            return;
        }
        self.explanation = None;
        if let Verdict::Fits { zone, candidate } = &self.verdicts[index]
            && let Some(candidates) = self.zones.get_mut(zone)
        {
            candidates.remove(candidate);
            if candidates.is_empty() {
                self.zones.remove(zone);
            }
        }
        if let Verdict::Fits { zone, candidate } = &verdict {
            match self.zones.get_mut(zone) {
                Some(candidates) => drop(candidates.insert(*candidate)),
                None => drop(self.zones.insert(zone.clone(), BTreeSet::from([*candidate]))),
            }
        }
        self.verdicts[index] = verdict;
    }

    /// The best node: the best of each zone compete, with their zone's score added.
    pub(crate) fn best(&self, zone_score: impl Fn(&str) -> i64) -> Option<usize> {
        let of_zones = self.zones.iter().filter_map(|(zone, candidates)| {
            let (score, index) = candidates.last()?;
            Some((score + zone_score(zone), *index))
        });
        of_zones.max().map(|(_, Reverse(index))| index)
    }

    /// Why there is no place.
    pub(crate) fn explain(&mut self) -> Unschedulable {
        let verdicts = &self.verdicts;
        let count = || {
            Unschedulable::count(verdicts.iter().filter_map(|verdict| match verdict {
                Verdict::Absent => None,
                Verdict::Fits { .. } => Some([].as_slice()),
                Verdict::Refused(refusals) => Some(refusals.as_slice()),
            }))
        };
        self.explanation.get_or_insert_with(count).clone()
    }
}

fn judge(demand: &Demand, slot: &Slot, index: usize) -> Verdict {
    let Some(offer) = &slot.offer else { return Verdict::Absent };
    let refusals = refusals(demand, &slot.name, offer, &slot.load);
    if !refusals.is_empty() {
        return Verdict::Refused(refusals);
    }
    let score = local_score(demand, &slot.name, offer, &slot.load);
    Verdict::Fits { zone: offer.zone().to_owned(), candidate: (score, Reverse(index)) }
}
