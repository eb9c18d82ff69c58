use std::collections::{BTreeMap, HashMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn set(spec: serde_json::Value) -> StatefulSet {
    let mut whole = json!({"serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "new"}]}}});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "n", "uid": "set"}, "spec": whole})).unwrap()
}

/// `ordinal [revision] phase [ready=since] [going] [bare]`: a pod of the set.
fn pod(text: &str) -> Arc<Pod> {
    let mut words = text.split(' ');
    let (ordinal, revision, phase) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let flags: HashMap<&str, &str> = words.map(|word| word.split_once('=').unwrap_or((word, ""))).collect();
    let mut labels = BTreeMap::from([(CONTROLLER_REVISION_HASH.to_owned(), revision.to_owned())]);
    if !flags.contains_key("bare") {
        labels.insert("statefulset.kubernetes.io/pod-name".to_owned(), format!("web-{ordinal}"));
        labels.insert("apps.kubernetes.io/pod-index".to_owned(), ordinal.to_owned());
    }
    let ready = flags.get("ready").map(
        |since| json!([{"type": "Ready", "status": "True", "lastTransitionTime": Time(at(since.parse().unwrap()))}]),
    );
    let mut pod: Pod =
        serde_json::from_value(json!({"status": {"phase": phase, "conditions": ready.unwrap_or_default()}})).unwrap();
    pod.metadata = ObjectMeta {
        name: Some(format!("web-{ordinal}")),
        uid: Some(format!("pod-{ordinal}")),
        labels: Some(labels),
        deletion_timestamp: flags.contains_key("going").then(|| Time(at(0))),
        ..ObjectMeta::default()
    };
    Arc::new(pod)
}

fn steps_with(set: &StatefulSet, pods: &[&str], claims: &[PersistentVolumeClaim]) -> Vec<Step> {
    let pods: Vec<_> = pods.iter().map(|text| pod(text)).collect();
    let claim = |name: &str| {
        claims.iter().find(|claim| claim.metadata.name.as_deref() == Some(name)).map(|claim| Arc::new(claim.clone()))
    };
    let template = &set.spec.as_ref().unwrap().template;
    let (current, update) = (Revision { name: "old", template }, Revision { name: "new", template });
    plan(&Observed { set, pods: &pods, claim: &claim, current, update, now: at(100) })
}

/// Steps in short: `+0:new` makes web-0 in revision new, `-2` ends web-2, `!1` makes web-1 again, `=1` relabels.
fn short(steps: &[Step]) -> String {
    let name = |pod: &Pod| pod.metadata.name.as_deref().unwrap().trim_start_matches("web-").to_owned();
    let claim = |claim: &PersistentVolumeClaim| {
        let owners = claim.metadata.owner_references.iter().flatten().map(|owner| owner.uid.clone());
        format!("{}({})", claim.metadata.name.as_deref().unwrap(), owners.collect::<Vec<_>>().join(" "))
    };
    let steps: Vec<String> = steps
        .iter()
        .map(|step| match step {
            Step::CreateClaim(made) => format!("pvc+{}", claim(made)),
            Step::UpdateClaim(made) => format!("pvc={}", claim(made)),
            Step::CreatePod(pod) => format!("+{}:{}", name(pod), revision_of(pod)),
            Step::Relabel(pod, _) => format!("={}", name(pod)),
            Step::Recreate(pod) => format!("!{}", name(pod)),
            Step::DeletePod(pod) => format!("-{}", name(pod)),
        })
        .collect();
    steps.join(" ")
}

#[test]
fn steps_in_order() {
    let ordered = set(json!({"replicas": 3}));
    let parallel = set(json!({"replicas": 3, "podManagementPolicy": "Parallel"}));
    let shifted = set(json!({"replicas": 2, "ordinals": {"start": 5}}));
    let patient = set(json!({"replicas": 2, "minReadySeconds": 30}));
    #[rustfmt::skip]
    let cases: &[(&StatefulSet, &[&str], &str)] = &[
        (&ordered,  &[], "+0:new"),
        (&ordered,  &["0 new Pending"], ""),
        (&ordered,  &["0 new Running"], ""),
        (&ordered,  &["0 new Running ready=0"], "+1:new"),
        (&ordered,  &["0 new Running ready=0", "2 new Running ready=0"], "+1:new"),
        (&ordered,  &["0 new Running ready=0 going", "1 new Running ready=0"], ""),
        (&ordered,  &["0 new Failed"], "!0"),
        (&ordered,  &["0 new Succeeded going"], ""),
        (&ordered,  &["0 new Running ready=0", "1 new Running ready=0", "2 new Running ready=0"], ""),
        (&ordered,  &["0 new Running ready=0 bare", "1 new Pending"], "=0"),
        // Shrinking: the highest first, one at a time, and only while the rest is well.
        (&ordered,  &["0 new Running ready=0", "1 new Running ready=0", "2 new Running ready=0", "3 new Running ready=0", "4 new Running ready=0"], "-4"),
        (&ordered,  &["0 new Running ready=0", "1 new Running ready=0", "2 new Running ready=0", "3 new Running ready=0", "4 new Running ready=0 going"], ""),
        (&ordered,  &["0 new Running ready=0", "1 new Running ready=0", "2 new Running ready=0", "3 new Pending", "4 new Pending"], ""),
        (&ordered,  &["0 new Running ready=0", "1 new Running ready=0", "2 new Running ready=0", "3 new Pending"], "-3"),
        (&parallel, &[], "+0:new +1:new +2:new"),
        (&parallel, &["1 new Pending", "4 new Pending", "3 new Running"], "+0:new +2:new -4 -3"),
        (&parallel, &["0 new Failed", "1 new Running ready=0", "2 new Running ready=0"], "!0"),
        (&shifted,  &[], "+5:new"),
        (&shifted,  &["5 new Running ready=0", "0 new Running ready=0"], "+6:new"),
        (&shifted,  &["5 new Running ready=0", "6 new Running ready=0", "0 new Running ready=0"], "-0"),
        (&patient,  &["0 new Running ready=80"], ""),
        (&patient,  &["0 new Running ready=70"], "+1:new"),
    ];
    for (set, pods, expected) in cases {
        assert_eq!(short(&steps_with(set, pods, &[])), *expected, "{pods:?}");
    }
}

#[test]
fn rollouts() {
    let with = |strategy: serde_json::Value, policy: &str| {
        let mut set = set(json!({"replicas": 3, "updateStrategy": strategy, "podManagementPolicy": policy}));
        set.status = Some(StatefulSetStatus { current_replicas: Some(3), ..StatefulSetStatus::default() });
        set
    };
    let rolling = with(json!({"type": "RollingUpdate"}), "OrderedReady");
    let from_two = with(json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}), "OrderedReady");
    let two_away = with(json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}), "Parallel");
    let parallel = with(json!({"type": "RollingUpdate"}), "Parallel");
    let by_hand = with(json!({"type": "OnDelete"}), "OrderedReady");
    let old = &["0 old Running ready=0", "1 old Running ready=0", "2 old Running ready=0"];
    #[rustfmt::skip]
    let cases: &[(&StatefulSet, &[&str], &str)] = &[
        (&rolling,  old, "-2"),
        (&rolling,  &["0 old Running ready=0", "1 old Running ready=0", "2 old Running ready=0 going"], ""),
        (&rolling,  &["0 old Running ready=0", "1 old Running ready=0"], "+2:old"),
        (&rolling,  &["0 old Running ready=0", "1 old Running ready=0", "2 new Pending"], ""),
        (&rolling,  &["0 old Running ready=0", "1 old Running ready=0", "2 new Running ready=0"], "-1"),
        (&from_two, old, "-2"),
        (&from_two, &["0 old Running ready=0", "1 old Running ready=0"], "+2:new"),
        (&from_two, &["0 old Running ready=0", "2 new Running ready=0"], "+1:old"),
        (&from_two, &["0 old Running ready=0", "1 old Running ready=0", "2 new Running ready=0"], ""),
        (&two_away, old, "-2 -1"),
        (&two_away, &["0 old Running ready=0", "1 old Running ready=0", "2 new Pending"], "-1"),
        (&parallel, &["0 old Pending", "1 old Running ready=0", "2 old Running ready=0"], "-0"),
        (&by_hand,  old, ""),
        (&by_hand,  &["0 old Running ready=0", "1 old Running ready=0"], "+2:new"),
    ];
    for (set, pods, expected) in cases {
        assert_eq!(short(&steps_with(set, pods, &[])), *expected, "{pods:?}");
    }
}

