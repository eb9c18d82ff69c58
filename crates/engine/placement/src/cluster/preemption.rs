//! Who gives way to a pod that fits nowhere: upstream's `DefaultPreemption`.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use minato_select::LabelSelector;

use super::{Ask, Cluster, Found, Pod, Slot, Uid};
use crate::node::Load;
use crate::refusal::{Refusal, Refusals, Unschedulable};
use crate::relate::Related;

/// A PodDisruptionBudget.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Its namespace.
    pub namespace: String,
    /// Whom it protects.
    pub selector: LabelSelector,
    /// `status.disruptionsAllowed`.
    pub allowed: i64,
    /// Names of pods whose disruption is counted already.
    pub disrupted: HashSet<String>,
}

/// A pod that gives way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Its uid.
    pub uid: Uid,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: Arc<str>,
    /// It is going already.
    pub is_giving_way: bool,
}

/// Where a pod will fit once others have given way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preemption {
    /// The node.
    pub node: Arc<str>,
    /// Who gives way, the most important first.
    pub victims: Vec<Victim>,
    /// Pods of lower priority for which a place was kept there.
    pub denominated: Vec<Uid>,
}

/// Why nobody gives way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPreemption {
    /// The profile has no preemption.
    Disabled,
    /// `preemptionPolicy: Never`.
    Never,
    /// Somebody is giving way already.
    UnderWay,
    /// It would help nowhere.
    Useless(Unschedulable),
}

impl std::error::Error for NoPreemption {}

impl fmt::Display for NoPreemption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("no PostFilter plugin is enabled"),
            Self::Never => f.write_str("not eligible due to preemptionPolicy=Never."),
            Self::UnderWay => f.write_str("not eligible due to a terminating pod on the nominated node."),
            Self::Useless(reasons) => reasons.fmt(f),
        }
    }
}

/// The victims on one node.
struct Candidate<'a> {
    slot: usize,
    victims: Vec<(&'a Uid, &'a Pod)>,
    /// How many of them a budget protects.
    violations: usize,
}

impl Candidate<'_> {
    /// Upstream's criteria, the most wanted candidate first: violations, the highest priority, the sum of priorities,
    /// the number, and that the most important ones have started late.
    fn rank(&self) -> (usize, i32, i64, usize, std::cmp::Reverse<i64>) {
        let highest = self.victims.iter().map(|(_, pod)| pod.priority).max().unwrap_or(i32::MIN);
        // Makes every priority positive, so that more victims never sum up to less.
        let sum = self.victims.iter().map(|(_, pod)| i64::from(pod.priority) + i64::from(i32::MAX) + 1).sum();
        let important = self.victims.iter().filter(|(_, pod)| pod.priority == highest);
        let started = important.map(|(_, pod)| pod.started.unwrap_or(i64::MAX)).min().unwrap_or(i64::MAX);
        (self.violations, highest, sum, self.victims.len(), std::cmp::Reverse(started))
    }
}

