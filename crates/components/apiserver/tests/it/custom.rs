//! Custom resources: their definitions, and objects that are shown in another version than they are stored in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::hook::Hook;
use crate::server::{Client, Server};
use crate::serving::eventually;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const V1: &str = "/apis/example.org/v1/namespaces/default/boats";
const V2: &str = "/apis/example.org/v2/namespaces/default/boats";

/// Boats: v1 tells their length as a text, v2 as a number.
fn definition(conversion: Value, stored: &str) -> Value {
    let version = |name: &str, field: &str, kind: &str| {
        json!({
            "name": name, "served": true, "storage": name == stored,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {
                    field: {"type": kind},
                    "crew": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {
                        "name": {"type": "string"}, "rank": {"type": "string"},
                    }}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
                }},
            }}},
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "boats.example.org"},
        "spec": {
            "group": "example.org", "scope": "Namespaced", "names": {"plural": "boats", "kind": "Boat"},
            "versions": [version("v1", "size", "string"), version("v2", "length", "integer")], "conversion": conversion,
        },
    })
}

fn by_hook(hook: &Hook) -> Value {
    json!({"strategy": "Webhook", "webhook": {"clientConfig": hook.config, "conversionReviewVersions": ["v1"]}})
}

/// Waits until the definition is served as it is now.
async fn define(admin: &Client, definition: &Value) {
    admin.create(DEFINITIONS, definition).await;
    let name = definition["metadata"]["name"].as_str().unwrap();
    eventually(async || {
        let (_, found) = admin.get(&format!("{DEFINITIONS}/{name}")).await;
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True")
    })
    .await;
}

/// Puts `definition` in the place of the one that is there.
async fn redefine(admin: &Client, mut definition: Value) {
    let path = format!("{DEFINITIONS}/boats.example.org");
    let (_, now) = admin.get(&path).await;
    definition["metadata"] = now["metadata"].clone();
    let (code, answer) = admin.put(&path, &definition).await;
    assert_eq!(code, StatusCode::OK, "{answer}");
}

fn boat(version: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("example.org/{version}"), "kind": "Boat", "metadata": {"name": name}, "spec": spec})
}

/// What a good conversion webhook makes of an object.
fn converted(object: &Value, version: &str) -> Value {
    let mut object = object.clone();
    let spec = &mut object["spec"];
    if version == "example.org/v2" {
        if let Some(size) = spec["size"].as_str() {
            spec["length"] = size.trim_end_matches('m').parse::<i64>().unwrap().into();
        }
        spec.as_object_mut().unwrap().remove("size");
    } else {
        if let Some(length) = spec["length"].as_i64() {
            spec["size"] = format!("{length}m").into();
        }
        spec.as_object_mut().unwrap().remove("length");
    }
    object["apiVersion"] = version.into();
    object
}

/// A `ConversionReview` that answers `review` with these objects.
fn answer(review: &Value, objects: Vec<Value>) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "response": {"uid": review["request"]["uid"], "result": {"status": "Success"}, "convertedObjects": objects},
    })
}

fn convert(review: &Value) -> Value {
    let version = review["request"]["desiredAPIVersion"].as_str().unwrap();
    let objects = review["request"]["objects"].as_array().unwrap();
    answer(review, objects.iter().map(|object| converted(object, version)).collect())
}

