//! `$setElementOrder` for lists of objects, as `kubectl apply` sends it.

use super::{POD, check_spec};
use serde_json::{Value, json};

fn named(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name})).collect()
}

#[track_caller]
fn order(before: &[&str], patch: Option<Value>, wanted: &[&str], expected: &[&str]) {
    let mut fields = json!({"$setElementOrder/containers": named(wanted)});
    if let Some(patch) = patch {
        fields["containers"] = patch;
    }
    check_spec(POD, json!({"containers": named(before)}), fields, json!({"containers": named(expected)}));
}

#[test]
fn the_wanted_order_rules() {
    order(&["a", "b", "c"], None, &["c", "b", "a"], &["c", "b", "a"]);
    order(&["a", "b"], Some(named(&["c"])), &["c", "a", "b"], &["c", "a", "b"]);
    order(&["a", "b"], Some(named(&["c"])), &["a", "c", "b"], &["a", "c", "b"]);
    order(&["a", "b"], Some(json!([])), &["b", "a"], &["b", "a"]);
}

#[test]
fn items_of_others_keep_their_place_as_far_as_possible() {
    order(&["other", "a", "b"], None, &["b", "a"], &["other", "b", "a"]);
    order(&["a", "other", "b"], None, &["a", "b"], &["a", "other", "b"]);
    order(&["a", "b", "other"], Some(named(&["c"])), &["a", "b", "c"], &["a", "b", "c", "other"]);
    order(&["a", "other"], Some(named(&["b"])), &["b", "a"], &["b", "a", "other"]);
}

#[test]
fn deleted_items_need_no_place() {
    order(&["a", "b"], Some(json!([{"name": "a", "$patch": "delete"}])), &["b"], &["b"]);
    order(&["a", "b"], Some(json!([{"name": "c"}, {"name": "a", "$patch": "delete"}])), &["c", "b"], &["c", "b"]);
}

#[test]
fn unknown_names_in_the_order_are_no_matter() {
    order(&["a"], None, &["x", "a", "y"], &["a"]);
}

#[test]
fn a_new_list_is_ordered_and_clean() {
    check_spec(
        POD,
        json!({}),
        json!({"$setElementOrder/containers": named(&["a", "b"]), "containers": named(&["a", "b"])}),
        json!({"containers": named(&["a", "b"])}),
    );
    check_spec(
        POD,
        json!({"nodeName": "n"}),
        json!({"$setElementOrder/containers": named(&["a"])}),
        json!({"nodeName": "n"}),
    );
}

#[test]
fn the_patch_of_kubectl_set_image_applies() {
    check_spec(
        POD,
        json!({"containers": [
            {"name": "app", "image": "app:1", "env": [{"name": "A", "value": "1"}], "resources": {}},
            {"name": "side", "image": "side:1"}]}),
        json!({"$setElementOrder/containers": [{"name": "app"}, {"name": "side"}],
            "containers": [{"name": "app", "image": "app:2",
                "$setElementOrder/env": [{"name": "B"}, {"name": "A"}], "env": [{"name": "B", "value": "2"}]}]}),
        json!({"containers": [
            {"name": "app", "image": "app:2", "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}], "resources": {}},
            {"name": "side", "image": "side:1"}]}),
    );
}
