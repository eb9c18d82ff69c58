//! Which sysctls a pod may set on this node (upstream's `pkg/kubelet/sysctl`).

use k8s_openapi::api::core::v1::Pod;

use crate::Rejection;

/// Those that have a namespace of their own, by how their names begin, and the namespace.
const NAMESPACED: [(&str, Namespace); 5] = [
    ("kernel.sem", Namespace::Ipc),
    ("kernel.shm", Namespace::Ipc),
    ("kernel.msg", Namespace::Ipc),
    ("fs.mqueue.", Namespace::Ipc),
    ("net.", Namespace::Net),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Namespace {
    Ipc,
    Net,
}

/// Sysctls that are not safe but may be set all the same: names, or beginnings of names with `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedSysctls(Vec<String>);

/// A sysctl that cannot be allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sysctl {0:?} is not known to be namespaced: a pod that sets it would change the whole machine")]
pub struct NotNamespaced(pub String);

impl AllowedSysctls {
    /// Reads patterns such as `kernel.msg*` and `net.core.somaxconn`.
    ///
    /// # Errors
    /// If one is not namespaced.
    pub fn new(patterns: Vec<String>) -> Result<Self, NotNamespaced> {
        match patterns.iter().find(|pattern| namespace(pattern).is_none()) {
            Some(pattern) => Err(NotNamespaced(pattern.clone())),
            None => Ok(Self(patterns.iter().map(|pattern| normal(pattern)).collect())),
        }
    }

    /// Whether the pod sets only what it may.
    ///
    /// # Errors
    /// The first sysctl that it may not set.
    pub fn check(&self, pod: &Pod) -> Result<(), Rejection> {
        let Some(spec) = &pod.spec else { return Ok(()) };
        let sysctls = spec.security_context.iter().flat_map(|security| security.sysctls.iter().flatten());
        for sysctl in sysctls {
            let name = normal(&sysctl.name);
            let shares = match namespace(&name) {
                Some(Namespace::Ipc) if spec.host_ipc == Some(true) => Some("ipc"),
                Some(Namespace::Net) if spec.host_network == Some(true) => Some("net"),
                _ => None,
            };
            let trouble = match shares {
                Some(shared) => format!("not allowed with host {shared} enabled"),
                None if minato_podsecurity::is_safe_sysctl(&name) || self.allows(&name) => continue,
                None => "not allowlisted".to_owned(),
            };
            let message = format!("forbidden sysctl: {:?} {trouble}", sysctl.name);
            return Err(Rejection { reason: "SysctlForbidden".to_owned(), message });
        }
        Ok(())
    }

    fn allows(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        })
    }
}

/// With dots: `net/ipv4/tcp_syncookies` is another way to write it, in which dots and slashes change places.
pub fn normal(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'/' => name
            .chars()
            .map(|letter| {
                if letter == '/' {
                    '.'
                } else if letter == '.' {
                    '/'
                } else {
                    letter
                }
            })
            .collect(),
        _ => name.to_owned(),
    }
}

fn namespace(name: &str) -> Option<Namespace> {
    let name = normal(name);
    NAMESPACED.iter().find(|(beginning, _)| name.starts_with(beginning)).map(|(_, namespace)| *namespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_safe_and_allowed_ones_pass() {
        let allowed = AllowedSysctls::new(vec!["kernel.msg*".into(), "net.core.somaxconn".into()]).unwrap();
        let cases = [
            (json!({"name": "kernel.shm_rmid_forced"}), false, None),
            (json!({"name": "net/ipv4/tcp_syncookies"}), false, None),
            (json!({"name": "kernel.msgmax"}), false, None),
            (json!({"name": "net.core.somaxconn"}), false, None),
            (json!({"name": "kernel.sem"}), false, Some("forbidden sysctl: \"kernel.sem\" not allowlisted")),
            (json!({"name": "vm.swappiness"}), false, Some("forbidden sysctl: \"vm.swappiness\" not allowlisted")),
            (
                json!({"name": "net.core.somaxconn"}),
                true,
                Some("forbidden sysctl: \"net.core.somaxconn\" not allowed with host net enabled"),
            ),
        ];
        for (mut sysctl, host_network, expected) in cases {
            sysctl["value"] = "1".into();
            let spec = json!({"containers": [], "hostNetwork": host_network, "securityContext": {"sysctls": [sysctl]}});
            let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
            assert_eq!(allowed.check(&pod).err().map(|rejection| rejection.message).as_deref(), expected, "{sysctl}");
        }
        assert!(AllowedSysctls::new(vec!["vm.*".into()]).is_err());
    }
}
