//! Policies in CEL.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Client, Server};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const CONFIGS: &str = "/api/v1/namespaces/default/configmaps";

fn constraints() -> Value {
    json!({"resourceRules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]})
}

async fn policy(admin: &Client, name: &str, spec: Value, binding: Value) {
    let mut spec = spec;
    spec["matchConstraints"] = constraints();
    let mut bound = json!({"policyName": name, "validationActions": ["Deny"]});
    if let (Value::Object(bound), Value::Object(binding)) = (&mut bound, binding) {
        bound.extend(binding);
    }
    admin
        .create(&format!("{GROUP}/validatingadmissionpolicies"), &json!({"metadata": {"name": name}, "spec": spec}))
        .await;
    let binding = json!({"metadata": {"name": format!("{name}-binding")}, "spec": bound});
    admin.create(&format!("{GROUP}/validatingadmissionpolicybindings"), &binding).await;
}

async fn forget(admin: &Client, name: &str) {
    for path in
        [format!("validatingadmissionpolicybindings/{name}-binding"), format!("validatingadmissionpolicies/{name}")]
    {
        let (code, answer) = admin.send(Method::DELETE, &format!("{GROUP}/{path}"), None).await;
        assert_eq!(code, StatusCode::OK, "{answer}");
    }
}

fn config_map(name: &str, data: &Value) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": "web"}}, "data": data})
}

#[tokio::test]
async fn policies_judge() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.create(CONFIGS, &config_map("limits", &json!({"most": "3"}))).await;
    let with_params =
        json!({"paramRef": {"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"}});
    let config_map_kind = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    let valid = |expression: &str| json!({"validations": [{"expression": expression}]});
    // A policy, its binding, and what it says of a ConfigMap with three entries; empty where it has nothing against it.
    let cases: Vec<(Value, Value, u16, &str)> = vec![
        (valid("object.data.size() == 3"), json!({}), 201, ""),
        (valid("object.data.size() < 3"), json!({}), 422, "failed expression: object.data.size() < 3"),
        (
            json!({"validations": [{"expression": "false", "message": "never", "reason": "Forbidden"}]}),
            json!({}),
            403,
            "never",
        ),
        (
            json!({"validations": [{"expression": "variables.n < 3", "messageExpression": "'has %d'.format([variables.n])"}],
                   "variables": [{"name": "n", "expression": "size(object.data)"}]}),
            json!({}),
            422,
            "has 3",
        ),
        (
            json!({"paramKind": config_map_kind, "validations": [{"expression": "object.data.size() < int(params.data.most)"}]}),
            with_params,
            422,
            "failed expression: object.data.size() < int(params.data.most)",
        ),
        (
            json!({"paramKind": config_map_kind, "validations": [{"expression": "true"}]}),
            json!({"paramRef": {"name": "absent", "parameterNotFoundAction": "Deny"}}),
            422,
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
        ),
        (
            json!({"paramKind": config_map_kind, "validations": [{"expression": "false"}]}),
            json!({"paramRef": {"selector": {"matchLabels": {"no": "such"}}, "parameterNotFoundAction": "Allow"}}),
            201,
            "",
        ),
        (
            valid("object.data.nope == 'x'"),
            json!({}),
            422,
            "expression 'object.data.nope == 'x'' resulted in error: no such key: nope",
        ),
        (
            json!({"failurePolicy": "Ignore", "validations": [{"expression": "object.data.nope == 'x'"}]}),
            json!({}),
            201,
            "",
        ),
        (
            json!({"matchConditions": [{"name": "no", "expression": "request.operation == 'DELETE'"}], "validations": [{"expression": "false"}]}),
            json!({}),
            201,
            "",
        ),
        (
            valid("namespaceObject.metadata.name == 'default' && oldObject == null && request.namespace == 'default'"),
            json!({}),
            201,
            "",
        ),
        (
            valid(
                "authorizer.requestResource.check('create').allowed() && authorizer.group('').resource('pods').namespace('x').check('get').allowed()",
            ),
            json!({}),
            201,
            "",
        ),
        (
            valid(
                "!authorizer.serviceAccount('default', 'default').group('').resource('secrets').check('list').allowed()",
            ),
            json!({}),
            201,
            "",
        ),
        (valid("false"), json!({"matchResources": {"objectSelector": {"matchLabels": {"app": "db"}}}}), 201, ""),
        (valid("false"), json!({"validationActions": ["Warn", "Audit"]}), 201, ""),
        (
            valid(
                "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, [1,2,3,4,5,6,7,8,9].all(e, [1,2,3,4,5,6,7,8,9].all(f, true))))))",
            ),
            json!({}),
            422,
            "operation cancelled: actual cost limit exceeded",
        ),
    ];
    for (index, (spec, binding, code, expected)) in cases.into_iter().enumerate() {
        let name = format!("case-{index}");
        policy(&admin, &name, spec.clone(), binding).await;
        let data = json!({"a": "1", "b": "2", "c": "3"});
        let (found, status) = admin.post(CONFIGS, &config_map(&name, &data)).await;
        assert_eq!(found.as_u16(), code, "{spec}: {status}");
        if code != 201 {
            let begin = format!(
                "configmaps \"{name}\" is forbidden: ValidatingAdmissionPolicy '{name}' with binding '{name}-binding' denied request: "
            );
            let message = status["message"].as_str().unwrap_or_default();
            assert!(message.starts_with(&begin) && message.ends_with(expected), "{message}");
        }
        forget(&admin, &name).await;
    }
}

