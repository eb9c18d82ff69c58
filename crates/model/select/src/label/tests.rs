use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn labels(text: &str) -> BTreeMap<String, String> {
    let pair = |part: &str| part.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    text.split(',').filter_map(pair).collect()
}

#[test]
fn parses_and_prints() {
    let check = |text: &str, canonical: &str| {
        assert_eq!(LabelSelector::parse(text).unwrap().to_string(), canonical, "{text:?}");
    };
    check("", "");
    check("  ", "");
    check("x=a", "x=a");
    check("x == a", "x==a");
    check("x=a,y=b,z=c", "x=a,y=b,z=c");
    check("z=c,a=b", "a=b,z=c");
    check("x=,y=", "x=,y=");
    check("x!=a, y", "x!=a,y");
    check("! x", "!x");
    check("x in (c,a, b)", "x in (a,b,c)");
    check("x notin (a)", "x notin (a)");
    check("x in (,a)", "x in (,a)");
    check("x in (a,)", "x in (,a)");
    check("x in (a,,b)", "x in (,a,b)");
    check("x>1,y<2", "x>1,y<2");
    check("in in (in,notin)", "in in (in,notin)");
    check("notin=in", "notin=in");
    check("example.com/in", "example.com/in");
    check("x=\t\r\na", "x=a");
}

#[test]
fn refuses_in_upstreams_words() {
    let check = |text: &str, message: &str| {
        assert_eq!(LabelSelector::parse(text).unwrap_err().to_string(), message, "{text:?}");
    };
    check("x=a,", "found '', expected: identifier after ','");
    check(",x", "found ',', expected: !, identifier, or 'end of string'");
    check("x y", "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt");
    check("x=a b", "found 'b', expected: ',' or 'end of string'");
    check("x===a", "unable to parse requirement: found '=', expected: identifier");
    check("x in a", "unable to parse requirement: found 'a' expected: '('");
    check("x in (a", "unable to parse requirement: found '', expected: ',' or ')'");
    check("x in (!)", "unable to parse requirement: found '!', expected: ',', ')' or identifier");
    check("x in (a b)", "unable to parse requirement: found 'b', expected: ',' or ')'");
    check("!x=a", "found '=', expected: ',' or 'end of string'");
    check("!", "unable to parse requirement: found '', expected: identifier");
    check(
        "x in ()",
        "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
    );
    check(
        "x>a",
        "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer",
    );
    check("/x=a", "unable to parse requirement: <nil>: Invalid value: \"/x\": prefix part must be non-empty");
    let long = "a".repeat(64);
    check(
        &format!("x={long}"),
        &format!(
            "unable to parse requirement: values[0][x]: Invalid value: \"{long}\": must be no more than 63 characters"
        ),
    );
}

#[test]
fn matches() {
    let check = |selector: &str, object: &str, expected: bool| {
        let selector = LabelSelector::parse(selector).unwrap();
        assert_eq!(selector.matches_labels(&labels(object)), expected, "{selector} on {object}");
    };
    check("", "x=y", true);
    check("x=y", "x=y", true);
    check("x=y", "x=z", false);
    check("x=y", "", false);
    check("x!=y", "", true);
    check("x!=y", "x=y", false);
    check("x!=y", "x=z", true);
    check("x=", "x=", true);
    check("x=", "", false);
    check("x in (a,b)", "x=b", true);
    check("x in (a,b)", "x=c", false);
    check("x in (a,b)", "", false);
    check("x notin (a,b)", "x=c", true);
    check("x notin (a,b)", "x=a", false);
    check("x notin (a,b)", "", true);
    check("x", "x=", true);
    check("x", "y=", false);
    check("!x", "y=", true);
    check("!x", "x=", false);
    check("x>1", "x=2", true);
    check("x>1", "x=1", false);
    check("x>1", "x=word", false);
    check("x<1", "", false);
    check("x=1,y!=2,!z", "x=1,y=3", true);
    check("x=1,y!=2,!z", "x=1,y=3,z=0", false);
}

#[test]
fn from_selector_objects() {
    let check = |object: serde_json::Value, expected: &str| match LabelSelector::from_object(&object) {
        Ok(selector) => assert_eq!(selector.to_string(), expected, "{object}"),
        Err(error) => assert_eq!(error.to_string(), expected, "{object}"),
    };
    check(json!({}), "");
    check(json!({"matchLabels": {"b": "1", "a": "2"}}), "a=2,b=1");
    check(
        json!({"matchLabels": {"b": "1"}, "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["y", "x"]},
            {"key": "c", "operator": "NotIn", "values": ["z"]},
            {"key": "d", "operator": "Exists"},
            {"key": "e", "operator": "DoesNotExist"},
        ]}),
        "a in (x,y),b=1,c notin (z),d,!e",
    );
    check(
        json!({"matchExpressions": [{"key": "a", "operator": "Is"}]}),
        "\"Is\" is not a valid label selector operator",
    );
    check(
        json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
        "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
    );
    check(json!({"matchLabels": []}), "matchLabels: must be an object");
    check(json!({"matchLabels": {"a": 1}}), "matchLabels: must be an object of strings");
    assert!(LabelSelector::from_object(&json!(null)).unwrap().is_nothing());
    assert!(LabelSelector::from_object(&json!({})).unwrap().is_everything());
}

proptest! {
    #[test]
    fn never_panics(text in ".{0,40}") {
        let _ = LabelSelector::parse(&text);
    }

    #[test]
    fn round_trips(text in "(!?[a-c]|[a-c](=|==|!=)[a-c]?|[a-c] (in|notin) \\([a-c](,[a-c]){0,3}\\)|[a-c][<>][0-9])(,[d-f](=[a-z])?){0,3}") {
        let selector = LabelSelector::parse(&text).unwrap();
        prop_assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap(), selector);
    }
}
