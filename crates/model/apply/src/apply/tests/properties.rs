//! What holds for every configuration.

use super::{config, deployments, owned, request};
use crate::{Apply, apply};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn object(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| prop::option::of(value).prop_map(move |value| value.map(|value| (name.to_owned(), value))))
        .collect();
    fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>())).boxed()
}

fn spec() -> BoxedStrategy<Value> {
    let text = || prop::sample::select(vec![json!("x"), json!("y")]).boxed();
    let labels = || object(vec![("k1", text()), ("k2", text())]);
    let container = object(vec![
        ("image", text()),
        ("args", prop::collection::vec(text(), 0..3).prop_map(Value::from).boxed()),
        ("securityContext", object(vec![("privileged", any::<bool>().prop_map(Value::from).boxed())])),
    ]);
    // An empty list of this sort is nobody's, as upstream has it.
    let names = prop::sample::subsequence(vec!["a", "b", "c"], 1..=3).prop_shuffle();
    let containers = (names, prop::collection::vec(container, 3)).prop_map(|(names, containers)| {
        let named = names.into_iter().zip(containers).map(|(name, mut container)| {
            container["name"] = json!(name);
            container
        });
        named.collect::<Value>()
    });
    object(vec![
        ("replicas", (0..3_i64).prop_map(Value::from).boxed()),
        (
            "template",
            object(vec![
                ("metadata", object(vec![("labels", labels())])),
                ("spec", object(vec![("containers", containers.boxed()), ("nodeSelector", labels())])),
            ]),
        ),
    ])
}

fn forced<'a>(manager: &'a str) -> Apply<'a> {
    Apply { force: true, ..request(manager, "T") }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// One manager alone: the object is always what it applied last, whatever it applied before.
    #[test]
    fn alone_the_object_is_the_configuration(first in spec(), second in spec()) {
        let schema = deployments();
        let fresh = apply(schema, None, config(second.clone()), &forced("a")).expect("it applies");
        let object = apply(schema, None, config(first), &forced("a")).expect("it applies");
        let object = apply(schema, Some(&object), config(second), &forced("a")).expect("it applies");
        prop_assert_eq!(owned(&object, "a"), owned(&fresh, "a"));
        prop_assert_eq!(&object["spec"], &fresh["spec"]);
    }

    /// Applying again changes nothing.
    #[test]
    fn twice_is_once(first in spec(), second in spec()) {
        let schema = deployments();
        let object = apply(schema, None, config(first), &forced("a")).expect("it applies");
        let once = apply(schema, Some(&object), config(second.clone()), &forced("b")).expect("it applies");
        let twice = apply(schema, Some(&once), config(second), &forced("b")).expect("it applies");
        prop_assert_eq!(once, twice);
    }

    /// Without force, what applies does not change what others own.
    #[test]
    fn others_keep_what_they_own(first in spec(), second in spec()) {
        let schema = deployments();
        let object = apply(schema, None, config(first), &forced("a")).expect("it applies");
        if let Ok(next) = apply(schema, Some(&object), config(second), &request("b", "T")) {
            prop_assert_eq!(owned(&object, "a"), owned(&next, "a"));
        }
    }
}
