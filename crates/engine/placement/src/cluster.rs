//! All nodes, all that is placed on them, and the search for a place.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;

use crate::census::Census;
use crate::class::Class;
use crate::demand::{Demand, Local};
use crate::node::{Load, Offer, refusals};
use crate::profile::{Plugin, Profile};
use crate::queue::Waiting;
use crate::refusal::{Refusal, Refusals, Unschedulable};
use crate::relate::{Around, Ground, Liked, Related, concerns, constraints};
use crate::relations::Relations;
use crate::score::{FULL, image_score};
use crate::shared::Shared;
use crate::topology::Topology;
use crate::volume::{Claiming, Mounts, Volumes};

mod preemption;

pub use preemption::{Budget, NoPreemption, Preemption, Victim};

/// Remembered changes; a class that is further behind looks at every node anew.
const LOG_MAX: usize = 16 * 1024;
/// Remembered classes; the one that was asked for longest ago is forgotten.
const CLASSES_MAX: usize = 256;
/// Plugins that look at claims, volumes and classes.
const STORAGE: [Plugin; 4] =
    [Plugin::VolumeRestrictions, Plugin::NodeVolumeLimits, Plugin::VolumeBinding, Plugin::VolumeZone];

/// A pod's `metadata.uid`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub Arc<str>);

/// A pod that is on a node, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// What it demands.
    pub demand: Demand,
    /// `spec.priority`.
    pub priority: i32,
    /// `status.startTime` in seconds since 1970; `None`: it has not started.
    pub started: Option<i64>,
    /// It is being deleted because a pod of higher priority needs its place.
    pub is_giving_way: bool,
}

/// A pod that needs a place.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Which it is.
    pub uid: &'a Uid,
    /// What it demands.
    pub demand: &'a Demand,
    /// `spec.priority`.
    pub priority: i32,
    /// The number of its profile.
    pub profile: usize,
}

/// What may help pods that wait.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// A node came, changed, or kept no place any more.
    Node(&'a str),
    /// A pod came to a node, or changed there.
    PodCame(&'a Demand),
    /// A pod left a node.
    PodWent(&'a Demand, &'a str),
    /// The labels of a namespace.
    Namespaces,
    /// A claim came or changed.
    Claim(&'a str),
    /// A volume, a class or the limits of a node.
    Storage,
}

/// One node: known by itself (`offer`), or only from pods that are bound to it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: Arc<str>,
    pub(crate) offer: Option<Offer>,
    /// Changes with the offer; 0 while there is none.
    pub(crate) version: u64,
    pub(crate) load: Load,
    pods: Vec<Uid>,
    /// What those of them mount that mount anything that matters.
    pub(crate) mounts: Vec<Shared<Mounts>>,
    /// How many of them have each priority.
    priorities: BTreeMap<i32, u32>,
}

#[derive(Debug)]
struct Placed {
    slot: usize,
    pod: Pod,
}

/// A pod for which others give way: the place is kept for it.
#[derive(Debug)]
struct Nominated {
    node: String,
    demand: Demand,
    priority: i32,
}

/// The nodes and what is placed on them.
#[derive(Debug)]
pub struct Cluster {
    profiles: Vec<Profile>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    by_name: HashMap<Arc<str>, usize>,
    nodes: usize,
    versions: u64,
    placed: HashMap<Uid, Placed>,
    nominated: HashMap<Uid, Nominated>,
    nominees: HashMap<String, Vec<Uid>>,
    census: Census,
    volumes: Volumes,
    topology: Topology,
    /// How many nodes have each image.
    images: HashMap<String, usize>,
    classes: HashMap<(usize, Shared<Local>), Class>,
    /// Nodes that changed, oldest first; the first has the number `log_start`.
    log: VecDeque<usize>,
    log_start: u64,
    questions: u64,
    /// Where the search for victims starts.
    victims_from: usize,
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new(vec![Profile::default()])
    }
}

