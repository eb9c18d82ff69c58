//! Lists of objects with a merge key, and lists without one.

use super::{DEPLOYMENT, NODE, POD, SERVICE, check, check_spec};
use serde_json::{Value, json};

fn containers(containers: Value) -> Value {
    json!({"containers": containers})
}

#[test]
fn items_merge_by_name() {
    check_spec(
        POD,
        containers(json!([{"name": "a", "image": "x:1", "stdin": true}, {"name": "b", "image": "y"}])),
        containers(json!([{"name": "a", "image": "x:2"}])),
        containers(json!([{"name": "a", "image": "x:2", "stdin": true}, {"name": "b", "image": "y"}])),
    );
    check_spec(
        POD,
        containers(json!([{"name": "a", "image": "x", "stdin": true}])),
        containers(json!([{"name": "a", "stdin": null}])),
        containers(json!([{"name": "a", "image": "x"}])),
    );
    check_spec(POD, containers(json!([{"name": "a"}])), containers(json!([])), containers(json!([{"name": "a"}])));
    check_spec(POD, containers(json!([])), containers(json!([{"name": "a"}])), containers(json!([{"name": "a"}])));
}

#[test]
fn new_items_are_added_after_the_old() {
    check_spec(
        POD,
        containers(json!([{"name": "a"}])),
        containers(json!([{"name": "b", "image": "y", "stdin": null}])),
        containers(json!([{"name": "b", "image": "y"}, {"name": "a"}])),
    );
    // with one common item the order of the patch rules
    check_spec(
        POD,
        containers(json!([{"name": "a"}, {"name": "c"}])),
        containers(json!([{"name": "a"}, {"name": "b"}])),
        containers(json!([{"name": "a"}, {"name": "b"}, {"name": "c"}])),
    );
}

#[test]
fn lists_merge_inside_merged_items() {
    check_spec(
        POD,
        containers(json!([{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}])),
        containers(json!([{"name": "a", "env": [{"name": "Y", "value": "3"}]}])),
        containers(json!([{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "3"}]}])),
    );
    check_spec(
        POD,
        containers(json!([{"name": "a", "volumeMounts": [{"mountPath": "/a", "name": "v"}]}])),
        containers(json!([{"name": "a", "volumeMounts": [{"mountPath": "/a", "readOnly": true}]}])),
        containers(json!([{"name": "a", "volumeMounts": [{"mountPath": "/a", "name": "v", "readOnly": true}]}])),
    );
    let template = |containers| json!({"template": {"spec": {"containers": containers}}});
    check_spec(
        DEPLOYMENT,
        template(json!([{"name": "a", "image": "x:1"}, {"name": "side", "image": "s"}])),
        template(json!([{"name": "a", "image": "x:2"}])),
        template(json!([{"name": "a", "image": "x:2"}, {"name": "side", "image": "s"}])),
    );
}

