//! The list of kinds against the paths of the API document.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use minato_kinds::{Declaration, Verbs, builtins, by_resource, by_storage};
use serde_json::{Value, json};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/spec/openapi-v1.36.json");

/// Served by the document but not by default, or not stable.
fn is_stable(version: &str) -> bool {
    !version.contains("alpha") && !version.contains("beta")
}

/// (group, version, resource or resource/subresource) → (namespaced, kind of its body, actions).
type Served = BTreeMap<(String, String, String), (bool, String, BTreeSet<String>)>;

fn served(document: &Value) -> Served {
    let mut served = Served::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let mut segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        if segments.contains(&"watch") || segments.ends_with(&["{path}"]) {
            continue;
        }
        let (group, version) = match segments[..] {
            ["api", version, _, ..] => {
                segments.drain(..2);
                ("", version)
            }
            ["apis", group, version, _, ..] => {
                segments.drain(..3);
                (group, version)
            }
            _ => continue,
        };
        if !is_stable(version) {
            continue;
        }
        let namespaced = segments.starts_with(&["namespaces", "{namespace}"]);
        if namespaced {
            segments.drain(..2);
        }
        let resource = match segments[..] {
            [resource] | [resource, "{name}"] => resource.to_owned(),
            [resource, "{name}", subresource] => format!("{resource}/{subresource}"),
            _ => panic!("unexpected path {path}"),
        };
        for operation in operations.as_object().unwrap().values() {
            let Some(action) = operation["x-kubernetes-action"].as_str() else { continue };
            let entry = served.entry((group.into(), version.into(), resource.clone())).or_default();
            entry.0 |= namespaced;
            entry.1 = operation["x-kubernetes-group-version-kind"]["kind"].as_str().unwrap_or_default().into();
            entry.2.insert(action.into());
        }
    }
    served
}

fn declared(declaration: &Declaration) -> Vec<((String, String, String), bool)> {
    let mut paths = Vec::new();
    for version in declaration.versions.iter() {
        let mut add = |resource: String| {
            paths.push((((*declaration.group).into(), version.into(), resource), declaration.namespaced));
        };
        add((*declaration.resource).into());
        for subresource in declaration.subresources {
            add(format!("{}/{}", declaration.resource, subresource.name()));
        }
    }
    paths
}

#[test]
fn the_list_is_what_the_document_serves() {
    if !Path::new(DOCUMENT).exists() {
        println!("skipped: {DOCUMENT} is not there");
        return;
    }
    let document: Value = serde_json::from_slice(&std::fs::read(DOCUMENT).unwrap()).unwrap();
    let mut served = served(&document);
    // Deprecated since v1.19 and answered from nothing that Minato has.
    served.remove(&("".into(), "v1".into(), "componentstatuses".into()));

    let declared: BTreeMap<_, _> = builtins().iter().flat_map(declared).collect();
    let missing: Vec<_> = served.keys().filter(|path| !declared.contains_key(*path)).collect();
    let surplus: Vec<_> = declared.keys().filter(|path| !served.contains_key(*path)).collect();
    assert_eq!((missing, surplus), (vec![], vec![]));
    for (path, namespaced) in &declared {
        assert_eq!(served[path].0, *namespaced, "{path:?}");
    }
    for declaration in builtins() {
        let version = declaration.versions.iter().next().unwrap();
        let (_, kind, actions) =
            &served[&((*declaration.group).into(), version.into(), (*declaration.resource).into())];
        assert_eq!(*kind, declaration.kind);
        let verbs = match (actions.contains("list"), actions.contains("deletecollection")) {
            (false, _) => Verbs::CreateOnly,
            (true, false) => Verbs::NoDeleteCollection,
            (true, true) => Verbs::All,
        };
        assert_eq!(verbs, declaration.verbs, "{}", declaration.resource);
    }
}