/// What the filters leave.
struct Found {
    /// The nodes that fit.
    fitting: Vec<u32>,
    related: Related,
    /// What other pods make of nodes that would fit by themselves.
    refused: HashMap<usize, Refusals>,
}

impl Cluster {
    /// No nodes yet; `profiles` are known by their numbers.
    #[must_use]
    pub fn new(profiles: Vec<Profile>) -> Self {
        Self {
            profiles,
            slots: Vec::new(),
            free: Vec::new(),
            by_name: HashMap::new(),
            nodes: 0,
            versions: 0,
            placed: HashMap::new(),
            nominated: HashMap::new(),
            nominees: HashMap::new(),
            census: Census::default(),
            volumes: Volumes::default(),
            topology: Topology::default(),
            images: HashMap::new(),
            classes: HashMap::new(),
            log: VecDeque::new(),
            log_start: 0,
            questions: 0,
            victims_from: 0,
        }
    }

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

    /// Learns the labels of a namespace, or that it is gone. True if that may matter.
    pub fn set_namespace(&mut self, name: &str, labels: Option<BTreeMap<String, String>>) -> bool {
        self.census.set_namespace(name, labels)
    }

    /// The names of all namespaces whose labels are known.
    pub fn namespace_names(&self) -> impl Iterator<Item = &str> {
        self.census.namespaces().keys().map(String::as_str)
    }

    /// The names of all nodes that are there.
    pub fn node_names(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().filter(|slot| slot.offer.is_some()).map(|slot| &*slot.name)
    }

    /// Puts a pod on a node, taking it from where it was. False if it is there already and nothing changed.
    pub fn put(&mut self, uid: &Uid, pod: Pod, node: &str) -> bool {
        let index = self.slot(node);
        if self.placed.get(uid).is_some_and(|known| known.slot == index && known.pod == pod) {
            return false;
        }
        self.take(uid);
        self.denominate(uid);
        let index = self.slot(node); // `take` may have released it
        let slot = &mut self.slots[index];
        slot.load.add(&pod.demand.local);
        slot.pods.push(uid.clone());
        *slot.priorities.entry(pod.priority).or_default() += 1;
        if !pod.demand.mounts.is_empty() {
            slot.mounts.push(pod.demand.mounts.clone());
            self.volumes.count_users(pod.demand.mounts.claims.iter().map(|mount| &*mount.claim), true);
        }
        self.census.add(&pod.demand.identity, &pod.demand.relations, index);
        self.placed.insert(uid.clone(), Placed { slot: index, pod });
        self.changed(index);
        true
    }

    /// Takes a pod off its node, and tells which that was.
    pub fn take(&mut self, uid: &Uid) -> Option<(Pod, Arc<str>)> {
        let Placed { slot: index, pod } = self.placed.remove(uid)?;
        let slot = &mut self.slots[index];
        let name = Arc::clone(&slot.name);
        slot.load.subtract(&pod.demand.local);
        if let Some(at) = slot.pods.iter().position(|other| other == uid) {
            slot.pods.swap_remove(at);
        }
        if let Some(count) = slot.priorities.get_mut(&pod.priority) {
            *count -= 1;
            if *count == 0 {
                slot.priorities.remove(&pod.priority);
            }
        }
        if !pod.demand.mounts.is_empty() {
            if let Some(at) = slot.mounts.iter().position(|mounts| *mounts == pod.demand.mounts) {
                slot.mounts.swap_remove(at);
            }
            self.volumes.count_users(pod.demand.mounts.claims.iter().map(|mount| &*mount.claim), false);
        }
        self.census.subtract(&pod.demand.identity, &pod.demand.relations, index);
        self.changed(index);
        self.release(index);
        Some((pod, name))
    }

    /// What is known of storage.
    #[must_use]
    pub fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    /// What is known of storage, to learn more.
    pub fn volumes_mut(&mut self) -> &mut Volumes {
        &mut self.volumes
    }

