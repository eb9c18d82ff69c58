use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

/// The table as kubectl would print it: headings, then the row, cells separated by `|`.
fn render(group: &str, kind: &str, mut object: Value, wide: bool) -> (String, String) {
    let metadata = object.as_object_mut().unwrap().entry("metadata").or_insert(json!({}));
    metadata.as_object_mut().unwrap().entry("name").or_insert("x".into());
    metadata["creationTimestamp"] = "2026-01-01T11:55:00Z".into();
    let printer = printer(group, kind);
    let cells = (printer.cells)(&object, now());
    assert_eq!(cells.len(), printer.columns.len(), "{kind}");
    let shown = || printer.columns.iter().zip(&cells).filter(|(column, _)| wide || column.priority == 0);
    let headings = shown().map(|(column, _)| column.name.to_uppercase()).collect::<Vec<_>>().join("|");
    let text = |cell: &Value| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
    (headings, shown().map(|(_, cell)| text(cell)).collect::<Vec<_>>().join("|"))
}

fn check_pod(pod: Value, expected: &str) {
    let (_, row) = render("", "Pod", pod.clone(), false);
    assert_eq!(row, format!("x|{expected}|5m"), "{pod}");
}

fn statuses(statuses: Value) -> Value {
    json!({"spec": {"containers": [{"name": "a"}]}, "status": {"phase": "Running", "containerStatuses": statuses}})
}

#[test]
fn durations() {
    let check = |seconds: i64, expected: &str| {
        assert_eq!(human_duration(SignedDuration::from_secs(seconds)), expected);
    };
    let (minute, hour, day) = (60, 3600, 86_400);
    let year = 365 * day;
    check(-2, "<invalid>");
    check(-1, "0s");
    check(0, "0s");
    check(119, "119s");
    check(120, "2m");
    check(9 * minute + 59, "9m59s");
    check(10 * minute + 5, "10m");
    check(179 * minute, "179m");
    check(3 * hour, "3h");
    check(7 * hour + 59 * minute, "7h59m");
    check(8 * hour + 5 * minute, "8h");
    check(47 * hour, "47h");
    check(48 * hour, "2d");
    check(7 * day + 5 * hour, "7d5h");
    check(8 * day + 5 * hour, "8d");
    check(729 * day, "729d");
    check(2 * year, "2y");
    check(3 * year + 7 * day, "3y7d");
    check(9 * year + 7 * day, "9y");
}