#[test]
fn names_are_consistent() {
    let mut short = BTreeSet::new();
    for declaration in builtins() {
        assert_eq!(declaration.list_kind, format!("{}List", declaration.kind));
        assert_eq!(declaration.singular, declaration.kind.to_lowercase());
        assert!(by_resource(&declaration.group, &declaration.resource).is_some());
        assert!(by_storage(&declaration.storage).is_some());
        for name in declaration.short_names.iter() {
            assert!(name == "ev" || short.insert(name), "short name {name} is used twice");
        }
        let values: Vec<_> = declaration.selectable_values(&json!({})).into_iter().map(|(name, _)| name).collect();
        for (_, stored) in declaration.selectable_fields {
            assert!(*stored == "metadata.name" || values.contains(stored), "{stored} of {}", declaration.resource);
        }
        assert!(values.is_sorted(), "{values:?}");
    }
    assert!(by_resource("apps", "pods").is_none());
}

#[test]
fn selectable_values() {
    for (resource, object, field, expected) in [
        ("pods", json!({}), "spec.hostNetwork", "false"),
        ("pods", json!({"spec": {"hostNetwork": true}}), "spec.hostNetwork", "true"),
        ("pods", json!({"spec": {"nodeName": "a"}}), "spec.nodeName", "a"),
        ("pods", json!({}), "spec.nodeName", ""),
        ("pods", json!({"status": {"podIP": "10.0.0.1"}}), "status.podIPs", "10.0.0.1"),
        ("nodes", json!({}), "spec.unschedulable", "false"),
        ("namespaces", json!({"status": {"phase": "Active"}}), "status.phase", "Active"),
        ("secrets", json!({"type": "Opaque"}), "type", "Opaque"),
        ("services", json!({"spec": {"clusterIP": "None"}}), "spec.clusterIP", "None"),
        ("events", json!({"involvedObject": {"name": "x"}}), "involvedObject.name", "x"),
        ("events", json!({"source": {"component": "kubelet"}}), "source", "kubelet"),
        ("events", json!({"reportingComponent": "kubelet"}), "source", "kubelet"),
        ("replicationcontrollers", json!({"status": {"replicas": 2}}), "status.replicas", "2"),
    ] {
        let declaration = by_resource("", resource).unwrap();
        let stored = declaration.stored_field(field).unwrap();
        let values = declaration.selectable_values(&object);
        assert!(values.contains(&(stored, expected.into())), "{resource} {field}: {values:?}");
    }
    assert_eq!(by_resource("", "pods").unwrap().stored_field("spec.containers"), None);
    assert_eq!(by_resource("", "configmaps").unwrap().stored_field("metadata.name"), Some("metadata.name"));
    let events = by_resource("events.k8s.io", "events").unwrap();
    assert_eq!(events.stored_field("regarding.name"), Some("involvedObject.name"));
    assert_eq!(events.stored_field("involvedObject.name"), None);
}

#[test]
fn events_and_autoscalers_convert_back_and_forth() {
    for (group, resource, other, stored) in [
        (
            "events.k8s.io",
            "events",
            json!({"apiVersion": "events.k8s.io/v1", "note": "n", "regarding": {"kind": "Pod"}, "reason": "r"}),
            json!({"apiVersion": "v1", "message": "n", "involvedObject": {"kind": "Pod"}, "reason": "r"}),
        ),
        (
            "autoscaling",
            "horizontalpodautoscalers",
            json!({"apiVersion": "autoscaling/v1", "spec": {"targetCPUUtilizationPercentage": 50, "maxReplicas": 3}}),
            json!({"apiVersion": "autoscaling/v2", "spec": {"maxReplicas": 3, "metrics": [{"type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]}}),
        ),
    ] {
        let declaration = by_resource(group, resource).unwrap();
        let mut object = other.clone();
        declaration.to_storage(&mut object);
        assert_eq!(object, stored);
        declaration.to_version(&mut object, other["apiVersion"].as_str().unwrap());
        assert_eq!(object, other);
    }
}