#[test]
fn ports_merge_by_their_number() {
    check_spec(
        POD,
        containers(json!([{"name": "a", "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 443}]}])),
        containers(json!([{"name": "a", "ports": [{"containerPort": 443, "name": "https"}]}])),
        containers(
            json!([{"name": "a", "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 443, "name": "https"}]}]),
        ),
    );
    check_spec(
        SERVICE,
        json!({"ports": [{"port": 80, "nodePort": 30080}]}),
        json!({"ports": [{"port": 80, "targetPort": 8080}]}),
        json!({"ports": [{"port": 80, "nodePort": 30080, "targetPort": 8080}]}),
    );
    // a new list is taken as it is, even with the same number twice
    let dns = json!({"ports": [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]});
    check_spec(SERVICE, json!({}), dns.clone(), dns);
}

#[test]
fn patch_delete_removes_an_item() {
    check_spec(
        POD,
        containers(json!([{"name": "a"}, {"name": "b"}])),
        containers(json!([{"name": "a", "$patch": "delete"}])),
        containers(json!([{"name": "b"}])),
    );
    check_spec(
        POD,
        containers(json!([{"name": "a"}, {"name": "b"}])),
        containers(json!([{"name": "a", "$patch": "delete"}, {"name": "c"}])),
        containers(json!([{"name": "c"}, {"name": "b"}])),
    );
    check_spec(
        POD,
        containers(json!([{"name": "a"}])),
        containers(json!([{"name": "z", "$patch": "delete"}])),
        containers(json!([{"name": "a"}])),
    );
    check_spec(
        SERVICE,
        json!({"ports": [{"port": 80}, {"port": 81}]}),
        json!({"ports": [{"$patch": "delete", "port": 80}]}),
        json!({"ports": [{"port": 81}]}),
    );
    // in a list that is not there
    check_spec(
        POD,
        json!({}),
        containers(json!([{"name": "a", "$patch": "delete"}, {"name": "b"}])),
        containers(json!([{"name": "b"}])),
    );
}

#[test]
fn patch_replace_replaces_the_list() {
    check_spec(
        POD,
        containers(json!([{"name": "a", "image": "x"}, {"name": "b"}])),
        containers(json!([{"$patch": "replace"}, {"name": "a"}])),
        containers(json!([{"name": "a"}])),
    );
    check_spec(
        POD,
        containers(json!([{"name": "a"}])),
        containers(json!([{"$patch": "replace"}])),
        containers(json!([])),
    );
    check_spec(
        POD,
        json!({}),
        containers(json!([{"$patch": "replace"}, {"name": "a"}])),
        containers(json!([{"name": "a"}])),
    );
}

#[test]
fn lists_without_a_strategy_are_replaced() {
    check_spec(
        POD,
        json!({"tolerations": [{"key": "a", "operator": "Exists"}]}),
        json!({"tolerations": [{"key": "b", "operator": "Exists"}]}),
        json!({"tolerations": [{"key": "b", "operator": "Exists"}]}),
    );
    check_spec(
        POD,
        containers(json!([{"name": "a", "args": ["1", "2"], "command": ["c"]}])),
        containers(json!([{"name": "a", "args": ["3"]}])),
        containers(json!([{"name": "a", "args": ["3"], "command": ["c"]}])),
    );
    check_spec(NODE, json!({"taints": [{"key": "a"}]}), json!({"taints": []}), json!({"taints": []}));
    check_spec(POD, json!({"tolerations": [{"key": "a"}]}), json!({"tolerations": null}), json!({}));
}

#[test]
fn conditions_merge_by_type() {
    check(
        NODE,
        json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "r"}, {"type": "DiskPressure", "status": "False"}]}}),
        json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}),
        json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "r"}, {"type": "DiskPressure", "status": "False"}]}}),
    );
    check(
        POD,
        json!({"status": {"podIPs": [{"ip": "10.0.0.1"}]}}),
        json!({"status": {"podIPs": [{"ip": "fd00::1"}], "$setElementOrder/podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}}),
        json!({"status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}}),
    );
}

#[test]
fn owner_references_merge_by_uid() {
    let owners = |owners| json!({"metadata": {"ownerReferences": owners}});
    check(
        POD,
        owners(json!([{"uid": "1", "name": "a"}, {"uid": "2", "name": "b"}])),
        owners(json!([{"uid": "1", "$patch": "delete"}, {"uid": "2", "controller": true}])),
        owners(json!([{"uid": "2", "name": "b", "controller": true}])),
    );
}

#[test]
fn topology_constraints_merge_by_key() {
    check_spec(
        POD,
        json!({"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1}]}),
        json!({"topologySpreadConstraints": [{"topologyKey": "host", "maxSkew": 2}, {"topologyKey": "zone", "maxSkew": 3}]}),
        json!({"topologySpreadConstraints": [{"topologyKey": "host", "maxSkew": 2}, {"topologyKey": "zone", "maxSkew": 3}]}),
    );
}
