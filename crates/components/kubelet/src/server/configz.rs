//! `/configz`: how this kubelet is set up, in the words of upstream's `KubeletConfiguration`.

use serde_json::{Value, json};

use crate::config::Config;

/// What clients look for here; settings that this kubelet does not have are absent.
pub(super) fn document(config: &Config, port: u16) -> Value {
    let dns: Vec<String> = config.cluster_dns.iter().map(ToString::to_string).collect();
    json!({"kubeletconfig": {
        "kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": config.node_ip, "port": port,
        "authentication": {
            "x509": {}, "anonymous": {"enabled": false}, "webhook": {"enabled": true, "cacheTTL": "2m0s"},
        },
        "authorization": {
            "mode": "Webhook",
            "webhook": {"cacheAuthorizedTTL": "5m0s", "cacheUnauthorizedTTL": "30s"},
        },
        "clusterDomain": config.cluster_domain, "clusterDNS": dns,
        "cgroupRoot": format!("/minato-{}", config.cluster_id), "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": true, "failSwapOn": false, "maxPods": config.max_pods,
        "enableServer": true, "enableDebuggingHandlers": true, "enableSystemLogHandler": true,
        "enableControllerAttachDetach": true, "makeIPTablesUtilChains": false,
        "nodeLeaseDurationSeconds": 40, "nodeStatusReportFrequency": "5m0s", "nodeStatusUpdateFrequency": "1m0s",
        "hairpinMode": "none", "resolvConf": "/etc/resolv.conf", "registerNode": true,
    }})
}
