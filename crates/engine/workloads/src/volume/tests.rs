//! A small world of claims and volumes in which plans are carried out until there is nothing to write.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::{Value, from_value, json};

use super::*;

#[derive(Default)]
struct World {
    volumes: BTreeMap<String, PersistentVolume>,
    claims: BTreeMap<String, PersistentVolumeClaim>,
    classes: BTreeMap<String, StorageClass>,
    events: Vec<String>,
}

fn merged(mut base: Value, more: Value) -> Value {
    for (key, value) in more.as_object().cloned().unwrap_or_default() {
        base[key] = value;
    }
    base
}

impl World {
    fn volume(mut self, name: &str, size: &str, spec: Value) -> Self {
        let base = json!({"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain"});
        let object = json!({"metadata": {"name": name, "uid": name}, "spec": merged(base, spec)});
        self.volumes.insert(name.to_owned(), from_value(object).unwrap());
        self
    }

    fn claim(mut self, name: &str, size: &str, spec: Value) -> Self {
        let base = json!({"resources": {"requests": {"storage": size}}, "accessModes": ["ReadWriteOnce"]});
        let object = json!({"metadata": {"namespace": "n", "name": name, "uid": name}, "spec": merged(base, spec)});
        self.claims.insert(name.to_owned(), from_value(object).unwrap());
        self
    }

