//! The built-in plugins: which there are, in upstream's order, which are on, and what they are told.

use std::path::{Path, PathBuf};

use minato_quota::Limited;
use serde::Deserialize;
use serde_json::Value;

use super::configuration::{ConfigurationError, ConfigurationFile, versioned};
use super::hooks::{HookOptions, Hooks};
use super::{
    Mutate, Validate, anti_affinity, certificate, event_rate_limit, extended_resources, external_ips, ingress,
    limit_ranger, namespace, node_restriction, node_selector, nodes, owners, pod_security, pod_tolerations, priority,
    pull_images, runtime_class, service_account, storage, tolerations,
};
use crate::kubeconfig::Credentials;

/// Which plugins are on, and where their configuration is.
#[derive(Clone, Debug, Default)]
pub struct AdmissionOptions {
    /// On, besides those that are on by default.
    pub enabled: Vec<String>,
    /// Off, although they are on by default.
    pub disabled: Vec<String>,
    /// An `AdmissionConfiguration`.
    pub configuration_file: Option<PathBuf>,
}

/// Options that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// No plugin has the name.
    #[error("{flag}: plugin {name:?} is unknown")]
    Unknown {
        /// Where it stands.
        flag: &'static str,
        /// The name.
        name: String,
    },
    /// Both on and off.
    #[error("{0:?} in enable-admission-plugins and disable-admission-plugins overlapped")]
    Overlap(String),
    /// The file of `--admission-control-config-file`, or one that it names.
    #[error("admission-control-config-file: {0}")]
    Configuration(#[from] ConfigurationError),
}

/// A plugin: what it does to an object, and what it says of one.
struct Plugin {
    name: &'static str,
    by_default: bool,
    mutate: Option<Mutate>,
    validate: Option<Validate>,
}

const fn on(name: &'static str, mutate: Option<Mutate>, validate: Option<Validate>) -> Plugin {
    Plugin { name, by_default: true, mutate, validate }
}

const fn off(name: &'static str, mutate: Option<Mutate>, validate: Option<Validate>) -> Plugin {
    Plugin { name, by_default: false, mutate, validate }
}

/// In upstream's order. Those without functions are asked for by name, where they act.
const PLUGINS: &[Plugin] = &[
    off("AlwaysAdmit", None, None),
    on("NamespaceLifecycle", Some(namespace::lifecycle), None),
    off("NamespaceExists", None, Some(namespace::check_existence)),
    off("LimitPodHardAntiAffinityTopology", None, Some(anti_affinity::check)),
    on("LimitRanger", Some(limit_ranger::fill), Some(limit_ranger::check)),
    on("ServiceAccount", Some(service_account::fill), Some(service_account::check)),
    on("NodeRestriction", Some(node_restriction::restrict), None),
    on("TaintNodesByCondition", Some(nodes::taint_new), None),
    off("AlwaysPullImages", Some(pull_images::fill), Some(pull_images::check)),
    on("PodSecurity", None, Some(pod_security::check)),
    off("PodNodeSelector", Some(node_selector::fill), Some(node_selector::check)),
    on("Priority", Some(priority::fill), Some(priority::check)),
    on("DefaultTolerationSeconds", Some(tolerations::fill), None),
    off("PodTolerationRestriction", Some(pod_tolerations::fill), Some(pod_tolerations::check)),
    off("EventRateLimit", None, Some(event_rate_limit::check)),
    off("ExtendedResourceToleration", Some(extended_resources::fill), None),
    on("DefaultStorageClass", Some(storage::fill_class), None),
    on("StorageObjectInUseProtection", Some(storage::protect), None),
    off("OwnerReferencesPermissionEnforcement", None, Some(owners::check)),
    on("PersistentVolumeClaimResize", None, Some(storage::check_growth)),
    on("RuntimeClass", Some(runtime_class::fill), Some(runtime_class::check)),
    on("CertificateApproval", None, Some(certificate::check_approval)),
    on("CertificateSigning", None, Some(certificate::check_signing)),
    on("CertificateSubjectRestriction", None, Some(certificate::check_subject)),
    on("DefaultIngressClass", Some(ingress::fill_class), None),
    off("DenyServiceExternalIPs", None, Some(external_ips::check)),
    on("PodTopologyLabels", Some(nodes::label_with_place), None),
    on(MUTATING_POLICY, None, None),
    on(MUTATING_WEBHOOK, None, None),
    on(VALIDATING_POLICY, None, None),
    on(VALIDATING_WEBHOOK, None, None),
    on(QUOTA, None, None),
];

const MUTATING_POLICY: &str = "MutatingAdmissionPolicy";
const MUTATING_WEBHOOK: &str = "MutatingAdmissionWebhook";
const VALIDATING_POLICY: &str = "ValidatingAdmissionPolicy";
const VALIDATING_WEBHOOK: &str = "ValidatingAdmissionWebhook";
const QUOTA: &str = "ResourceQuota";

