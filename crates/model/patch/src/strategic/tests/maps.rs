//! Objects: merging, removing, `$patch`, `$retainKeys`.

use super::{CONFIG_MAP, DEPLOYMENT, DISRUPTION_BUDGET, POD, REVISION, SERVICE, check, check_spec};
use serde_json::json;

#[test]
fn fields_are_set_replaced_and_removed() {
    check_spec(
        DEPLOYMENT,
        json!({"replicas": 1, "paused": true}),
        json!({"replicas": 3}),
        json!({"replicas": 3, "paused": true}),
    );
    check_spec(
        DEPLOYMENT,
        json!({"replicas": 1}),
        json!({"minReadySeconds": 5}),
        json!({"replicas": 1, "minReadySeconds": 5}),
    );
    check_spec(DEPLOYMENT, json!({"replicas": 1, "paused": true}), json!({"paused": null}), json!({"replicas": 1}));
    check_spec(DEPLOYMENT, json!({"replicas": 1}), json!({"paused": null}), json!({"replicas": 1}));
    check(DEPLOYMENT, json!({"spec": {"replicas": 1}}), json!({"spec": null}), json!({}));
    check(DEPLOYMENT, json!({"spec": {"replicas": 1}}), json!({}), json!({"spec": {"replicas": 1}}));
}

#[test]
fn maps_merge_by_key() {
    let labels = |labels| json!({"metadata": {"labels": labels}});
    check(
        POD,
        labels(json!({"a": "1", "b": "2"})),
        labels(json!({"b": "3", "c": "4"})),
        labels(json!({"a": "1", "b": "3", "c": "4"})),
    );
    check(POD, labels(json!({"a": "1", "b": "2"})), labels(json!({"b": null})), labels(json!({"a": "1"})));
    check(
        POD,
        json!({"metadata": {"name": "p"}}),
        labels(json!({"a": "1", "b": null})),
        json!({"metadata": {"name": "p", "labels": {"a": "1"}}}),
    );
    check(CONFIG_MAP, json!({"data": {"a": "1"}}), json!({"data": {"b": "2"}}), json!({"data": {"a": "1", "b": "2"}}));
    check(CONFIG_MAP, json!({"data": {"a": "1"}}), json!({"data": {"a": null}}), json!({"data": {}}));
    check(CONFIG_MAP, json!({"data": {"a": "1"}}), json!({"data": null}), json!({}));
}

#[test]
fn atomic_maps_merge_too_for_the_extension_is_about_apply() {
    check_spec(
        SERVICE,
        json!({"selector": {"app": "a"}}),
        json!({"selector": {"tier": "b"}}),
        json!({"selector": {"app": "a", "tier": "b"}}),
    );
    check_spec(
        POD,
        json!({"nodeSelector": {"a": "1"}}),
        json!({"nodeSelector": {"a": null, "b": "2"}}),
        json!({"nodeSelector": {"b": "2"}}),
    );
}

#[test]
fn a_value_of_another_type_replaces() {
    let port = |port| json!({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"port": port}}}]});
    check_spec(POD, port(json!(80)), port(json!("http")), port(json!("http")));
    check_spec(
        POD,
        json!({"nodeSelector": "odd"}),
        json!({"nodeSelector": {"a": "1"}}),
        json!({"nodeSelector": {"a": "1"}}),
    );
}

#[test]
fn patch_replace_takes_the_place_of_the_object() {
    check_spec(
        POD,
        json!({"nodeSelector": {"a": "1", "b": "2"}}),
        json!({"nodeSelector": {"c": "3", "$patch": "replace"}}),
        json!({"nodeSelector": {"c": "3"}}),
    );
    check_spec(
        DEPLOYMENT,
        json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}),
        json!({"strategy": {"$patch": "replace", "type": "Recreate"}}),
        json!({"strategy": {"type": "Recreate"}}),
    );
    check(
        CONFIG_MAP,
        json!({"data": {"a": "1"}, "immutable": true}),
        json!({"$patch": "replace", "data": {"b": "2"}}),
        json!({"data": {"b": "2"}}),
    );
    check_spec(
        POD,
        json!({}),
        json!({"nodeSelector": {"c": "3", "$patch": "replace"}}),
        json!({"nodeSelector": {"c": "3"}}),
    );
}

#[test]
fn patch_delete_empties_the_object() {
    check_spec(
        POD,
        json!({"nodeSelector": {"a": "1"}}),
        json!({"nodeSelector": {"$patch": "delete"}}),
        json!({"nodeSelector": {}}),
    );
    check_spec(POD, json!({"nodeName": "n"}), json!({"nodeSelector": {"$patch": "delete"}}), json!({"nodeName": "n"}));
    check(CONFIG_MAP, json!({"data": {"a": "1"}}), json!({"$patch": "delete"}), json!({}));
}

#[test]
fn retain_keys_drops_what_it_does_not_name() {
    let rolling = json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}});
    check_spec(
        DEPLOYMENT,
        rolling.clone(),
        json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
        json!({"strategy": {"type": "Recreate"}}),
    );
    check_spec(
        DEPLOYMENT,
        rolling.clone(),
        json!({"strategy": {"$retainKeys": ["type", "rollingUpdate"], "rollingUpdate": {"maxUnavailable": 1}}}),
        json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}}),
    );
    // nulls and ordering directives need not be named
    check_spec(
        DEPLOYMENT,
        rolling.clone(),
        json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate", "rollingUpdate": null}}),
        json!({"strategy": {"type": "Recreate"}}),
    );
    // a new object keeps no trace of the directive
    check_spec(
        DEPLOYMENT,
        json!({}),
        json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
        json!({"strategy": {"type": "Recreate"}}),
    );
    // a volume changes its source
    check_spec(
        POD,
        json!({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "emptyDir": {}}]}),
        json!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}),
        json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}, {"name": "w", "emptyDir": {}}]}),
    );
}

#[test]
fn a_field_with_the_strategy_replace_is_replaced() {
    check_spec(
        DISRUPTION_BUDGET,
        json!({"selector": {"matchLabels": {"a": "1"}}, "minAvailable": 1}),
        json!({"selector": {"matchLabels": {"b": "2"}}}),
        json!({"selector": {"matchLabels": {"b": "2"}}, "minAvailable": 1}),
    );
}

#[test]
fn values_of_free_form_merge_as_json_does() {
    check(
        REVISION,
        json!({"data": {"spec": {"a": 1, "l": [1, 2]}}}),
        json!({"data": {"spec": {"a": null, "l": [3]}}}),
        json!({"data": {"spec": {"l": [3]}}}),
    );
    // what they newly hold is nobody's directive
    check(
        REVISION,
        json!({}),
        json!({"data": {"spec": {"$patch": "replace", "a": 1}}}),
        json!({"data": {"spec": {"$patch": "replace", "a": 1}}}),
    );
}

#[test]
fn nulls_in_new_objects_are_dropped_at_any_depth() {
    check_spec(
        POD,
        json!({}),
        json!({"securityContext": {"runAsUser": null, "seLinuxOptions": {"level": null, "user": "u"}}}),
        json!({"securityContext": {"seLinuxOptions": {"user": "u"}}}),
    );
}
