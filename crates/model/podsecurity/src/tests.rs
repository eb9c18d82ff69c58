use serde_json::{Value, json};

use super::*;

fn standard(text: &str) -> LevelVersion {
    let (level, version) = text.split_once(':').unwrap();
    let labels = json!({
        "pod-security.kubernetes.io/enforce": level, "pod-security.kubernetes.io/enforce-version": version});
    let (policy, errors) = Policy::of_labels(&labels);
    assert_eq!(errors, []);
    assert_eq!(policy.enforce.to_string(), text);
    policy.enforce
}

/// A pod that satisfies every version of restricted, with `change` (a merge patch of its spec).
fn pod(change: Value) -> Value {
    let mut spec = json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "a", "image": "x", "securityContext":
            {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]});
    merge(&mut spec, change);
    spec
}

fn merge(into: &mut Value, change: Value) {
    match change {
        Value::Object(fields) if into.is_object() => {
            for (key, value) in fields {
                if value.is_null() {
                    into.as_object_mut().unwrap().remove(&key);
                } else {
                    merge(&mut into[key.as_str()], value);
                }
            }
        }
        // `{"0": …}` changes one item of a list.
        Value::Object(fields) if into.is_array() => {
            for (index, value) in fields {
                merge(&mut into[index.parse::<usize>().unwrap()], value);
            }
        }
        other => *into = other,
    }
}

fn container(change: Value) -> Value {
    json!({"containers": {"0": change}})
}

fn security(change: Value) -> Value {
    container(json!({"securityContext": change}))
}