#[tokio::test]
async fn a_webhook_converts_whatever_is_read_and_written() {
    let server = Server::start().await;
    let admin = server.admin();
    let hook = Hook::start_raw(|review| convert(review).to_string()).await;
    define(&admin, &definition(by_hook(&hook), "v1")).await;

    let created = admin.create(V1, &boat("v1", "one", json!({"size": "3m"}))).await;
    assert_eq!(hook.asked().len(), 0);
    let (code, shown) = admin.get(&format!("{V2}/one")).await;
    assert_eq!((code, &shown["apiVersion"]), (StatusCode::OK, &json!("example.org/v2")), "{shown}");
    assert_eq!(shown["spec"], json!({"length": 3}));
    assert_eq!(shown["metadata"]["uid"], created["metadata"]["uid"]);

    // Written in the version that is not stored, read in both.
    let other = admin.create(V2, &boat("v2", "two", json!({"length": 5, "crew": [{"name": "a"}]}))).await;
    assert_eq!((&other["apiVersion"], &other["spec"]["length"]), (&json!("example.org/v2"), &json!(5)));
    let (_, stored) = admin.get(&format!("{V1}/two")).await;
    assert_eq!(stored["spec"], json!({"size": "5m", "crew": [{"name": "a"}]}));
    hook.asked();
    let (_, list) = admin.get(V2).await;
    let lengths: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["spec"]["length"].clone()).collect();
    assert_eq!(lengths, [json!(3), json!(5)]);
    // One question for the whole list.
    let asked = hook.asked();
    assert_eq!((asked.len(), asked[0]["objects"].as_array().map(Vec::len)), (1, Some(2)));

    // An update, a merge patch, an apply and a watch in the other version.
    let mut wanted = other.clone();
    wanted["spec"]["length"] = 6.into();
    let (code, updated) = admin.put(&format!("{V2}/two"), &wanted).await;
    assert_eq!((code, &updated["spec"]["length"]), (StatusCode::OK, &json!(6)), "{updated}");
    let (code, stale) = admin.put(&format!("{V2}/two"), &wanted).await;
    assert_eq!(code, StatusCode::CONFLICT, "{stale}");
    let merge = admin.clone().with("content-type", "application/merge-patch+json");
    let (code, patched) = merge.send(Method::PATCH, &format!("{V2}/two"), Some(&json!({"spec": {"length": 7}}))).await;
    assert_eq!((code, &patched["spec"]["length"]), (StatusCode::OK, &json!(7)), "{patched}");
    let apply = admin.clone().with("content-type", "application/apply-patch+yaml");
    let (code, applied) = apply
        .send(
            Method::PATCH,
            &format!("{V2}/two?fieldManager=me&force=true"),
            Some(&boat("v2", "two", json!({"length": 8, "crew": [{"name": "b"}]}))),
        )
        .await;
    assert_eq!(code, StatusCode::OK, "{applied}");
    assert_eq!(applied["spec"], json!({"length": 8, "crew": [{"name": "a"}, {"name": "b"}]}));
    let (_, stored) = admin.get(&format!("{V1}/two")).await;
    assert_eq!(stored["spec"]["size"], "8m");
    let from = created["metadata"]["resourceVersion"].as_str().unwrap();
    let (_, events) = admin.get(&format!("{V2}?watch=true&resourceVersion={from}&timeoutSeconds=1")).await;
    let events: Vec<Value> = match events {
        Value::String(lines) => lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        one => vec![one],
    };
    let seen: Vec<_> = events.iter().map(|event| (&event["type"], &event["object"]["spec"]["length"])).collect();
    assert_eq!(
        seen,
        [
            (&json!("ADDED"), &json!(5)),
            (&json!("MODIFIED"), &json!(6)),
            (&json!("MODIFIED"), &json!(7)),
            (&json!("MODIFIED"), &json!(8)),
        ]
    );
    let (code, _) = admin.send(Method::DELETE, &format!("{V2}/two"), None).await;
    assert_eq!(code, StatusCode::OK);

    // The other version is stored from now on; what lies there is converted as it is written again.
    redefine(&admin, definition(by_hook(&hook), "v2")).await;
    eventually(async || {
        let (_, found) = admin.get(&format!("{DEFINITIONS}/boats.example.org")).await;
        found["status"]["storedVersions"] == json!(["v1", "v2"])
    })
    .await;
    let (_, shown) = admin.get(&format!("{V1}/one")).await;
    assert_eq!(shown["spec"], json!({"size": "3m"}));
    // Served as it is now within a moment; then an update that changes nothing changes the version that is stored.
    let before = shown["metadata"]["resourceVersion"].clone();
    eventually(async || {
        let (_, again) = admin.put(&format!("{V1}/one"), &shown).await;
        again["metadata"]["resourceVersion"] != before
    })
    .await;
    hook.asked();
    let (_, shown) = admin.get(&format!("{V2}/one")).await;
    assert_eq!((&shown["spec"], hook.asked().len()), (&json!({"length": 3}), 0));
}

