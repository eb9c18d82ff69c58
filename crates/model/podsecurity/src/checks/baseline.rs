//! The checks of baseline that are about the node: its namespaces, files, ports, kernel.

use serde_json::Value;

use crate::pod::{Pod, Values, Violation, items, named, plural, quoted, text};

/// What container runtimes give by default.
const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

pub(super) fn capabilities(pod: &Pod<'_>) -> Option<Violation> {
    let mut forbidden = Values::new();
    let bad = pod.bad(|container| {
        let added = items(&container["securityContext"]["capabilities"]["add"]).map(text);
        let added: Vec<&str> = added.filter(|capability| !CAPABILITIES.contains(capability)).collect();
        forbidden.extend(&added);
        !added.is_empty()
    });
    (!bad.is_empty()).then(|| {
        let (who, what) = (named("container", &bad), quoted(forbidden));
        Violation::new(
            "non-default capabilities",
            format!("{who} must not include {what} in securityContext.capabilities.add"),
        )
    })
}

pub(super) fn host_namespaces(pod: &Pod<'_>) -> Option<Violation> {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|namespace| pod.spec[*namespace] == true)
        .map(|namespace| format!("{namespace}=true"))
        .collect();
    (!shared.is_empty()).then(|| Violation::new("host namespaces", shared.join(", ")))
}

pub(super) fn host_path_volumes(pod: &Pod<'_>) -> Option<Violation> {
    let volumes = items(&pod.spec["volumes"]).filter(|volume| !volume["hostPath"].is_null());
    let names: Vec<&str> = volumes.map(|volume| text(&volume["name"])).collect();
    (!names.is_empty()).then(|| Violation::new("hostPath volumes", named("volume", &names)))
}

pub(super) fn host_ports(pod: &Pod<'_>) -> Option<Violation> {
    let mut ports = std::collections::BTreeSet::new();
    let bad = pod.bad(|container| {
        let used = items(&container["ports"]).filter_map(|port| port["hostPort"].as_i64()).filter(|port| *port != 0);
        let used: Vec<String> = used.map(|port| port.to_string()).collect();
        let uses = !used.is_empty();
        ports.extend(used);
        uses
    });
    (!bad.is_empty()).then(|| {
        let detail = format!(
            "{} {} {} {}",
            named("container", &bad),
            plural("uses", "use", bad.len()),
            plural("hostPort", "hostPorts", ports.len()),
            ports.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
        );
        Violation::new("hostPort", detail)
    })
}

pub(super) fn probe_hosts(pod: &Pod<'_>) -> Option<Violation> {
    let mut hosts = Values::new();
    let bad = pod.bad(|container| {
        let lifecycle = &container["lifecycle"];
        let handlers: [&Value; 5] = [
            &container["livenessProbe"],
            &container["readinessProbe"],
            &container["startupProbe"],
            &lifecycle["postStart"],
            &lifecycle["preStop"],
        ];
        let named = handlers.into_iter().flat_map(|handler| [&handler["httpGet"], &handler["tcpSocket"]]);
        let named: Vec<&str> = named.map(|target| text(&target["host"])).filter(|host| !host.is_empty()).collect();
        hosts.extend(&named);
        !named.is_empty()
    });
    let bad: Vec<&str> = Values::from_iter(bad).into_iter().collect();
    (!bad.is_empty()).then(|| {
        let detail = format!(
            "{} {} {} {}",
            named("container", &bad),
            plural("uses", "use", bad.len()),
            plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len()),
            quoted(hosts)
        );
        Violation::new("probe or lifecycle host", detail)
    })
}

pub(super) fn privileged(pod: &Pod<'_>) -> Option<Violation> {
    let bad = pod.bad(|container| container["securityContext"]["privileged"] == true);
    (!bad.is_empty()).then(|| {
        let who = named("container", &bad);
        Violation::new("privileged", format!("{who} must not set securityContext.privileged=true"))
    })
}

pub(super) fn proc_mount(pod: &Pod<'_>) -> Option<Violation> {
    let mut mounts = Values::new();
    let bad = pod.bad(|container| match container["securityContext"]["procMount"].as_str() {
        None | Some("Default") => false,
        Some(other) => {
            mounts.insert(other);
            true
        }
    });
    (!bad.is_empty()).then(|| {
        let (who, what) = (named("container", &bad), quoted(mounts));
        Violation::new("procMount", format!("{who} must not set securityContext.procMount to {what}"))
    })
}

/// Unmasked `/proc` does no harm where root is nobody on the node (KEP-127).
pub(super) fn proc_mount_1_35(pod: &Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { proc_mount(pod) }
}

/// Sysctls that are safe since v1.0, and those that became it; each version has all before it.
const SYSCTLS: &[&[&str]] = &[
    &[
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
    ],
    &["net.ipv4.ip_local_reserved_ports"],
    &[
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
    ],
    &["net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"],
];

/// Whether a pod that sets this sysctl meets the baseline standard, by its newest version.
pub fn is_safe_sysctl(name: &str) -> bool {
    SYSCTLS.iter().any(|step| step.contains(&name))
}

fn sysctls_of(pod: &Pod<'_>, steps: usize) -> Option<Violation> {
    let safe = |name: &&str| SYSCTLS.iter().take(steps).any(|step| step.contains(name));
    let names = items(&pod.security_context()["sysctls"]).map(|sysctl| text(&sysctl["name"]));
    let forbidden: Vec<&str> = names.filter(|name| !safe(name)).collect();
    (!forbidden.is_empty()).then(|| Violation::new("forbidden sysctls", forbidden.join(", ")))
}

pub(super) fn sysctls(pod: &Pod<'_>) -> Option<Violation> {
    sysctls_of(pod, 1)
}

pub(super) fn sysctls_1_27(pod: &Pod<'_>) -> Option<Violation> {
    sysctls_of(pod, 2)
}

pub(super) fn sysctls_1_29(pod: &Pod<'_>) -> Option<Violation> {
    sysctls_of(pod, 3)
}

pub(super) fn sysctls_1_32(pod: &Pod<'_>) -> Option<Violation> {
    sysctls_of(pod, 4)
}

pub(super) fn windows_host_process(pod: &Pod<'_>) -> Option<Violation> {
    let who = pod.bad_setters(|context| context["windowsOptions"]["hostProcess"] == true)?;
    Some(Violation::new("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true")))
}