    /// Decides what becomes of the claims of a pod that goes to a node, and counts on it until
    /// [`Volumes::forget_assumed`].
    pub fn claim_volumes(&mut self, uid: &Uid, demand: &Demand, node: &Arc<str>) -> Claiming {
        if demand.mounts.claims.is_empty() {
            return Claiming::default();
        }
        let slot = self.by_name.get(node).map(|index| &self.slots[*index]);
        let Some(offer) = slot.and_then(|slot| slot.offer.as_ref()) else { return Claiming::default() };
        self.volumes.claim_for(uid, &demand.mounts, node, &offer.labels)
    }

    /// The node that a pod is on.
    #[must_use]
    pub fn node_of(&self, uid: &Uid) -> Option<&str> {
        self.placed.get(uid).map(|placed| &*self.slots[placed.slot].name)
    }

    /// A pod that is placed.
    #[must_use]
    pub fn pod(&self, uid: &Uid) -> Option<&Pod> {
        self.placed.get(uid).map(|placed| &placed.pod)
    }

    /// The uids of all pods that are placed.
    pub fn placed(&self) -> impl Iterator<Item = &Uid> {
        self.placed.keys()
    }

    /// Keeps a place for a pod: pods of no higher priority leave room for it.
    pub fn nominate(&mut self, ask: &Ask<'_>, node: &str) {
        self.denominate(ask.uid);
        self.nominees.entry(node.to_owned()).or_default().push(ask.uid.clone());
        let nominated = Nominated { node: node.to_owned(), demand: ask.demand.clone(), priority: ask.priority };
        self.nominated.insert(ask.uid.clone(), nominated);
    }

    /// Keeps no place for a pod any more, and tells on which node it was.
    pub fn denominate(&mut self, uid: &Uid) -> Option<String> {
        let nominated = self.nominated.remove(uid)?;
        if let Some(nominees) = self.nominees.get_mut(&nominated.node) {
            nominees.retain(|other| other != uid);
            if nominees.is_empty() {
                self.nominees.remove(&nominated.node);
            }
        }
        Some(nominated.node)
    }

    /// The node on which a place is kept for a pod.
    #[must_use]
    pub fn nominated_node(&self, uid: &Uid) -> Option<&str> {
        self.nominated.get(uid).map(|nominated| nominated.node.as_str())
    }

    /// Whether a pod would fit on a node as it is now, as far as the node itself is concerned.
    #[must_use]
    pub fn fits(&self, profile: usize, demand: &Demand, node: &str) -> bool {
        let Some(profile) = self.profiles.get(profile) else { return false };
        let slot = self.by_name.get(node).map(|index| &self.slots[*index]);
        slot.is_some_and(|slot| {
            let fits = |offer: &Offer| refusals(profile, &demand.local, &slot.name, offer, &slot.load).is_none();
            slot.offer.as_ref().is_some_and(fits)
        })
    }

    /// Whether a change may be what pods wait for: upstream's queueing hints, plugin by plugin.
    #[must_use]
    pub fn helps(&self, change: &Change<'_>, waiting: &Waiting) -> bool {
        let Waiting { profile, demand, reason, .. } = waiting;
        let by_others = reason.is_by(Plugin::InterPodAffinity) || reason.is_by(Plugin::PodTopologySpread);
        let concerns = |other: &Demand| {
            by_others && concerns(&self.constraints_of(*profile, demand), demand, other, self.census.namespaces())
        };
        if reason.is_by_extenders() {
            return true; // who knows what they look at
        }
        match change {
            Change::Node(name) => reason.is_by(Plugin::PodTopologySpread) || self.fits(*profile, demand, name),
            Change::PodCame(other) => concerns(other),
            Change::PodWent(other, node) => {
                let by_node = reason.is_by(Plugin::NodeResourcesFit) || reason.is_by(Plugin::NodePorts);
                let by_mounts = reason.is_by(Plugin::VolumeRestrictions) || reason.is_by(Plugin::NodeVolumeLimits);
                (by_node && self.fits(*profile, demand, node))
                    || (by_mounts && !other.mounts.is_empty())
                    || concerns(other)
            }
            Change::Namespaces => reason.is_by(Plugin::InterPodAffinity),
            Change::Claim(claim) => demand.mounts(claim),
            Change::Storage => !demand.mounts.is_empty() && STORAGE.iter().any(|plugin| reason.is_by(*plugin)),
        }
    }