#[tokio::test]
async fn conversions_that_fail_tell_why() {
    let server = Server::start().await;
    let admin = server.admin();
    let turn = Arc::new(AtomicUsize::new(0));
    let which = Arc::clone(&turn);
    let hook = Hook::start_raw(move |review| {
        let object = &review["request"]["objects"][0];
        let version = review["request"]["desiredAPIVersion"].as_str().unwrap();
        let good = converted(object, version);
        let with = |path: &str, value: Value| {
            let mut lie = good.clone();
            *lie.pointer_mut(path).unwrap() = value;
            answer(review, vec![lie]).to_string()
        };
        match which.load(Ordering::SeqCst) {
            0 => "<html>".to_owned(),
            1 => answer(review, Vec::new()).to_string(),
            2 => with("/apiVersion", json!("example.org/v9")),
            3 => with("/kind", json!("Ship")),
            4 => with("/metadata/name", json!("other")),
            5 => with("/metadata/uid", json!("other")),
            6 => json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": {
                "uid": review["request"]["uid"], "result": {"status": "Failed", "message": "no such length"},
            }})
            .to_string(),
            7 => {
                let mut other = answer(review, vec![good]);
                other["response"]["uid"] = "x".into();
                other.to_string()
            }
            8 => "x".repeat(11 << 20),
            // What a webhook may change: labels and annotations, and nothing else of the metadata.
            9 => with("/metadata/creationTimestamp", json!("1999-01-01T00:00:00Z")),
            _ => convert(review).to_string(),
        }
    })
    .await;
    define(&admin, &definition(by_hook(&hook), "v1")).await;
    let created = admin.create(V1, &boat("v1", "one", json!({"size": "3m"}))).await;
    for (case, expected) in [
        (0, "conversion webhook for example.org/v1, Kind=Boat failed: "),
        (1, "conversion webhook for example.org/v1, Kind=Boat returned 0 objects, expected 1"),
        (2, "expected apiVersion example.org/v2"),
        (3, "returned invalid "),
        (4, "metadata: must have the same name: other != one"),
        (5, "metadata: must have the same UID: other != "),
        (6, "conversion webhook for example.org/v1, Kind=Boat failed: no such length"),
        (7, "expected response.uid="),
        (8, "the answer is longer than"),
    ] {
        turn.store(case, Ordering::SeqCst);
        for path in [format!("{V2}/one"), V2.to_owned()] {
            let (code, status) = admin.get(&path).await;
            let message = status["message"].as_str().unwrap_or_default();
            assert_eq!(code, StatusCode::INTERNAL_SERVER_ERROR, "{case}: {status}");
            assert!(message.contains(expected), "{case}: {message}");
        }
        let change = boat("v2", "new", json!({"length": 1}));
        let (code, status) = admin.post(V2, &change).await;
        assert_eq!(code, StatusCode::INTERNAL_SERVER_ERROR, "{case}: {status}");
        assert_eq!(admin.get(&format!("{V1}/new")).await.0, StatusCode::NOT_FOUND, "{case}");
    }
    turn.store(9, Ordering::SeqCst);
    let (code, shown) = admin.get(&format!("{V2}/one")).await;
    assert_eq!(code, StatusCode::OK, "{shown}");
    assert_eq!(shown["metadata"]["creationTimestamp"], created["metadata"]["creationTimestamp"]);
    // Whatever the webhook does, the definition can go, and its objects with it.
    turn.store(0, Ordering::SeqCst);
    let (code, _) = admin.send(Method::DELETE, &format!("{DEFINITIONS}/boats.example.org"), None).await;
    assert_eq!(code, StatusCode::OK);
    eventually(async || admin.get(&format!("{DEFINITIONS}/boats.example.org")).await.0 == StatusCode::NOT_FOUND).await;
    eventually(async || admin.get(V1).await.0 == StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn without_conversion_only_the_version_differs() {
    let server = Server::start().await;
    let admin = server.admin();
    define(&admin, &definition(json!({"strategy": "None"}), "v1")).await;
    admin.create(V1, &boat("v1", "one", json!({"size": "3m", "crew": [{"name": "a"}]}))).await;
    let (_, shown) = admin.get(&format!("{V2}/one")).await;
    // What the version does not know is not shown.
    assert_eq!((&shown["apiVersion"], &shown["spec"]), (&json!("example.org/v2"), &json!({"crew": [{"name": "a"}]})));
    let (_, shown) = admin.get(&format!("{V1}/one")).await;
    assert_eq!(shown["spec"]["size"], "3m");
}

/// Registers something of `admissionregistration.k8s.io/v1`.
async fn register(admin: &Client, kind: &str, name: &str, rest: Value) {
    let mut object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}});
    object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let plural = kind.to_lowercase();
    let plural = plural.strip_suffix('y').map_or_else(|| format!("{plural}s"), |stem| format!("{stem}ies"));
    admin.create(&format!("/apis/admissionregistration.k8s.io/v1/{plural}"), &object).await;
}

