//! Documents and what the parser says of them.

use super::{ParseError, parse_json};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn duplicates_are_named_and_the_last_one_counts() {
    let document =
        br#"{"spec": {"replicas": 1, "a": [{"n": 1}, {"n": 1, "n": 2}], "replicas": 2}, "x.y": 1, "x.y": 2}"#;
    let value = json!({"spec": {"replicas": 2, "a": [{"n": 1}, {"n": 2}]}, "x.y": 2});
    let duplicates = ["spec.a[1].n", "spec.replicas", "x.y"].map(str::to_owned).to_vec();
    assert_eq!(parse_json(document), Ok((value, duplicates)));
}

#[test]
fn what_is_not_json_is_told_as_go_tells_it() {
    let cases: [(&[u8], &str); 13] = [
        (b"", "unexpected end of JSON input"),
        (b"{\"a\":", "unexpected end of JSON input"),
        (b"{\"a\": 1", "unexpected end of JSON input"),
        (b"apiVersion: v1", "invalid character 'a' looking for beginning of value"),
        (b"{\"a\": b}", "invalid character 'b' looking for beginning of value"),
        (b"{\n  \"a\": 1\n  \"b\": 2}", "invalid character '\"' after object key:value pair"),
        (b"{\"a\" 1}", "invalid character '1' after object key"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"{a: 1}", "invalid character 'a' looking for beginning of object key string"),
        (b"{\"a\": 1,}", "invalid character '}' looking for beginning of object key string"),
        (b"{} x", "invalid character 'x' after top-level value"),
        ("\u{e4}".as_bytes(), "invalid character '\u{e4}' looking for beginning of value"),
        (b"'a'", r"invalid character '\'' looking for beginning of value"),
    ];
    for (document, words) in cases {
        let error = parse_json(document).expect_err("not JSON").to_string();
        assert_eq!(error, words, "{}", String::from_utf8_lossy(document));
    }
}

#[test]
fn depth_is_limited() {
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    assert_eq!(parse_json(&deep), Err(ParseError::Depth));
    let objects = "{\"a\":".repeat(100_000);
    assert_eq!(parse_json(objects.as_bytes()), Err(ParseError::Depth));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse_json(&bytes);
    }

    #[test]
    fn json_like_text_agrees_with_serde(text in "[\\[\\]{}\",:0-9a-c \\\\.eE+-]{0,24}") {
        let ours = parse_json(text.as_bytes()).ok().map(|(value, _)| value);
        prop_assert_eq!(ours, serde_json::from_str::<Value>(&text).ok());
    }
}