    fn constraints_of(&self, profile: usize, demand: &Demand) -> Relations {
        let mut relations = Relations::clone(&demand.relations);
        if let Some(profile) = self.profiles.get(profile) {
            relations.spread = constraints(profile, demand);
        }
        relations
    }

    /// The best node for a pod.
    ///
    /// # Errors
    /// [`Unschedulable`] tells why no node will do.
    pub fn place(&mut self, ask: &Ask<'_>) -> Result<Arc<str>, Unschedulable> {
        if let Some(index) = self.only_slot(ask) {
            return self.place_on(ask, index);
        }
        let found = self.search(ask);
        if let Some(own) = self.nominated_node(ask.uid).and_then(|node| self.by_name.get(node))
            && found.fitting.contains(&(*own as u32))
        {
            return Ok(Arc::clone(&self.slots[*own].name));
        }
        let best = match found.fitting.as_slice() {
            [] => None,
            [only] => Some(*only as usize),
            many => self.best(ask, many),
        };
        best.map(|index| Arc::clone(&self.slots[index].name)).ok_or_else(|| self.explain(ask, &found))
    }

    /// The nodes on which a pod fits, with the score of each.
    ///
    /// # Errors
    /// [`Unschedulable`] tells why no node will do.
    pub fn rank(&mut self, ask: &Ask<'_>) -> Result<Vec<(Arc<str>, i64)>, Unschedulable> {
        let found = self.search(ask);
        if found.fitting.is_empty() {
            return Err(self.explain(ask, &found));
        }
        let mut ranked = Vec::with_capacity(found.fitting.len());
        if let Some(liked) = self.liked(ask, &found.fitting) {
            self.score(ask, &liked, &found.fitting, |index, score| ranked.push((index, score)));
        }
        Ok(ranked.into_iter().map(|(index, score)| (Arc::clone(&self.slots[index].name), score)).collect())
    }

    /// The only node that the pod names, as that of a DaemonSet does: `Some(None)` if there is no such node.
    fn only_slot(&self, ask: &Ask<'_>) -> Option<Option<usize>> {
        let only = ask.demand.local.affinity.only_node()?;
        // Spread constraints count nodes by the pod's class.
        let is_simple = ask.demand.relations.spread.is_empty() && ask.demand.identity.group.is_none();
        is_simple.then(|| self.by_name.get(only).copied().filter(|index| self.slots[*index].offer.is_some()))
    }

    /// Looks at one node only; there is nothing to share with other pods.
    fn place_on(&mut self, ask: &Ask<'_>, only: Option<usize>) -> Result<Arc<str>, Unschedulable> {
        let mut reasons = Unschedulable::default();
        reasons.add_nodes(self.nodes);
        if let Some(index) = only {
            let Some(profile) = self.profiles.get(ask.profile) else { return Err(reasons) };
            let (slots, class) = (&self.slots, &Class::default());
            let (topology, census, volumes) = (&mut self.topology, &mut self.census, &self.volumes);
            let related = Related::new(&mut Ground { profile, slots, class, topology, census, volumes }, ask.demand);
            if let Some(reason) = related.everywhere() {
                return Err(Unschedulable::everywhere(reason.clone(), self.nodes));
            }
            let slot = &self.slots[index];
            let refused = slot.offer.as_ref().and_then(|offer| {
                refusals(profile, &ask.demand.local, &slot.name, offer, &slot.load)
                    .or_else(|| related.refusal(&self.topology, index).map(Refusals::from))
                    .or_else(|| self.refused_by_nominees(ask, index, &related))
            });
            match refused {
                None => return Ok(Arc::clone(&slot.name)),
                Some(refusals) => reasons.count(&refusals, 1),
            }
        }
        let others = self.nodes - usize::from(only.is_some());
        if others > 0 {
            reasons.count(&Refusals::from(Refusal::NotNamed), others);
        }
        Err(reasons)
    }

