use serde_json::{Value, json};

use super::*;
use minato_kinds::At;

fn schema() -> Schema {
    Schema::compile(&json!({"type": "object", "properties": {"spec": {
        "type": "object", "required": ["image"],
        "properties": {
            "image": {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^[a-z]*$"},
            "replicas": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 10, "default": 1},
            "policy": {"type": "string", "enum": ["Always", "Never"], "nullable": true, "default": "Always"},
            "port": {"x-kubernetes-int-or-string": true},
            "ip": {"type": "string", "format": "ipv4"},
            "when": {"type": "string", "format": "date-time"},
            "weight": {"type": "number", "exclusiveMaximum": true, "maximum": 1000000.0, "multipleOf": 0.5},
            "tags": {"type": "array", "maxItems": 2, "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "ports": {"type": "array", "minItems": 1, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string"}, "number": {"type": "integer", "maximum": 100, "default": 8}}}},
            "labels": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string", "maxLength": 3}},
            "raw": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                "known": {"type": "object", "properties": {"a": {"type": "string"}}}}},
            "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
            "one": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        },
    }}}))
}

fn wrapped(mut spec: Value) -> Value {
    if spec.get("image").is_none() {
        spec["image"] = "a".into();
    }
    json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "x"}, "spec": spec})
}

#[test]
fn validation_in_upstreams_words() {
    let cases: &[(Value, &[&str])] = &[
        (json!({"replicas": 3, "port": "http", "ip": "10.0.0.1", "when": "2024-01-02T03:04:05Z"}), &[]),
        (
            json!({"replicas": "string"}),
            &[r#"spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string""#],
        ),
        (
            json!({"replicas": 11}),
            &["spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10"],
        ),
        (
            json!({"replicas": -1}),
            &["spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0"],
        ),
        (
            json!({"replicas": 1.5}),
            &[r#"spec.replicas: Invalid value: "float64": spec.replicas in body must be of type int32: "float64""#],
        ),
        (
            json!({"policy": "Maybe"}),
            &[r#"spec.policy: Unsupported value: "Maybe": supported values: "Always", "Never""#],
        ),
        (
            json!({"image": ""}),
            &[r#"spec.image: Invalid value: "": spec.image in body should be at least 1 chars long"#],
        ),
        (json!({"image": "abcdef"}), &["spec.image: Too long: may not be more than 5 bytes"]),
        (json!({"image": "A"}), &[r#"spec.image: Invalid value: "A": spec.image in body should match '^[a-z]*$'"#]),
        (
            json!({"port": true}),
            &[r#"spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean""#],
        ),
        (json!({"ip": "x"}), &[r#"spec.ip: Invalid value: "x": spec.ip in body must be of type ipv4: "x""#]),
        (
            json!({"when": "now"}),
            &[r#"spec.when: Invalid value: "now": spec.when in body must be of type date-time: "now""#],
        ),
        (
            json!({"weight": 2000000}),
            &["spec.weight: Invalid value: 2000000: spec.weight in body should be less than 1e+06"],
        ),
        (json!({"weight": 0.3}), &["spec.weight: Invalid value: 0.3: spec.weight in body should be a multiple of 0.5"]),
        (json!({"tags": ["a", "b", "c"]}), &["spec.tags: Too many: 3: must have at most 2 items"]),
        (json!({"ports": []}), &["spec.ports: Invalid value: 0: spec.ports in body should have at least 1 items"]),
        (
            json!({"ports": [{"name": "a", "number": 101}]}),
            &[
                "spec.ports[0].number: Invalid value: 101: spec.ports[0].number in body should be less than or equal to 100",
            ],
        ),
        (json!({"ports": [{}]}), &["spec.ports[0].name: Required value"]),
        (json!({"labels": {"a": "long"}}), &["spec.labels.a: Too long: may not be more than 3 bytes"]),
        (json!({"labels": {"a": "", "b": ""}}), &["spec.labels: Too many: 2: must have at most 1 item"]),
        (
            json!({"one": {}}),
            &[
                r#"<nil>: Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found none valid"#,
                "spec.one.a: Required value",
            ],
        ),
        (
            json!({"one": {"a": "", "b": ""}}),
            &[
                r#"<nil>: Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
            ],
        ),
    ];
    for (spec, expected) in cases {
        let found: Vec<String> = validate(&schema(), &wrapped(spec.clone())).iter().map(ToString::to_string).collect();
        assert_eq!(found, *expected, "{spec}");
    }
}

#[test]
fn what_did_not_change_may_be_wrong() {
    let errors = |new: Value, old: Value| validate_update(&schema(), &wrapped(new), &wrapped(old)).len();
    assert_eq!(errors(json!({"replicas": 11, "ip": "10.0.0.1"}), json!({"replicas": 11})), 0);
    assert_eq!(errors(json!({"replicas": 12}), json!({"replicas": 11})), 1);
    let ports =
        |first: i64, second: i64| json!({"ports": [{"name": "a", "number": first}, {"name": "b", "number": second}]});
    assert_eq!(errors(ports(101, 2), ports(101, 1)), 0);
    assert_eq!(errors(ports(102, 101), ports(101, 101)), 1);
}

#[test]
fn pruning_and_defaulting() {
    let mut object = wrapped(json!({
        "x": 1, "policy": null, "replicas": null, "ports": [{"name": "a", "y": 1}], "labels": {"a": "b"},
        "raw": {"any": {"thing": 1}, "known": {"a": "", "z": 1}},
        "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"any": 1}}, "ip": null,
    }));
    let mut seen = Vec::new();
    let removed = prune_and_visit(&schema(), &mut object, &mut |path, metadata| {
        seen.push(format!("{path} {metadata}"));
    });
    assert_eq!(seen, [r#"spec.template.metadata {"name":"p"}"#]);
    assert_eq!(removed, ["spec.ports[0].y", "spec.raw.known.z", "spec.x"]);
    default(&schema(), &mut object);
    drop_nulls(&schema(), &mut object);
    let expected = json!({
        "image": "a", "policy": null, "replicas": 1, "ports": [{"name": "a", "number": 8}], "labels": {"a": "b"},
        "raw": {"any": {"thing": 1}, "known": {"a": ""}},
        "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"any": 1}},
    });
    assert_eq!(object["spec"], expected);
    let again = object.clone();
    assert!(prune(&schema(), &mut object).is_empty());
    default(&schema(), &mut object);
    assert_eq!(object, again);
}

#[test]
fn lists_and_embedded_resources() {
    let all = |spec: Value| -> Vec<String> {
        let object = wrapped(spec);
        let errors = validate_lists(&schema(), &object).into_iter().chain(validate_embedded(&schema(), &object));
        errors.map(|error| error.to_string()).collect()
    };
    assert_eq!(all(json!({"tags": ["a", "b", "a"]})), [r#"spec.tags[2]: Duplicate value: "a""#]);
    assert_eq!(
        all(json!({"ports": [{"name": "a"}, {"name": "a"}]})),
        [r#"spec.ports[1]: Duplicate value: {"name":"a"}"#]
    );
    assert_eq!(
        all(json!({"template": {"kind": "A_b", "metadata": {"labels": {"a b": "c"}}}})).len(),
        3,
        "apiVersion, kind, label"
    );
}

#[test]
fn schemas_themselves() {
    let check = |schema: Value| -> Vec<String> {
        super::check(&schema, &At::Root.field("s")).iter().map(ToString::to_string).collect()
    };
    let field = |field: Value| json!({"type": "object", "properties": {"f": field}});
    let cases: &[(Value, &[&str])] = &[
        (field(json!({"type": "string"})), &[]),
        (json!({}), &["s.type: Required value: must not be empty at the root"]),
        (field(json!({})), &["s.properties[f].type: Required value: must not be empty for specified object fields"]),
        (
            field(json!({"type": "array", "items": {}})),
            &["s.properties[f].items.type: Required value: must not be empty for specified array items"],
        ),
        (field(json!({"type": "array"})), &["s.properties[f].items: Required value: must be specified"]),
        (
            field(json!({"type": "object", "oneOf": [{"properties": {"a": {"minimum": 1}}}]})),
            &[
                "s.properties[f].properties[a]: Required value: because it is defined in s.properties[f].oneOf[0].properties[a]",
            ],
        ),
        (
            field(json!({"type": "string", "anyOf": [{"type": "string"}]})),
            &["s.properties[f].anyOf[0].type: Forbidden: must be empty to be structural"],
        ),
        (field(json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]})), &[]),
        (
            field(json!({"type": "string", "default": 7})),
            &[r#"s.properties[f].default: Invalid value: "integer":  in body must be of type string: "integer""#],
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
            &[
                "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
            ],
        ),
        (
            field(json!({"type": "null"})),
            &["s.properties[f].type: Forbidden: type cannot be set to null, use nullable as an alternative"],
        ),
    ];
    for (schema, expected) in cases {
        assert_eq!(check(schema.clone()), *expected, "{schema}");
    }
}

#[test]
fn alternatives_that_multiply_end() {
    let mut schema = json!({"type": "object", "required": ["a"]});
    for _ in 0..40 {
        schema = json!({"allOf": [schema, schema]});
        if schema.to_string().len() > 200_000 {
            break;
        }
    }
    let compiled = Schema::compile(&json!({"type": "object", "allOf": [schema]}));
    let errors = validate(&compiled, &json!({}));
    assert!(!errors.is_empty());
}

#[test]
fn formats() {
    for (format, good, bad) in [
        ("ipv6", "fe80::1", "1.2.3.4"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("mac", "00:00:5e:00:53:01", "00:00"),
        ("byte", "aGk=", "a"),
        ("date", "2024-02-29", "2023-02-29"),
        ("date-time", "2024-01-01T00:00:00.123+01:00", "2024-01-01"),
        ("duration", "1h30m", "1 x"),
        ("duration", "3 days", "abc"),
        ("email", "a@b.c", "a"),
        ("hostname", "a.b-c", "-a"),
        ("uri", "https://a/b", "a b"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "x"),
        ("hexcolor", "#fff", "#ff"),
        ("isbn10", "0-306-40615-2", "0-306-40615-3"),
        ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
        ("k8s-short-name", "a-b", "a.b"),
    ] {
        assert!(crate::format::matches(format, good), "{format} {good}");
        assert!(!crate::format::matches(format, bad), "{format} {bad}");
    }
    assert!(crate::format::matches("whatever", "x"));
}
