//! Pods with claims on a small cluster: where they go, and why not.

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::serde_json::{Value, from_value, json};

use super::*;
use crate::cluster::{Ask, Cluster, Pod};
use crate::demand::Demand;

fn node(name: &str, zone: &str) -> Node {
    let labels = json!({"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone});
    from_value(json!({"metadata": {"name": name, "labels": labels},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}}))
    .unwrap()
}

fn on(node: &str) -> Value {
    let term = json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]});
    json!({"required": {"nodeSelectorTerms": [term]}})
}

fn volume(name: &str, class: &str, more: Value) -> Arc<PersistentVolume> {
    let mut spec = json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": class});
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let object = json!({"metadata": {"name": name}, "spec": spec, "status": {"phase": "Available"}});
    Arc::new(from_value(object).unwrap())
}

fn claim(name: &str, class: &str, more: Value) -> Arc<PersistentVolumeClaim> {
    let mut object = json!({"metadata": {"namespace": "n", "name": name, "uid": name}, "status": {"phase": "Pending"},
        "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    for (path, value) in more.as_object().into_iter().flatten() {
        *object.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value.clone();
    }
    Arc::new(from_value(object).unwrap())
}

/// A claim that is bound to a volume for good.
fn bound(name: &str, volume: &str) -> Arc<PersistentVolumeClaim> {
    let metadata = json!({"namespace": "n", "name": name, "uid": name,
        "annotations": {"pv.kubernetes.io/bind-completed": "yes"}});
    let spec = json!({"volumeName": volume, "accessModes": ["ReadWriteOncePod"]});
    Arc::new(from_value(json!({"metadata": metadata, "spec": spec, "status": {"phase": "Bound"}})).unwrap())
}

fn cluster() -> Cluster {
    let mut cluster = Cluster::default();
    for (name, zone) in [("a", "east"), ("b", "west")] {
        cluster.set_node(&node(name, zone));
    }
    for (name, provisioner, mode) in [
        ("static", "kubernetes.io/no-provisioner", "WaitForFirstConsumer"),
        ("made", "example.com/p", "WaitForFirstConsumer"),
        ("at-once", "example.com/p", "Immediate"),
    ] {
        let class = json!({"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode});
        cluster.volumes_mut().set_class(name, Some(Arc::new(from_value(class).unwrap())));
    }
    cluster
}

fn pod(name: &str, claims: &[&str]) -> Demand {
    let volumes: Vec<Value> =
        claims.iter().map(|claim| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}})).collect();
    let object = json!({"metadata": {"namespace": "n", "name": name, "uid": name},
        "spec": {"containers": [{"name": "c"}], "volumes": volumes}});
    Demand::of(&from_value(object).unwrap())
}

fn ask<'a>(uid: &'a Uid, demand: &'a Demand) -> Ask<'a> {
    Ask { uid, demand, priority: 0, profile: 0 }
}

/// Places a pod with these claims, and what is decided about them; or why it has no place.
fn place(cluster: &mut Cluster, name: &str, claims: &[&str]) -> String {
    let (uid, demand) = (Uid(name.into()), pod(name, claims));
    let node = match cluster.place(&ask(&uid, &demand)) {
        Ok(node) => node,
        Err(reason) => return reason.to_string(),
    };
    let Claiming { kept, selected, .. } = cluster.claim_volumes(&uid, &demand, &node);
    let placed = Pod { name: name.into(), demand, priority: 0, started: None, is_giving_way: false };
    cluster.put(&uid, placed, &node);
    let kept = kept.into_iter().filter_map(|volume| volume.metadata.name).map(|name| format!(" keeps {name}"));
    let made = selected.into_iter().filter_map(|claim| claim.metadata.name).map(|name| format!(" makes {name}"));
    format!("{node}{}", kept.chain(made).collect::<String>())
}

