//! Lists as maps, sets and atoms.

use super::{created, request, run, updated};
use serde_json::{Value, json};

fn containers(containers: Value) -> Value {
    json!({"template": {"spec": {"containers": containers}}})
}

fn names(object: &Value) -> Vec<&str> {
    let list = object["spec"]["template"]["spec"]["containers"].as_array().expect("a list");
    list.iter().filter_map(|item| item["name"].as_str()).collect()
}

#[test]
fn items_of_a_map_are_owned_one_by_one() {
    let object = created(containers(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}])), "x");
    let object = updated(&object, "injector", |new| {
        let list = new["spec"]["template"]["spec"]["containers"].as_array_mut().expect("a list");
        list.push(json!({"name": "side", "image": "s"}));
    });
    let object = run(Some(&object), containers(json!([{"name": "b", "image": "2"}])), &request("x", "T3"));
    let object = object.expect("it applies");
    assert_eq!(names(&object), ["b", "side"]);
    assert_eq!(object["spec"]["template"]["spec"]["containers"][0]["image"], "2");
}

#[test]
fn an_item_that_another_shares_stays_with_what_is_theirs() {
    let object = created(containers(json!([{"name": "a", "image": "1", "stdin": true}])), "x");
    let theirs = containers(json!([{"name": "a", "tty": true}]));
    let object = run(Some(&object), theirs, &request("y", "T2")).expect("no conflict");
    let object = run(Some(&object), json!({"replicas": 1}), &request("x", "T3")).expect("it applies");
    assert_eq!(object["spec"]["template"]["spec"]["containers"], json!([{"name": "a", "tty": true}]));
}

#[test]
fn the_order_of_the_configuration_rules() {
    let named = |names: &[&str]| containers(names.iter().map(|name| json!({"name": name})).collect());
    let cases: [(&[&str], &[&str], &[&str]); 7] = [
        (&["a", "b"], &["b", "a"], &["b", "a"]),
        (&["a", "b"], &["c", "a", "b"], &["c", "a", "b"]),
        (&["a", "b"], &["a", "c", "b"], &["a", "c", "b"]),
        (&["o", "a", "b"], &["a", "b"], &["o", "a", "b"]),
        (&["a", "o", "b"], &["a", "b"], &["a", "o", "b"]),
        (&["a", "b", "o"], &["a", "b"], &["a", "b", "o"]),
        (&["o"], &["a", "b"], &["o", "a", "b"]),
    ];
    for (live, config, expected) in cases {
        let mut object = super::config(named(live));
        object["metadata"]["managedFields"] = json!([{
            "manager": "o", "operation": "Update", "apiVersion": "apps/v1", "fieldsV1": {"f:spec": {"f:paused": {}}}}]);
        let object = run(Some(&object), named(config), &request("x", "T2")).expect("it applies");
        assert_eq!(names(&object), expected, "{live:?} + {config:?}");
    }
}

#[test]
fn ports_have_two_keys_one_with_a_default() {
    let ports = |ports: Value| containers(json!([{"name": "a", "ports": ports}]));
    let object = created(ports(json!([{"containerPort": 53}, {"containerPort": 53, "protocol": "UDP"}])), "x");
    let next = ports(json!([{"containerPort": 53, "protocol": "TCP", "name": "dns"}]));
    let object = run(Some(&object), next, &request("x", "T2")).expect("it applies");
    assert_eq!(
        object["spec"]["template"]["spec"]["containers"][0]["ports"],
        json!([{"containerPort": 53, "protocol": "TCP", "name": "dns"}])
    );
}

#[test]
fn atomic_lists_and_maps_are_one_field() {
    let args = |args: Value| containers(json!([{"name": "a", "args": args}]));
    let object = created(args(json!(["1", "2"])), "x");
    let object = run(Some(&object), args(json!(["3"])), &request("x", "T2")).expect("it applies");
    assert_eq!(object["spec"]["template"]["spec"]["containers"][0]["args"], json!(["3"]));
    let selector = |labels: Value| json!({"selector": {"matchLabels": labels}});
    let object = created(selector(json!({"a": "1"})), "x");
    let object = run(Some(&object), selector(json!({"b": "2"})), &request("x", "T2")).expect("it applies");
    assert_eq!(object["spec"]["selector"], json!({"matchLabels": {"b": "2"}}));
}

#[test]
fn items_of_a_set_are_owned_one_by_one() {
    let finalizers = |finalizers: Value| {
        let mut config = super::config(json!({"replicas": 1}));
        config["metadata"]["finalizers"] = finalizers;
        config
    };
    let apply = |live: Option<&Value>, config: Value, manager: &str| {
        crate::apply(super::deployments(), live, config, &request(manager, "T")).expect("it applies")
    };
    let object = apply(None, finalizers(json!(["a", "b"])), "x");
    let object = apply(Some(&object), finalizers(json!(["c"])), "y");
    assert_eq!(object["metadata"]["finalizers"], json!(["a", "b", "c"]));
    let object = apply(Some(&object), finalizers(json!(["b"])), "x");
    assert_eq!(object["metadata"]["finalizers"], json!(["b", "c"]));
}
