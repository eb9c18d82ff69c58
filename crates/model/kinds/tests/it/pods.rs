//! Pods.

use serde_json::json;

use crate::case::{Table, created, edited, kind, status_errors};

fn pods() -> Table {
    Table {
        kind: "pods",
        base: json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"containers": [{"name": "c", "image": "nginx"}]},
        }),
    }
}

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

#[test]
fn defaults() {
    let pods = pods();
    pods.defaults(
        &[],
        &[
            ("/spec/restartPolicy", json!("Always")),
            ("/spec/dnsPolicy", json!("ClusterFirst")),
            ("/spec/schedulerName", json!("default-scheduler")),
            ("/spec/terminationGracePeriodSeconds", json!(30)),
            ("/spec/securityContext", json!({})),
            ("/spec/enableServiceLinks", json!(true)),
            ("/spec/containers/0/imagePullPolicy", json!("Always")),
            ("/spec/containers/0/terminationMessagePath", json!("/dev/termination-log")),
            ("/spec/containers/0/terminationMessagePolicy", json!("File")),
            ("/spec/containers/0/resources", json!({})),
            ("/status/phase", json!("Pending")),
            ("/status/qosClass", json!("BestEffort")),
            ("/metadata/generation", json!(1)),
            ("/spec/hostNetwork", json!(null)),
        ],
    );
    for (image, policy) in [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.2", "IfNotPresent"),
        ("localhost:5000/nginx", "Always"),
        ("localhost:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:0000000000000000000000000000000000000000000000000000000000000000", "IfNotPresent"),
        ("nginx:latest@sha256:0000000000000000000000000000000000000000000000000000000000000000", "Always"),
    ] {
        pods.defaults(
            &[("/spec/containers/0/image", json!(image))],
            &[("/spec/containers/0/imagePullPolicy", json!(policy))],
        );
    }
    pods.defaults(
        &[(
            "/spec/containers/0/resources",
            json!({"limits": {"cpu": "0.5", "memory": "1024Mi"}, "requests": {"cpu": "0.1"}}),
        )],
        &[
            ("/spec/containers/0/resources/limits", json!({"cpu": "500m", "memory": "1Gi"})),
            ("/spec/containers/0/resources/requests", json!({"cpu": "100m", "memory": "1Gi"})),
            ("/status/qosClass", json!("Burstable")),
        ],
    );
    pods.defaults(
        &[("/spec/containers/0/resources", json!({"limits": {"cpu": 1, "memory": "64Mi"}}))],
        &[("/spec/containers/0/resources/limits/cpu", json!("1")), ("/status/qosClass", json!("Guaranteed"))],
    );
    pods.defaults(
        &[("/spec/containers/0/livenessProbe", json!({"httpGet": {"port": 80}}))],
        &[(
            "/spec/containers/0/livenessProbe",
            json!({"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10,
                "successThreshold": 1, "failureThreshold": 3}),
        )],
    );
    pods.defaults(
        &[("/spec/hostNetwork", json!(true)), ("/spec/containers/0/ports", json!([{"containerPort": 80}]))],
        &[("/spec/containers/0/ports/0", json!({"containerPort": 80, "hostPort": 80, "protocol": "TCP"}))],
    );
    pods.defaults(
        &[(
            "/spec/volumes",
            json!([{"name": "a"}, {"name": "b", "secret": {"secretName": "s"}}, {"name": "c", "hostPath": {"path": "/x"}},
                {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
                {"name": "e", "downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                {"name": "f", "emptyDir": {"sizeLimit": "1024Mi"}}]),
        )],
        &[
            ("/spec/volumes/0", json!({"name": "a", "emptyDir": {}})),
            ("/spec/volumes/1/secret/defaultMode", json!(420)),
            ("/spec/volumes/2/hostPath/type", json!("")),
            ("/spec/volumes/3/projected/defaultMode", json!(420)),
            ("/spec/volumes/3/projected/sources/0/serviceAccountToken/expirationSeconds", json!(3600)),
            ("/spec/volumes/4/downwardAPI/items/0/fieldRef/apiVersion", json!("v1")),
            ("/spec/volumes/5/emptyDir/sizeLimit", json!("1Gi")),
        ],
    );
    pods.defaults(&[("/spec/serviceAccount", json!("sa"))], &[("/spec/serviceAccountName", json!("sa"))]);
    pods.defaults(
        &[("/spec/schedulingGates", json!([{"name": "example.com/g"}]))],
        &[("/status/conditions/0/reason", json!("SchedulingGated"))],
    );
}

#[test]
fn names_and_metadata() {
    let pods = pods();
    pods.create(&[], &[]);
    pods.create(
        &[("/metadata/name", json!(null))],
        &["metadata.name: Required value: name or generateName is required"],
    );
    pods.create(
        &[("/metadata/name", json!("Web_1"))],
        &[&format!("metadata.name: Invalid value: \"Web_1\": {SUBDOMAIN}")],
    );
    pods.create(&[("/metadata/name", json!("web.1-2"))], &[]);
    for bad in ["-a", "a-", "a..b", "a.-b", "a-.b", "a_b", "A", "é", "a/b"] {
        pods.create(
            &[("/metadata/name", json!(bad))],
            &[&format!("metadata.name: Invalid value: \"{bad}\": {SUBDOMAIN}")],
        );
    }
    pods.create(&[("/metadata/namespace", json!(null))], &["metadata.namespace: Required value"]);
    pods.create(
        &[("/metadata/namespace", json!("a.b"))],
        &["metadata.namespace: Invalid value: \"a.b\": must not contain dots"],
    );
    pods.create(
        &[("/metadata/labels", json!({"a b": "x", "ok": "-"}))],
        &[
            "metadata.labels: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            "metadata.labels: Invalid value: \"-\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ],
    );
    pods.create(&[("/metadata/annotations", json!({"Example.COM/Key": "anything\n"}))], &[]);
    pods.create(
        &[("/metadata/annotations", json!({"a": "x".repeat(256 * 1024)}))],
        &["metadata.annotations: Too long: may not be more than 262144 bytes"],
    );
    pods.create(
        &[("/metadata/finalizers", json!(["mine"]))],
        &["metadata.finalizers[0]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified"],
    );
    pods.create(&[("/metadata/finalizers", json!(["example.com/mine", "foregroundDeletion"]))], &[]);
    pods.create(
        &[(
            "/metadata/ownerReferences",
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a", "uid": ""}]),
        )],
        &["metadata.ownerReferences.uid: Invalid value: \"\": must not be empty"],
    );
    pods.create(
        &[("/metadata/ownerReferences", json!([
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a", "uid": "1", "controller": true},
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "b", "uid": "2", "controller": true}]))],
        &["metadata.ownerReferences: Invalid value: [{\"apiVersion\":\"apps/v1\",\"controller\":true,\"kind\":\"ReplicaSet\",\"name\":\"a\",\"uid\":\"1\"},{\"apiVersion\":\"apps/v1\",\"controller\":true,\"kind\":\"ReplicaSet\",\"name\":\"b\",\"uid\":\"2\"}]: Only one reference can have Controller set to true. Found \"true\" in references for ReplicaSet/a and ReplicaSet/b"],
    );
    pods.create(
        &[("/metadata/annotations", json!({"controller.kubernetes.io/pod-deletion-cost": "+1"}))],
        &["metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"+1\": must be a 32bit integer"],
    );
}

#[test]
fn containers() {
    let pods = pods();
    let c = "/spec/containers/0";
    pods.create(&[("/spec/containers", json!([]))], &["spec.containers: Required value"]);
    pods.create(&[("/spec/containers", json!(null))], &["spec.containers: Required value"]);
    pods.create(&[(&format!("{c}/name"), json!(""))], &["spec.containers[0].name: Required value"]);
    pods.create(
        &[(&format!("{c}/name"), json!("C_1"))],
        &[&format!("spec.containers[0].name: Invalid value: \"C_1\": {LABEL}")],
    );
    pods.create(&[(&format!("{c}/image"), json!(""))], &["spec.containers[0].image: Required value"]);
    pods.create(
        &[(&format!("{c}/image"), json!(" nginx:1"))],
        &["spec.containers[0].image: Invalid value: \" nginx:1\": must not have leading or trailing whitespace"],
    );
    pods.create(
        &[("/spec/containers/1", json!({"name": "c", "image": "x"}))],
        &["spec.containers[1].name: Duplicate value: \"c\""],
    );
    pods.create(
        &[(&format!("{c}/imagePullPolicy"), json!("Sometimes"))],
        &["spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"IfNotPresent\", \"Never\""],
    );
    pods.create(
        &[(&format!("{c}/ports"), json!([{"containerPort": 0}, {"containerPort": 70000}, {"containerPort": 1, "protocol": "ICMP"}]))],
        &[
            "spec.containers[0].ports[0].containerPort: Required value",
            "spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            "spec.containers[0].ports[2].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
        ],
    );
    pods.create(
        &[(&format!("{c}/ports"), json!([{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}, {"containerPort": 3, "name": "this-is-too-long-x"}]))],
        &[
            "spec.containers[0].ports[1].name: Duplicate value: \"a\"",
            "spec.containers[0].ports[2].name: Invalid value: \"this-is-too-long-x\": must be no more than 15 bytes",
        ],
    );
    pods.create(
        &[(&format!("{c}/ports"), json!([{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]))],
        &["spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//9\""],
    );
    pods.create(
        &[(&format!("{c}/restartPolicy"), json!("Sometimes"))],
        &["spec.containers[0].restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"Never\", \"OnFailure\""],
    );
    pods.create(
        &[
            (&format!("{c}/restartPolicy"), json!("Never")),
            (
                &format!("{c}/restartPolicyRules"),
                json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]),
            ),
        ],
        &[],
    );
    pods.create(
        &[(&format!("{c}/restartPolicyRules"), json!([{"action": "Stop", "exitCodes": {"operator": "Is"}}, {"action": "Restart"}]))],
        &[
            "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used",
            "spec.containers[0].restartPolicyRules[0].action: Unsupported value: \"Stop\": supported values: \"Restart\"",
            "spec.containers[0].restartPolicyRules[0].exitCodes.operator: Unsupported value: \"Is\": supported values: \"In\", \"NotIn\"",
            "spec.containers[0].restartPolicyRules[1].exitCodes: Required value: must be specified",
        ],
    );
    pods.create(
        &[("/spec/initContainers", json!([{"name": "c", "image": "x", "livenessProbe": {"exec": {"command": ["a"]}}}]))],
        &[
            "spec.initContainers[0].name: Duplicate value: \"c\"",
            "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        ],
    );
    pods.create(
        &[("/spec/initContainers", json!([{"name": "i", "image": "x", "restartPolicy": "Always", "livenessProbe": {"exec": {"command": ["a"]}}}]))],
        &[],
    );
    pods.create(
        &[("/spec/ephemeralContainers", json!([{"name": "e", "image": "x"}]))],
        &["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    );
}

#[test]
fn environment() {
    let pods = pods();
    let env = |value| [("/spec/containers/0/env", value)];
    pods.create(&env(json!([{"name": "A", "value": "1"}, {"name": "a.b-c", "value": ""}])), &[]);
    pods.create(&env(json!([{"name": ""}])), &["spec.containers[0].env[0].name: Required value"]);
    pods.create(
        &env(json!([{"name": "a=b"}])),
        &["spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name must consist only of printable ASCII characters other than '='"],
    );
    pods.create(
        &env(json!([{"name": "A", "valueFrom": {}}])),
        &["spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"],
    );
    pods.create(
        &env(json!([{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}])),
        &["spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty"],
    );
    for (path, error) in [
        ("metadata.name", None),
        ("metadata.labels['a']", None),
        ("status.podIPs", None),
        (
            "metadata.labels",
            Some(
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"metadata.labels\": supported values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"",
            ),
        ),
        (
            "metadata.whoops",
            Some(
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.whoops\": error converting fieldPath: field label not supported: metadata.whoops",
            ),
        ),
        (
            "metadata.name['a']",
            Some(
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.name['a']\": error converting fieldPath: field label does not support subscript: metadata.name['a']",
            ),
        ),
        ("", Some("spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Required value")),
    ] {
        let errors: Vec<&str> = error.into_iter().collect();
        pods.create(&env(json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}}])), &errors);
    }
    pods.create(
        &env(json!([{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.disk"}}}])),
        &["spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Unsupported value: \"limits.disk\": supported values: \"limits.cpu\", \"limits.ephemeral-storage\", \"limits.memory\", \"requests.cpu\", \"requests.ephemeral-storage\", \"requests.memory\""],
    );
    pods.create(
        &env(json!([{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}}])),
        &["spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource"],
    );
    pods.create(
        &env(
            json!([{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Ki"}}}]),
        ),
        &[],
    );
    pods.create(
        &env(json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": ""}}}])),
        &["spec.containers[0].env[0].valueFrom.secretKeyRef.key: Required value"],
    );
    pods.create(
        &[("/spec/containers/0/envFrom", json!([{}]))],
        &["spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`"],
    );
    pods.create(
        &[("/spec/containers/0/envFrom", json!([{"configMapRef": {"name": ""}}]))],
        &["spec.containers[0].envFrom[0].configMapRef.name: Required value"],
    );
}

#[test]
fn probes_and_hooks() {
    let pods = pods();
    let probe = |value| [("/spec/containers/0/livenessProbe", value)];
    pods.create(&probe(json!({})), &["spec.containers[0].livenessProbe: Required value: must specify a handler type"]);
    pods.create(
        &probe(json!({"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}})),
        &["spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
    );
    pods.create(
        &probe(json!({"httpGet": {"port": 0, "scheme": "FTP", "httpHeaders": [{"name": "a b", "value": ""}]}})),
        &[
            "spec.containers[0].livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.containers[0].livenessProbe.httpGet.scheme: Unsupported value: \"FTP\": supported values: \"HTTP\", \"HTTPS\"",
            "spec.containers[0].livenessProbe.httpGet.httpHeaders: Invalid value: \"a b\": a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
        ],
    );
    pods.create(&probe(json!({"httpGet": {"port": "http"}})), &[]);
    pods.create(
        &probe(json!({"exec": {"command": []}})),
        &["spec.containers[0].livenessProbe.exec.command: Required value"],
    );
    pods.create(
        &probe(json!({"exec": {"command": ["a"]}, "initialDelaySeconds": -1, "successThreshold": 2})),
        &[
            "spec.containers[0].livenessProbe.initialDelaySeconds: Invalid value: -1: must be greater than or equal to 0",
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ],
    );
    pods.create(
        &[("/spec/containers/0/readinessProbe", json!({"exec": {"command": ["a"]}, "terminationGracePeriodSeconds": 1, "successThreshold": 2}))],
        &["spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes"],
    );
    pods.create(
        &[("/spec/containers/0/lifecycle", json!({"preStop": {"sleep": {"seconds": 31}}}))],
        &["spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)"],
    );
}

#[test]
fn resources() {
    let pods = pods();
    let resources = |value| [("/spec/containers/0/resources", value)];
    pods.create(
        &resources(json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}})),
        &["spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"],
    );
    pods.create(
        &resources(json!({"limits": {"cpu": "-1"}})),
        &[
            "spec.containers[0].resources.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
            "spec.containers[0].resources.requests[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
        ],
    );
    pods.create(
        &resources(json!({"requests": {"gpu": "1"}})),
        &[
            "spec.containers[0].resources.requests[gpu]: Invalid value: \"gpu\": must be a standard resource type or fully qualified",
            "spec.containers[0].resources.requests[gpu]: Invalid value: \"gpu\": must be a standard resource for containers",
        ],
    );
    pods.create(
        &resources(json!({"requests": {"example.com/gpu": "1"}})),
        &["spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources"],
    );
    pods.create(&resources(json!({"limits": {"example.com/gpu": "1"}})), &[]);
    pods.create(
        &resources(json!({"limits": {"example.com/gpu": "500m"}})),
        &[
            "spec.containers[0].resources.limits[example.com/gpu]: Invalid value: \"500m\": must be an integer",
            "spec.containers[0].resources.requests[example.com/gpu]: Invalid value: \"500m\": must be an integer",
        ],
    );
    pods.create(
        &resources(json!({"limits": {"hugepages-2Mi": "4Mi"}})),
        &["spec.containers[0].resources: Forbidden: HugePages require cpu or memory"],
    );
    pods.create(
        &resources(json!({"claims": [{"name": "x"}]})),
        &["spec.containers[0].resources.claims[0]: Not found: \"x\": must be one of the names in pod.spec.resourceClaims which is empty"],
    );
}

#[test]
fn volumes() {
    let pods = pods();
    let volume = |value| [("/spec/volumes", json!([value]))];
    pods.create(&volume(json!({"name": "v", "emptyDir": {}})), &[]);
    pods.create(&volume(json!({"emptyDir": {}})), &["spec.volumes[0].name: Required value"]);
    pods.create(
        &[("/spec/volumes", json!([{"name": "v"}, {"name": "v"}]))],
        &["spec.volumes[1].name: Duplicate value: \"v\""],
    );
    pods.create(
        &volume(json!({"name": "v", "emptyDir": {}, "hostPath": {"path": "/a"}})),
        &["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
    );
    pods.create(
        &volume(json!({"name": "v", "hostPath": {"path": ""}})),
        &["spec.volumes[0].hostPath.path: Required value"],
    );
    pods.create(
        &volume(json!({"name": "v", "hostPath": {"path": "/a/../b", "type": "Nope"}})),
        &[
            "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
            "spec.volumes[0].hostPath.type: Unsupported value: \"Nope\": supported values: \"\", \"BlockDevice\", \"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\"",
        ],
    );
    pods.create(&volume(json!({"name": "v", "secret": {}})), &["spec.volumes[0].secret.secretName: Required value"]);
    pods.create(
        &volume(json!({"name": "v", "configMap": {"name": "c", "defaultMode": 512, "items": [{"key": "", "path": "../x"}]}})),
        &[
            "spec.volumes[0].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
            "spec.volumes[0].configMap.items[0].key: Required value",
            "spec.volumes[0].configMap.items[0].path: Invalid value: \"../x\": must not contain '..'",
        ],
    );
    pods.create(
        &volume(json!({"name": "v", "persistentVolumeClaim": {"claimName": ""}})),
        &["spec.volumes[0].persistentVolumeClaim.claimName: Required value"],
    );
    pods.create(
        &volume(json!({"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 1}}]}})),
        &[
            "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
            "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set",
        ],
    );
    pods.create(
        &volume(json!({"name": "v", "nfs": {"server": "s", "path": "x"}})),
        &["spec.volumes[0].nfs.path: Invalid value: \"x\": must be an absolute path"],
    );
    pods.create(&volume(json!({"name": "v", "csi": {"driver": ""}})), &["spec.volumes[0].csi.driver: Required value"]);
    pods.create(
        &[("/spec/containers/0/volumeMounts", json!([{"name": "no", "mountPath": "/a"}]))],
        &["spec.containers[0].volumeMounts[0].name: Not found: \"no\""],
    );
    let mounts = |value| [("/spec/volumes", json!([{"name": "v"}])), ("/spec/containers/0/volumeMounts", value)];
    pods.create(&mounts(json!([{"name": "v", "mountPath": "/a"}])), &[]);
    pods.create(
        &mounts(
            json!([{"name": "v", "mountPath": ""}, {"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]),
        ),
        &[
            "spec.containers[0].volumeMounts[0].mountPath: Required value",
            "spec.containers[0].volumeMounts[2].mountPath: Invalid value: \"/a\": must be unique",
        ],
    );
    pods.create(
        &mounts(json!([{"name": "v", "mountPath": "/a", "subPath": "/x", "mountPropagation": "Bidirectional"}])),
        &[
            "spec.containers[0].volumeMounts.subPath: Invalid value: \"/x\": must be a relative path",
            "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
        ],
    );
}

#[test]
fn policies_and_names_of_the_spec() {
    let pods = pods();
    for (field, value, error) in [
        (
            "restartPolicy",
            json!("Sometimes"),
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ),
        (
            "dnsPolicy",
            json!("X"),
            "spec.dnsPolicy: Unsupported value: \"X\": supported values: \"ClusterFirstWithHostNet\", \"ClusterFirst\", \"Default\", \"None\"",
        ),
        (
            "dnsPolicy",
            json!("None"),
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (
            "activeDeadlineSeconds",
            json!(0),
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
        ),
        ("hostname", json!("a.b"), "spec.hostname: Invalid value: \"a.b\": must not contain dots"),
        (
            "preemptionPolicy",
            json!("X"),
            "spec.preemptionPolicy: Unsupported value: \"X\": supported values: \"PreemptLowerPriority\", \"Never\"",
        ),
        (
            "hostAliases",
            json!([{"ip": "x"}]),
            "spec.hostAliases[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        (
            "os",
            json!({"name": "beos"}),
            "spec.os: Unsupported value: \"beos\": supported values: \"linux\", \"windows\"",
        ),
        (
            "readinessGates",
            json!([{"conditionType": ""}]),
            "spec.readinessGates[0].conditionType: Invalid value: \"\": name part must be non-empty",
        ),
    ] {
        let errors =
            crate::case::create_errors(kind("pods"), &edited(&pods.base, &[(&format!("/spec/{field}"), value)]));
        assert_eq!(errors.first().map(String::as_str), Some(error));
    }
    pods.create(&[("/spec/nodeName", json!("A"))], &[&format!("spec.nodeName: Invalid value: \"A\": {SUBDOMAIN}")]);
    pods.create(
        &[("/spec/nodeName", json!("n")), ("/spec/schedulingGates", json!([{"name": "a.b/c"}]))],
        &["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
    );
}

#[test]
fn security() {
    let pods = pods();
    pods.create(
        &[("/spec/securityContext", json!({"runAsUser": -1, "fsGroup": 4_294_967_296i64}))],
        &[
            "spec.securityContext.fsGroup: Invalid value: 4294967296: must be between 0 and 4294967295, inclusive",
            "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 4294967295, inclusive",
        ],
    );
    let context = |value| [("/spec/containers/0/securityContext", value)];
    pods.create(
        &context(json!({"privileged": true, "allowPrivilegeEscalation": false})),
        &["spec.containers[0].securityContext: Invalid value: {\"allowPrivilegeEscalation\":false,\"privileged\":true}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true"],
    );
    pods.create(
        &context(json!({"seccompProfile": {"type": "Localhost"}})),
        &["spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost"],
    );
    pods.create(
        &context(json!({"seccompProfile": {"type": "X"}})),
        &["spec.containers[0].securityContext.seccompProfile.type: Unsupported value: \"X\": supported values: \"Localhost\", \"RuntimeDefault\", \"Unconfined\""],
    );
    pods.create(
        &context(json!({"procMount": "Unmasked"})),
        &["spec.containers[0].securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`"],
    );
    pods.create(
        &[(
            "/spec/securityContext",
            json!({"sysctls": [{"name": "net.ipv4.x"}, {"name": "net.ipv4.x"}, {"name": ""}]}),
        )],
        &[
            "spec.securityContext.sysctls[1].name: Duplicate value: \"net.ipv4.x\"",
            "spec.securityContext.sysctls[2].name: Required value",
        ],
    );
}

#[test]
fn scheduling() {
    let pods = pods();
    let tolerations = |value| [("/spec/tolerations", json!([value]))];
    pods.create(&tolerations(json!({"operator": "Exists"})), &[]);
    pods.create(
        &tolerations(
            json!({"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute", "tolerationSeconds": 1}),
        ),
        &[],
    );
    pods.create(
        &tolerations(json!({"operator": "Equal"})),
        &["spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\""],
    );
    pods.create(
        &tolerations(json!({"key": "a", "operator": "Near"})),
        &["spec.tolerations[0].operator: Unsupported value: \"Near\": supported values: \"Equal\", \"Exists\""],
    );
    pods.create(
        &tolerations(json!({"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1})),
        &["spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set"],
    );
    pods.create(
        &tolerations(json!({"key": "a", "effect": "Never"})),
        &["spec.tolerations[0].effect: Unsupported value: \"Never\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\""],
    );
    pods.create(
        &[("/spec/affinity", json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}))],
        &["spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term"],
    );
    pods.create(
        &[("/spec/affinity", json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "a", "operator": "In"}, {"key": "b", "operator": "Gt", "values": ["1", "2"]}, {"key": "c", "operator": "?"}]}]}}}))],
        &[
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[1].values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'",
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[2].operator: Invalid value: \"?\": not a valid selector operator",
        ],
    );
    pods.create(
        &[("/spec/affinity", json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0, "podAffinityTerm": {"topologyKey": "a"}}]}}))],
        &["spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 0: must be in the range 1-100"],
    );
    pods.create(
        &[("/spec/topologySpreadConstraints", json!([{"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": "X"}]))],
        &[
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
            "spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty",
            "spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"X\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\"",
        ],
    );
}

#[test]
fn updates() {
    let pods = pods();
    pods.update(&[], &[]);
    pods.update(&[("/metadata/labels", json!({"a": "b"}))], &[]);
    pods.update(&[("/spec/containers/0/image", json!("nginx:2"))], &[
        // The pull policy was defaulted from another tag: a client sends back what it read.
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n-spec.containers[0].imagePullPolicy: \"Always\"\n+spec.containers[0].imagePullPolicy: \"IfNotPresent\"\n",
    ]);
    pods.update(
        &[("/spec/containers/0/image", json!("nginx:2")), ("/spec/containers/0/imagePullPolicy", json!("Always"))],
        &[],
    );
    pods.update(
        &[("/spec/containers/1", json!({"name": "d", "image": "x"}))],
        &["spec.containers: Forbidden: pod updates may not add or remove containers"],
    );
    pods.update(&[("/spec/activeDeadlineSeconds", json!(5))], &[]);
    pods.update_from(
        &[("/spec/activeDeadlineSeconds", json!(5))],
        &[("/spec/activeDeadlineSeconds", json!(6))],
        &["spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value"],
    );
    pods.update(&[("/spec/tolerations", json!([{"operator": "Exists"}]))], &[]);
    pods.update_from(
        &[("/spec/tolerations", json!([{"operator": "Exists"}]))],
        &[("/spec/tolerations", json!([]))],
        &["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"],
    );
    pods.update(
        &[("/metadata/name", json!("other"))],
        &["metadata.name: Invalid value: \"other\": field is immutable"],
    );
    pods.update(&[("/spec/hostNetwork", json!(false)), ("/spec/nodeSelector", json!({}))], &[]);
}

#[test]
fn status_updates() {
    let pods = pods();
    let ended = edited(
        &pods.base,
        &[
            ("/spec/restartPolicy", json!("Never")),
            ("/status/containerStatuses", json!([{"name": "c", "state": {"terminated": {"exitCode": 0}}}])),
        ],
    );
    let revived = edited(&ended, &[("/status/containerStatuses/0/state", json!({"running": {}}))]);
    assert_eq!(
        status_errors(kind("pods"), &ended, &revived),
        ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"]
    );
    let rules = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [0]}}]);
    let ruled =
        [("/spec/containers/0/restartPolicy", json!("Never")), ("/spec/containers/0/restartPolicyRules", rules)];
    let none: [&str; 0] = [];
    assert_eq!(status_errors(kind("pods"), &edited(&ended, &ruled), &edited(&revived, &ruled)), none);
    let moved = edited(&ended, &[("/status/podIPs", json!([{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]))]);
    assert_eq!(
        status_errors(kind("pods"), &ended, &moved),
        [
            "status.podIPs: Invalid value: [{\"ip\":\"10.0.0.1\"},{\"ip\":\"10.0.0.2\"}]: may specify no more than one IP for each IP family"
        ]
    );
}

#[test]
fn grace_and_generation() {
    let kind = kind("pods");
    let pod = created(kind, &pods().base);
    assert_eq!(kind.strategy.default_grace_period(&pod), Some(0));
    let bound = edited(&pod, &[("/spec/nodeName", json!("n"))]);
    assert_eq!(kind.strategy.default_grace_period(&bound), Some(30));
    let mut changed = edited(&pod, &[("/spec/containers/0/image", json!("x:1"))]);
    kind.prepare_for_update(&mut changed, &pod);
    assert_eq!(changed["metadata"]["generation"], 2);
    let mut labelled = edited(&pod, &[("/metadata/labels", json!({"a": "b"}))]);
    kind.prepare_for_update(&mut labelled, &pod);
    assert_eq!(labelled["metadata"]["generation"], 1);
}