    /// Applies all filters.
    fn search(&mut self, ask: &Ask<'_>) -> Found {
        self.refresh(ask);
        let mut found = Found { fitting: Vec::new(), related: Related::default(), refused: HashMap::new() };
        let key = (ask.profile, ask.demand.local.clone());
        let (Some(profile), Some(class)) = (self.profiles.get(ask.profile), self.classes.get(&key)) else {
            return found; // cannot be: the class has just been put there
        };
        let (slots, topology) = (&self.slots, &mut self.topology);
        let (census, volumes) = (&mut self.census, &self.volumes);
        found.related = Related::new(&mut Ground { profile, slots, class, topology, census, volumes }, ask.demand);
        if found.related.everywhere().is_some() {
            return found;
        }
        if found.related.is_empty() {
            found.fitting.extend_from_slice(class.fitting());
        } else {
            for index in class.fitting() {
                match found.related.refusal(&self.topology, *index as usize) {
                    None => found.fitting.push(*index),
                    Some(refusal) => drop(found.refused.insert(*index as usize, refusal.into())),
                }
            }
        }
        if !self.nominees.is_empty() {
            let refused = found.fitting.iter().filter_map(|index| {
                let index = *index as usize;
                Some((index, self.refused_by_nominees(ask, index, &found.related)?))
            });
            let refused: HashMap<usize, Refusals> = refused.collect();
            found.fitting.retain(|index| !refused.contains_key(&(*index as usize)));
            found.refused.extend(refused);
        }
        found
    }

    /// What speaks against a node that would fit, if the places kept on it were taken.
    fn refused_by_nominees(&self, ask: &Ask<'_>, index: usize, related: &Related) -> Option<Refusals> {
        let slot = &self.slots[index];
        let offer = slot.offer.as_ref()?;
        let nominees: Vec<&Demand> = self.nominees_before(ask, &slot.name).collect();
        if nominees.is_empty() {
            return None;
        }
        let mut load = slot.load.clone();
        let mut related = related.clone();
        for nominee in nominees {
            load.add(&nominee.local);
            related.shift(&self.around(), ask.demand, nominee, index, 1);
        }
        self.refused_with(ask, index, offer, &load, &related)
    }

    /// What pods for which places are kept on a node demand, of those that come before this one.
    fn nominees_before<'a>(&'a self, ask: &Ask<'a>, node: &str) -> impl Iterator<Item = &'a Demand> {
        let (uid, priority) = (ask.uid, ask.priority);
        let nominees = self.nominees.get(node).into_iter().flatten().filter(move |other| *other != uid);
        let nominees = nominees.filter_map(|other| self.nominated.get(other));
        nominees.filter(move |other| other.priority >= priority).map(|other| &other.demand)
    }

    fn refused_with(
        &self,
        ask: &Ask<'_>,
        index: usize,
        offer: &Offer,
        load: &Load,
        related: &Related,
    ) -> Option<Refusals> {
        let profile = self.profiles.get(ask.profile)?;
        refusals(profile, &ask.demand.local, &self.slots[index].name, offer, load)
            .or_else(|| related.refusal(&self.topology, index).map(Refusals::from))
    }