#[tokio::test]
async fn expressions_are_compiled_when_a_policy_is_written() {
    let server = Server::start().await;
    let admin = server.admin();
    for (spec, expected) in [
        (
            json!({"validations": [{"expression": "object.foo +"}]}),
            "spec.validations[0].expression: Invalid value: \"object.foo +\": compilation failed: ERROR: <input>:1:13: Syntax error: mismatched input '<EOF>'",
        ),
        (
            json!({"validations": [{"expression": "1 + 1"}]}),
            "spec.validations[0].expression: Invalid value: \"1 + 1\": must evaluate to bool",
        ),
        (
            json!({"validations": [{"expression": "params.x == 1"}]}),
            "undeclared reference to 'params' (in container '')",
        ),
        (json!({"validations": [{"expression": "request.nope == ''"}]}), "undefined field 'nope'"),
        (
            json!({"validations": [{"expression": "true", "messageExpression": "1"}]}),
            "spec.validations[0].messageExpression: Invalid value: \"1\": must evaluate to string",
        ),
        (
            json!({"validations": [{"expression": "variables.a"}], "variables": [{"name": "b", "expression": "true"}]}),
            "undeclared reference to 'variables'",
        ),
        (
            json!({"validations": [{"expression": ""}]}),
            "spec.validations[0].expression: Required value: expression is not specified",
        ),
    ] {
        let mut spec = spec;
        spec["matchConstraints"] = constraints();
        let (code, status) = admin
            .post(&format!("{GROUP}/validatingadmissionpolicies"), &json!({"metadata": {"name": "x"}, "spec": spec}))
            .await;
        assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{status}");
        let message = status["message"].as_str().unwrap_or_default();
        assert!(message.contains(expected), "{message}\n  lacks {expected}");
    }
}

#[tokio::test]
async fn policies_change() {
    let server = Server::start().await;
    let admin = server.admin();
    let mutations = json!([
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
            "Object{metadata: Object.metadata{labels: {'team': variables.team}}}"}},
        {"patchType": "JSONPatch", "jsonPatch": {"expression":
            "has(object.data.raw) ? [] : [JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('example.com/n'), value: string(size(object.data))}]"}},
    ]);
    let spec = json!({
        "matchConstraints": constraints(), "mutations": mutations, "reinvocationPolicy": "IfNeeded",
        "variables": [{"name": "team", "expression": "'t-' + request.namespace"}],
    });
    let policies = format!("{GROUP}/mutatingadmissionpolicies");
    admin.create(&policies, &json!({"metadata": {"name": "m"}, "spec": spec})).await;
    let binding = json!({"metadata": {"name": "m"}, "spec": {"policyName": "m"}});
    admin.create(&format!("{GROUP}/mutatingadmissionpolicybindings"), &binding).await;
    let created = admin.create(CONFIGS, &config_map("one", &json!({"x": "1"}))).await;
    assert_eq!(created["metadata"]["labels"], json!({"app": "web", "team": "t-default", "example.com/n": "1"}));
    let created = admin.create(CONFIGS, &config_map("two", &json!({"raw": "1"}))).await;
    assert_eq!(created["metadata"]["labels"], json!({"app": "web", "team": "t-default"}));
    let broken = json!({
        "matchConstraints": constraints(),
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'remove', path: '/data/nope'}]"}}],
        "reinvocationPolicy": "Never",
    });
    admin.create(&policies, &json!({"metadata": {"name": "n"}, "spec": broken})).await;
    admin
        .create(
            &format!("{GROUP}/mutatingadmissionpolicybindings"),
            &json!({"metadata": {"name": "n"}, "spec": {"policyName": "n"}}),
        )
        .await;
    let (code, status) = admin.post(CONFIGS, &config_map("three", &json!({"x": "1"}))).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{status}");
    let message = status["message"].as_str().unwrap_or_default();
    assert!(message.contains("policy 'n' with binding 'n' denied request: "), "{message}");
}
