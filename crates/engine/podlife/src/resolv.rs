//! A pod's `/etc/resolv.conf`.

use k8s_openapi::api::core::v1::Pod;

const NAME_SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;

/// The contents of a resolver configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolv {
    /// Addresses.
    pub name_servers: Vec<String>,
    /// Search domains.
    pub searches: Vec<String>,
    /// Options such as `ndots:5`.
    pub options: Vec<String>,
}

impl Resolv {
    /// Reads a file; lines it does not know are passed over.
    pub fn parse(text: &str) -> Self {
        let mut resolv = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let Some(keyword) = words.next() else { continue };
            let rest = words.map(str::to_owned);
            match keyword {
                "nameserver" => resolv.name_servers.extend(rest.take(1)),
                "search" => resolv.searches = rest.filter(|domain| domain != ".").collect(),
                "options" => resolv.options.extend(rest),
                _ => {}
            }
        }
        resolv
    }

    /// The file.
    pub fn render(&self) -> String {
        let mut out = String::new();
        if !self.searches.is_empty() {
            out.push_str(&format!("search {}\n", self.searches.join(" ")));
        }
        for server in &self.name_servers {
            out.push_str(&format!("nameserver {server}\n"));
        }
        if !self.options.is_empty() {
            out.push_str(&format!("options {}\n", self.options.join(" ")));
        }
        out
    }
}

/// What the cluster offers.
#[derive(Clone, Debug)]
pub struct ClusterDns<'a> {
    /// Addresses of the cluster's DNS service.
    pub servers: &'a [String],
    /// Such as `cluster.local`.
    pub domain: &'a str,
}

/// The resolver configuration by the pod's `dnsPolicy` and `dnsConfig`.
pub fn resolv(pod: &Pod, cluster: &ClusterDns<'_>, host: &Resolv) -> Resolv {
    let spec = pod.spec.as_ref();
    let host_network = spec.and_then(|spec| spec.host_network) == Some(true);
    let policy = spec.and_then(|spec| spec.dns_policy.as_deref()).unwrap_or("ClusterFirst");
    let in_cluster = match policy {
        "ClusterFirstWithHostNet" => true,
        "ClusterFirst" => !host_network,
        _ => false,
    } && !cluster.servers.is_empty();
    let mut resolv = match policy {
        "None" => Resolv::default(),
        _ if in_cluster => {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let domain = cluster.domain;
            let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
            append_new(&mut searches, &host.searches);
            Resolv { name_servers: cluster.servers.to_vec(), searches, options: vec!["ndots:5".to_owned()] }
        }
        _ => host.clone(),
    };
    if let Some(config) = spec.and_then(|spec| spec.dns_config.as_ref()) {
        append_new(&mut resolv.name_servers, config.nameservers.as_deref().unwrap_or_default());
        append_new(&mut resolv.searches, config.searches.as_deref().unwrap_or_default());
        for option in config.options.iter().flatten() {
            let Some(name) = option.name.as_deref() else { continue };
            let text = match &option.value {
                Some(value) => format!("{name}:{value}"),
                None => name.to_owned(),
            };
            let place = resolv.options.iter().position(|known| known.split(':').next() == Some(name));
            match place {
                Some(place) => resolv.options[place] = text,
                None => resolv.options.push(text),
            }
        }
    }
    resolv.name_servers.truncate(NAME_SERVERS_MAX);
    resolv.searches.truncate(SEARCHES_MAX);
    resolv
}

fn append_new(list: &mut Vec<String>, more: &[String]) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(spec: serde_json::Value, expected: &str) {
        let mut spec = spec;
        spec["containers"] = json!([]);
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "ns"}, "spec": spec})).unwrap();
        let servers = ["10.43.0.10".to_owned()];
        let cluster = ClusterDns { servers: &servers, domain: "cluster.local" };
        let host =
            Resolv::parse("# comment\nnameserver 1.1.1.1\nnameserver 8.8.8.8\nsearch corp.example\noptions edns0\n");
        assert_eq!(resolv(&pod, &cluster, &host).render(), expected);
    }

    #[test]
    fn policies() {
        let cluster = "search ns.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.43.0.10\noptions ndots:5\n";
        let host = "search corp.example\nnameserver 1.1.1.1\nnameserver 8.8.8.8\noptions edns0\n";
        check(json!({}), cluster);
        check(json!({"dnsPolicy": "ClusterFirst"}), cluster);
        check(json!({"hostNetwork": true}), host);
        check(json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}), cluster);
        check(json!({"dnsPolicy": "Default"}), host);
        check(
            json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"], "searches": ["x"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}}),
            "search x\nnameserver 9.9.9.9\noptions ndots:2 edns0\n",
        );
        check(
            json!({"dnsConfig": {"nameservers": ["9.9.9.9"], "options": [{"name": "ndots", "value": "2"}]}}),
            "search ns.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.43.0.10\nnameserver 9.9.9.9\noptions ndots:2\n",
        );
    }
}