fn rules(version: &str) -> Value {
    json!([{"operations": ["CREATE", "UPDATE"], "apiGroups": ["example.org"], "apiVersions": [version], "resources": ["boats"]}])
}

#[tokio::test]
async fn admission_sees_the_version_that_its_rules_name() {
    use base64::Engine as _;
    let server = Server::start().await;
    let admin = server.admin();
    let conversion = Hook::start_raw(|review| convert(review).to_string()).await;
    define(&admin, &definition(by_hook(&conversion), "v1")).await;
    // It knows v2 alone, and makes every boat longer by one.
    let longer = Hook::start(|request| {
        let length = request["object"]["spec"]["length"].as_i64().unwrap_or(-100) + 1;
        let patch = json!([{"op": "replace", "path": "/spec/length", "value": length}]).to_string();
        let patch = base64::engine::general_purpose::STANDARD.encode(patch);
        json!({"allowed": true, "patchType": "JSONPatch", "patch": patch})
    })
    .await;
    let webhook = json!({
        "name": "longer.example.com", "clientConfig": longer.config, "admissionReviewVersions": ["v1"],
        "sideEffects": "None", "rules": rules("v2"),
    });
    register(&admin, "MutatingWebhookConfiguration", "longer", json!({"webhooks": [webhook]})).await;
    let policy = json!({"spec": {
        "matchConstraints": {"resourceRules": rules("v2")},
        "validations": [{"expression": "object.spec.length < 10", "message": "too long"}],
    }});
    register(&admin, "ValidatingAdmissionPolicy", "short", policy).await;
    let binding = json!({"spec": {"policyName": "short", "validationActions": ["Deny"]}});
    register(&admin, "ValidatingAdmissionPolicyBinding", "short", binding).await;

    let created = admin.create(V1, &boat("v1", "one", json!({"size": "3m"}))).await;
    assert_eq!((&created["apiVersion"], &created["spec"]["size"]), (&json!("example.org/v1"), &json!("4m")));
    let asked = longer.asked().remove(0);
    assert_eq!(asked["kind"]["version"], "v2");
    assert_eq!(asked["requestKind"]["version"], "v1");
    assert_eq!(
        (&asked["object"]["apiVersion"], &asked["object"]["spec"]),
        (&json!("example.org/v2"), &json!({"length": 3}))
    );
    let (code, status) = admin.post(V1, &boat("v1", "two", json!({"size": "9m"}))).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{status}");
    assert!(status["message"].as_str().unwrap().ends_with("denied request: too long"), "{status}");
    let mut wanted = created.clone();
    wanted["spec"]["size"] = "5m".into();
    let (code, updated) = admin.put(&format!("{V1}/one"), &wanted).await;
    assert_eq!((code, &updated["spec"]["size"]), (StatusCode::OK, &json!("6m")), "{updated}");
    assert_eq!(longer.asked().pop().unwrap()["oldObject"]["spec"], json!({"length": 4}));
}

