//! ServiceCIDRs and IPAddresses (KEP-1880): a range stays while addresses of it are in use, and every cluster IP has an
//! IPAddress that says whose it is.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};

/// On ServiceCIDRs: until no address of it is in use.
pub const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
/// The label that says who looks after an IPAddress.
pub const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
/// That label's value for addresses of Services.
pub const MANAGER: &str = "ipallocator.k8s.io";
/// The label with an address's family.
pub const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";

/// What a ServiceCIDR lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// [`FINALIZER`].
    Protect,
    /// The condition that it can be used.
    SayReady,
    /// The condition that it is to go but cannot.
    SayTerminating,
    /// It may go.
    Release,
}

/// The next step for `range`, where there are these other ranges and `addresses`.
#[must_use]
pub fn plan(range: &ServiceCIDR, others: &[Arc<ServiceCIDR>], addresses: &[Arc<IPAddress>]) -> Step {
    let protected = range.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
    let is_ready = ready(range);
    if range.metadata.deletion_timestamp.is_none() {
        return match (protected, is_ready) {
            (false, _) => Step::Protect,
            (true, Some(true)) => Step::Nothing,
            (true, _) => Step::SayReady,
        };
    }
    if !protected {
        return Step::Nothing;
    }
    let covered = |address: IpAddr| {
        let other = |other: &&Arc<ServiceCIDR>| {
            other.metadata.uid != range.metadata.uid && other.metadata.deletion_timestamp.is_none()
        };
        others.iter().filter(other).any(|other| contains(other, address))
    };
    let mut taken = addresses.iter().filter_map(|address| address.metadata.name.as_deref()?.parse().ok());
    let needed = taken.any(|address| contains(range, address) && !covered(address));
    match (needed, is_ready) {
        (false, _) => Step::Release,
        (true, Some(false)) => Step::Nothing,
        (true, _) => Step::SayTerminating,
    }
}

fn ready(range: &ServiceCIDR) -> Option<bool> {
    let conditions = range.status.as_ref()?.conditions.as_deref()?;
    conditions.iter().find(|condition| condition.type_ == "Ready").map(|condition| condition.status == "True")
}

fn contains(range: &ServiceCIDR, address: IpAddr) -> bool {
    let cidrs = range.spec.as_ref().and_then(|spec| spec.cidrs.as_deref()).unwrap_or_default();
    cidrs.iter().any(|cidr| is_in(cidr, address).unwrap_or(false))
}

fn is_in(cidr: &str, address: IpAddr) -> Option<bool> {
    let (network, bits) = cidr.split_once('/')?;
    let bits: u32 = bits.parse().ok()?;
    Some(match (network.parse().ok()?, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (network.to_bits() ^ address.to_bits()).checked_shr(32 - bits.min(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (network.to_bits() ^ address.to_bits()).checked_shr(128 - bits.min(128)).unwrap_or(0) == 0
        }
        _ => false,
    })
}

/// The addresses that a Service has of the cluster's ranges.
#[must_use]
pub fn cluster_ips(service: &Service) -> Vec<String> {
    let Some(spec) = &service.spec else { return Vec::new() };
    if spec.type_.as_deref() == Some("ExternalName") {
        return Vec::new();
    }
    let addresses = spec.cluster_ips.iter().flatten().filter(|address| address.parse::<IpAddr>().is_ok());
    addresses.cloned().collect()
}

/// The Service `(namespace, name)` that an IPAddress of ours belongs to.
#[must_use]
pub fn service_of(address: &IPAddress) -> Option<(&str, &str)> {
    let ours = address.metadata.labels.as_ref()?.get(MANAGED_BY).is_some_and(|manager| manager == MANAGER);
    let parent = &address.spec.parent_ref;
    let is_service = parent.group.as_deref().unwrap_or_default().is_empty() && parent.resource == "services";
    (ours && is_service).then(|| (parent.namespace.as_deref().unwrap_or_default(), parent.name.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn range(name: &str, cidr: &str, flags: &str) -> ServiceCIDR {
        let mut range = json!({"metadata": {"name": name, "uid": name}, "spec": {"cidrs": [cidr]}});
        for flag in flags.split(' ') {
            match flag {
                "kept" => range["metadata"]["finalizers"] = json!([FINALIZER]),
                "going" => range["metadata"]["deletionTimestamp"] = json!("2020-01-01T00:00:00Z"),
                "ready" | "unready" => {
                    let status = if flag == "ready" { "True" } else { "False" };
                    range["status"]["conditions"] = json!([{"type": "Ready", "status": status, "reason": "",
                        "message": "", "lastTransitionTime": "2020-01-01T00:00:00Z"}]);
                }
                _ => {}
            }
        }
        serde_json::from_value(range).unwrap()
    }

    #[test]
    fn a_range_lives_as_long_as_its_addresses() {
        let address = |ip: &str| -> Arc<IPAddress> {
            Arc::new(serde_json::from_value(json!({"metadata": {"name": ip}})).unwrap())
        };
        let (inside, outside) = (vec![address("10.1.0.5")], vec![address("10.2.0.5"), address("fd00::1")]);
        for (flags, addresses, others, expected) in [
            ("", &inside, "", Step::Protect),
            ("kept", &inside, "", Step::SayReady),
            ("kept ready", &inside, "", Step::Nothing),
            ("kept ready going", &inside, "", Step::SayTerminating),
            ("kept unready going", &inside, "", Step::Nothing),
            ("kept unready going", &outside, "", Step::Release),
            ("kept ready going", &inside, "10.1.0.0/24", Step::Release),
            ("ready going", &inside, "", Step::Nothing),
        ] {
            let this = range("a", "10.1.0.0/16", flags);
            let mut all = vec![Arc::new(this.clone())];
            if !others.is_empty() {
                all.push(Arc::new(range("b", others, "kept ready")));
            }
            assert_eq!(plan(&this, &all, addresses), expected, "{flags} {others}");
        }
        assert!(contains(&range("c", "fd00::/64", ""), "fd00::1".parse().unwrap()));
        assert!(contains(&range("c", "0.0.0.0/0", ""), "1.2.3.4".parse().unwrap()));
    }
}