    fn around(&self) -> Around<'_> {
        Around { topology: &self.topology, namespaces: self.census.namespaces() }
    }

    fn explain(&self, ask: &Ask<'_>, found: &Found) -> Unschedulable {
        if let Some(reason) = found.related.everywhere() {
            return Unschedulable::everywhere(reason.clone(), self.nodes);
        }
        let class = self.classes.get(&(ask.profile, ask.demand.local.clone()));
        let mut reasons = class.map(Class::explain).unwrap_or_default();
        found.refused.values().for_each(|refusals| reasons.count(refusals, 1));
        reasons
    }

    fn best(&mut self, ask: &Ask<'_>, fitting: &[u32]) -> Option<usize> {
        let liked = self.liked(ask, fitting)?;
        let class = self.classes.get(&(ask.profile, ask.demand.local.clone()))?;
        if liked.is_indifferent()
            && fitting.len() == class.fitting().len()
            && let Some(best) = class.best()
        {
            return Some(best);
        }
        let mut best: Option<(i64, usize)> = None;
        self.score(ask, &liked, fitting, |index, score| {
            let is_better = |(most, first): (i64, usize)| score > most || (score == most && index < first);
            if best.is_none_or(is_better) {
                best = Some((score, index));
            }
        });
        best.map(|(_, index)| index)
    }

    /// What makes some of the nodes that fit better than others because of pods elsewhere.
    fn liked(&mut self, ask: &Ask<'_>, fitting: &[u32]) -> Option<Liked> {
        let (profile, class) =
            (self.profiles.get(ask.profile)?, self.classes.get(&(ask.profile, ask.demand.local.clone()))?);
        let (slots, topology) = (&self.slots, &mut self.topology);
        let (census, volumes) = (&mut self.census, &self.volumes);
        Some(Liked::new(&mut Ground { profile, slots, class, topology, census, volumes }, ask.demand, fitting))
    }

    /// Scores each of the nodes that fit, normalised over them as upstream does.
    fn score(&self, ask: &Ask<'_>, liked: &Liked, fitting: &[u32], mut tell: impl FnMut(usize, i64)) {
        let key = (ask.profile, ask.demand.local.clone());
        let (Some(profile), Some(class)) = (self.profiles.get(ask.profile), self.classes.get(&key)) else { return };
        let topology = &self.topology;
        let weight = |plugin| profile.weight(plugin);
        let normalised = |plugin, is_needed: bool, raw: &dyn Fn(usize) -> Option<i64>| -> Option<Part> {
            (weight(plugin) != 0 && is_needed).then(|| Part::new(weight(plugin), fitting, raw))
        };
        let taints =
            normalised(Plugin::TaintToleration, class.with_taints > 0, &|index| Some(class.verdict(index).taints));
        let preference =
            normalised(Plugin::NodeAffinity, class.with_preference > 0, &|index| Some(class.verdict(index).preference));
        let spread =
            normalised(Plugin::PodTopologySpread, liked.has_spread(), &|index| liked.spread_at(topology, index));
        let affinity = normalised(Plugin::InterPodAffinity, liked.has_affinity(), &|index| {
            Some(liked.affinity_at(topology, index))
        });
        let images = (weight(Plugin::ImageLocality) != 0 && class.with_images > 0).then(|| {
            let nodes_with = |name: &String| self.images.get(name).copied().unwrap_or_default();
            ask.demand.local.images.iter().map(nodes_with).collect::<Vec<usize>>()
        });
        for (nth, index) in fitting.iter().enumerate() {
            let index = *index as usize;
            let verdict = class.verdict(index);
            let mut score = verdict.resources;
            score += taints.as_ref().map_or(0, |part| part.less_is_better(nth));
            score += preference.as_ref().map_or(0, |part| part.more_is_better(nth));
            score += spread.as_ref().map_or(0, |part| part.evenly(nth));
            score += affinity.as_ref().map_or(0, |part| part.between(nth));
            if let Some(nodes_with) = &images {
                let scaled = |(image, bytes): &(u32, i64)| {
                    let having = nodes_with[*image as usize] as f64 / self.nodes as f64;
                    (*bytes as f64 * having) as i64
                };
                let bytes = verdict.images.iter().map(scaled).sum();
                score += weight(Plugin::ImageLocality) * image_score(bytes, ask.demand.local.images.len());
            }
            tell(index, score);
        }
    }

    /// Brings what is known of a class up to date.
    fn refresh(&mut self, ask: &Ask<'_>) {
        self.questions += 1;
        let key = (ask.profile, ask.demand.local.clone());
        if self.classes.len() >= CLASSES_MAX && !self.classes.contains_key(&key) {
            let oldest = self.classes.iter().min_by_key(|(_, class)| class.used).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.classes.remove(&oldest));
        }
        let end = self.log_start + self.log.len() as u64;
        let (slots, log, demand) = (&self.slots, &self.log, &ask.demand.local);
        let Some(profile) = self.profiles.get(ask.profile) else { return };
        let class = self.classes.entry(key).or_default();
        // A class that was never asked for, or is behind the log, starts anew; so does one that would take longer.
        let behind = class.position.checked_sub(self.log_start).and_then(|skip| usize::try_from(skip).ok());
        match behind.filter(|_| class.used > 0 && end - class.position <= slots.len() as u64) {
            Some(skip) => log.iter().skip(skip).for_each(|index| class.look_again(profile, demand, slots, *index)),
            None => class.rebuild(profile, demand, slots),
        }
        class.position = end;
        class.used = self.questions;
    }

    fn slot(&mut self, name: &str) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let name: Arc<str> = name.into();
        let slot = Slot {
            name: Arc::clone(&name),
            offer: None,
            version: 0,
            load: Load::default(),
            pods: Vec::new(),
            mounts: Vec::new(),
            priorities: BTreeMap::new(),
        };
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
        if slot.offer.is_none() && slot.pods.is_empty() && self.by_name.remove(&slot.name).is_some() {
            self.free.push(index);
        }
    }

    fn replace_offer(&mut self, index: usize, offer: Option<Offer>) {
        self.versions += 1;
        let slot = &mut self.slots[index];
        slot.version = if offer.is_some() { self.versions } else { 0 };
        let before = std::mem::replace(&mut slot.offer, offer);
        let after = self.slots[index].offer.as_ref();
        self.nodes = self.nodes + usize::from(after.is_some()) - usize::from(before.is_some());
        for name in before.iter().flat_map(|offer| offer.images.keys()) {
            if let Some(count) = self.images.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.images.remove(name);
                }
            }
        }
        for name in after.iter().flat_map(|offer| offer.images.keys()) {
            match self.images.get_mut(name) {
                Some(count) => *count += 1,
                None => drop(self.images.insert(name.clone(), 1)),
            }
        }
        self.topology.set(index, after.map(|offer| &offer.labels));
        self.changed(index);
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

