//! A small API in memory and a collector that works until nothing is left to do.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

use super::*;

/// The API: objects by name; the kind is the first word of the name (`set/a`, `pod/b`); uid = name.
#[derive(Default)]
struct Api {
    objects: BTreeMap<String, ObjectMeta>,
    graph: Graph,
    version: u64,
}

fn kind_of(name: &str) -> Arc<Kind> {
    Arc::new(Kind { api_version: "v1".to_owned(), kind: name.split('/').next().unwrap().to_owned() })
}

impl Api {
    fn tell(&mut self, name: &str) {
        let metadata = self.objects[name].clone();
        self.graph.observe(Observed::new(&kind_of(name), &metadata));
    }

    /// `owners` are names, with `!` if the dependent blocks the owner's deletion.
    fn create(&mut self, name: &str, owners: &[&str]) {
        let references = owners.iter().map(|owner| OwnerReference {
            api_version: "v1".to_owned(),
            kind: kind_of(owner).kind.clone(),
            name: owner.trim_end_matches('!').to_owned(),
            uid: owner.trim_end_matches('!').to_owned(),
            block_owner_deletion: Some(owner.ends_with('!')),
            controller: None,
        });
        self.version += 1;
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            uid: Some(name.to_owned()),
            namespace: (!name.starts_with("cluster")).then(|| "ns".to_owned()),
            owner_references: Some(references.collect()),
            resource_version: Some(self.version.to_string()),
            ..ObjectMeta::default()
        };
        self.objects.insert(name.to_owned(), metadata);
        self.tell(name);
    }

    fn delete(&mut self, name: &str, policy: Policy) {
        let Some(metadata) = self.objects.get_mut(name) else { return };
        self.version += 1;
        metadata.resource_version = Some(self.version.to_string());
        metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        let finalizers = metadata.finalizers.get_or_insert_default();
        match policy {
            Policy::Foreground => finalizers.push(FOREGROUND.to_owned()),
            Policy::Orphan => finalizers.push(ORPHAN.to_owned()),
            Policy::Background => {}
        }
        self.settle_deletion(name);
    }

    fn settle_deletion(&mut self, name: &str) {
        let metadata = &self.objects[name];
        let is_held = metadata.finalizers.iter().flatten().next().is_some();
        if metadata.deletion_timestamp.is_some() && !is_held {
            self.objects.remove(name);
            self.graph.remove(name);
        } else {
            self.tell(name);
        }
    }

    fn remove_finalizer(&mut self, name: &str, finalizer: &str) {
        let Some(metadata) = self.objects.get_mut(name) else { return };
        metadata.finalizers.get_or_insert_default().retain(|found| found != finalizer);
        self.settle_deletion(name);
    }

    fn drop_owners(&mut self, name: &str, uids: &[Uid]) {
        let Some(metadata) = self.objects.get_mut(name) else { return };
        metadata.owner_references.get_or_insert_default().retain(|owner| !uids.iter().any(|uid| **uid == *owner.uid));
        self.tell(name);
    }

    /// Works until nothing is left to do; `false` if it never ends.
    fn collect(&mut self) -> bool {
        for _ in 0..1000 {
            let work = self.graph.take_work();
            if work.is_empty() {
                return true;
            }
            for work in work {
                match work {
                    Work::Orphan(uid) => {
                        let Some((owner, dependents)) = self.graph.orphans(&uid) else { continue };
                        for dependent in dependents {
                            self.drop_owners(&dependent.name, &[Arc::clone(&owner.uid)]);
                        }
                        self.remove_finalizer(&owner.name, ORPHAN);
                    }
                    Work::Look(uid) => self.look(&uid),
                }
            }
        }
        false
    }

    fn look(&mut self, uid: &str) {
        for _ in 0..5 {
            match self.graph.decide(uid) {
                Decision::Nothing => return,
                Decision::Ask(identities) => {
                    for identity in identities {
                        if !self.objects.contains_key(&*identity.name) {
                            self.graph.absent(&identity);
                        }
                    }
                }
                Decision::Finish(identity) => return self.remove_finalizer(&identity.name, FOREGROUND),
                Decision::DropOwners(identity, uids) => return self.drop_owners(&identity.name, &uids),
                Decision::Delete { identity, policy, unblock, resource_version } => {
                    let found = self.objects[&*identity.name].resource_version.as_deref();
                    assert_eq!(found, Some(&*resource_version));
                    if unblock {
                        let metadata = self.objects.get_mut(&*identity.name).unwrap();
                        for owner in metadata.owner_references.iter_mut().flatten() {
                            owner.block_owner_deletion = Some(false);
                        }
                        self.tell(&identity.name);
                    }
                    return self.delete(&identity.name, policy);
                }
            }
        }
    }

    fn names(&self) -> Vec<&str> {
        self.objects.keys().map(String::as_str).collect()
    }
}