#[test]
fn bound_claims() {
    let mut cluster = cluster();
    let zone = |zone: &str| {
        let mut volume = PersistentVolume::clone(&volume("zonal", "", json!({})));
        volume.metadata.labels = Some([("topology.kubernetes.io/zone".to_owned(), zone.to_owned())].into());
        Arc::new(volume)
    };
    cluster.volumes_mut().set_volume(volume("on-b", "", json!({"nodeAffinity": on("b")})));
    cluster.volumes_mut().set_volume(volume("on-c", "", json!({"nodeAffinity": on("c")})));
    cluster.volumes_mut().set_volume(zone("west__south"));
    for (name, volume) in [("one", "on-b"), ("two", "on-c"), ("three", "gone"), ("four", "zonal")] {
        cluster.volumes_mut().set_claim(bound(name, volume));
    }
    assert_eq!(place(&mut cluster, "p1", &["one"]), "b");
    assert_eq!(
        place(&mut cluster, "p2", &["one"]),
        "0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode."
    );
    cluster.take(&Uid("p1".into()));
    assert_eq!(place(&mut cluster, "p2", &["one"]), "b");
    assert_eq!(
        place(&mut cluster, "p3", &["two"]),
        "0/2 nodes are available: 2 node(s) had volume node affinity conflict."
    );
    assert_eq!(
        place(&mut cluster, "p4", &["three"]),
        "0/2 nodes are available: 2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)."
    );
    assert_eq!(place(&mut cluster, "p5", &["four"]), "b");
    cluster.take(&Uid("p5".into()));
    cluster.volumes_mut().set_volume(zone("north"));
    assert_eq!(
        place(&mut cluster, "p5", &["four"]),
        "0/2 nodes are available: 2 node(s) had no available volume zone."
    );
}

#[test]
fn what_is_known_before_any_node_is_looked_at() {
    let mut cluster = cluster();
    cluster.volumes_mut().set_claim(claim("at-once", "at-once", json!({})));
    cluster.volumes_mut().set_claim(claim("lost", "made", json!({"/status/phase": "Lost"})));
    for (name, expected) in [
        ("none", "persistentvolumeclaim \"none\" not found"),
        ("at-once", "pod has unbound immediate PersistentVolumeClaims"),
        ("lost", "persistentvolumeclaim \"lost\" bound to non-existent persistentvolume \"\""),
    ] {
        assert_eq!(place(&mut cluster, "p", &[name]), format!("0/2 nodes are available: {expected}."));
        let (uid, demand) = (Uid("p".into()), pod("p", &[name]));
        let useless = cluster.preempt(&ask(&uid, &demand), false, []).unwrap_err().to_string();
        assert_eq!(useless, "0/2 nodes are available: 2 Preemption is not helpful for scheduling.");
    }
}

#[test]
fn claims_that_wait_for_their_pod() {
    let mut cluster = cluster();
    cluster.volumes_mut().set_volume(volume("v1", "static", json!({"nodeAffinity": on("b")})));
    cluster.volumes_mut().set_volume(volume(
        "v2",
        "static",
        json!({"nodeAffinity": on("b"), "capacity": {"storage": "2Gi"}}),
    ));
    for name in ["s1", "s2", "s3"] {
        cluster.volumes_mut().set_claim(claim(name, "static", json!({})));
    }
    cluster.volumes_mut().set_claim(claim("d1", "made", json!({})));
    let none = "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.";
    assert_eq!(place(&mut cluster, "greedy", &["s1", "s2", "s3"]), none);
    assert_eq!(place(&mut cluster, "p1", &["s1"]), "b keeps v1");
    // What is decided counts before it is written, until it is given up.
    assert_eq!(place(&mut cluster, "p2", &["s2", "s3"]), none);
    cluster.take(&Uid("p1".into()));
    cluster.volumes_mut().forget_assumed(&Uid("p1".into()));
    assert_eq!(place(&mut cluster, "p2", &["s2", "s3"]), "b keeps v1 keeps v2");
    // One volume is made for all pods that share a claim.
    let first = place(&mut cluster, "p3", &["d1"]);
    assert!(first.ends_with(" makes d1"), "{first}");
    let again = place(&mut cluster, "p4", &["d1"]);
    assert!(first.starts_with(&again[..1]), "{first}, then {again}");
}

#[test]
fn limits_of_drivers() {
    let mut cluster = cluster();
    let drivers = json!({"metadata": {"name": "a"}, "spec": {"drivers": [{"name": "d", "nodeID": "a", "allocatable": {"count": 1}}]}});
    for name in ["a", "b"] {
        cluster.volumes_mut().set_limits(name, Some(&from_value(drivers.clone()).unwrap()));
    }
    for name in ["v1", "v2", "v3"] {
        cluster.volumes_mut().set_volume(volume(name, "", json!({"csi": {"driver": "d", "volumeHandle": name}})));
        cluster.volumes_mut().set_claim(bound(name, name));
    }
    let mut places = vec![place(&mut cluster, "p1", &["v1"]), place(&mut cluster, "p2", &["v2"])];
    places.sort();
    assert_eq!(places, ["a", "b"]);
    assert_eq!(place(&mut cluster, "p3", &["v3"]), "0/2 nodes are available: 2 node(s) exceed max volume count.");
}