#[test]
fn every_check_in_upstreams_words() {
    let check = |level: &str, change: Value, expected: &str| {
        let spec = pod(change);
        let found = summary(&evaluate(standard(level), &json!({}), &spec));
        assert_eq!(found, expected, "{level} {spec}");
    };
    let two = |context: Value| {
        json!({"initContainers": [{"name": "b", "securityContext": context.clone()}],
        "containers": {"0": {"securityContext": context}}})
    };

    check("restricted:latest", json!({}), "");
    check("privileged:latest", json!({"hostPID": true}), "");
    check(
        "baseline:latest",
        json!({"hostPID": true, "hostNetwork": true}),
        "host namespaces (hostNetwork=true, hostPID=true)",
    );
    check(
        "baseline:latest",
        security(json!({"privileged": true})),
        "privileged (container \"a\" must not set securityContext.privileged=true)",
    );
    check(
        "baseline:latest",
        two(json!({"privileged": true})),
        "privileged (containers \"b\", \"a\" must not set securityContext.privileged=true)",
    );
    check(
        "baseline:latest",
        security(json!({"capabilities": {"add": ["NET_ADMIN", "CHOWN", "BPF"]}})),
        "non-default capabilities (container \"a\" must not include \"BPF\", \"NET_ADMIN\" in securityContext.capabilities.add)",
    );
    let host_path = json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "emptyDir": {}}]});
    check("baseline:latest", host_path.clone(), "hostPath volumes (volume \"v\")");
    check(
        "restricted:latest",
        host_path,
        "restricted volume types (volume \"v\" uses restricted volume type \"hostPath\")",
    );
    check(
        "restricted:v1.0",
        json!({"volumes": [{"name": "v", "nfs": {}}, {"name": "w", "rbd": {}}]}),
        "restricted volume types (volumes \"v\", \"w\" use restricted volume types \"nfs\", \"rbd\")",
    );
    check(
        "baseline:latest",
        container(json!({"ports": [{"hostPort": 80}, {"hostPort": 443}, {"containerPort": 1}]})),
        "hostPort (container \"a\" uses hostPorts 443, 80)",
    );
    let host = container(
        json!({"livenessProbe": {"httpGet": {"host": "h"}}, "lifecycle": {"preStop": {"tcpSocket": {"host": "g"}}}}),
    );
    check(
        "baseline:v1.34",
        host.clone(),
        "probe or lifecycle host (container \"a\" uses probe or lifecycle hosts \"g\", \"h\")",
    );
    check("baseline:v1.33", host, "");
    let unmasked = security(json!({"procMount": "Unmasked"}));
    check(
        "baseline:v1.0",
        unmasked.clone(),
        "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")",
    );
    let mut own_users = unmasked;
    own_users["hostUsers"] = false.into();
    own_users["containers"]["0"]["securityContext"]["runAsUser"] = 0.into();
    check("restricted:latest", own_users.clone(), "");
    check(
        "restricted:v1.34",
        own_users,
        "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\"), \
         runAsUser=0 (container \"a\" must not set runAsUser=0)",
    );
    let engine = json!({"securityContext": {"seLinuxOptions": {"type": "container_engine_t"}}});
    check("baseline:v1.31", engine.clone(), "");
    check(
        "baseline:v1.30",
        engine,
        "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"container_engine_t\")",
    );
    check(
        "baseline:latest",
        security(json!({"seLinuxOptions": {"user": "u", "role": "r", "type": "t"}})),
        "seLinuxOptions (container \"a\" set forbidden securityContext.seLinuxOptions: type \"t\"; user may not be set; role may not be set)",
    );
    let sysctls = json!({"securityContext": {"sysctls": [
        {"name": "kernel.shm_rmid_forced"}, {"name": "net.ipv4.ip_local_reserved_ports"},
        {"name": "net.ipv4.tcp_fin_timeout"}, {"name": "net.ipv4.tcp_rmem"}, {"name": "kernel.msgmax"}]}});
    check(
        "baseline:v1.26",
        sysctls.clone(),
        "forbidden sysctls (net.ipv4.ip_local_reserved_ports, net.ipv4.tcp_fin_timeout, net.ipv4.tcp_rmem, kernel.msgmax)",
    );
    check(
        "baseline:v1.28",
        sysctls.clone(),
        "forbidden sysctls (net.ipv4.tcp_fin_timeout, net.ipv4.tcp_rmem, kernel.msgmax)",
    );
    check("baseline:v1.31", sysctls.clone(), "forbidden sysctls (net.ipv4.tcp_rmem, kernel.msgmax)");
    check("baseline:v1.99", sysctls, "forbidden sysctls (kernel.msgmax)");
    check(
        "baseline:latest",
        json!({"securityContext": {"windowsOptions": {"hostProcess": true}},
        "containers": {"0": {"securityContext": {"windowsOptions": {"hostProcess": true}}}}}),
        "hostProcess (pod and container \"a\" must not set securityContext.windowsOptions.hostProcess=true)",
    );
    check(
        "baseline:latest",
        json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}),
        "forbidden AppArmor profile (pod must not set AppArmor profile type to \"Unconfined\")",
    );
    let unconfined = json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}});
    check(
        "baseline:latest",
        unconfined.clone(),
        "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
    );
    check(
        "restricted:latest",
        unconfined.clone(),
        "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
    );
    check("restricted:v1.18", unconfined, "");
    check(
        "restricted:latest",
        json!({"securityContext": {"seccompProfile": null}}),
        "seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
    );
    check("baseline:latest", json!({"securityContext": {"seccompProfile": null}}), "");
    check(
        "restricted:latest",
        json!({"securityContext": {"runAsNonRoot": null, "runAsUser": 0}}),
        "runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true), \
         runAsUser=0 (pod must not set runAsUser=0)",
    );
    check("restricted:v1.22", json!({"securityContext": {"runAsUser": 0}}), "");
    check(
        "restricted:latest",
        security(json!({"runAsNonRoot": false})),
        "runAsNonRoot != true (container \"a\" must not set securityContext.runAsNonRoot=false)",
    );
    check(
        "restricted:latest",
        security(json!({"allowPrivilegeEscalation": null})),
        "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false)",
    );
    check("restricted:v1.7", security(json!({"allowPrivilegeEscalation": null})), "");
    let adding = security(json!({"capabilities": {"drop": [], "add": ["CHOWN", "NET_BIND_SERVICE", "SYS_TIME"]}}));
    check(
        "restricted:latest",
        adding.clone(),
        "unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"]; \
         container \"a\" must not include \"CHOWN\", \"SYS_TIME\" in securityContext.capabilities.add)",
    );
    check(
        "restricted:v1.21",
        adding,
        "non-default capabilities (container \"a\" must not include \"SYS_TIME\" in securityContext.capabilities.add)",
    );
    let windows = json!({"os": {"name": "windows"}, "securityContext": {"seccompProfile": null},
        "containers": [{"name": "a"}]});
    check("restricted:v1.25", windows.clone(), "");
    check(
        "restricted:v1.24",
        windows,
        "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false), \
         unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"]), \
         seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
    );
    check(
        "baseline:latest",
        json!({"ephemeralContainers": [{"name": "d", "securityContext": {"privileged": true}}]}),
        "privileged (container \"d\" must not set securityContext.privileged=true)",
    );
}

