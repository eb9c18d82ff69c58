use serde_json::{Value, json};

use super::*;

fn document() -> Value {
    let kind = |group: &str, kind: &str, spec: Value| {
        json!({
            "type": "object",
            "x-kubernetes-group-version-kind": [{"group": group, "version": "v1", "kind": kind}],
            "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"},
                "metadata": {"allOf": [{"$ref": "#/components/schemas/ObjectMeta"}]}, "spec": spec,
            },
        })
    };
    json!({"components": {"schemas": {
        "ObjectMeta": {"type": "object", "properties": {
            "name": {"type": "string"}, "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "creationTimestamp": {"type": "string", "format": "date-time"},
        }},
        "Tree": {"type": "object", "properties": {
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}, "size": {"type": "integer"},
        }},
        "Deployment": kind("apps", "Deployment", json!({"type": "object", "properties": {
            "replicas": {"type": "integer"}, "port": {"format": "int-or-string", "oneOf": []},
            "tree": {"$ref": "#/components/schemas/Tree"},
        }})),
        "Set": kind("apps", "Set", json!({"type": "object", "properties": {"size": {"type": "string"}}})),
        "Limit": kind("example.com", "Limit", json!({"type": "object", "properties": {"max": {"type": "integer"}}})),
    }}})
}

fn kind(group: &str, kind: &str) -> VersionedKind {
    VersionedKind { group: group.to_owned(), version: "v1".to_owned(), kind: kind.to_owned() }
}

fn policy(validation: Value) -> ValidatingAdmissionPolicy {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {
        "variables": [{"name": "size", "expression": "object.spec.replicas"}],
        "validations": [validation],
    }}))
    .unwrap()
}

#[test]
fn expressions_are_checked_against_what_is_published() {
    let document = document();
    let declared = |name: &VersionedKind| (name.clone(), declared_type(&document, name).unwrap());
    let deployment = [declared(&kind("apps", "Deployment"))];
    let params = declared_type(&document, &kind("example.com", "Limit")).unwrap();
    for (field, source, expected) in [
        ("expression", "object.spec.replicas > 1", None),
        ("expression", "object.metadata.labels['a'] == 'b' && object.metadata.creationTimestamp != null", None),
        ("expression", "object.spec.port == 'http' || object.spec.port == 80", None),
        ("expression", "object.spec.tree.children.all(c, c.size < 3 && c.children[0].size > 0)", None),
        ("expression", "object.spec.replicas < params.spec.max && variables.size > 1", None),
        ("expression", "object.replicas > 1", Some("undefined field 'replicas'")),
        (
            "expression",
            "object.spec.replicas > '1'",
            Some("found no matching overload for '_>_' applied to '(int, string)'"),
        ),
        ("expression", "variables.size > '1'", Some("found no matching overload for '_>_' applied to '(int, string)'")),
        ("expression", "params.spec.min > 1", Some("undefined field 'min'")),
        (
            "messageExpression",
            "'wants more, has ' + object.spec.replicas",
            Some("found no matching overload for '_+_' applied to '(string, int)'"),
        ),
    ] {
        let mut validation = json!({"expression": "true"});
        validation[field] = source.into();
        let warnings = expression_warnings(&policy(validation), &deployment, Some(&params));
        match (warnings.as_slice(), expected) {
            ([], None) => {}
            ([one], Some(expected)) => {
                assert_eq!(one.field_ref, format!("spec.validations[0].{field}"));
                let start = "apps/v1, Kind=Deployment: compilation failed: ERROR: <input>:1:";
                assert!(one.warning.starts_with(start) && one.warning.contains(expected), "{source}: {}", one.warning);
            }
            (other, _) => panic!("{source}: {other:?}"),
        }
    }
}

#[test]
fn every_kind_has_its_say() {
    let document = document();
    let kinds = ["Deployment", "Set"].map(|name| {
        let name = kind("apps", name);
        (name.clone(), declared_type(&document, &name).unwrap())
    });
    let warnings = expression_warnings(&policy(json!({"expression": "object.spec.size == 1"})), &kinds, None);
    let [one] = warnings.as_slice() else { panic!("{warnings:?}") };
    let lines: Vec<&str> = one.warning.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(
        lines,
        [
            "apps/v1, Kind=Deployment: compilation failed: ERROR: <input>:1:12: undefined field 'size'",
            "apps/v1, Kind=Set: compilation failed: ERROR: <input>:1:18: found no matching overload for '_==_' applied to '(string, int)'",
        ]
    );
}

#[test]
fn resources_without_wildcards_are_named() {
    let policy = |rules: Value| -> ValidatingAdmissionPolicy {
        serde_json::from_value(
            json!({"metadata": {"name": "p"}, "spec": {"matchConstraints": {"resourceRules": rules}}}),
        )
        .unwrap()
    };
    for (rules, expected) in [
        (json!([{"apiGroups": ["*"], "apiVersions": ["v1"], "resources": ["pods"]}]), vec![]),
        (json!([{"apiGroups": [""], "apiVersions": ["*"], "resources": ["pods"]}]), vec![]),
        (
            json!([
                {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/status", "*", "pods"]},
                {"apiGroups": ["b", "a"], "apiVersions": ["v1"], "resources": ["x"]},
            ]),
            vec!["/v1/pods", "a/v1/x", "b/v1/x"],
        ),
    ] {
        let named: Vec<String> = named_resources(&policy(rules))
            .iter()
            .map(|name| format!("{}/{}/{}", name.group, name.version, name.resource))
            .collect();
        assert_eq!(named, expected);
    }
}