#[test]
fn claims_and_their_owners() {
    let with = |deleted: &str, scaled: &str| {
        set(json!({"replicas": 1,
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]}))
    };
    let claim = |ordinal: u8, owners: &[&str]| {
        let mut claim = claims_of(&with("Retain", "Retain"), ordinal.into()).remove(0);
        let owner = |uid: &&str| OwnerReference { uid: (*uid).to_owned(), ..OwnerReference::default() };
        claim.metadata.owner_references = Some(owners.iter().map(owner).collect());
        claim
    };
    let (ready, going) = ("0 new Running ready=0", "1 new Running ready=0");
    /// whenDeleted, whenScaled, pods, claims → steps.
    type Case<'a> = (&'a str, &'a str, &'a [&'a str], &'a [PersistentVolumeClaim], &'a str);
    #[rustfmt::skip]
    let cases: &[Case<'_>] = &[
        ("Retain", "Retain", &[], &[], "pvc+data-web-0() +0:new"),
        ("Delete", "Retain", &[], &[], "pvc+data-web-0(set) +0:new"),
        ("Retain", "Retain", &[ready], &[], "pvc+data-web-0()"),
        ("Retain", "Retain", &[ready], &[claim(0, &["other"])], ""),
        ("Retain", "Retain", &[ready], &[claim(0, &["set", "other"])], "pvc=data-web-0(other)"),
        ("Delete", "Retain", &[ready], &[claim(0, &["other"])], "pvc=data-web-0(other set)"),
        ("Delete", "Delete", &[ready], &[claim(0, &["set"])], ""),
        ("Retain", "Delete", &[ready, going], &[claim(0, &[]), claim(1, &[])], "pvc=data-web-1(pod-1) -1"),
        ("Delete", "Delete", &[ready, going], &[claim(0, &["set"]), claim(1, &["set"])], "pvc=data-web-1(pod-1) -1"),
        ("Delete", "Delete", &[ready], &[claim(0, &["pod-0"])], "pvc=data-web-0(set)"),
    ];
    for (deleted, scaled, pods, claims, expected) in cases {
        assert_eq!(short(&steps_with(&with(deleted, scaled), pods, claims)), *expected, "{deleted} {scaled} {pods:?}");
    }
}