#[test]
fn annotations_of_old() {
    let check = |level: &str, annotations: Value, expected: &str| {
        let found = evaluate(standard(level), &json!({"annotations": annotations}), &pod(json!({})));
        assert_eq!(summary(&found), expected);
    };
    let seccomp = json!({"seccomp.security.alpha.kubernetes.io/pod": "unconfined",
        "container.seccomp.security.alpha.kubernetes.io/a": "docker/default"});
    check(
        "baseline:v1.18",
        seccomp.clone(),
        "seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")",
    );
    check("baseline:v1.19", seccomp, "");
    check(
        "baseline:latest",
        json!({"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}),
        "forbidden AppArmor profile (annotation must not set AppArmor profile type to \
         \"container.apparmor.security.beta.kubernetes.io/a=\"unconfined\"\")",
    );
}

#[test]
fn labels_choose_the_policy() {
    let check = |labels: Value, expected: &[&str], wrong: &[(&str, &str)]| {
        let labels: Value = labels
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| (format!("pod-security.kubernetes.io/{key}"), value.clone()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let (policy, errors) = Policy::of_labels(&labels);
        let found: Vec<String> = [policy.enforce, policy.audit, policy.warn].iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{labels}");
        let found: Vec<(&str, &str)> = errors
            .iter()
            .map(|error| (error.label.strip_prefix("pod-security.kubernetes.io/").unwrap(), error.message))
            .collect();
        assert_eq!(found, wrong, "{labels}");
    };
    const LEVEL: &str = "must be one of privileged, baseline, restricted";
    const VERSION: &str = "must be \"latest\" or \"v1.x\"";
    check(json!({}), &["privileged:latest", "privileged:latest", "privileged:latest"], &[]);
    check(
        json!({"enforce": "baseline", "enforce-version": "v1.24"}),
        &["baseline:v1.24", "privileged:latest", "baseline:v1.24"],
        &[],
    );
    check(
        json!({"enforce": "baseline", "warn": "restricted", "audit": "restricted", "audit-version": "v1.0"}),
        &["baseline:latest", "restricted:v1.0", "restricted:latest"],
        &[],
    );
    check(
        json!({"enforce": "restricted", "warn": "privileged"}),
        &["restricted:latest", "privileged:latest", "privileged:latest"],
        &[],
    );
    check(
        json!({"enforce": "strict", "warn": "", "warn-version": "v1.01", "audit-version": "1.2"}),
        &["restricted:latest", "privileged:latest", "privileged:latest"],
        &[("enforce", LEVEL), ("audit-version", VERSION), ("warn", LEVEL), ("warn-version", VERSION)],
    );
}

#[test]
fn only_significant_updates_count() {
    let base = json!({"metadata": {}, "spec": {"containers": [{"name": "a", "image": "x"}],
        "ephemeralContainers": [{"name": "d", "image": "y"}]}});
    let check = |change: Value, expected: bool| {
        let mut new = base.clone();
        merge(&mut new, change.clone());
        assert_eq!(is_significant_update(&new, &base), expected, "{change}");
    };
    check(json!({"metadata": {"labels": {"a": "b"}}, "spec": {"activeDeadlineSeconds": 1}}), false);
    check(json!({"spec": {"containers": {"0": {"image": "z"}}}}), true);
    check(json!({"spec": {"initContainers": [{"name": "i"}]}}), true);
    check(json!({"spec": {"ephemeralContainers": [{"name": "d", "image": "y"}, {"name": "e"}]}}), true);
    check(json!({"metadata": {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "x"}}}), true);
}

#[test]
fn existing_pods_are_counted_by_what_is_wrong() {
    let make = |name: &str, owner: &str, change: Value| json!({"metadata": {"name": name, "ownerReferences": [{"controller": true, "uid": owner}]}, "spec": pod(change)});
    let pods = [
        make("z", "1", json!({"hostPID": true})),
        make("c", "2", security(json!({"privileged": true}))),
        make("b", "2", security(json!({"privileged": true}))),
        make("d", "2", security(json!({"privileged": true}))),
        make("fine", "3", json!({})),
    ];
    assert_eq!(
        warnings_about_existing("ns", standard("baseline:latest"), &pods),
        [
            "existing pods in namespace \"ns\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "b (and 2 other pods): privileged",
            "z: host namespaces",
        ]
    );
    assert_eq!(warnings_about_existing("ns", standard("privileged:latest"), &pods), Vec::<String>::new());
}