/// What upstream's strategies do, which nobody can switch off.
const ALWAYS_MUTATING: &[Mutate] = &[certificate::requester, certificate::date];
const ALWAYS_VALIDATING: &[Validate] = &[crate::rbac::check_grant];

/// The plugins that are on, with what they were told.
pub(crate) struct Plugins {
    pub(super) mutating: Vec<Mutate>,
    pub(super) validating: Vec<Validate>,
    /// Whether quotas are charged.
    pub(crate) quota: bool,
    /// What nobody uses without a quota.
    pub(crate) limited: Vec<Limited>,
    pub(super) pod_security: pod_security::Configuration,
    pub(super) node_selectors: node_selector::Configuration,
    pub(super) tolerations: pod_tolerations::Configuration,
    pub(super) event_rates: event_rate_limit::Limits,
}

impl Plugins {
    /// The plugins that are on, and what webhooks and policies are told.
    pub(crate) fn new(options: &AdmissionOptions) -> Result<(Self, Hooks), AdmissionError> {
        for (flag, names) in
            [("enable-admission-plugins", &options.enabled), ("disable-admission-plugins", &options.disabled)]
        {
            if let Some(name) = names.iter().find(|name| !PLUGINS.iter().any(|plugin| plugin.name == name.as_str())) {
                return Err(AdmissionError::Unknown { flag, name: name.clone() });
            }
        }
        if let Some(both) = options.enabled.iter().find(|name| options.disabled.contains(name)) {
            return Err(AdmissionError::Overlap(both.clone()));
        }
        let file = match &options.configuration_file {
            Some(path) => ConfigurationFile::read(path)?,
            None => ConfigurationFile::default(),
        };
        let named = |names: &[String], name: &str| names.iter().any(|have| have == name);
        let is_on = |plugin: &Plugin| {
            named(&options.enabled, plugin.name) || (plugin.by_default && !named(&options.disabled, plugin.name))
        };
        let running = || PLUGINS.iter().filter(|plugin| is_on(plugin));
        let runs = |name: &str| running().any(|plugin| plugin.name == name);
        let webhooks = |name: &'static str| -> Result<Option<Credentials>, AdmissionError> {
            Ok(if runs(name) { Some(file.of(name, webhook_credentials)?) } else { None })
        };
        let hooks = Hooks::new(HookOptions {
            mutating_policies: runs(MUTATING_POLICY),
            validating_policies: runs(VALIDATING_POLICY),
            mutating_webhooks: webhooks(MUTATING_WEBHOOK)?,
            validating_webhooks: webhooks(VALIDATING_WEBHOOK)?,
        });
        let plugins = Self {
            mutating: running().filter_map(|plugin| plugin.mutate).chain(ALWAYS_MUTATING.iter().copied()).collect(),
            validating: ALWAYS_VALIDATING
                .iter()
                .copied()
                .chain(running().filter_map(|plugin| plugin.validate))
                .collect(),
            quota: runs(QUOTA),
            limited: file.of(QUOTA, limited_resources)?,
            pod_security: file.of("PodSecurity", pod_security::Configuration::read)?,
            node_selectors: file.of("PodNodeSelector", node_selector::Configuration::read)?,
            tolerations: file.of("PodTolerationRestriction", pod_tolerations::Configuration::read)?,
            event_rates: file.of("EventRateLimit", event_rate_limit::Limits::read)?,
        };
        Ok((plugins, hooks))
    }
}

/// What nobody uses without a quota: `ResourceQuotaConfiguration`.
fn limited_resources(told: &Value) -> Result<Vec<Limited>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Configuration {
        #[serde(default)]
        limited_resources: Vec<Value>,
    }
    let kinds = ["Configuration", "ResourceQuotaConfiguration"];
    let kind = kinds.into_iter().find(|kind| told["kind"] == *kind).unwrap_or(kinds[1]);
    let group = if kind == kinds[0] { "resourcequota.admission.k8s.io" } else { "apiserver.config.k8s.io" };
    let configuration: Configuration = versioned(told, group, kind)?;
    Ok(configuration.limited_resources.iter().map(Limited::read).collect())
}

/// What webhooks are shown: `WebhookAdmissionConfiguration`.
fn webhook_credentials(told: &Value) -> Result<Credentials, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Configuration {
        kube_config_file: PathBuf,
    }
    let kind = if told["kind"] == "WebhookAdmission" { "WebhookAdmission" } else { "WebhookAdmissionConfiguration" };
    let Configuration { kube_config_file: path } = versioned(told, "apiserver.config.k8s.io", kind)?;
    if !path.is_absolute() {
        return Err("kubeConfigFile must be an absolute path".to_owned());
    }
    Credentials::read(&path).map_err(|error| crate::write::chain(&error))
}

/// Where a relative path in a file is looked for: beside that file.
pub(super) fn beside(file: &Path, named: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(named)
}
