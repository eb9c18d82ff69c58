//! Lists of scalars that merge as sets.

use super::{NODE, POD, check, check_spec};
use serde_json::{Value, json};

fn finalizers(finalizers: Value) -> Value {
    json!({"metadata": {"finalizers": finalizers}})
}

#[test]
fn scalars_are_added_once() {
    check(POD, finalizers(json!(["a", "b"])), finalizers(json!(["c"])), finalizers(json!(["c", "a", "b"])));
    check(POD, finalizers(json!(["a", "b"])), finalizers(json!(["b"])), finalizers(json!(["a", "b"])));
    check(POD, json!({"metadata": {}}), finalizers(json!(["a"])), finalizers(json!(["a"])));
    check_spec(
        NODE,
        json!({"podCIDRs": ["10.0.0.0/24"]}),
        json!({"podCIDRs": ["fd00::/64"]}),
        json!({"podCIDRs": ["fd00::/64", "10.0.0.0/24"]}),
    );
}

#[test]
fn scalars_are_deleted_by_the_parallel_list() {
    let delete = |deleted: Value| json!({"metadata": {"$deleteFromPrimitiveList/finalizers": deleted}});
    check(POD, finalizers(json!(["a", "b", "a"])), delete(json!(["a"])), finalizers(json!(["b"])));
    check(POD, finalizers(json!(["a"])), delete(json!(["z"])), finalizers(json!(["a"])));
    check(POD, json!({"metadata": {"name": "p"}}), delete(json!(["a"])), json!({"metadata": {"name": "p"}}));
    let both = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}});
    check(POD, finalizers(json!(["a", "b"])), both, finalizers(json!(["c", "b"])));
}

#[test]
fn scalars_are_ordered_by_the_directive() {
    let patch = json!({"metadata": {"$setElementOrder/finalizers": ["c", "a"], "finalizers": ["c"]}});
    check(POD, finalizers(json!(["a", "b"])), patch, finalizers(json!(["c", "a", "b"])));
    let reorder = json!({"metadata": {"$setElementOrder/finalizers": ["b", "a"]}});
    check(POD, finalizers(json!(["a", "b"])), reorder, finalizers(json!(["b", "a"])));
    let all = json!({"metadata": {
        "$setElementOrder/finalizers": ["b", "c"], "$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}});
    check(POD, finalizers(json!(["a", "b"])), all, finalizers(json!(["b", "c"])));
}
