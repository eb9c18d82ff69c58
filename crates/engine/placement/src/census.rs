//! How many pods of which kind are on which node, kept up to date pod by pod.
//!
//! Three things are counted per node: pods of one [`Identity`], pods that a [`Matcher`] matches, and pods that have a
//! term of affinity or anti-affinity of their own. A new matcher is counted once from the identities, then maintained.

use std::collections::HashMap;

use crate::matcher::{Identity, Matcher, Namespaces};
use crate::relations::{Relations, Term};
use crate::shared::Shared;

/// Matchers that nobody has asked for lately are forgotten when there are more than this.
const MATCHERS_MAX: usize = 4096;

/// Counts by node, of the nodes where it is not zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    entries: Vec<(u32, u32)>,
    position: HashMap<u32, u32>,
}

impl Counts {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, u32)> {
        self.entries.iter().map(|(slot, count)| (*slot as usize, *count))
    }

    fn add(&mut self, slot: usize, more: u32) {
        let slot = slot as u32;
        match self.position.get(&slot) {
            Some(at) => self.entries[*at as usize].1 += more,
            None => {
                self.position.insert(slot, self.entries.len() as u32);
                self.entries.push((slot, more));
            }
        }
    }

    fn subtract_one(&mut self, slot: usize) {
        let slot = slot as u32;
        let Some(at) = self.position.get(&slot).copied() else { return };
        let count = &mut self.entries[at as usize].1;
        *count -= 1;
        if *count == 0 {
            self.position.remove(&slot);
            self.entries.swap_remove(at as usize);
            if let Some((moved, _)) = self.entries.get(at as usize) {
                self.position.insert(*moved, at);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// What a pod that is placed has to say about a pod that is to be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Attitude {
    /// Required anti-affinity: not near me.
    Refuses,
    /// Required affinity: it counts for a little that the other comes near, too.
    Requires,
    /// Preferred (anti-)affinity, with its signed weight.
    Prefers(i64),
}

/// A term of pods that are placed, and where they are.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) attitude: Attitude,
    pub(crate) topology_key: String,
    pub(crate) owners: Counts,
}

#[derive(Debug)]
struct Matched {
    matcher: Shared<Matcher>,
    pods: Counts,
    owned: HashMap<(String, Attitude), Owned>,
    used: u64,
}

#[derive(Debug, Default)]
struct Kin {
    pods: Counts,
    /// The matchers that match.
    matchers: Vec<usize>,
}

/// All counts.
#[derive(Debug, Default)]
pub(crate) struct Census {
    namespaces: Namespaces,
    identities: HashMap<String, HashMap<Shared<Identity>, Kin>>,
    known: HashMap<Shared<Matcher>, usize>,
    matchers: Vec<Option<Matched>>,
    free: Vec<usize>,
    /// Matchers that can match pods of one namespace only, by namespace.
    local: HashMap<String, Vec<usize>>,
    /// The other matchers.
    wide: Vec<usize>,
    questions: u64,
}

impl Census {
    /// Learns the labels of a namespace (`None`: it is gone). True if they changed.
    pub(crate) fn set_namespace(
        &mut self,
        name: &str,
        labels: Option<std::collections::BTreeMap<String, String>>,
    ) -> bool {
        let before = match &labels {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels.clone()),
            None => self.namespaces.remove(name),
        };
        if before == labels {
            return false;
        }
        let stale: Vec<usize> = self.wide.iter().copied().filter(|id| self.reads_namespaces(*id)).collect();
        for kin in self.identities.values_mut().flat_map(HashMap::values_mut) {
            kin.matchers.retain(|id| !stale.contains(id));
        }
        stale.into_iter().for_each(|id| self.count(id));
        true
    }

    fn reads_namespaces(&self, id: usize) -> bool {
        self.matchers[id].as_ref().is_some_and(|matched| matched.matcher.reads_namespaces())
    }

    pub(crate) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// A pod came to a node.
    pub(crate) fn add(&mut self, identity: &Shared<Identity>, relations: &Relations, slot: usize) {
        self.meet(identity);
        if let Some(kin) = self.identities.get_mut(&identity.namespace).and_then(|all| all.get_mut(identity)) {
            kin.pods.add(slot, 1);
            for id in &kin.matchers {
                if let Some(matched) = &mut self.matchers[*id] {
                    matched.pods.add(slot, 1);
                }
            }
        }
        for (matcher, key, attitude) in owned_terms(relations) {
            let id = self.ask(&matcher);
            if let Some(matched) = &mut self.matchers[id] {
                let owned = matched.owned.entry((key.clone(), attitude));
                let new = || Owned { attitude, topology_key: key, owners: Counts::default() };
                owned.or_insert_with(new).owners.add(slot, 1);
            }
        }
    }

    /// A pod left its node.
    pub(crate) fn subtract(&mut self, identity: &Shared<Identity>, relations: &Relations, slot: usize) {
        if let Some(all) = self.identities.get_mut(&identity.namespace)
            && let Some(kin) = all.get_mut(identity)
        {
            kin.pods.subtract_one(slot);
            for id in &kin.matchers {
                if let Some(matched) = &mut self.matchers[*id] {
                    matched.pods.subtract_one(slot);
                }
            }
            if kin.pods.is_empty() {
                all.remove(identity);
                if all.is_empty() {
                    self.identities.remove(&identity.namespace);
                }
            }
        }
        for (matcher, key, attitude) in owned_terms(relations) {
            let matched = self.known.get(&matcher).and_then(|id| self.matchers[*id].as_mut());
            let Some(matched) = matched else { continue };
            if let Some(owned) = matched.owned.get_mut(&(key.clone(), attitude)) {
                owned.owners.subtract_one(slot);
                if owned.owners.is_empty() {
                    matched.owned.remove(&(key, attitude));
                }
            }
        }
    }

    /// Where the pods are that a matcher matches.
    pub(crate) fn pods_of(&mut self, matcher: &Shared<Matcher>) -> impl Iterator<Item = (usize, u32)> {
        let id = self.ask(matcher);
        self.matchers[id].iter().flat_map(|matched| matched.pods.iter())
    }

    /// The terms of placed pods that speak of pods of this identity.
    pub(crate) fn owned_about(&self, identity: &Shared<Identity>) -> impl Iterator<Item = &Owned> {
        let known = self.identities.get(&identity.namespace).and_then(|all| all.get(identity));
        let ids = match known {
            Some(kin) => kin.matchers.clone(),
            None => self.matching(identity),
        };
        ids.into_iter().flat_map(|id| self.matchers[id].iter().flat_map(|matched| matched.owned.values()))
    }

    /// Whether a matcher speaks of pods of this identity.
    pub(crate) fn speaks_of(&self, matcher: &Matcher, identity: &Identity) -> bool {
        matcher.matches(identity, &self.namespaces)
    }

    /// Makes sure that an identity has an entry.
    fn meet(&mut self, identity: &Shared<Identity>) {
        if self.identities.get(&identity.namespace).is_some_and(|all| all.contains_key(identity)) {
            return;
        }
        let kin = Kin { pods: Counts::default(), matchers: self.matching(identity) };
        self.identities.entry(identity.namespace.clone()).or_default().insert(identity.clone(), kin);
    }

    fn matching(&self, identity: &Identity) -> Vec<usize> {
        let local = self.local.get(&identity.namespace).into_iter().flatten();
        let matches = |id: &&usize| {
            let matched = self.matchers[**id].as_ref();
            matched.is_some_and(|matched| matched.matcher.matches(identity, &self.namespaces))
        };
        local.chain(&self.wide).filter(matches).copied().collect()
    }

    /// The number of a matcher, which is counted from now on.
    fn ask(&mut self, matcher: &Shared<Matcher>) -> usize {
        self.questions += 1;
        if let Some(id) = self.known.get(matcher).copied() {
            if let Some(matched) = &mut self.matchers[id] {
                matched.used = self.questions;
            }
            return id;
        }
        if self.known.len() >= MATCHERS_MAX {
            self.forget_old();
        }
        let (pods, owned) = (Counts::default(), HashMap::new());
        let matched = Matched { matcher: matcher.clone(), pods, owned, used: self.questions };
        let id = match self.free.pop() {
            Some(id) => {
                self.matchers[id] = Some(matched);
                id
            }
            None => {
                self.matchers.push(Some(matched));
                self.matchers.len() - 1
            }
        };
        self.known.insert(matcher.clone(), id);
        match matcher.only_namespace() {
            Some(namespace) => self.local.entry(namespace.to_owned()).or_default().push(id),
            None => self.wide.push(id),
        }
        self.count(id);
        id
    }

    /// Counts a matcher's pods anew. No identity may list it yet.
    fn count(&mut self, id: usize) {
        let Some(matched) = &mut self.matchers[id] else { return };
        matched.pods = Counts::default();
        let matcher = matched.matcher.clone();
        let mut visit = |all: &mut HashMap<Shared<Identity>, Kin>| {
            for (identity, kin) in all {
                if matcher.matches(identity, &self.namespaces) {
                    kin.matchers.push(id);
                    kin.pods.iter().for_each(|(slot, count)| matched.pods.add(slot, count));
                }
            }
        };
        match matcher.only_namespace() {
            Some(namespace) => self.identities.get_mut(namespace).into_iter().for_each(visit),
            None => self.identities.values_mut().for_each(&mut visit),
        }
    }

    /// Forgets the half of the matchers that nobody has asked for lately; those that placed pods own stay.
    fn forget_old(&mut self) {
        let unowned = self.matchers.iter().enumerate().filter_map(|(id, matched)| {
            let matched = matched.as_ref().filter(|matched| matched.owned.is_empty())?;
            Some((matched.used, id))
        });
        let mut unowned: Vec<(u64, usize)> = unowned.collect();
        unowned.sort_unstable();
        let old: std::collections::HashSet<usize> =
            unowned[..unowned.len().div_ceil(2)].iter().map(|(_, id)| *id).collect();
        for id in &old {
            if let Some(matched) = self.matchers[*id].take() {
                self.known.remove(&matched.matcher);
            }
            self.free.push(*id);
        }
        self.wide.retain(|id| !old.contains(id));
        self.local.retain(|_, ids| {
            ids.retain(|id| !old.contains(id));
            !ids.is_empty()
        });
        for kin in self.identities.values_mut().flat_map(HashMap::values_mut) {
            kin.matchers.retain(|id| !old.contains(id));
        }
    }
}

/// The terms of a placed pod that matter to others.
fn owned_terms(relations: &Relations) -> impl Iterator<Item = (Shared<Matcher>, String, Attitude)> {
    let of = |term: &Term, attitude| (term.matcher.clone(), term.topology_key.clone(), attitude);
    let refuses = relations.anti.iter().map(move |term| of(term, Attitude::Refuses));
    let requires = relations.affinity.iter().map(move |term| of(term, Attitude::Requires));
    let prefers = relations.preferred.iter().map(move |(weight, term)| of(term, Attitude::Prefers(*weight)));
    refuses.chain(requires).chain(prefers)
}

#[cfg(test)]
impl Census {
    /// Whether nothing is counted any more.
    pub(crate) fn is_empty(&self) -> bool {
        let nothing = |matched: &Matched| matched.pods.is_empty() && matched.owned.is_empty();
        self.identities.is_empty() && self.matchers.iter().flatten().all(nothing)
    }
}
