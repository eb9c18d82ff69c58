use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn used_by(storage: &str, object: Value) -> String {
    usage(storage, &object, now()).to_string()
}

#[test]
fn usage_by_kind() {
    let check = |storage: &str, object: Value, expected: &str| assert_eq!(used_by(storage, object), expected);
    check("core/configmaps", json!({}), "configmaps=1,count/configmaps=1");
    check("apps/deployments", json!({}), "count/deployments.apps=1");
    check("stable.example.com/crontabs", json!({}), "count/crontabs.stable.example.com=1");
    check("core/services", json!({"spec": {"type": "ClusterIP", "ports": [{}]}}), "count/services=1,services=1");
    check(
        "core/services",
        json!({"spec": {"type": "NodePort", "ports": [{}, {}]}}),
        "count/services=1,services=1,services.nodeports=2",
    );
    check(
        "core/services",
        json!({"spec": {"type": "LoadBalancer", "ports": [{}]}}),
        "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1",
    );
    check(
        "core/services",
        json!({"spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false,
        "ports": [{"nodePort": 30000}, {}]}}),
        "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1",
    );
    check(
        "core/persistentvolumeclaims",
        json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "2Gi"}}},
        "status": {"allocatedResources": {"storage": "3Gi"}}}),
        "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
         gold.storageclass.storage.k8s.io/requests.storage=3Gi,persistentvolumeclaims=1,requests.storage=3Gi",
    );
    check(
        "resource.k8s.io/resourceclaims",
        json!({"spec": {"devices": {"requests": [
        {"exactly": {"deviceClassName": "a", "count": 2}}, {"exactly": {"deviceClassName": "b", "allocationMode": "All"}},
        {"firstAvailable": [{"deviceClassName": "a"}, {"deviceClassName": "c", "count": 4}]}]}}}),
        "a.deviceclass.resource.k8s.io/devices=3,b.deviceclass.resource.k8s.io/devices=32,\
         c.deviceclass.resource.k8s.io/devices=4,count/resourceclaims.resource.k8s.io=1",
    );
}

#[test]
fn usage_of_pods() {
    let check = |pod: Value, expected: &str| assert_eq!(used_by("core/pods", pod), expected);
    let container = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}, "limits": {"cpu": "2"}}});
    check(
        json!({"spec": {"containers": [container("100m"), container("200m")], "overhead": {"cpu": "50m", "memory": "1Mi"}}}),
        "count/pods=1,cpu=350m,limits.cpu=4050m,memory=1Mi,pods=1,requests.cpu=350m,requests.memory=1Mi",
    );
    check(
        json!({"spec": {"containers": [container("1")], "initContainers": [
        {"resources": {"requests": {"cpu": "300m"}}, "restartPolicy": "Always"}, {"resources": {"requests": {"cpu": "2"}}}]}}),
        "count/pods=1,cpu=2300m,limits.cpu=2,pods=1,requests.cpu=2300m",
    );
    check(
        json!({"spec": {"containers": [{"resources": {"requests": {
        "example.com/gpu": "2", "hugepages-2Mi": "4Mi", "ephemeral-storage": "1Gi"}}}]}}),
        "count/pods=1,ephemeral-storage=1Gi,hugepages-2Mi=4Mi,pods=1,requests.ephemeral-storage=1Gi,\
         requests.example.com/gpu=2,requests.hugepages-2Mi=4Mi",
    );
    check(
        json!({"spec": {"containers": [container("1")], "resources": {"requests": {"cpu": "3"}}}}),
        "count/pods=1,cpu=3,limits.cpu=2,pods=1,requests.cpu=3",
    );
    let resized = json!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}]},
        "status": {"containerStatuses": [{"name": "a", "allocatedResources": {"cpu": "2"}}]}});
    check(resized, "count/pods=1,cpu=2,pods=1,requests.cpu=2");
    check(json!({"spec": {"containers": [container("1")]}, "status": {"phase": "Succeeded"}}), "count/pods=1");
    let going = |at: &str| json!({"metadata": {"deletionTimestamp": at, "deletionGracePeriodSeconds": 30}});
    check(going("2026-01-01T00:00:00Z"), "count/pods=1,pods=1");
    check(going("2025-12-31T23:59:00Z"), "count/pods=1");
}

fn quota(hard: Value, used: Value, spec: Value) -> Quota {
    let mut spec = spec;
    spec["hard"] = hard.clone();
    Quota::read(&json!({"metadata": {"name": "q"}, "spec": spec, "status": {"hard": hard, "used": used}}))
}

