//! Who a pod is to itself: host name and hosts file.

use k8s_openapi::api::core::v1::Pod;

const HOST_NAME_BYTES_MAX: usize = 63;

/// The pod's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName {
    /// What `hostname` prints.
    pub hostname: String,
    /// The first label, also where `hostname` prints the whole name.
    pub short: String,
    /// `<subdomain>.<namespace>.svc.<cluster domain>`, for pods with a subdomain.
    pub domain: Option<String>,
}

/// The names of a pod; one in the host's network goes by the node's name.
pub fn host_name(pod: &Pod, node_name: &str, cluster_domain: &str) -> HostName {
    let plain = |name: &str| HostName { hostname: name.to_owned(), short: name.to_owned(), domain: None };
    let Some(spec) = &pod.spec else { return plain(node_name) };
    if let Some(name) = &spec.hostname_override {
        return plain(name);
    }
    if spec.host_network == Some(true) {
        return plain(node_name);
    }
    let name = spec.hostname.as_deref().filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| pod.metadata.name.as_deref().unwrap_or_default());
    let mut short = name.to_owned();
    while short.len() > HOST_NAME_BYTES_MAX || short.ends_with(['-', '.']) {
        short.pop();
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let subdomain = spec.subdomain.as_deref().filter(|subdomain| !subdomain.is_empty());
    let domain = subdomain.map(|subdomain| format!("{subdomain}.{namespace}.svc.{cluster_domain}"));
    let hostname = match &domain {
        Some(domain) if spec.set_hostname_as_fqdn == Some(true) => format!("{short}.{domain}"),
        _ => short.clone(),
    };
    HostName { hostname, short, domain }
}

/// The pod's `/etc/hosts`. `host_file` is the node's own, which pods in the host's network start from.
pub fn hosts_file(pod: &Pod, name: &HostName, ips: &[String], host_file: &str) -> String {
    let spec = pod.spec.as_ref();
    let mut out = String::new();
    if spec.and_then(|spec| spec.host_network) == Some(true) {
        out.push_str("# Kubernetes-managed hosts file (host network).\n");
        out.push_str(host_file);
        if !host_file.is_empty() && !host_file.ends_with('\n') {
            out.push('\n');
        }
    } else {
        out.push_str(
            "# Kubernetes-managed hosts file.\n\
             127.0.0.1\tlocalhost\n\
             ::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\n\
             fe00::0\tip6-mcastprefix\n\
             fe00::1\tip6-allnodes\n\
             fe00::2\tip6-allrouters\n",
        );
        for ip in ips {
            match &name.domain {
                Some(domain) => out.push_str(&format!("{ip}\t{}.{domain}\t{}\n", name.short, name.short)),
                None => out.push_str(&format!("{ip}\t{}\n", name.short)),
            }
        }
    }
    let aliases = spec.and_then(|spec| spec.host_aliases.as_deref()).unwrap_or_default();
    if !aliases.is_empty() {
        out.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
            out.push_str(&format!("{}\t{names}\n", alias.ip));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: serde_json::Value) -> Pod {
        let mut spec = spec;
        spec["containers"] = json!([]);
        serde_json::from_value(json!({"metadata": {"name": "web-0", "namespace": "ns"}, "spec": spec})).unwrap()
    }

    #[test]
    fn names() {
        let check = |spec, hostname: &str, domain: Option<&str>| {
            let name = host_name(&pod(spec), "node", "cluster.local");
            assert_eq!((name.hostname.as_str(), name.domain.as_deref()), (hostname, domain));
        };
        check(json!({}), "web-0", None);
        check(json!({"hostname": "h"}), "h", None);
        check(json!({"subdomain": "web"}), "web-0", Some("web.ns.svc.cluster.local"));
        check(
            json!({"subdomain": "web", "setHostnameAsFQDN": true}),
            "web-0.web.ns.svc.cluster.local",
            Some("web.ns.svc.cluster.local"),
        );
        check(json!({"hostNetwork": true}), "node", None);
        check(json!({"hostname": "a".repeat(62) + "-x"}), &"a".repeat(62), None);
    }

    #[test]
    fn hosts() {
        let web = pod(json!({"subdomain": "web", "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}));
        let name = host_name(&web, "node", "cluster.local");
        let file = hosts_file(&web, &name, &["10.42.0.5".into()], "");
        assert!(file.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\t"), "{file}");
        assert!(file.contains("\n10.42.0.5\tweb-0.web.ns.svc.cluster.local\tweb-0\n"), "{file}");
        assert!(file.ends_with("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"), "{file}");
        let host = pod(json!({"hostNetwork": true}));
        let file = hosts_file(&host, &name, &[], "127.0.0.1 localhost");
        assert_eq!(file, "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n");
    }
}