/// A deployment with a set and two pods, and a stranger.
fn family() -> Api {
    let mut api = Api::default();
    api.create("deployment/d", &[]);
    api.create("set/s", &["deployment/d!"]);
    api.create("pod/a", &["set/s!"]);
    api.create("pod/b", &["set/s!"]);
    api.create("pod/stranger", &[]);
    assert!(api.collect());
    assert_eq!(api.objects.len(), 5);
    api
}

#[test]
fn background_deletion_cascades() {
    let mut api = family();
    api.delete("deployment/d", Policy::Background);
    assert!(!api.objects.contains_key("deployment/d") && api.objects.contains_key("set/s"));
    assert!(api.collect());
    assert_eq!(api.names(), ["pod/stranger"]);
}

#[test]
fn foreground_deletion_goes_leaves_first() {
    let mut api = family();
    api.objects.get_mut("pod/b").unwrap().finalizers = Some(vec!["example.com/hold".to_owned()]);
    api.tell("pod/b");
    api.delete("deployment/d", Policy::Foreground);
    assert!(api.collect());
    assert_eq!(api.names(), ["deployment/d", "pod/b", "pod/stranger", "set/s"], "held by one pod's finalizer");
    api.remove_finalizer("pod/b", "example.com/hold");
    assert!(api.collect());
    assert_eq!(api.names(), ["pod/stranger"]);
}

#[test]
fn dependents_that_do_not_block_are_not_waited_for() {
    let mut api = Api::default();
    api.create("set/s", &[]);
    api.create("pod/a", &["set/s"]);
    api.objects.get_mut("pod/a").unwrap().finalizers = Some(vec!["example.com/hold".to_owned()]);
    api.tell("pod/a");
    api.delete("set/s", Policy::Foreground);
    assert!(api.collect());
    assert_eq!(api.names(), ["pod/a"]);
}

#[test]
fn orphans_stay() {
    let mut api = family();
    api.delete("set/s", Policy::Orphan);
    assert!(api.collect());
    assert_eq!(api.names(), ["deployment/d", "pod/a", "pod/b", "pod/stranger"]);
    assert!(api.objects["pod/a"].owner_references.as_ref().unwrap().is_empty());
}

#[test]
fn one_solid_owner_is_enough() {
    let mut api = Api::default();
    api.create("set/a", &[]);
    api.create("set/b", &[]);
    api.create("pod/p", &["set/a!", "set/b!"]);
    assert!(api.collect());
    api.delete("set/a", Policy::Foreground);
    assert!(api.collect());
    assert_eq!(api.names(), ["pod/p", "set/b"]);
    assert_eq!(api.objects["pod/p"].owner_references.as_ref().unwrap().len(), 1);
    api.delete("set/b", Policy::Background);
    assert!(api.collect());
    assert!(api.names().is_empty());
}

#[test]
fn an_owner_that_never_was_is_found_out() {
    let mut api = Api::default();
    api.create("pod/p", &["set/ghost"]);
    assert!(api.collect());
    assert!(api.names().is_empty());
    // A second one is caught although the ghost is known already.
    api.create("pod/q", &["set/ghost"]);
    assert!(api.collect());
    assert!(api.names().is_empty());
    assert!(api.graph.is_empty());
}

#[test]
fn a_dependent_may_be_seen_before_its_owner() {
    let mut api = Api::default();
    api.create("set/s", &[]);
    let mut late = Api { objects: api.objects.clone(), ..Api::default() };
    late.create("pod/p", &["set/s"]);
    assert!(late.collect(), "the API says that the owner exists");
    late.tell("set/s");
    assert!(late.collect());
    assert_eq!(late.names(), ["pod/p", "set/s"]);
}