fn judge(quota: &Quota, storage: &str, new: &Value, old: Option<&Value>) -> String {
    match quota.charge(Change { storage, new, old, now: now() }) {
        Ok(None) => "nothing".to_owned(),
        Ok(Some(used)) => used.to_string(),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn charges() {
    let check = |hard: Value, used: Value, storage: &str, new: Value, expected: &str| {
        assert_eq!(judge(&quota(hard, used, json!({})), storage, &new, None), expected);
    };
    check(
        json!({"pods": "2", "services": "1"}),
        json!({"pods": "1", "services": "0"}),
        "core/pods",
        json!({}),
        "pods=2,services=0",
    );
    check(
        json!({"pods": "2"}),
        json!({"pods": "2"}),
        "core/pods",
        json!({}),
        "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2",
    );
    check(json!({"pods": "2"}), json!({"pods": "2"}), "core/services", json!({}), "nothing");
    check(json!({"pods": "2"}), json!({}), "core/pods", json!({}), "status unknown for quota: q, resources: pods");
    check(
        json!({"count/deployments.apps": "1"}),
        json!({"count/deployments.apps": "1"}),
        "apps/deployments",
        json!({}),
        "exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: count/deployments.apps=1",
    );
    let two =
        json!({"spec": {"containers": [{"name": "b"}, {"name": "a", "resources": {"requests": {"memory": "1"}}}]}});
    check(
        json!({"limits.cpu": "1", "requests.memory": "1"}),
        json!({}),
        "core/pods",
        two,
        "failed quota: q: must specify limits.cpu for: a,b; requests.memory for: b",
    );
    let asks = json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "600m", "memory": "1Gi"}}}]}});
    check(
        json!({"requests.cpu": "1", "requests.memory": "2Gi", "pods": "5"}),
        json!({"requests.cpu": "500m", "requests.memory": "0", "pods": "1"}),
        "core/pods",
        asks,
        "exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=500m, limited: requests.cpu=1",
    );
    let negative = json!({"spec": {"resources": {"requests": {"storage": "-1"}}}});
    check(
        json!({"requests.storage": "1"}),
        json!({"requests.storage": "0"}),
        "core/persistentvolumeclaims",
        negative,
        "quota usage is negative for resource(s): requests.storage",
    );
}

#[test]
fn updates_are_charged_by_the_difference() {
    let quota = quota(
        json!({"services.nodeports": "2", "services": "1"}),
        json!({"services.nodeports": "2", "services": "1"}),
        json!({}),
    );
    let service = |kind: &str, ports: usize| json!({"spec": {"type": kind, "ports": vec![json!({}); ports]}});
    let check = |old: Value, new: Value, expected: &str| {
        assert_eq!(judge(&quota, "core/services", &new, Some(&old)), expected);
    };
    check(service("NodePort", 2), service("NodePort", 2), "nothing");
    check(service("NodePort", 2), service("ClusterIP", 2), "services=1,services.nodeports=0");
    check(
        service("NodePort", 2),
        service("NodePort", 3),
        "exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=2, limited: services.nodeports=2",
    );
}