impl Cluster {
    /// Who should give way to a pod that [`Cluster::place`] has found no place for.
    ///
    /// # Errors
    /// [`NoPreemption`] tells why nobody does.
    pub fn preempt<'b>(
        &mut self,
        ask: &Ask<'_>,
        never: bool,
        budgets: impl IntoIterator<Item = &'b Budget>,
    ) -> Result<Preemption, NoPreemption> {
        let Some(profile) = self.profiles.get(ask.profile).filter(|profile| profile.preempts) else {
            return Err(NoPreemption::Disabled);
        };
        if never {
            return Err(NoPreemption::Never);
        }
        let (percentage, min) = (profile.candidate_nodes_percentage, profile.candidate_nodes_min);
        let candidates_max = (self.nodes * percentage / 100).max(min).max(1);
        let found = self.search(ask);
        if self.is_under_way(ask, &found) {
            return Err(NoPreemption::UnderWay);
        }
        let mut reasons = Unschedulable::default();
        reasons.add_nodes(self.nodes);
        if found.related.everywhere().is_some() {
            reasons.count(&Refusal::PreemptionIsOfNoHelp.into(), self.nodes);
            return Err(NoPreemption::Useless(reasons));
        }
        let budgets: Vec<&Budget> = budgets.into_iter().collect();
        let mut best: Option<(Candidate<'_>, _)> = None;
        let (mut candidates, mut last) = (0, self.victims_from);
        let count = self.slots.len();
        let from = self.victims_from;
        for index in (0..count).map(|nth| (from + nth) % count) {
            last = index;
            if self.slots[index].offer.is_none() {
                continue;
            }
            let Some(refused) = self.refused(ask, &found, index) else {
                reasons.count(&Refusal::NoVictims.into(), 1); // it fits: an extender refused
                continue;
            };
            if refused.is_final {
                reasons.count(&Refusal::PreemptionIsOfNoHelp.into(), 1);
                continue;
            }
            match self.victims_on(ask, index, &found.related, &budgets) {
                Err(refusals) => reasons.count(&refusals, 1),
                Ok(candidate) => {
                    candidates += 1;
                    let rank = candidate.rank();
                    if best.as_ref().is_none_or(|(_, least)| rank < *least) {
                        best = Some((candidate, rank));
                    }
                    if candidates >= candidates_max {
                        break;
                    }
                }
            }
        }
        let Some((best, _)) = best else { return Err(NoPreemption::Useless(reasons)) };
        let victims = best.victims.iter().map(|(uid, pod)| Victim {
            uid: Uid::clone(uid),
            namespace: pod.demand.namespace().to_owned(),
            name: Arc::clone(&pod.name),
            is_giving_way: pod.is_giving_way,
        });
        let node = Arc::clone(&self.slots[best.slot].name);
        let nominees = self.nominees.get(&*node).into_iter().flatten();
        let is_lower = |uid: &&Uid| self.nominated.get(*uid).is_some_and(|other| other.priority < ask.priority);
        let preemption =
            Preemption { victims: victims.collect(), denominated: nominees.filter(is_lower).cloned().collect(), node };
        self.victims_from = (last + 1) % count;
        Ok(preemption)
    }

    fn refused(&self, ask: &Ask<'_>, found: &Found, index: usize) -> Option<Refusals> {
        let class = self.classes.get(&(ask.profile, ask.demand.local.clone()))?;
        class.refused(index).or_else(|| found.refused.get(&index)).cloned()
    }

    /// Whether pods on the node where a place is kept are giving way already.
    fn is_under_way(&self, ask: &Ask<'_>, found: &Found) -> bool {
        let Some(index) = self.nominated_node(ask.uid).and_then(|node| self.by_name.get(node)).copied() else {
            return false;
        };
        if self.refused(ask, found, index).is_some_and(|refused| refused.is_final) {
            return false;
        }
        self.below(ask, &self.slots[index]).any(|(_, pod)| pod.is_giving_way)
    }

    /// The pods on a node that have a lower priority.
    fn below<'a>(&'a self, ask: &Ask<'_>, slot: &'a Slot) -> impl Iterator<Item = (&'a Uid, &'a Pod)> {
        let priority = ask.priority;
        let has_any = slot.priorities.first_key_value().is_some_and(|(lowest, _)| *lowest < priority);
        let pods = slot.pods.iter().filter(move |_| has_any).filter_map(|uid| Some((uid, &self.placed.get(uid)?.pod)));
        pods.filter(move |(_, pod)| pod.priority < priority)
    }

    /// The least that must give way on one node: all of lower priority go, and come back one by one, those that
    /// budgets protect first, the important ones before the others.
    fn victims_on(
        &self,
        ask: &Ask<'_>,
        index: usize,
        related: &Related,
        budgets: &[&Budget],
    ) -> Result<Candidate<'_>, Refusals> {
        let slot = &self.slots[index];
        let mut below: Vec<_> = self.below(ask, slot).collect();
        let Some(offer) = slot.offer.as_ref().filter(|_| !below.is_empty()) else {
            return Err(Refusal::NoVictims.into());
        };
        below.sort_by_key(|(uid, pod)| (std::cmp::Reverse(pod.priority), pod.started.unwrap_or(i64::MAX), *uid));
        let around = self.around();
        let (mut load, mut related): (Load, Related) = (slot.load.clone(), related.clone());
        let is_alone = related.is_empty();
        let shift = |load: &mut Load, related: &mut Related, pod: &crate::Demand, comes: bool| {
            match comes {
                true => load.add(&pod.local),
                false => load.subtract(&pod.local),
            }
            if !is_alone {
                related.shift(&around, ask.demand, pod, index, if comes { 1 } else { -1 });
            }
        };
        for (_, pod) in &below {
            shift(&mut load, &mut related, &pod.demand, false);
        }
        let nominees: Vec<&crate::Demand> = self.nominees_before(ask, &slot.name).collect();
        for nominee in nominees {
            load.add(&nominee.local);
            related.shift(&around, ask.demand, nominee, index, 1);
        }
        if let Some(refusals) = self.refused_with(ask, index, offer, &load, &related) {
            return Err(refusals);
        }
        let (protected, free) = split_by_budgets(below, budgets);
        let (mut victims, mut violations) = (Vec::new(), 0);
        let all = protected.into_iter().map(|pod| (pod, true)).chain(free.into_iter().map(|pod| (pod, false)));
        for ((uid, pod), is_protected) in all {
            shift(&mut load, &mut related, &pod.demand, true);
            if self.refused_with(ask, index, offer, &load, &related).is_some() {
                shift(&mut load, &mut related, &pod.demand, false);
                violations += usize::from(is_protected);
                victims.push((uid, pod));
            }
        }
        victims.sort_by_key(|(_, pod)| (std::cmp::Reverse(pod.priority), pod.started.unwrap_or(i64::MAX)));
        Ok(Candidate { slot: index, victims, violations })
    }
}

type Pods<'a> = Vec<(&'a Uid, &'a Pod)>;

/// Those whose going would violate a budget, and the others.
fn split_by_budgets<'a>(pods: Pods<'a>, budgets: &[&Budget]) -> (Pods<'a>, Pods<'a>) {
    let mut allowed: Vec<i64> = budgets.iter().map(|budget| budget.allowed).collect();
    pods.into_iter().partition(|(_, pod)| {
        let mut is_protected = false;
        for (budget, allowed) in budgets.iter().zip(&mut allowed) {
            let protects = budget.namespace == pod.demand.namespace()
                && !budget.selector.is_everything()
                && budget.selector.matches_labels(pod.demand.labels())
                && !budget.disrupted.contains(&*pod.name);
            if protects {
                *allowed -= 1;
                is_protected |= *allowed < 0;
            }
        }
        is_protected
    })
}
