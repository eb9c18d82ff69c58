//! Devices, claims for them, and storage beside them.

use serde_json::{Value, json};

use crate::case::{Table, created, edited, kind};

const CLAIM: &str = "resource.k8s.io/resourceclaims";

fn claims() -> Table {
    Table {
        kind: CLAIM,
        base: json!({"metadata": {"name": "c", "namespace": "n"}, "spec": {"devices": {
            "requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]}}}),
    }
}

#[test]
fn claims_and_templates() {
    let table = claims();
    table.create(&[], &[]);
    table.defaults(
        &[],
        &[
            ("/spec/devices/requests/0/exactly/allocationMode", json!("ExactCount")),
            ("/spec/devices/requests/0/exactly/count", json!(1)),
        ],
    );
    for (edits, expected) in [
        (
            vec![("/spec/devices/requests/0", json!({"name": "gpu"}))],
            vec!["spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"],
        ),
        (
            vec![(
                "/spec/devices/requests/1",
                json!({"name": "gpu", "exactly": {"allocationMode": "All", "count": 2}}),
            )],
            vec![
                "spec.devices.requests[1].exactly.deviceClassName: Required value",
                "spec.devices.requests[1].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'",
                "spec.devices.requests[1].name: Duplicate value: \"gpu\"",
            ],
        ),
        (
            vec![("/spec/devices/constraints", json!([{"requests": ["x"], "matchAttribute": "model"}]))],
            vec![
                "spec.devices.constraints[0].requests[0]: Invalid value: \"x\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
                "spec.devices.constraints[0].matchAttribute: Invalid value: \"model\": must include a domain",
            ],
        ),
        (
            vec![("/spec/devices/config", json!([{"opaque": {"driver": "d.example.com", "parameters": 1}}]))],
            vec![
                "spec.devices.config[0].opaque.parameters: Invalid value: \"<value omitted>\": must be a valid JSON object",
            ],
        ),
    ] {
        table.create(&edits, &expected);
    }
    let errors = crate::case::update_errors(
        kind(CLAIM),
        &table.base,
        &edited(&table.base, &[("/spec/devices/requests/0/name", json!("other"))]),
    );
    assert!(errors.len() == 1 && errors[0].ends_with("field is immutable"), "{errors:?}");
}

#[test]
fn allocations() {
    let kind = kind(CLAIM);
    let old = created(kind, &claims().base);
    let device = json!({"driver": "d.example.com", "pool": "p", "device": "a"});
    let allocation = json!({"devices": {"results": [edited(&device, &[("/request", json!("gpu"))])]}});
    let user = json!([{"resource": "pods", "name": "p", "uid": "u"}]);
    for (status, expected) in [
        (json!({"allocation": allocation, "reservedFor": user, "devices": [device]}), vec![]),
        (
            json!({"reservedFor": user}),
            vec!["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"],
        ),
        (
            json!({"devices": [device]}),
            vec!["status.devices[0]: Invalid value: \"d.example.com/p/a\": must be an allocated device in the claim"],
        ),
    ] {
        let mut new = edited(&old, &[("/status", status.clone())]);
        kind.prepare_for_status_update(&mut new, &old);
        let errors: Vec<String> = kind.validate_status_update(&new, &old).iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected, "{status}");
    }
}

#[test]
fn slices_and_classes() {
    let slices = Table {
        kind: "resource.k8s.io/resourceslices",
        base: json!({"metadata": {"name": "s"}, "spec": {"driver": "d.example.com", "nodeName": "n",
            "pool": {"name": "p", "resourceSliceCount": 1}, "devices": [{"name": "a", "attributes": {"model": {"string": "x"}}}]}}),
    };
    slices.create(&[], &[]);
    let version = |text: &str| json!({"v": {"version": text}});
    for (edits, expected) in [
        (
            vec![("/spec/allNodes", json!(true))],
            vec![
                "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set",
            ],
        ),
        (vec![("/spec/devices/0/attributes", version("1.2.3-rc.1+b.5"))], vec![]),
        (
            vec![("/spec/devices/0/attributes", version("1.02.3"))],
            vec![
                "spec.devices[0].attributes[v].version: Invalid value: \"1.02.3\": must be a string compatible with semver.org spec 2.0.0",
            ],
        ),
        (
            vec![("/spec/devices/0/consumesCounters", json!([{"counterSet": "x", "counters": {"m": {"value": "1"}}}]))],
            vec![
                "spec.devices[0].consumesCounters[0].counterSet: Invalid value: \"x\": must reference a counterSet defined in the ResourceSlice sharedCounters",
            ],
        ),
        (
            vec![("/spec/pool", json!({"name": "p"}))],
            vec!["spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero"],
        ),
    ] {
        slices.create(&edits, &expected);
    }
    slices.update(
        &[("/spec/driver", json!("e.example.com"))],
        &["spec.driver: Invalid value: \"e.example.com\": field is immutable"],
    );
    let classes = Table { kind: "resource.k8s.io/deviceclasses", base: json!({"metadata": {"name": "c"}, "spec": {}}) };
    classes.create(&[], &[]);
    classes.create(
        &[("/spec", json!({"selectors": [{}], "extendedResourceName": "cpu"}))],
        &[
            "spec.selectors[0].cel: Required value",
            "spec.extendedResourceName: Invalid value: \"cpu\": must be a valid extended resource name",
        ],
    );
}

#[test]
fn selectors_of_devices() {
    let classes = |expression: &str| Table {
        kind: "resource.k8s.io/deviceclasses",
        base: json!({"metadata": {"name": "c"}, "spec": {"selectors": [{"cel": {"expression": expression}}]}}),
    };
    for good in [
        "device.driver == 'gpu.example.com' && device.allowMultipleAllocations",
        "device.attributes['gpu.example.com'].model.lowerAscii() == 'a100'",
        "device.capacity['gpu.example.com'].memory.compareTo(quantity('10Gi')) >= 0",
        "cel.bind(gpu, device.attributes['gpu.example.com'], gpu.ready && gpu.cores > 3)",
        "'gpu.example.com' in device.attributes && device.attributes['gpu.example.com'].?model.orValue('') == 'x'",
    ] {
        classes(good).create(&[], &[]);
    }
    let at = "spec.selectors[0].cel.expression";
    for (bad, expected) in [
        ("", format!("{at}: Required value")),
        (
            "device.driver",
            format!("{at}: Invalid value: \"device.driver\": must evaluate to bool or the unknown type, not string"),
        ),
        (
            "device.name == 'x'",
            format!(
                "{at}: Invalid value: \"device.name == 'x'\": compilation failed: ERROR: <input>:1:7: undefined field 'name'\n | device.name == 'x'\n | ......^"
            ),
        ),
    ] {
        classes(bad).create(&[], &[&expected]);
    }
}

#[test]
fn storage() {
    let volume = |source: Value| {
        json!({"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "local": source,
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "beta.kubernetes.io/os", "operator": "In", "values": ["linux"]}]}]}}}})
    };
    let volumes = Table { kind: "persistentvolumes", base: volume(json!({"path": "/x"})) };
    volumes.create(&[], &[]);
    let key = "/spec/nodeAffinity/required/nodeSelectorTerms/0/matchExpressions/0/key";
    volumes.update(&[(key, json!("kubernetes.io/os"))], &[]);
    volumes.create(
        &[("/spec/volumeAttributesClassName", json!(""))],
        &[
            "spec.volumeAttributesClassName: Required value: an empty string is disallowed",
            "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
        ],
    );
    let claims = Table {
        kind: "persistentvolumeclaims",
        base: json!({"metadata": {"name": "c", "namespace": "n"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
    };
    let source = json!({"kind": "PersistentVolumeClaim", "name": "x"});
    let foreign = json!({"apiGroup": "a.example.com", "kind": "Book", "name": "x"});
    claims.defaults(&[("/spec/dataSource", source.clone())], &[("/spec/dataSourceRef", source)]);
    claims.defaults(&[("/spec/dataSource", foreign.clone())], &[("/spec/dataSource", json!(null))]);
    claims.defaults(&[("/spec/dataSourceRef", foreign.clone())], &[("/spec/dataSource", foreign)]);
    let drivers = Table { kind: "storage.k8s.io/csidrivers", base: json!({"metadata": {"name": "d"}, "spec": {}}) };
    drivers.create(
        &[("/spec/tokenRequests", json!([{"audience": "a"}, {"audience": "a"}, {"audience": "b", "expirationSeconds": 1}]))],
        &[
            "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
            "spec.tokenRequests[2].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
        ],
    );
    let nodes = Table {
        kind: "storage.k8s.io/csinodes",
        base: json!({"metadata": {"name": "n"}, "spec": {"drivers": [{"name": "d", "nodeID": "i"}]}}),
    };
    nodes.update(&[("/spec/drivers/0/allocatable", json!({"count": 1}))], &[]);
    nodes.update(
        &[("/spec/drivers/0/nodeID", json!("j"))],
        &["spec.drivers: Invalid value: {\"name\":\"d\",\"nodeID\":\"j\"}: field is immutable"],
    );
}