/// What one plugin counts on each of the nodes, to be normalised over all of them.
struct Part {
    weight: i64,
    raw: Vec<Option<i64>>,
    least: i64,
    most: i64,
}

impl Part {
    fn new(weight: i64, fitting: &[u32], raw: &dyn Fn(usize) -> Option<i64>) -> Self {
        let raw: Vec<Option<i64>> = fitting.iter().map(|index| raw(*index as usize)).collect();
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        for count in raw.iter().flatten() {
            (least, most) = (least.min(*count), most.max(*count));
        }
        if least > most {
            (least, most) = (0, 0); // nobody takes part
        }
        Self { weight, raw, least, most }
    }

    fn raw(&self, nth: usize) -> i64 {
        self.raw[nth].unwrap_or_default()
    }

    fn more_is_better(&self, nth: usize) -> i64 {
        self.weight * if self.most == 0 { 0 } else { FULL * self.raw(nth) / self.most }
    }

    fn less_is_better(&self, nth: usize) -> i64 {
        self.weight * if self.most == 0 { FULL } else { FULL - FULL * self.raw(nth) / self.most }
    }

    /// As upstream normalises the spread: the least gets full marks, those who take no part none.
    fn evenly(&self, nth: usize) -> i64 {
        self.weight
            * match self.raw[nth] {
                None => 0,
                Some(_) if self.most == 0 => FULL,
                Some(count) => FULL * (self.most + self.least - count) / self.most,
            }
    }

    /// As upstream normalises affinity: the least gets none, the most full marks; counts may be negative.
    fn between(&self, nth: usize) -> i64 {
        let distance = self.most - self.least;
        if distance <= 0 {
            return 0;
        }
        self.weight * ((FULL as f64 * ((self.raw(nth) - self.least) as f64 / distance as f64)) as i64)
    }
}

#[cfg(test)]
mod tests;
