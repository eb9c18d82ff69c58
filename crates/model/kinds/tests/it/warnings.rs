//! What the API says of objects that are valid but not as they should be.

use serde_json::{Value, json};

use crate::case::{created, edited, kind};

fn check(path: &str, base: &Value, edits: crate::case::Edits<'_>, expected: &[&str]) {
    let kind = kind(path);
    let object = created(kind, &edited(base, edits));
    assert_eq!(kind.validate(&object), [], "{path} {edits:?}");
    assert_eq!(kind.warnings(&object, None), expected, "{path} {edits:?}");
}

#[test]
fn of_pods_and_templates() {
    let pod =
        json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    check("pods", &pod, &[], &[]);
    for (edits, expected) in [
        (
            vec![("/metadata/name", json!("a.b"))],
            vec![
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]",
            ],
        ),
        (
            vec![("/spec/nodeSelector", json!({"beta.kubernetes.io/os": "linux"}))],
            vec!["spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead"],
        ),
        (
            vec![("/spec/volumes", json!([{"name": "g", "gitRepo": {"repository": "r"}}]))],
            vec!["spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+"],
        ),
        (
            vec![("/spec/containers/0/env", json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]))],
            vec![
                "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
            ],
        ),
        (
            vec![("/spec/containers/0/env", json!([{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}]))],
            vec![],
        ),
        (
            vec![("/spec/containers/0/resources", json!({"limits": {"memory": "500m"}}))],
            vec![
                "spec.containers[0].resources.limits[memory]: fractional byte value \"500m\" is invalid, must be an integer",
                "spec.containers[0].resources.requests[memory]: fractional byte value \"500m\" is invalid, must be an integer",
            ],
        ),
        (
            vec![("/spec/containers/0/ports", json!([{"containerPort": 80}, {"containerPort": 80, "hostPort": 80}]))],
            vec!["spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]"],
        ),
        (
            vec![("/spec/imagePullSecrets", json!([{"name": "a"}, {"name": "a"}, {}]))],
            vec![
                "spec.imagePullSecrets[1].name: duplicate name \"a\"",
                "spec.imagePullSecrets[2].name: invalid empty name \"\"",
            ],
        ),
        (
            vec![("/spec/terminationGracePeriodSeconds", json!(-1))],
            vec![
                "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
            ],
        ),
    ] {
        check("pods", &pod, &edits, &expected);
    }
    let labels = json!({"a": "b"});
    let deployment = json!({"metadata": {"name": "d", "namespace": "n"}, "spec": {"selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels, "annotations": {"seccomp.security.alpha.kubernetes.io/pod": "x"}}, "spec": pod["spec"]}}});
    let text = "spec.template.metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the \"seccompProfile\" field instead";
    check("apps/deployments", &deployment, &[], &[text]);
    let kind = kind("apps/deployments");
    let old = created(kind, &deployment);
    assert_eq!(kind.warnings(&old, Some(&old)), [""; 0], "nothing new, nothing said");
    let newer = edited(&old, &[("/metadata/generation", json!(2))]);
    assert_eq!(kind.warnings(&newer, Some(&old)), [text]);
}

#[test]
fn of_other_kinds() {
    let service = json!({"metadata": {"name": "s", "namespace": "n"}, "spec": {"ports": [{"port": 80}]}});
    check(
        "services",
        &service,
        &[("/spec/externalIPs", json!(["2001:DB8::1"]))],
        &[
            "spec.externalIPs[0]: IPv6 address \"2001:DB8::1\" should be in RFC 5952 canonical format (\"2001:db8::1\")",
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
        ],
    );
    check(
        "services",
        &service,
        &[("/spec/trafficDistribution", json!("PreferClose"))],
        &["spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\""],
    );
    let ingress = json!({"metadata": {"name": "i", "namespace": "n", "annotations": {"kubernetes.io/ingress.class": "x"}},
        "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}});
    check(
        "networking.k8s.io/ingresses",
        &ingress,
        &[],
        &["annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"],
    );
    let claim = json!({"metadata": {"name": "c", "namespace": "n", "annotations": {"volume.beta.kubernetes.io/storage-class": "x"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1500m"}}}});
    check(
        "persistentvolumeclaims",
        &claim,
        &[],
        &[
            "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use \"storageClassName\" attribute instead",
            "spec.resources.requests[storage]: fractional byte value \"1500m\" is invalid, must be an integer",
        ],
    );
    let volume = json!({"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
        "persistentVolumeReclaimPolicy": "Recycle", "hostPath": {"path": "/x"}}});
    check(
        "persistentvolumes",
        &volume,
        &[],
        &[
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
        ],
    );
    let secret = json!({"metadata": {"name": "s", "namespace": "n"}, "type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}});
    check("secrets", &secret, &[], &["tls: failed to find any PEM data in certificate input"]);
}