#[test]
fn scopes() {
    let check = |spec: Value, pod: Value, expected: bool| {
        let quota = quota(json!({"pods": "1"}), json!({"pods": "0"}), spec.clone());
        let covered = judge(&quota, "core/pods", &json!({"spec": pod.clone()}), None) == "pods=1";
        assert_eq!(covered, expected, "{spec} {pod}");
    };
    let scope = |name: &str| json!({"scopes": [name]});
    let class = |operator: &str, values: &[&str]| {
        json!({"scopeSelector": {"matchExpressions": [
        {"scopeName": "PriorityClass", "operator": operator, "values": values}]}})
    };
    check(scope("Terminating"), json!({"activeDeadlineSeconds": 5}), true);
    check(scope("Terminating"), json!({}), false);
    check(scope("NotTerminating"), json!({}), true);
    check(scope("BestEffort"), json!({"containers": [{}]}), true);
    check(scope("BestEffort"), json!({"containers": [{"resources": {"limits": {"cpu": "1"}}}]}), false);
    check(scope("NotBestEffort"), json!({"containers": [{"resources": {"requests": {"example.com/x": "1"}}}]}), false);
    check(class("In", &["high", "low"]), json!({"priorityClassName": "low"}), true);
    check(class("In", &["high"]), json!({}), false);
    check(class("NotIn", &["high"]), json!({}), true);
    check(class("Exists", &[]), json!({"priorityClassName": "low"}), true);
    check(class("DoesNotExist", &[]), json!({"priorityClassName": "low"}), false);
    let across = |term: Value| {
        json!({"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
        [{"podAffinityTerm": term}]}}})
    };
    check(scope("CrossNamespacePodAffinity"), across(json!({"namespaceSelector": {}})), true);
    check(scope("CrossNamespacePodAffinity"), across(json!({"namespaces": ["x"]})), true);
    check(scope("CrossNamespacePodAffinity"), across(json!({"topologyKey": "zone"})), false);
    let claims = quota(
        json!({"persistentvolumeclaims": "1"}),
        json!({"persistentvolumeclaims": "0"}),
        json!({"scopeSelector": {"matchExpressions": [{"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["fast"]}]}}),
    );
    let claim = |class: &str| json!({"spec": {"volumeAttributesClassName": class}});
    assert_eq!(judge(&claims, "core/persistentvolumeclaims", &claim("fast"), None), "persistentvolumeclaims=1");
    assert_eq!(judge(&claims, "core/persistentvolumeclaims", &claim("slow"), None), "nothing");
    assert_eq!(
        judge(&quota(json!({"services": "1"}), json!({}), scope("Terminating")), "core/services", &json!({}), None),
        "nothing"
    );
}

#[test]
fn counting() {
    let hard = json!({"pods": "1", "count/crontabs.example.com": "5", "requests.cpu": "1"});
    let quota = Quota::read(&json!({"metadata": {"name": "q"}, "spec": {"hard": hard}}));
    assert_eq!(Vec::from_iter(quota.sources()), ["core/pods", "example.com/crontabs"]);
    let mut total = Amounts::default();
    for _ in 0..2 {
        total.add_all(&quota.share("core/pods", &json!({}), now()));
    }
    let (found, used) = quota.counted(&total, |kind| kind == "core/pods").unwrap();
    assert_eq!(found.to_string(), "count/crontabs.example.com=5,pods=1,requests.cpu=1");
    assert_eq!(used.to_string(), "pods=2,requests.cpu=0");
    let settled = Quota::read(&json!({"spec": {"hard": hard}, "status": {"hard": hard, "used": used.to_value()}}));
    assert_eq!(settled.counted(&total, |kind| kind == "core/pods"), None);
}

#[test]
fn limit_ranges_fill_in() {
    let range = json!({"spec": {"limits": [{"type": "Container",
        "default": {"cpu": "500m", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m", "memory": "500Mi"}}]}});
    let mut pod = json!({"metadata": {}, "spec": {
        "containers": [{"name": "a"}, {"name": "b", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1", "memory": "2Gi"}}}],
        "initContainers": [{"name": "i", "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "1", "memory": "1"}}}]}});
    limit_range::fill(&range, &mut pod);
    assert_eq!(
        pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu, memory request for container a; cpu, memory limit for container a; \
         memory request for container b; memory limit for init container i"
    );
    assert_eq!(
        pod["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "500Mi"}})
    );
    let mut full = pod.clone();
    limit_range::fill(&range, &mut full);
    assert_eq!(full, pod);
}

#[test]
fn limit_ranges_refuse() {
    let check = |limit: Value, containers: Value, expected: &[&str]| {
        let range = json!({"spec": {"limits": [limit]}});
        assert_eq!(limit_range::check_pod(&range, &json!({"spec": {"containers": containers}})), expected);
    };
    let container = |request: &str, limit: &str| json!({"name": "a", "resources": {"requests": {"cpu": request}, "limits": {"cpu": limit}}});
    let of_container =
        json!({"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "2"}});
    check(of_container.clone(), json!([container("500m", "1")]), &[]);
    check(
        of_container.clone(),
        json!([container("50m", "2")]),
        &[
            "minimum cpu usage per Container is 100m, but request is 50m",
            "maximum cpu usage per Container is 1, but limit is 2",
            "cpu max limit to request ratio per Container is 2, but provided ratio is 40.000000",
        ],
    );
    check(
        of_container,
        json!([{"name": "a"}]),
        &[
            "minimum cpu usage per Container is 100m.  No request is specified",
            "maximum cpu usage per Container is 1.  No limit is specified",
            "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
        ],
    );
    let of_pod = json!({"type": "Pod", "max": {"cpu": "1"}});
    check(
        of_pod,
        json!([container("600m", "600m"), container("600m", "600m")]),
        &["maximum cpu usage per Pod is 1, but limit is 1200m"],
    );
    let claims = json!({"spec": {"limits": [{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]}});
    let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
    assert_eq!(limit_range::check_claim(&claims, &claim("1Gi")), Vec::<String>::new());
    assert_eq!(
        limit_range::check_claim(&claims, &claim("3Gi")),
        ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"]
    );
    assert_eq!(
        limit_range::check_claim(&claims, &claim("500Mi")),
        ["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi"]
    );
}
