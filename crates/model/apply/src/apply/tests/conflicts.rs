//! Fields that others own.

use super::{created, deployments, owned, request, run, updated};
use crate::{Apply, ApplyError, apply, track};
use serde_json::{Value, json};

#[test]
fn another_value_is_a_conflict() {
    let object = created(json!({"replicas": 3}), "a");
    let error = run(Some(&object), json!({"replicas": 5}), &request("b", "T2")).expect_err("a owns it");
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (409, "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas")
    );
    let ApplyError::Conflicts(conflicts) = error else { panic!("conflicts") };
    assert_eq!(conflicts[0].to_string(), "conflict with \"a\"");
    assert_eq!(conflicts[0].path.to_string(), ".spec.replicas");
}

#[test]
fn conflicts_with_updaters_name_their_version() {
    let object = created(json!({"replicas": 3}), "a");
    let object = updated(&object, "kubectl-scale", |new| new["spec"]["replicas"] = json!(7));
    assert_eq!(owned(&object, "a"), json!(null));
    let error = run(Some(&object), json!({"replicas": 3}), &request("a", "T3")).expect_err("kubectl-scale owns it");
    let words = "Apply failed with 1 conflict: conflict with \"kubectl-scale\" using apps/v1: .spec.replicas";
    assert_eq!(error.to_string(), words);
}

#[test]
fn many_conflicts_are_listed_by_manager() {
    let object = created(json!({"replicas": 3, "minReadySeconds": 1}), "b");
    let object = updated(&object, "c", |new| new["spec"]["paused"] = json!(true));
    let spec = json!({"replicas": 5, "minReadySeconds": 2, "paused": false});
    let error = run(Some(&object), spec, &request("a", "T3")).expect_err("owned by others");
    let words = "Apply failed with 3 conflicts: conflicts with \"b\":\n- .spec.minReadySeconds\n- .spec.replicas\n\
        conflicts with \"c\" using apps/v1:\n- .spec.paused";
    assert_eq!(error.to_string(), words);
}

#[test]
fn force_takes_the_fields_over() {
    let object = created(json!({"replicas": 3, "paused": true}), "a");
    let force = Apply { force: true, ..request("b", "T2") };
    let object = run(Some(&object), json!({"replicas": 5}), &force).expect("by force");
    assert_eq!(object["spec"], json!({"replicas": 5, "paused": true}));
    assert_eq!(owned(&object, "a"), json!({"f:spec": {"f:paused": {}}}));
    assert_eq!(owned(&object, "b"), json!({"f:spec": {"f:replicas": {}}}));
}

#[test]
fn the_same_value_is_shared() {
    let object = created(json!({"replicas": 3}), "a");
    let object = run(Some(&object), json!({"replicas": 3}), &request("b", "T2")).expect("no conflict");
    assert_eq!(owned(&object, "a"), owned(&object, "b"));
}

#[test]
fn a_conflict_inside_an_item_names_the_item() {
    let image = |image: &str| json!({"template": {"spec": {"containers": [{"name": "c", "image": image}]}}});
    let object = created(image("i"), "a");
    let error = run(Some(&object), image("j"), &request("b", "T2")).expect_err("a owns it");
    let words = "Apply failed with 1 conflict: conflict with \"a\": .spec.template.spec.containers[name=\"c\"].image";
    assert_eq!(error.to_string(), words);
}

/// An object as `kubectl apply` makes it.
fn from_client(replicas: i64) -> Value {
    let mut object = super::config(json!({"replicas": replicas}));
    object["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": object.to_string()});
    track(deployments(), None, &mut object, &super::update("kubectl-client-side-apply", "T1"));
    object
}

#[test]
fn kubectl_has_no_conflict_with_its_earlier_self() {
    let object = from_client(3);
    let object = run(Some(&object), json!({"replicas": 5}), &request("kubectl", "T2")).expect("its own");
    assert_eq!(object["spec"]["replicas"], 5);
    let annotation = &object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    let applied: Value = serde_json::from_str(annotation.as_str().expect("text")).expect("JSON");
    assert_eq!(applied["spec"]["replicas"], 5);
    // Anybody else has.
    let error = run(Some(&from_client(3)), json!({"replicas": 5}), &request("argo", "T2"));
    assert!(matches!(error, Err(ApplyError::Conflicts(_))));
    // And kubectl has with what others changed since.
    let scaled = updated(&from_client(3), "hpa", |new| new["spec"]["replicas"] = json!(9));
    let error = run(Some(&scaled), json!({"replicas": 5}), &request("kubectl", "T3"));
    assert!(matches!(error, Err(ApplyError::Conflicts(_))));
}

#[test]
fn a_refused_configuration_needs_no_object() {
    let odd = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"annotations": {
        "kubectl.kubernetes.io/last-applied-configuration": "no JSON"}}, "spec": {"replicas": 1}});
    let error = apply(deployments(), Some(&odd), super::config(json!({"replicas": 2})), &request("kubectl", "T1"));
    assert!(matches!(error, Err(ApplyError::Conflicts(_))));
}
