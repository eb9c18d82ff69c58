//! The extenders of the file.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;

use super::Problems;
use super::file::{ExtenderEntry, TlsConfig};
use crate::{Extender, Profile};

const TIMEOUT: Duration = Duration::from_secs(5);

/// What is configured of extenders; resources that the scheduler shall ignore are noted in the profiles.
pub(super) fn settle(given: Vec<ExtenderEntry>, profiles: &mut [Profile], problems: &mut Problems) -> Vec<Extender> {
    let binders = given.iter().filter(|entry| !entry.bind_verb.is_empty()).count();
    if binders > 1 {
        let why = format!("found {binders} extenders implementing bind");
        problems.invalid("extenders", binders, &why);
    }
    let mut managed = BTreeSet::new();
    let mut extenders = Vec::new();
    for (index, entry) in given.into_iter().enumerate() {
        let at = format!("extenders[{index}]");
        if entry.url_prefix.is_empty() {
            problems.required(format!("{at}.urlPrefix"));
        }
        if !entry.prioritize_verb.is_empty() && entry.weight <= 0 {
            problems.invalid(format!("{at}.weight"), entry.weight, "must have a positive weight applied to it");
        }
        if !entry.preempt_verb.is_empty() {
            problems.other(format!("{at}.preemptVerb"), "extenders are not asked about preemption");
        }
        for (nth, resource) in entry.managed_resources.iter().enumerate() {
            let at = format!("{at}.managedResources[{nth}]");
            if !resource.name.contains('/') || resource.name.starts_with("kubernetes.io/") {
                let name = format!("{:?}", resource.name);
                problems.invalid(format!("{at}.name"), name, "name is an invalid extended resource name");
            }
            if !managed.insert(resource.name.clone()) {
                problems.invalid(&at, &resource.name, "duplicate extender managed resource name");
            }
            if resource.ignored_by_scheduler {
                for profile in profiles.iter_mut() {
                    profile.placement.ignored_resources.push(resource.name.clone());
                }
            }
        }
        let timeout = match &entry.http_timeout {
            None => TIMEOUT,
            Some(text) => {
                let parsed = text.parse::<SignedDuration>().ok().and_then(|length| Duration::try_from(length).ok());
                parsed.unwrap_or_else(|| {
                    problems.invalid(format!("{at}.httpTimeout"), format!("{text:?}"), "not a duration such as 5s");
                    TIMEOUT
                })
            }
        };
        extenders.push(read(entry, timeout));
    }
    extenders
}

fn read(entry: ExtenderEntry, timeout: Duration) -> Extender {
    let TlsConfig { insecure, server_name, cert_file, key_file, ca_file, cert_data, key_data, ca_data } =
        entry.tls_config.unwrap_or_default();
    let server = match entry.url_prefix.split_once("://") {
        Some(("http", rest)) if entry.enable_https => format!("https://{rest}"),
        _ => entry.url_prefix.clone(),
    };
    Extender {
        cluster: json!({
            "server": server.trim_end_matches('/'),
            "insecure-skip-tls-verify": insecure,
            "tls-server-name": server_name,
            "certificate-authority": ca_file,
            "certificate-authority-data": ca_data,
        }),
        user: json!({
            "client-certificate": cert_file,
            "client-certificate-data": cert_data,
            "client-key": key_file,
            "client-key-data": key_data,
        }),
        url_prefix: entry.url_prefix,
        filter_verb: entry.filter_verb,
        prioritize_verb: entry.prioritize_verb,
        weight: entry.weight,
        bind_verb: entry.bind_verb,
        timeout,
        node_cache_capable: entry.node_cache_capable,
        managed_resources: entry.managed_resources.into_iter().map(|resource| resource.name).collect(),
        ignorable: entry.ignorable,
    }
}