#[test]
fn pods_are_somebody() {
    let set = set(json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]}));
    let template: PodTemplateSpec = serde_json::from_value(json!({"metadata": {"labels": {"app": "web"}}, "spec": {
        "containers": [], "volumes": [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]}}))
    .unwrap();
    let pod = pod_of(&set, Revision { name: "r1", template: &template }, 7);
    let spec = pod.spec.unwrap();
    assert_eq!((pod.metadata.name.as_deref(), spec.hostname.as_deref()), (Some("web-7"), Some("web-7")));
    assert_eq!(spec.subdomain.as_deref(), Some("web"));
    let volumes: Vec<_> = spec
        .volumes
        .unwrap()
        .into_iter()
        .map(|volume| (volume.name, volume.persistent_volume_claim.map(|claim| claim.claim_name)))
        .collect();
    assert_eq!(volumes, [("data".to_owned(), Some("data-web-7".to_owned())), ("tmp".to_owned(), None)]);
    let labels = pod.metadata.labels.unwrap();
    let expected = [
        ("app", "web"),
        ("apps.kubernetes.io/pod-index", "7"),
        ("controller-revision-hash", "r1"),
        ("statefulset.kubernetes.io/pod-name", "web-7"),
    ];
    assert_eq!(labels, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    let named = |name: &str| Pod {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..Pod::default()
    };
    for (name, expected) in [("web-7", Some(7)), ("web-x", None), ("db-7", None), ("web-", None), ("web-+7", None)] {
        assert_eq!(ordinal_of(&set, &named(name)), expected, "{name}");
    }
}

#[test]
fn statuses() {
    let set = set(json!({"replicas": 3, "minReadySeconds": 30}));
    let status_of = |pods: &[&str]| {
        let pods: Vec<_> = pods.iter().map(|text| pod(text)).collect();
        let template = &set.spec.as_ref().unwrap().template;
        let (current, update) = (Revision { name: "old", template }, Revision { name: "new", template });
        status(&Observed { set: &set, pods: &pods, claim: &|_| None, current, update, now: at(100) })
    };
    let (found, recheck) = status_of(&["0 new Running ready=0", "1 old Running ready=80", "2 old Pending going"]);
    assert_eq!((found.replicas, found.ready_replicas, found.available_replicas), (3, Some(2), Some(1)));
    assert_eq!((found.current_replicas, found.updated_replicas), (Some(1), Some(1)));
    assert_eq!(found.current_revision.as_deref(), Some("old"));
    assert_eq!(recheck, Some(Duration::from_secs(10)));
    let (found, _) = status_of(&["0 new Running ready=0", "1 new Running ready=0", "2 new Running ready=0"]);
    assert_eq!(found.current_revision.as_deref(), Some("new"));
    assert_eq!(found.current_replicas, Some(3));
}
