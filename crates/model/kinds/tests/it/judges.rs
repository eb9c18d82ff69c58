//! What judges requests, orders them and signs for them: webhooks, policies, flow schemas, certificate requests, autoscalers.

use serde_json::{Value, json};

use crate::case::{Table, created, edited, kind};
use crate::more::valid;

fn base(kind: &'static str) -> Table {
    let found = valid().into_iter().find(|(known, _)| *known == kind);
    Table { kind, base: found.unwrap().1 }
}

#[test]
fn webhooks() {
    let hooks = base("admissionregistration.k8s.io/validatingwebhookconfigurations");
    let resources = |list: Value| vec![("/webhooks/0/rules/0/resources", list)];
    for (edits, expected) in [
        (resources(json!(["pods", "pods/status", "*/scale"])), vec![]),
        (
            resources(json!(["pods/*", "pods/status"])),
            vec![
                "webhooks[0].rules[0].resources[1]: Invalid value: \"pods/status\": if 'pods/*' is present, must not specify pods/status",
            ],
        ),
        (
            resources(json!(["*", "pods"])),
            vec![
                "webhooks[0].rules[0].resources: Invalid value: [\"*\",\"pods\"]: if '*' is present, must not specify other resources without subresources",
            ],
        ),
        (
            vec![("/webhooks/0/clientConfig/url", json!("http://u@x/y?q#f"))],
            vec![
                "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
                "webhooks[0].clientConfig.url: Invalid value: \"u\": user information is not permitted in the URL",
                "webhooks[0].clientConfig.url: Invalid value: \"f\": fragments are not permitted in the URL",
                "webhooks[0].clientConfig.url: Invalid value: \"q\": query parameters are not permitted in the URL",
            ],
        ),
        (
            vec![("/webhooks/0/clientConfig", json!({"service": {"name": "s", "namespace": "n", "path": "/a//b"}}))],
            vec!["webhooks[0].clientConfig.service.path: Invalid value: \"/a//b\": segment[1] may not be empty"],
        ),
        (
            vec![("/webhooks/0/matchConditions", json!([{"name": "a b", "expression": " "}]))],
            vec![
                "webhooks[0].matchConditions[0].expression: Required value",
                "webhooks[0].matchConditions[0].name: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ],
        ),
    ] {
        hooks.create(&edits, &expected);
    }
    let policies = base("admissionregistration.k8s.io/validatingadmissionpolicies");
    for (edits, expected) in [
        (
            vec![("/spec/validations/0/message", json!("a\nb"))],
            vec!["spec.validations[0].message: Invalid value: \"a\\nb\": message must not contain line breaks"],
        ),
        (
            vec![("/spec/paramKind", json!({"apiVersion": "a/b/c"}))],
            vec![
                "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
                "spec.paramKind.kind: Required value",
            ],
        ),
        (
            vec![("/spec/variables", json!([{"name": "1", "expression": "true"}, {"name": "a"}]))],
            vec![
                "spec.variables[0].name: Invalid value: \"1\": name is not a valid CEL identifier",
                "spec.variables[1].expression: Required value: expression is not specified",
            ],
        ),
    ] {
        policies.create(&edits, &expected);
    }
    base("admissionregistration.k8s.io/validatingadmissionpolicybindings").create(
        &[("/spec/paramRef", json!({"name": "a", "selector": {}}))],
        &[
            "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
            "spec.paramRef.parameterNotFoundAction: Required value",
        ],
    );
}

#[test]
fn flow() {
    let schemas = base("flowcontrol.apiserver.k8s.io/flowschemas");
    let rule = json!({"subjects": [{"kind": "User", "user": {"name": "u"}, "group": {"name": "g"}}],
        "resourceRules": [{"verbs": ["get", "see"], "apiGroups": ["*", ""], "resources": ["pods"]}]});
    schemas.create(
        &[("/spec/rules", json!([rule])), ("/spec/matchingPrecedence", json!(1))],
        &[
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
            "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
            "spec.rules[0].resourceRules[0].verbs: Unsupported value: [\"get\",\"see\"]: supported values: \"create\", \"delete\", \"deletecollection\", \"get\", \"list\", \"patch\", \"proxy\", \"update\", \"watch\"",
            "spec.rules[0].resourceRules[0].apiGroups: Invalid value: [\"*\",\"\"]: if '*' is present, must not specify other api groups",
            "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace",
        ],
    );
    let levels = base("flowcontrol.apiserver.k8s.io/prioritylevelconfigurations");
    let queue = |hand: i64| json!({"type": "Queue", "queuing": {"queues": 1000, "handSize": hand}});
    levels.create(&[("/spec/limited/limitResponse", queue(6))], &[]);
    levels.create(
        &[("/spec/limited/limitResponse", queue(7))],
        &[
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 7: required entropy bits of deckSize 1000 and handSize 7 should not be greater than 60",
        ],
    );
    levels.create(
        &[("/spec/type", json!("Exempt")), ("/spec/limited", json!(null))],
        &["spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'"],
    );
}

#[test]
fn certificate_requests() {
    let table = base("certificates.k8s.io/certificatesigningrequests");
    table.create(
        &[("/spec/request", json!("YQ==")), ("/spec/signerName", json!("x/y"))],
        &[
            "spec.request: Invalid value: \"YQ==\": PEM block type must be CERTIFICATE REQUEST",
            "spec.signerName: Invalid value: \"x\": should be a domain with at least two segments separated by dots",
        ],
    );
    let kind = kind(table.kind);
    let old = created(kind, &table.base);
    let approved = json!([{"type": "Approved", "status": "True"}]);
    let new = edited(&old, &[("/status/certificate", json!("YQ=="))]);
    let errors: Vec<String> = kind.validate_status_update(&new, &old).iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        ["status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM block"]
    );
    let new = edited(&old, &[("/status/conditions", approved)]);
    let errors: Vec<String> = kind.validate_update(&new, &old).iter().map(ToString::to_string).collect();
    assert_eq!(errors, ["status.conditions: Forbidden: updates may not add a condition of type \"Approved\""]);
    let approve = minato_kinds::Subresource::Approval;
    assert_eq!(kind.validate_subresource_update(approve, &new, &old), []);
    let errors: Vec<String> =
        kind.validate_subresource_update(approve, &old, &new).iter().map(ToString::to_string).collect();
    assert_eq!(errors, ["status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""]);
}

#[test]
fn autoscalers() {
    let hpa = base("autoscaling/horizontalpodautoscalers");
    let external =
        |target: Value| json!([{"type": "External", "external": {"metric": {"name": "q"}, "target": target}}]);
    for (metrics, expected) in [
        (external(json!({"type": "Value", "value": "1"})), vec![]),
        (
            external(json!({"type": "Value"})),
            vec![
                "spec.metrics[0].external.target.averageValue: Required value: must set either a target value for metric or a per-pod target",
            ],
        ),
        (
            json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "1", "averageUtilization": 1}}}]),
            vec![
                "spec.metrics[0].resource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization",
            ],
        ),
        (
            json!([{"type": "Pods", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 1}}}]),
            vec!["spec.metrics[0].pods: Required value: must populate information for the given metric source"],
        ),
    ] {
        hpa.create(&[("/spec/metrics", metrics)], &expected);
    }
}