    fn class(mut self, name: &str, provisioner: &str, mode: &str) -> Self {
        let object = json!({"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode});
        self.classes.insert(name.to_owned(), from_value(object).unwrap());
        self
    }

    /// One round over all objects, each up to one write; false if nothing was written.
    fn step(&mut self) -> bool {
        let mut plans = Vec::new();
        let volumes: Vec<Arc<PersistentVolume>> = self.volumes.values().cloned().map(Arc::new).collect();
        for claim in self.claims.values() {
            let spec = claim.spec.as_ref().unwrap();
            let named = spec.volume_name.as_ref().and_then(|name| self.volumes.get(name));
            let class = spec.storage_class_name.as_ref().and_then(|name| self.classes.get(name));
            let default_class = self.classes.get("default");
            plans.push(plan_claim(&ClaimView {
                claim,
                named,
                volumes: &volumes,
                class,
                default_class,
                waiting_pods: &[],
            }));
        }
        for volume in self.volumes.values() {
            let kept = volume.spec.as_ref().unwrap().claim_ref.as_ref();
            let claim = kept.and_then(|kept| self.claims.get(kept.name.as_ref().unwrap()));
            plans.push(plan_volume(&VolumeView { volume, claim }));
        }
        let mut wrote = false;
        for plan in plans {
            for event in plan.events {
                let line = format!("{}: {}", event.reason, event.message);
                if !self.events.contains(&line) {
                    self.events.push(line);
                }
            }
            // The others are planned again from what this one left.
            let Some(write) = plan.write.filter(|_| !wrote) else { continue };
            wrote = true;
            match write {
                Write::Volume(object) | Write::VolumeStatus(object) => {
                    self.volumes.insert(object.metadata.name.clone().unwrap(), *object);
                }
                Write::Claim(object) | Write::ClaimStatus(object) => {
                    self.claims.insert(object.metadata.name.clone().unwrap(), *object);
                }
            }
        }
        wrote
    }

    fn settle(mut self) -> Self {
        for _ in 0..100 {
            if !self.step() {
                return self;
            }
        }
        panic!("no end: {:?} {:?}", self.volumes, self.claims);
    }

    /// `volume=phase(claim)` and `claim=phase(volume)` of all.
    fn shown(&self) -> String {
        let volumes = self.volumes.iter().map(|(name, volume)| {
            let kept = volume.spec.as_ref().unwrap().claim_ref.as_ref().and_then(|kept| kept.name.clone());
            let phase = volume.status.as_ref().and_then(|status| status.phase.clone());
            format!("{name}={}({})", phase.unwrap_or_default(), kept.unwrap_or_default())
        });
        let claims = self.claims.iter().map(|(name, claim)| {
            let named = claim.spec.as_ref().unwrap().volume_name.clone();
            let phase = claim.status.as_ref().and_then(|status| status.phase.clone());
            format!("{name}={}({})", phase.unwrap_or_default(), named.unwrap_or_default())
        });
        volumes.chain(claims).collect::<Vec<_>>().join(" ")
    }
}

fn check(world: World, expected: &str, event: &str) -> World {
    let world = world.settle();
    assert_eq!(world.shown(), expected, "{:?}", world.events);
    assert!(world.events.iter().any(|line| line.starts_with(event)) || event.is_empty(), "{:?}", world.events);
    world
}

#[test]
fn bindings() {
    let world = World::default;
    check(
        world().volume("v1", "1Gi", json!({})).volume("v2", "2Gi", json!({})).claim("c", "2Gi", json!({})),
        "v1=Available() v2=Bound(c) c=Bound(v2)",
        "",
    );
    check(
        world().claim("c", "1Gi", json!({})),
        "c=Pending()",
        "FailedBinding: no persistent volumes available for this claim and no storage class is set",
    );
    check(
        world()
            .volume("v", "1Gi", json!({"claimRef": {"namespace": "n", "name": "d"}}))
            .claim("c", "1Gi", json!({}))
            .claim("d", "1Gi", json!({})),
        "v=Bound(d) c=Pending() d=Bound(v)",
        "",
    );
    check(
        world().volume("v", "1Gi", json!({})).claim("c", "2Gi", json!({"volumeName": "v"})),
        "v=Available() c=Pending(v)",
        "VolumeMismatch: Cannot bind to requested volume \"v\": requested PV is too small",
    );
    check(world().claim("c", "2Gi", json!({"volumeName": "v"})), "c=Pending(v)", "");
    check(
        world().volume("v", "1Gi", json!({})).claim("c", "1Gi", json!({})).claim(
            "d",
            "1Gi",
            json!({"volumeName": "v"}),
        ),
        "v=Bound(d) c=Pending() d=Bound(v)",
        "",
    );
    check(
        world()
            .volume("v", "1Gi", json!({"storageClassName": "wait"}))
            .claim("c", "1Gi", json!({"storageClassName": "wait"}))
            .class("wait", "kubernetes.io/no-provisioner", "WaitForFirstConsumer"),
        "v=Available() c=Pending()",
        "WaitForFirstConsumer: waiting for first consumer to be created before binding",
    );
    check(
        world().claim("c", "1Gi", json!({"storageClassName": "x"})),
        "c=Pending()",
        "ProvisioningFailed: storageclass.storage.k8s.io \"x\" not found",
    );
    check(
        world().claim("c", "1Gi", json!({"storageClassName": "x"})).class(
            "x",
            "kubernetes.io/no-provisioner",
            "Immediate",
        ),
        "c=Pending()",
        "ProvisioningFailed: no volume plugin matched name: kubernetes.io/no-provisioner",
    );
    let asked = check(
        world().claim("c", "1Gi", json!({})).class("default", "example.com/p", "Immediate"),
        "c=Pending()",
        "ExternalProvisioning: Waiting for a volume to be created either by the external provisioner 'example.com/p'",
    );
    assert_eq!(annotation(&asked.claims["c"].metadata, PROVISIONER), Some("example.com/p"));
}

#[test]
fn what_becomes_of_volumes_whose_claim_is_gone() {
    for (policy, made_by, expected, event) in [
        ("Retain", None, "v=Released(c)", ""),
        ("Delete", Some("example.com/p"), "v=Released(c)", ""),
        (
            "Delete",
            None,
            "v=Failed(c)",
            "VolumeFailedDelete: error getting deleter volume plugin for volume \"v\": no deletable volume plugin matched",
        ),
        ("Recycle", None, "v=Failed(c)", "VolumeFailedRecycle: No recycler plugin found for the volume!"),
    ] {
        let mut world = World::default()
            .volume("v", "1Gi", json!({"persistentVolumeReclaimPolicy": policy}))
            .claim("c", "1Gi", json!({}))
            .settle();
        if let Some(made_by) = made_by {
            let volume = world.volumes.get_mut("v").unwrap();
            binding::annotate(&mut volume.metadata.annotations, PROVISIONED_BY, made_by);
        }
        world.claims.clear();
        let world = check(world, expected, event);
        // A successor of the same name does not get the data.
        let mut successor = world.claim("c", "1Gi", json!({}));
        successor.claims.get_mut("c").unwrap().metadata.uid = Some("another".to_owned());
        check(successor, &format!("{expected} c=Pending()"), "");
    }
}

#[test]
fn what_becomes_of_claims_whose_volume_is_gone() {
    let mut world = World::default().volume("v", "1Gi", json!({})).claim("c", "1Gi", json!({})).settle();
    world.volumes.clear();
    check(world, "c=Lost(v)", "ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!");
}

#[test]
fn a_crash_between_any_two_writes_changes_nothing() {
    for crash_after in 0..8 {
        let mut world = World::default()
            .volume("v1", "1Gi", json!({}))
            .volume("v2", "1Gi", json!({}))
            .claim("c", "1Gi", json!({}))
            .claim("d", "1Gi", json!({}));
        for _ in 0..crash_after {
            world.step();
        }
        check(world, "v1=Bound(c) v2=Bound(d) c=Bound(v1) d=Bound(v2)", "");
    }
}

#[test]
fn directories_of_a_node() {
    let local = LocalPath { provisioner: "example.com/p", node: "n1", host_name: "h1", directory: "/data/volumes" };
    let class =
        from_value(json!({"metadata": {"name": "x"}, "provisioner": "example.com/p", "reclaimPolicy": "Delete"}));
    let class: StorageClass = class.unwrap();
    let claim = |spec: Value| {
        let mut world = World::default().claim("c", "1Gi", spec);
        let mut claim = world.claims.remove("c").unwrap();
        binding::annotate(&mut claim.metadata.annotations, PROVISIONER, "example.com/p");
        claim
    };
    let mut wanted = claim(json!({"storageClassName": "x"}));
    assert!(!is_to_provision(&local, &wanted));
    binding::annotate(&mut wanted.metadata.annotations, SELECTED_NODE, "n2");
    assert!(!is_to_provision(&local, &wanted));
    binding::annotate(&mut wanted.metadata.annotations, SELECTED_NODE, "n1");
    assert!(is_to_provision(&local, &wanted));
    let made = local.provision(&wanted, &class).unwrap();
    assert_eq!(made.path, "/data/volumes/pvc-c");
    assert!(local.has_made(&made.volume) && removal(&made.volume) == Removal::Keep);
    let elsewhere = LocalPath { host_name: "h2", ..local.clone() };
    assert!(!elsewhere.has_made(&made.volume));
    let mut forged = made.volume;
    forged.spec.as_mut().unwrap().local.as_mut().unwrap().path = "/data/volumes/../pods".to_owned();
    assert!(!local.has_made(&forged));
    for (spec, error) in [
        (json!({"volumeMode": "Block"}), "example.com/p does not support block volume provisioning"),
        (json!({"selector": {}}), "claim Selector is not supported"),
        (json!({"accessModes": ["ReadWriteMany"]}), "a directory of one node cannot be accessed as ReadWriteMany"),
    ] {
        assert_eq!(local.provision(&claim(spec), &class).unwrap_err(), error);
    }
}

#[test]
fn directories_go_with_their_claims() {
    use Removal::{Keep, VolumeAlone, WithDirectory};
    for (policy, phase, deleting, expected) in [
        ("Delete", "Bound", false, Keep),
        ("Delete", "Bound", true, Keep),
        ("Delete", "Released", false, WithDirectory),
        ("Delete", "Available", true, WithDirectory),
        ("Retain", "Released", false, Keep),
        ("Retain", "Released", true, VolumeAlone),
    ] {
        let mut world = World::default().volume("v", "1Gi", json!({"persistentVolumeReclaimPolicy": policy}));
        let mut volume = world.volumes.remove("v").unwrap();
        volume.status = Some(from_value(json!({"phase": phase})).unwrap());
        volume.metadata.deletion_timestamp = deleting.then(|| from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        assert_eq!(removal(&volume), expected, "{policy} {phase} {deleting}");
    }
}
