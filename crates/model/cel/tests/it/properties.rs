use minato_cel::{Budget, Environment, Type, Value, compile};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,8}".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map("[a-c]", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// Pieces that together are often an expression.
fn any_source() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "self",
        ".",
        "a",
        "b",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ":",
        ",",
        "'x'",
        "1",
        "-1",
        "2u",
        "1.5",
        "+",
        "-",
        "*",
        "/",
        "%",
        "==",
        "!=",
        "<",
        ">=",
        "&&",
        "||",
        "!",
        "?",
        " in ",
        "has(",
        ".all(x, ",
        ".map(x, ",
        "x",
        "size(",
        ".?",
        "[?",
        "null",
        "true",
        "b'z'",
        ".orValue(",
        "string(",
        "int(",
        "duration('1h')",
        "timestamp('2024-01-01T00:00:00Z')",
        ".matches('a*')",
        ".format([",
        "quantity('1Gi')",
        "ip('::1')",
        "optional.none()",
        "r'\\'",
        "\"",
        "\\",
        "é",
        "\n",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(source in any_source(), object in any_json()) {
        let environment = Environment::new().with("self", Type::Dyn);
        if let Ok(program) = compile(&environment, &source) {
            let mut budget = Budget::new(100_000);
            if let Ok(value) = program.evaluate(&[Value::of(&object)], &mut budget) {
                let _ = value.to_json();
            }
            let _ = program.estimated_cost(&|_: &[&str]| None);
        }
    }

    #[test]
    fn no_text_panics(source in ".{0,40}") {
        let _ = compile(&Environment::new(), &source);
    }

    #[test]
    fn equality_is_symmetric_and_reflexive(left in any_json(), right in any_json()) {
        let environment = Environment::new().with("l", Type::Dyn).with("r", Type::Dyn);
        let run = |source: &str| {
            let program = compile(&environment, source).unwrap();
            let value = program.evaluate(&[Value::of(&left), Value::of(&right)], &mut Budget::new(1_000_000)).unwrap();
            value.as_bool()
        };
        prop_assert_eq!(run("l == r"), run("r == l"));
        prop_assert_eq!(run("l == l"), Some(true));
        prop_assert_eq!(run("l == r").map(|same| !same), run("l != r"));
    }
}