#[test]
fn certificate_requests_are_signed_by_their_own_key() {
    let table = base("certificates.k8s.io/certificatesigningrequests");
    let empty = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUFBPQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K";
    table.create(
        &[("/spec/request", json!(empty))],
        &[&format!("spec.request: Invalid value: \"{empty}\": the certificate request cannot be parsed")],
    );
}

#[test]
fn mandatory_flow_schemas_and_levels_stay() {
    let fixed = |kind: &'static str, name: &str, spec: Option<Value>| Table {
        kind,
        base: json!({"metadata": {"name": name}, "spec": spec.unwrap()}),
    };
    for name in ["exempt", "catch-all"] {
        let schemas = "flowcontrol.apiserver.k8s.io/flowschemas";
        let schema = fixed(schemas, name, minato_kinds::mandatory_flow_schema(name));
        schema.create(&[("/metadata/labels", json!({"a": "b"}))], &[]);
        let errors = crate::case::create_errors(kind(schemas), &edited(&schema.base, &[("/spec/rules", json!([]))]));
        assert!(
            errors.last().unwrap().ends_with(&format!(": spec of '{name}' must equal the fixed value")),
            "{errors:?}"
        );
        let levels = "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations";
        fixed(levels, name, minato_kinds::mandatory_priority_level(name)).create(&[], &[]);
    }
    let levels = "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations";
    let exempt = fixed(levels, "exempt", minato_kinds::mandatory_priority_level("exempt"));
    exempt.create(&[("/spec/exempt/nominalConcurrencyShares", json!(7))], &[]);
    let last = fixed(levels, "catch-all", minato_kinds::mandatory_priority_level("catch-all"));
    let errors = crate::case::create_errors(
        kind(levels),
        &edited(&last.base, &[("/spec/limited/nominalConcurrencyShares", json!(7))]),
    );
    assert!(errors[0].ends_with(": spec of 'catch-all' must equal the fixed value"), "{errors:?}");
}

#[test]
fn access_reviews() {
    let table = Table {
        kind: "authorization.k8s.io/localsubjectaccessreviews",
        base: json!({"metadata": {"namespace": "n"},
            "spec": {"user": "u", "resourceAttributes": {"namespace": "n", "verb": "get", "resource": "pods"}}}),
    };
    table.create(&[], &[]);
    table.create(
        &[("/metadata/name", json!("x")), ("/spec/resourceAttributes/namespace", json!("m"))],
        &[
            "metadata: Invalid value: {\"name\":\"x\",\"namespace\":\"n\"}: must be empty except for namespace",
            "spec.resourceAttributes.namespace: Invalid value: \"m\": must match metadata.namespace",
        ],
    );
    table.create(
        &[("/spec/user", json!("")), ("/spec/resourceAttributes/labelSelector", json!({}))],
        &[
            "spec.resourceAttributes.labelSelector.requirements: Required value: when spec.resourceAttributes.labelSelector is specified, requirements or rawSelector is required",
            "spec.user: Invalid value: \"\": at least one of user or group must be specified",
        ],
    );
    let own = Table {
        kind: "authorization.k8s.io/selfsubjectaccessreviews",
        base: json!({"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}),
    };
    own.create(&[], &[]);
    own.create(
        &[("/metadata/labels", json!({"a": "b"}))],
        &["metadata: Invalid value: {\"labels\":{\"a\":\"b\"}}: must be empty"],
    );
}

#[test]
fn api_services() {
    let table = Table {
        kind: "apiregistration.k8s.io/apiservices",
        base: json!({"metadata": {"name": "v1.a.b"}, "spec": {"group": "a.b", "version": "v1",
            "groupPriorityMinimum": 1, "versionPriority": 1, "service": {"namespace": "n", "name": "s"}}}),
    };
    table.create(&[], &[]);
    table.create(&[("/metadata/finalizers", json!(["cleanup.example.com"]))], &[]); // as definitions have one
    table.create(
        &[
            ("/spec/service", json!(null)),
            ("/spec/caBundle", json!("QUJD")),
            ("/spec/insecureSkipTLSVerify", json!(true)),
        ],
        &[
            "spec.caBundle: Invalid value: \"3 bytes\": local APIServices may not have a caBundle",
            "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
        ],
    );
}