#[test]
fn pods_without_containers_started() {
    check_pod(json!({"spec": {"containers": [{}]}, "status": {"phase": "Pending"}}), "0/1|Pending|0");
    check_pod(
        json!({"spec": {"containers": [{}]}, "status": {"phase": "Failed", "reason": "Evicted"}}),
        "0/1|Evicted|0",
    );
    check_pod(
        json!({"spec": {"containers": [{}]}, "status": {"phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}}),
        "0/1|SchedulingGated|0",
    );
    check_pod(
        json!({"metadata": {"deletionTimestamp": "2026-01-01T11:59:00Z"}, "status": {"phase": "Running"}}),
        "0/0|Terminating|0",
    );
    check_pod(
        json!({"metadata": {"deletionTimestamp": "2026-01-01T11:59:00Z"}, "status": {"phase": "Running", "reason": "NodeLost"}}),
        "0/0|Unknown|0",
    );
    check_pod(
        json!({"metadata": {"deletionTimestamp": "2026-01-01T11:59:00Z"}, "status": {"phase": "Succeeded"}}),
        "0/0|Succeeded|0",
    );
}

#[test]
fn pods_with_containers() {
    let running = json!({"ready": true, "restartCount": 0, "state": {"running": {}}});
    check_pod(statuses(json!([running])), "1/1|Running|0");
    check_pod(
        statuses(json!([{"ready": true, "restartCount": 3, "state": {"running": {}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T11:58:30Z"}}}])),
        "1/1|Running|3 (90s ago)",
    );
    check_pod(
        statuses(json!([{"restartCount": 7, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T11:55:00Z"}}}])),
        "0/1|CrashLoopBackOff|7 (5m ago)",
    );
    check_pod(statuses(json!([{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}])), "0/1|Completed|0");
    check_pod(statuses(json!([{"state": {"terminated": {"exitCode": 3}}}])), "0/1|ExitCode:3|0");
    check_pod(statuses(json!([{"state": {"terminated": {"exitCode": 137, "signal": 9}}}])), "0/1|Signal:9|0");
    check_pod(statuses(json!([{"state": {"terminated": {"reason": "OOMKilled"}}}])), "0/1|OOMKilled|0");
    let mut mixed = statuses(json!([{"state": {"terminated": {"reason": "Completed"}}}, running]));
    check_pod(mixed.clone(), "1/1|NotReady|0");
    mixed["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    check_pod(mixed, "1/1|Running|0");
}

#[test]
fn pods_that_initialise() {
    let pod = |init: Value| {
        json!({
            "spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "one"}, {"name": "two"}]},
            "status": {"phase": "Pending", "initContainerStatuses": init,
                "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}]},
        })
    };
    let done = json!({"name": "one", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
    let initializing = json!({"name": "two", "state": {"waiting": {"reason": "PodInitializing"}}});
    check_pod(pod(json!([initializing, initializing])), "0/1|Init:0/2|0");
    check_pod(pod(json!([done, initializing])), "0/1|Init:1/2|0");
    check_pod(pod(json!([done, done])), "0/1|PodInitializing|0");
    check_pod(
        pod(json!([{"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 2}])),
        "0/1|Init:CrashLoopBackOff|2",
    );
    check_pod(pod(json!([{"state": {"terminated": {"exitCode": 1, "reason": "Error"}}}])), "0/1|Init:Error|0");
    check_pod(pod(json!([{"state": {"terminated": {"exitCode": 2}}}])), "0/1|Init:ExitCode:2|0");
    check_pod(pod(json!([{"state": {"terminated": {"exitCode": 2, "signal": 9}}}])), "0/1|Init:Signal:9|0");
    check_pod(
        json!({
            "spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]},
            "status": {"phase": "Running",
                "initContainerStatuses": [{"name": "s", "started": true, "ready": true, "restartCount": 1, "state": {"running": {}}}],
                "containerStatuses": [{"ready": true, "restartCount": 2, "state": {"running": {}}}]},
        }),
        "2/2|Running|3",
    );
}

#[test]
fn wide_pods() {
    let pod = json!({
        "spec": {"nodeName": "n", "readinessGates": [{"conditionType": "a"}, {"conditionType": "b"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [{"type": "a", "status": "True"}]},
    });
    let (headings, row) = render("", "Pod", pod, true);
    assert_eq!(headings, "NAME|READY|STATUS|RESTARTS|AGE|IP|NODE|NOMINATED NODE|READINESS GATES");
    assert_eq!(row, "x|0/0|Running|0|5m|10.0.0.1|n|<none>|1/2");
    let (_, row) = render("", "Pod", json!({"status": {"phase": "Pending"}}), true);
    assert_eq!(row, "x|0/0|Pending|0|5m|<none>|<none>|<none>|<none>");
}

/// Group, kind, object, headings, row; in wide output.
#[allow(clippy::too_many_lines, reason = "a table of cases")]
#[test]
fn other_kinds() {
    let template = json!({"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]}});
    let selector = json!({"matchLabels": {"app": "x"}});
    let check = |group: &str, kind: &str, object: Value, headings: &str, row: &str| {
        assert_eq!(render(group, kind, object, true), (headings.to_owned(), row.to_owned()), "{kind}");
    };
    check("example.com", "Anything", json!({}), "NAME|AGE", "x|5m");
    check(
        "apps",
        "Deployment",
        json!({"spec": {"replicas": 3, "template": template, "selector": selector},
            "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1}}),
        "NAME|READY|UP-TO-DATE|AVAILABLE|AGE|CONTAINERS|IMAGES|SELECTOR",
        "x|2/3|3|1|5m|a,b|i,j|app=x",
    );
    check(
        "apps",
        "ReplicaSet",
        json!({"spec": {"replicas": 3, "template": template, "selector": selector}, "status": {"replicas": 2, "readyReplicas": 1}}),
        "NAME|DESIRED|CURRENT|READY|AGE|CONTAINERS|IMAGES|SELECTOR",
        "x|3|2|1|5m|a,b|i,j|app=x",
    );
    check(
        "apps",
        "StatefulSet",
        json!({"spec": {"replicas": 3, "template": template}, "status": {"readyReplicas": 1}}),
        "NAME|READY|AGE|CONTAINERS|IMAGES",
        "x|1/3|5m|a,b|i,j",
    );
    check(
        "apps",
        "DaemonSet",
        json!({"spec": {"template": {"spec": {"nodeSelector": {"b": "2", "a": "1"}, "containers": []}}, "selector": selector},
            "status": {"desiredNumberScheduled": 5, "currentNumberScheduled": 4, "numberReady": 3, "updatedNumberScheduled": 2, "numberAvailable": 1}}),
        "NAME|DESIRED|CURRENT|READY|UP-TO-DATE|AVAILABLE|NODE SELECTOR|AGE|CONTAINERS|IMAGES|SELECTOR",
        "x|5|4|3|2|1|a=1,b=2|5m|||app=x",
    );
    check(
        "apps",
        "ControllerRevision",
        json!({"metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "controller": true}]}, "revision": 2}),
        "NAME|CONTROLLER|REVISION|AGE",
        "x|daemonset.apps/d|2|5m",
    );
    check(
        "batch",
        "Job",
        json!({"spec": {"completions": 2, "template": template, "selector": selector},
            "status": {"succeeded": 2, "startTime": "2026-01-01T11:56:00Z", "completionTime": "2026-01-01T11:56:30Z",
                "conditions": [{"type": "Complete", "status": "True"}]}}),
        "NAME|STATUS|COMPLETIONS|DURATION|AGE|CONTAINERS|IMAGES|SELECTOR",
        "x|Complete|2/2|30s|5m|a,b|i,j|app=x",
    );
    check(
        "batch",
        "Job",
        json!({"spec": {"parallelism": 3, "template": template, "selector": selector}, "status": {"startTime": "2026-01-01T11:56:00Z"}}),
        "NAME|STATUS|COMPLETIONS|DURATION|AGE|CONTAINERS|IMAGES|SELECTOR",
        "x|Running|0/1 of 3|4m|5m|a,b|i,j|app=x",
    );
    check(
        "batch",
        "CronJob",
        json!({"spec": {"schedule": "* * * * *", "suspend": false, "jobTemplate": {"spec": {"template": template}}},
            "status": {"active": [{}], "lastScheduleTime": "2026-01-01T11:59:00Z"}}),
        "NAME|SCHEDULE|TIMEZONE|SUSPEND|ACTIVE|LAST SCHEDULE|AGE|CONTAINERS|IMAGES|SELECTOR",
        "x|* * * * *|<none>|False|1|60s|5m|a,b|i,j|<none>",
    );
    check(
        "policy",
        "PodDisruptionBudget",
        json!({"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 1}}),
        "NAME|MIN AVAILABLE|MAX UNAVAILABLE|ALLOWED DISRUPTIONS|AGE",
        "x|50%|N/A|1|5m",
    );
    check(
        "autoscaling",
        "HorizontalPodAutoscaler",
        json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "minReplicas": 1, "maxReplicas": 5, "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}},
                {"type": "Pods", "pods": {"target": {"averageValue": "10"}}},
                {"type": "Object", "object": {"target": {"value": "1"}}}]},
            "status": {"currentReplicas": 2, "currentMetrics": [{"resource": {"current": {"averageUtilization": 20}}}]}}),
        "NAME|REFERENCE|TARGETS|MINPODS|MAXPODS|REPLICAS|AGE",
        "x|Deployment/d|cpu: 20%/80%, <unknown>/10 + 1 more...|1|5|2|5m",
    );
    let service_headings = "NAME|TYPE|CLUSTER-IP|EXTERNAL-IP|PORT(S)|AGE|SELECTOR";
    check(
        "",
        "Service",
        json!({"spec": {"type": "NodePort", "clusterIP": "10.43.0.1", "selector": {"a": "b"},
            "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}}),
        service_headings,
        "x|NodePort|10.43.0.1|<none>|80:30080/TCP,53/UDP|5m|a=b",
    );
    check(
        "",
        "Service",
        json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.43.0.1"}}),
        service_headings,
        "x|LoadBalancer|10.43.0.1|<pending>|<none>|5m|<none>",
    );
    check(
        "",
        "Service",
        json!({"spec": {"type": "ExternalName", "externalName": "example.com"}}),
        service_headings,
        "x|ExternalName|<none>|example.com|<none>|5m|<none>",
    );
    check(
        "",
        "Endpoints",
        json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"port": 80}, {"port": 81}]}]}),
        "NAME|ENDPOINTS|AGE",
        "x|10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 1 more...|5m",
    );
    check("", "Endpoints", json!({}), "NAME|ENDPOINTS|AGE", "x|<none>|5m");
    check(
        "discovery.k8s.io",
        "EndpointSlice",
        json!({"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}]}),
        "NAME|ADDRESSTYPE|PORTS|ENDPOINTS|AGE",
        "x|IPv4|80|10.0.0.1,10.0.0.2|5m",
    );
    check(
        "discovery.k8s.io",
        "EndpointSlice",
        json!({"addressType": "IPv4", "endpoints": []}),
        "NAME|ADDRESSTYPE|PORTS|ENDPOINTS|AGE",
        "x|IPv4|<unset>|<unset>|5m",
    );
    check(
        "networking.k8s.io",
        "Ingress",
        json!({"spec": {"ingressClassName": "c", "rules": [{"host": "a"}, {"host": "b"}], "tls": [{}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}),
        "NAME|CLASS|HOSTS|ADDRESS|PORTS|AGE",
        "x|c|a,b|1.2.3.4|80, 443|5m",
    );
    check(
        "networking.k8s.io",
        "IngressClass",
        json!({"spec": {"controller": "e.com/c", "parameters": {"apiGroup": "e.com", "kind": "P", "name": "p"}}}),
        "NAME|CONTROLLER|PARAMETERS|AGE",
        "x|e.com/c|P.e.com/p|5m",
    );
    check(
        "networking.k8s.io",
        "NetworkPolicy",
        json!({"spec": {"podSelector": {}}}),
        "NAME|POD-SELECTOR|AGE",
        "x|<none>|5m",
    );
    check(
        "",
        "Node",
        json!({"metadata": {"labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "10.1.1.1"}],
                "nodeInfo": {"kubeletVersion": "v1.36.0", "osImage": "Debian", "kernelVersion": "6.1"}}}),
        "NAME|STATUS|ROLES|AGE|VERSION|INTERNAL-IP|EXTERNAL-IP|OS-IMAGE|KERNEL-VERSION|CONTAINER-RUNTIME",
        "x|Ready,SchedulingDisabled|control-plane,worker|5m|v1.36.0|10.1.1.1|<none>|Debian|6.1|<unknown>",
    );
    check("", "Namespace", json!({"status": {"phase": "Active"}}), "NAME|STATUS|AGE", "x|Active|5m");
    check("", "ConfigMap", json!({"data": {"a": ""}, "binaryData": {"b": ""}}), "NAME|DATA|AGE", "x|2|5m");
    check("", "Secret", json!({"type": "Opaque", "data": {"a": ""}}), "NAME|TYPE|DATA|AGE", "x|Opaque|1|5m");
    check("", "ServiceAccount", json!({}), "NAME|SECRETS|AGE", "x|0|5m");
    check("coordination.k8s.io", "Lease", json!({"spec": {"holderIdentity": "h"}}), "NAME|HOLDER|AGE", "x|h|5m");
    let event_headings = "LAST SEEN|TYPE|REASON|OBJECT|SUBOBJECT|SOURCE|MESSAGE|FIRST SEEN|COUNT|NAME";
    check(
        "",
        "Event",
        json!({"type": "Normal", "reason": "Scheduled", "message": "done\n", "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec"},
            "source": {"component": "kubelet", "host": "n"}, "firstTimestamp": "2026-01-01T11:58:00Z", "lastTimestamp": "2026-01-01T11:59:30Z", "count": 4}),
        event_headings,
        "30s|Normal|Scheduled|pod/p|spec|kubelet, n|done|2m|4|x",
    );
    check(
        "events.k8s.io",
        "Event",
        json!({"type": "Warning", "reason": "R", "note": "n", "regarding": {"kind": "Pod", "name": "p"},
            "reportingController": "c", "eventTime": "2026-01-01T11:59:30.000000Z"}),
        event_headings,
        "30s|Warning|R|pod/p||c|n|30s|1|x",
    );
    check(
        "",
        "ResourceQuota",
        json!({"status": {"hard": {"limits.cpu": "2", "pods": "10", "cpu": "1"}, "used": {"pods": "3", "cpu": "500m"}}}),
        "NAME|REQUEST|LIMIT|AGE",
        "x|cpu: 500m/1, pods: 3/10|limits.cpu: 0/2|5m",
    );
    check(
        "",
        "PersistentVolume",
        json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": "d", "name": "c"}, "storageClassName": "s", "volumeMode": "Filesystem"}, "status": {"phase": "Bound"}}),
        "NAME|CAPACITY|ACCESS MODES|RECLAIM POLICY|STATUS|CLAIM|STORAGECLASS|VOLUMEATTRIBUTESCLASS|REASON|AGE|VOLUMEMODE",
        "x|1Gi|RWO,RWX|Retain|Bound|d/c|s|<unset>||5m|Filesystem",
    );
    check(
        "",
        "PersistentVolumeClaim",
        json!({"spec": {"storageClassName": "s"}, "status": {"phase": "Pending"}}),
        "NAME|STATUS|VOLUME|CAPACITY|ACCESS MODES|STORAGECLASS|VOLUMEATTRIBUTESCLASS|AGE|VOLUMEMODE",
        "x|Pending||||s|<unset>|5m|<unset>",
    );
    check(
        "storage.k8s.io",
        "StorageClass",
        json!({"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p"}),
        "NAME|PROVISIONER|RECLAIMPOLICY|VOLUMEBINDINGMODE|ALLOWVOLUMEEXPANSION|AGE",
        "x (default)|p|Delete|Immediate|false|5m",
    );
    check("rbac.authorization.k8s.io", "ClusterRole", json!({}), "NAME|CREATED AT", "x|2026-01-01T11:55:00Z");
    check(
        "rbac.authorization.k8s.io",
        "RoleBinding",
        json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}, {"kind": "User", "name": "v"},
            {"kind": "ServiceAccount", "namespace": "n", "name": "s"}]}),
        "NAME|ROLE|AGE|USERS|GROUPS|SERVICEACCOUNTS",
        "x|Role/r|5m|u, v||n/s",
    );
    check(
        "certificates.k8s.io",
        "CertificateSigningRequest",
        json!({"spec": {"signerName": "s", "username": "u", "expirationSeconds": 86400}, "status": {"conditions": [{"type": "Approved"}], "certificate": "x"}}),
        "NAME|AGE|SIGNERNAME|REQUESTOR|REQUESTEDDURATION|CONDITION",
        "x|5m|s|u|24h|Approved,Issued",
    );
    check(
        "apiregistration.k8s.io",
        "APIService",
        json!({"spec": {"service": {"namespace": "n", "name": "s"}}, "status": {"conditions": [{"type": "Available", "status": "False", "reason": "Missing"}]}}),
        "NAME|SERVICE|AVAILABLE|AGE",
        "x|n/s|False (Missing)|5m",
    );
    check(
        "scheduling.k8s.io",
        "PriorityClass",
        json!({"value": 1000}),
        "NAME|VALUE|GLOBAL-DEFAULT|AGE|PREEMPTIONPOLICY",
        "x|1000|false|5m|PreemptLowerPriority",
    );
    check("node.k8s.io", "RuntimeClass", json!({"handler": "h"}), "NAME|HANDLER|AGE", "x|h|5m");
    check(
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        json!({"webhooks": [{}, {}]}),
        "NAME|WEBHOOKS|AGE",
        "x|2|5m",
    );
    check(
        "flowcontrol.apiserver.k8s.io",
        "FlowSchema",
        json!({"spec": {"priorityLevelConfiguration": {"name": "p"}, "matchingPrecedence": 5, "distinguisherMethod": {"type": "ByUser"}},
            "status": {"conditions": [{"type": "Dangling", "status": "False"}]}}),
        "NAME|PRIORITYLEVEL|MATCHINGPRECEDENCE|DISTINGUISHERMETHOD|AGE|MISSINGPL",
        "x|p|5|ByUser|5m|False",
    );
    check(
        "flowcontrol.apiserver.k8s.io",
        "PriorityLevelConfiguration",
        json!({"spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 10}}}),
        "NAME|TYPE|NOMINALCONCURRENCYSHARES|QUEUES|HANDSIZE|QUEUELENGTHLIMIT|AGE",
        "x|Limited|10|<none>|<none>|<none>|5m",
    );
}

/// Every printer copes with an object that has nothing in it, and with fields of the wrong type.
#[test]
fn odd_objects() {
    for (group, kind, printer) in printers::ALL {
        for object in [json!({}), json!(null), json!({"spec": 1, "status": [], "metadata": "x"})] {
            let cells = (printer.cells)(&object, now());
            assert_eq!(cells.len(), printer.columns.len(), "{group} {kind}");
            assert!(cells.iter().all(|cell| !cell.is_null()), "{group} {kind}");
        }
        assert!(printer.columns.iter().all(|column| !column.description.is_empty()));
    }
}