#[test]
fn a_reference_with_the_wrong_name_is_no_owner() {
    let mut api = Api::default();
    api.create("set/s", &[]);
    api.create("pod/p", &["set/s"]);
    api.objects.get_mut("pod/p").unwrap().owner_references.as_mut().unwrap()[0].name = "set/other".to_owned();
    api.tell("pod/p");
    assert!(api.collect());
    assert_eq!(api.names(), ["set/s"]);
}

#[test]
fn a_cluster_object_is_never_collected_for_a_namespaced_owner() {
    let mut api = Api::default();
    api.create("set/s", &[]);
    api.create("cluster/c", &["set/s"]);
    assert!(api.collect());
    assert_eq!(api.names(), ["cluster/c", "set/s"]);
}

#[test]
fn a_circle_in_the_foreground_ends() {
    let mut api = Api::default();
    api.create("a/a", &["b/b!"]);
    api.create("b/b", &["a/a!"]);
    assert!(api.collect());
    api.delete("a/a", Policy::Foreground);
    assert!(api.collect());
    assert!(api.names().is_empty(), "{:?}", api.names());
}

#[test]
fn a_fresh_listing_removes_what_it_lacks() {
    let mut api = family();
    api.objects.remove("set/s");
    api.graph.retain(&kind_of("set/s"), &HashSet::new());
    assert!(api.collect());
    assert_eq!(api.names(), ["deployment/d", "pod/stranger"]);
}

#[test]
fn an_emptied_namespace_is_told() {
    let mut graph = Graph::default();
    let observed = |name: &str| {
        let metadata = ObjectMeta {
            name: Some(name.into()),
            uid: Some(name.into()),
            namespace: Some("ns".into()),
            ..Default::default()
        };
        Observed::new(&kind_of("pod/x"), &metadata)
    };
    graph.observe(observed("a"));
    graph.observe(observed("a"));
    graph.observe(observed("b"));
    assert_eq!(graph.remove("a"), None);
    assert_eq!(graph.remove("unknown"), None);
    assert_eq!(graph.remove("b").as_deref(), Some("ns"));
}

use std::collections::HashSet;

proptest! {
    /// In any forest of owners, deleting any object in the background or foreground takes exactly what nothing else
    /// holds, and the collector comes to rest.
    #[test]
    fn what_has_no_owner_left_goes(
        owners in prop::collection::vec(prop::collection::vec((0..20_usize, any::<bool>()), 0..3), 1..20),
        victims in prop::collection::vec((0..20_usize, any::<bool>()), 1..4),
    ) {
        let mut api = Api::default();
        let name = |number: usize| format!("kind{}/{number}", number % 3);
        let mut expected: BTreeMap<usize, HashSet<usize>> = BTreeMap::new();
        for (number, owners) in owners.iter().enumerate() {
            let owners: Vec<(usize, bool)> = owners.iter().filter(|(owner, _)| *owner < number).copied().collect();
            let names: Vec<String> = owners.iter().map(|(owner, blocks)| format!("{}{}", name(*owner), if *blocks { "!" } else { "" })).collect();
            api.create(&name(number), &names.iter().map(String::as_str).collect::<Vec<_>>());
            expected.insert(number, owners.iter().map(|(owner, _)| *owner).collect());
        }
        prop_assert!(api.collect());
        for (victim, foreground) in victims {
            api.delete(&name(victim), if foreground { Policy::Foreground } else { Policy::Background });
            prop_assert!(api.collect());
            let mut gone = HashSet::from([victim]);
            for (number, owners) in &mut expected {
                let had = !owners.is_empty();
                owners.retain(|owner| !gone.contains(owner));
                if had && owners.is_empty() {
                    gone.insert(*number);
                }
            }
            expected.retain(|number, _| !gone.contains(number));
            let mut names: Vec<String> = expected.keys().map(|number| name(*number)).collect();
            names.sort();
            prop_assert_eq!(api.names(), names);
        }
    }
}
