//! Owning, sharing, giving up.

use super::{created, deployments, owned, request, run, updated};
use crate::{Apply, apply};
use serde_json::json;

#[test]
fn who_applies_owns_what_is_in_the_configuration() {
    let object = created(json!({"replicas": 3, "template": {"metadata": {"labels": {"a": "b"}}}}), "a");
    assert_eq!(object["spec"]["replicas"], 3);
    let entry = &object["metadata"]["managedFields"][0];
    assert_eq!(
        *entry,
        json!({
            "manager": "a", "operation": "Apply", "apiVersion": "apps/v1", "time": "T1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {"f:metadata": {"f:labels": {"f:a": {}}}}}},
        })
    );
}

#[test]
fn what_is_left_out_goes() {
    let object = created(json!({"replicas": 3, "minReadySeconds": 5}), "a");
    let object = run(Some(&object), json!({"replicas": 3}), &request("a", "T2")).expect("it applies");
    assert_eq!(object["spec"], json!({"replicas": 3}));
    assert_eq!(owned(&object, "a"), json!({"f:spec": {"f:replicas": {}}}));
}

#[test]
fn what_is_left_out_stays_if_another_owns_it() {
    let object = created(json!({"replicas": 3, "minReadySeconds": 5}), "a");
    let object =
        run(Some(&object), json!({"minReadySeconds": 5}), &request("b", "T2")).expect("same value, no conflict");
    let object = run(Some(&object), json!({"replicas": 3}), &request("a", "T3")).expect("it applies");
    assert_eq!(object["spec"], json!({"replicas": 3, "minReadySeconds": 5}));
    assert_eq!(owned(&object, "b"), json!({"f:spec": {"f:minReadySeconds": {}}}));
}

#[test]
fn what_another_wrote_below_stays() {
    let object = created(json!({"template": {"metadata": {"labels": {"a": "1", "b": "2"}}}}), "a");
    let object = updated(&object, "other", |new| new["spec"]["template"]["metadata"]["labels"]["c"] = json!("3"));
    let object = run(Some(&object), json!({"template": {"metadata": {"labels": {"a": "1"}}}}), &request("a", "T3"));
    let object = object.expect("it applies");
    assert_eq!(object["spec"]["template"]["metadata"]["labels"], json!({"a": "1", "c": "3"}));
}

#[test]
fn defaults_of_the_server_stay_while_their_owner_remains() {
    let object = created(json!({"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}), "a");
    // The server's defaults belong to nobody.
    let mut object = object;
    object["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = json!("Always");
    object["spec"]["replicas"] = json!(1);
    let next = json!({"template": {"spec": {"containers": [{"name": "c", "image": "j"}]}}});
    let object = run(Some(&object), next, &request("a", "T2")).expect("it applies");
    assert_eq!(
        object["spec"],
        json!({"replicas": 1, "template": {"spec": {"containers": [
        {"name": "c", "image": "j", "imagePullPolicy": "Always"}]}}})
    );
}

#[test]
fn the_last_of_a_map_takes_the_map_along() {
    let object = created(json!({"replicas": 1, "template": {"metadata": {"labels": {"a": "1"}}}}), "a");
    let object = run(Some(&object), json!({"replicas": 1}), &request("a", "T2")).expect("it applies");
    assert_eq!(object["spec"], json!({"replicas": 1}));
}

#[test]
fn applying_again_changes_nothing() {
    let spec = json!({"replicas": 3, "template": {"spec": {"containers": [{"name": "c", "args": ["x"]}]}}});
    let object = created(spec.clone(), "a");
    assert_eq!(run(Some(&object), spec, &request("a", "T2")), Ok(object));
}

#[test]
fn objects_from_before_have_an_owner_for_everything() {
    let plain = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 1, "paused": true}});
    let object = run(Some(&plain), json!({"replicas": 1}), &request("a", "T1")).expect("same value");
    assert_eq!(owned(&object, "before-first-apply"), json!({"f:spec": {"f:replicas": {}, "f:paused": {}}}));
    assert_eq!(object["spec"], plain["spec"]);
}

#[test]
fn status_is_applied_by_its_subresource_alone() {
    let object = created(json!({"replicas": 1}), "a");
    let status =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "status": {"replicas": 1}});
    let write = Apply { subresource: "status", reset: &["spec"], ..request("a", "T2") };
    let object = apply(deployments(), Some(&object), status.clone(), &write).expect("it applies");
    let entries = object["metadata"]["managedFields"].as_array().expect("entries");
    assert_eq!(entries.len(), 2);
    assert_eq!(
        (&entries[1]["subresource"], &entries[1]["fieldsV1"]),
        (&json!("status"), &json!({"f:status": {"f:replicas": {}}}))
    );
    // The same by the main resource owns nothing of it.
    let object = apply(deployments(), None, status, &request("b", "T2")).expect("it applies");
    assert_eq!(owned(&object, "b"), json!(null));
}