#[tokio::test]
async fn apply_configurations_merge_lists_as_the_schema_says() {
    let server = Server::start().await;
    let admin = server.admin();
    define(&admin, &definition(json!({"strategy": "None"}), "v1")).await;
    let policy = json!({"spec": {
        "matchConstraints": {"resourceRules": rules("v1")}, "failurePolicy": "Fail", "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
            "Object{spec: Object.spec{crew: [Object.spec.crew{name: 'a', rank: 'captain'}, Object.spec.crew{name: 'cook'}]}}"}}],
    }});
    register(&admin, "MutatingAdmissionPolicy", "crew", policy).await;
    register(&admin, "MutatingAdmissionPolicyBinding", "crew", json!({"spec": {"policyName": "crew"}})).await;
    let crew = json!([{"name": "a"}, {"name": "b", "rank": "mate"}]);
    let created = admin.create(V1, &boat("v1", "one", json!({"size": "3m", "crew": crew}))).await;
    let expected = json!([{"name": "a", "rank": "captain"}, {"name": "b", "rank": "mate"}, {"name": "cook"}]);
    assert_eq!(created["spec"], json!({"size": "3m", "crew": expected}));
}

#[tokio::test]
async fn definitions_and_objects_outlive_the_server() {
    let server = Server::start().await;
    let admin = server.admin();
    define(&admin, &definition(json!({"strategy": "None"}), "v1")).await;
    admin.create(V1, &boat("v1", "one", json!({"size": "3m"}))).await;
    // Heaps of definitions are established together, and none takes another's name.
    let named = |group: usize, number: usize| {
        let mut other = definition(json!({"strategy": "None"}), "v1");
        other["metadata"]["name"] = format!("ships{number}.g{group}.example.org").into();
        other["spec"]["group"] = format!("g{group}.example.org").into();
        other["spec"]["names"] = json!({"plural": format!("ships{number}"), "kind": format!("Ship{}", number % 10)});
        other
    };
    let heap: Vec<Value> = (0..5).flat_map(|group| (0..12).map(move |number| named(group, number))).collect();
    futures::future::join_all(heap.iter().map(|one| admin.create(DEFINITIONS, one))).await;
    let established = async |admin: &Client| {
        let (_, list) = admin.get(DEFINITIONS).await;
        let has = |item: &&Value, kind: &str, status: &str| {
            let conditions = item["status"]["conditions"].as_array().into_iter().flatten();
            conditions.into_iter().any(|condition| condition["type"] == kind && condition["status"] == status)
        };
        let items = list["items"].as_array().unwrap();
        let count = |kind: &str, status: &str| items.iter().filter(|item| has(item, kind, status)).count();
        (count("Established", "True"), count("NamesAccepted", "False"))
    };
    // Of each group, two kinds came twice.
    eventually(async || established(&admin).await == (51, 10)).await;
    let (_, groups) = admin.get("/apis").await;
    let custom = |groups: &Value| {
        let groups = groups["groups"].as_array().unwrap().iter();
        groups.filter(|group| group["name"].as_str().unwrap().ends_with("example.org")).count()
    };
    assert_eq!(custom(&groups), 6);

    let server = server.restart().await;
    let admin = server.admin();
    // Served from the first request on.
    let (code, one) = admin.get(&format!("{V1}/one")).await;
    assert_eq!((code, &one["spec"]["size"]), (StatusCode::OK, &json!("3m")), "{one}");
    let (_, groups) = admin.get("/apis").await;
    assert_eq!(custom(&groups), 6);
    assert_eq!(established(&admin).await, (51, 10));
    admin.create(V2, &boat("v2", "two", json!({"length": 1}))).await;
    let (code, _) = admin.send(Method::DELETE, &format!("{DEFINITIONS}/boats.example.org"), None).await;
    assert_eq!(code, StatusCode::OK);
    eventually(async || admin.get(V1).await.0 == StatusCode::NOT_FOUND).await;
}
