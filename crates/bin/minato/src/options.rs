//! Options of `minato server`: flags over the configuration file over the defaults.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use minato_apiserver::{
    AdmissionOptions, AuditOptions, BatchOptions, FileFormat, FileOptions, OidcFlags, RequestHeaders,
    TokenWebhookOptions,
};
use minato_kubelet::AllowedSysctls;
use serde::Deserialize;

use crate::authentication::{AuthenticationOptions, AuthorizationOptions};

/// The data directory unless another is given.
pub(crate) const DATA_DIR: &str = "/var/lib/minato";

/// The DNS library tells every query at the level that others use for what an operator wants to see.
const LOG_LEVEL: &str = "info,hickory_server=warn,hickory_proto=warn";

/// What can be said on the command line and, with the same names, in the configuration file.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct ServerOptions {
    /// Read options from this YAML file; the command line has precedence
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Directory for all state [default: /var/lib/minato]
    #[arg(long, value_name = "DIR", env = "MINATO_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Address and port of the API; port 0 takes a free one [default: 0.0.0.0:6443]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Write a kubeconfig for the administrator to this file [default: kubeconfig in the data directory]
    #[arg(long, value_name = "PATH")]
    write_kubeconfig: Option<PathBuf>,
    /// Run the control plane alone; needs no root
    #[arg(long)]
    no_node: bool,
    /// Addresses of pods [default: 10.42.0.0/16]
    #[arg(long, value_name = "CIDR")]
    cluster_cidr: Option<String>,
    /// Virtual addresses of services [default: 10.43.0.0/16]
    #[arg(long, value_name = "CIDR")]
    service_cidr: Option<String>,
    /// Ports that NodePort services can have [default: 30000-32767]
    #[arg(long, value_name = "FIRST-LAST")]
    service_node_port_range: Option<String>,
    /// Name of this machine's node [default: the host name]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// Address by which pods and other machines reach this one [default: that of the default route]
    #[arg(long, value_name = "ADDRESS")]
    node_ip: Option<Ipv4Addr>,
    /// Sysctls that pods may set although they are not safe: names, or beginnings such as kernel.msg*
    #[arg(long, value_name = "PATTERNS", value_delimiter = ',')]
    allowed_unsafe_sysctls: Vec<String>,
    /// How long to go on serving after being told to stop, with /readyz failing, so that clients go elsewhere [default: 0s]
    #[arg(long, value_name = "DURATION")]
    shutdown_delay_duration: Option<String>,
    /// How many reading requests run at once [default: 400]
    #[arg(long, value_name = "COUNT")]
    max_requests_inflight: Option<u32>,
    /// How many changing requests run at once; the priority levels share the sum of both [default: 200]
    #[arg(long, value_name = "COUNT")]
    max_mutating_requests_inflight: Option<u32>,
    /// Seal what this EncryptionConfiguration says; Secrets are sealed without one too
    #[arg(long, value_name = "FILE")]
    encryption_provider_config: Option<PathBuf>,
    /// Switch these admission plugins on, besides those that are on by default
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    enable_admission_plugins: Vec<String>,
    /// Switch these admission plugins off, although they are on by default
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    disable_admission_plugins: Vec<String>,
    /// Tell admission plugins what this AdmissionConfiguration says
    #[arg(long, value_name = "FILE")]
    admission_control_config_file: Option<PathBuf>,
    /// Keep an audit log by the rules of this audit.k8s.io/v1 Policy
    #[arg(long, value_name = "FILE")]
    audit_policy_file: Option<PathBuf>,
    /// Write audit events to this file as lines of JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    audit_log_path: Option<PathBuf>,
    /// Days to keep rotated audit logs; 0 for ever [default: 0]
    #[arg(long, value_name = "DAYS")]
    audit_log_maxage: Option<u32>,
    /// How many rotated audit logs to keep; 0 for all [default: 0]
    #[arg(long, value_name = "COUNT")]
    audit_log_maxbackup: Option<usize>,
    /// Rotate the audit log when it would have more megabytes [default: 100]
    #[arg(long, value_name = "MEGABYTES")]
    audit_log_maxsize: Option<u64>,
    /// How a line of the audit log is written: json or legacy [default: json]
    #[arg(long, value_name = "FORMAT")]
    audit_log_format: Option<String>,
    /// Compress rotated audit logs
    #[arg(long)]
    audit_log_compress: bool,
    /// Send audit events to the server of this kubeconfig, in batches
    #[arg(long, value_name = "FILE")]
    audit_webhook_config_file: Option<PathBuf>,
    /// How many audit events wait to be sent; more are dropped [default: 10000]
    #[arg(long, value_name = "COUNT")]
    audit_webhook_batch_buffer_size: Option<usize>,
    /// How many audit events are sent at once [default: 400]
    #[arg(long, value_name = "COUNT")]
    audit_webhook_batch_max_size: Option<usize>,
    /// How long an audit event waits for others to be sent with [default: 30s]
    #[arg(long, value_name = "DURATION")]
    audit_webhook_batch_max_wait: Option<String>,
    /// How long to wait before audit events that were not taken are sent again [default: 10s]
    #[arg(long, value_name = "DURATION")]
    audit_webhook_initial_backoff: Option<String>,
    /// Answer requests without credentials as system:anonymous [default: true]
    #[arg(long, value_name = "BOOL")]
    anonymous_auth: Option<bool>,
    /// Know clients by certificates of these authorities too (PEM), besides the cluster's own
    #[arg(long, value_name = "FILE")]
    client_ca_file: Option<PathBuf>,
    /// Know clients by the tokens of this file: lines of token,user,uid,"group1,group2"
    #[arg(long, value_name = "FILE")]
    token_auth_file: Option<PathBuf>,
    /// Believe the headers of proxies with certificates of these authorities (PEM)
    #[arg(long, value_name = "FILE")]
    requestheader_client_ca_file: Option<PathBuf>,
    /// Common names that such proxies must have [default: any]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    requestheader_allowed_names: Vec<String>,
    /// Headers with the user's name [default: X-Remote-User]
    #[arg(long, value_name = "HEADERS", value_delimiter = ',')]
    requestheader_username_headers: Vec<String>,
    /// Headers with the user's id [default: X-Remote-Uid]
    #[arg(long, value_name = "HEADERS", value_delimiter = ',')]
    requestheader_uid_headers: Vec<String>,
    /// Headers with the user's groups [default: X-Remote-Group]
    #[arg(long, value_name = "HEADERS", value_delimiter = ',')]
    requestheader_group_headers: Vec<String>,
    /// How headers with other facts about the user begin [default: X-Remote-Extra-]
    #[arg(long, value_name = "PREFIXES", value_delimiter = ',')]
    requestheader_extra_headers_prefix: Vec<String>,
    /// Know users by the tokens of OpenID Connect issuers, as this AuthenticationConfiguration says
    #[arg(long, value_name = "FILE")]
    authentication_config: Option<PathBuf>,
    /// Know users by the tokens of this OpenID Connect issuer
    #[arg(long, value_name = "URL")]
    oidc_issuer_url: Option<String>,
    /// The client that its tokens must be for
    #[arg(long, value_name = "ID")]
    oidc_client_id: Option<String>,
    /// Authorities of its server (PEM) [default: those of the system]
    #[arg(long, value_name = "FILE")]
    oidc_ca_file: Option<PathBuf>,
    /// The claim with the user's name [default: sub]
    #[arg(long, value_name = "CLAIM")]
    oidc_username_claim: Option<String>,
    /// What comes before the user's name; - for nothing [default: the issuer and #, but for the claim email]
    #[arg(long, value_name = "TEXT")]
    oidc_username_prefix: Option<String>,
    /// The claim with the user's groups
    #[arg(long, value_name = "CLAIM")]
    oidc_groups_claim: Option<String>,
    /// What comes before the names of groups
    #[arg(long, value_name = "TEXT")]
    oidc_groups_prefix: Option<String>,
    /// Algorithms of signatures that are accepted [default: RS256]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    oidc_signing_algs: Vec<String>,
    /// A claim that must have this value
    #[arg(long, value_name = "CLAIM=VALUE", value_delimiter = ',')]
    oidc_required_claim: Vec<String>,
    /// Ask the webhook of this kubeconfig about tokens that nobody else knows
    #[arg(long, value_name = "FILE")]
    authentication_token_webhook_config_file: Option<PathBuf>,
    /// How long that webhook's answers are good [default: 2m]
    #[arg(long, value_name = "DURATION")]
    authentication_token_webhook_cache_ttl: Option<String>,
    /// Who decides what users may, in order: AlwaysAllow, AlwaysDeny, Node, RBAC, Webhook [default: Node,RBAC]
    #[arg(long, value_name = "MODES", value_delimiter = ',')]
    authorization_mode: Vec<String>,
    /// The kubeconfig of the webhook among the modes
    #[arg(long, value_name = "FILE")]
    authorization_webhook_config_file: Option<PathBuf>,
    /// How long that webhook's yes is good [default: 5m]
    #[arg(long, value_name = "DURATION")]
    authorization_webhook_cache_authorized_ttl: Option<String>,
    /// How long that webhook's no is good [default: 30s]
    #[arg(long, value_name = "DURATION")]
    authorization_webhook_cache_unauthorized_ttl: Option<String>,
    /// Who decides, as this AuthorizationConfiguration says; instead of --authorization-mode
    #[arg(long, value_name = "FILE")]
    authorization_config: Option<PathBuf>,
    /// Accept service-account tokens of these keys too (public keys or certificates, PEM): those before a rotation
    #[arg(long, value_name = "FILE")]
    service_account_key_file: Vec<PathBuf>,
    /// Issuer of service-account tokens [default: https://kubernetes.default.svc.cluster.local]
    #[arg(long, value_name = "URL")]
    service_account_issuer: Option<String>,
    /// Schedule as this KubeSchedulerConfiguration says
    #[arg(long, value_name = "FILE")]
    scheduler_config: Option<PathBuf>,
    /// How much to log: error, warn, info, debug, trace, or a filter such as info,minato_kubelet=debug [default: info]
    #[arg(long, value_name = "LEVEL", env = "MINATO_LOG")]
    log_level: Option<String>,
}

/// Options that are complete and make sense.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) node: bool,
    pub(crate) cluster_cidr: String,
    pub(crate) service_cidr: String,
    pub(crate) service_node_ports: RangeInclusive<u16>,
    pub(crate) node_name: String,
    pub(crate) node_ip: Option<Ipv4Addr>,
    pub(crate) allowed_sysctls: AllowedSysctls,
    pub(crate) shutdown_delay: Duration,
    pub(crate) requests_inflight_max: u32,
    pub(crate) encryption: Option<PathBuf>,
    pub(crate) admission: AdmissionOptions,
    pub(crate) audit: AuditOptions,
    pub(crate) authentication: AuthenticationOptions,
    pub(crate) authorization: AuthorizationOptions,
    pub(crate) scheduler: minato_scheduler::Config,
    pub(crate) log_level: String,
}

impl ServerOptions {
    /// Reads the file, fills in the defaults and reports everything that is wrong at once.
    pub(crate) fn settle(self) -> anyhow::Result<Settings> {
        let file = match &self.config {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        let mut problems = Vec::new();
        let listen = self.listen.or(file.listen).unwrap_or_else(|| "0.0.0.0:6443".to_owned());
        let listen = listen.parse::<SocketAddr>().unwrap_or_else(|_| {
            problems.push(format!("listen: {listen:?} is not an address with a port, such as 0.0.0.0:6443"));
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
        });
        let ports = self.service_node_port_range.or(file.service_node_port_range);
        let ports = ports.unwrap_or_else(|| "30000-32767".to_owned());
        let service_node_ports = parse_ports(&ports).unwrap_or_else(|| {
            problems.push(format!("service-node-port-range: {ports:?} is not a range of ports, such as 30000-32767"));
            1..=1
        });
        let cluster_cidr = self.cluster_cidr.or(file.cluster_cidr).unwrap_or_else(|| "10.42.0.0/16".to_owned());
        let service_cidr = self.service_cidr.or(file.service_cidr).unwrap_or_else(|| "10.43.0.0/16".to_owned());
        match (parse_cidr(&cluster_cidr), parse_cidr(&service_cidr)) {
            (Some(pods), Some(services)) if overlap(pods, services) => {
                problems.push(format!("cluster-cidr {cluster_cidr} and service-cidr {service_cidr} overlap"));
            }
            (pods, services) => {
                for (name, given, parsed) in
                    [("cluster-cidr", &cluster_cidr, pods), ("service-cidr", &service_cidr, services)]
                {
                    if parsed.is_none() {
                        problems.push(format!("{name}: {given:?} is not an IPv4 network such as 10.42.0.0/16"));
                    }
                }
            }
        }
        let node_name = match self.node_name.or(file.node_name) {
            Some(name) => name,
            None => host_name().context("the host name cannot be read; give --node-name")?,
        };
        if !is_dns_subdomain(&node_name) {
            problems.push(format!(
                "node-name: {node_name:?} must consist of lower case letters, digits, '-' and '.', and begin and end with a letter or digit"
            ));
        }
        let delay = self.shutdown_delay_duration.or(file.shutdown_delay_duration).unwrap_or_else(|| "0".to_owned());
        let shutdown_delay = minato_apiserver::parse_duration(&delay).unwrap_or_else(|| {
            problems.push(format!("shutdown-delay-duration: {delay:?} is not a duration such as 10s or 1m30s"));
            Duration::ZERO
        });
        let reading = self.max_requests_inflight.or(file.max_requests_inflight).unwrap_or(400);
        let changing = self.max_mutating_requests_inflight.or(file.max_mutating_requests_inflight).unwrap_or(200);
        let requests_inflight_max = reading.saturating_add(changing);
        if requests_inflight_max == 0 {
            problems.push("max-requests-inflight: with max-mutating-requests-inflight, it must be positive".to_owned());
        }
        let audit_policy_file = self.audit_policy_file.or(file.audit_policy_file);
        let audit_webhook_config_file = self.audit_webhook_config_file.or(file.audit_webhook_config_file);
        let audit_log_path = self.audit_log_path.or(file.audit_log_path);
        if audit_policy_file.is_none() && (audit_log_path.is_some() || audit_webhook_config_file.is_some()) {
            problems.push("audit-policy-file: an audit log needs a policy".to_owned());
        }
        let format = match self.audit_log_format.or(file.audit_log_format).as_deref() {
            None | Some("json") => FileFormat::Json,
            Some("legacy") => FileFormat::Legacy,
            Some(other) => {
                problems.push(format!("audit-log-format: invalid format {other:?}, use json or legacy"));
                FileFormat::Json
            }
        };
        let mut webhook_batches = BatchOptions::default();
        for (name, given, value) in [
            (
                "audit-webhook-batch-buffer-size",
                self.audit_webhook_batch_buffer_size.or(file.audit_webhook_batch_buffer_size),
                &mut webhook_batches.buffer_events,
            ),
            (
                "audit-webhook-batch-max-size",
                self.audit_webhook_batch_max_size.or(file.audit_webhook_batch_max_size),
                &mut webhook_batches.batch_events_max,
            ),
        ] {
            match given {
                Some(0) => problems.push(format!("{name}: must be a positive number")),
                Some(given) => *value = given,
                None => {}
            }
        }
        for (name, given, value) in [
            (
                "audit-webhook-batch-max-wait",
                self.audit_webhook_batch_max_wait.or(file.audit_webhook_batch_max_wait),
                &mut webhook_batches.batch_wait_max,
            ),
            (
                "audit-webhook-initial-backoff",
                self.audit_webhook_initial_backoff.or(file.audit_webhook_initial_backoff),
                &mut webhook_batches.initial_backoff,
            ),
        ] {
            let Some(given) = given else { continue };
            match minato_apiserver::parse_duration(&given) {
                Some(given) => *value = given,
                None => problems.push(format!("{name}: {given:?} is not a duration such as 30s")),
            }
        }
        let audit = AuditOptions {
            policy_file: audit_policy_file,
            file: audit_log_path.map(|path| FileOptions {
                path,
                age_days_max: self.audit_log_maxage.or(file.audit_log_maxage).unwrap_or(0),
                backups_max: self.audit_log_maxbackup.or(file.audit_log_maxbackup).unwrap_or(0),
                size_mib_max: self.audit_log_maxsize.or(file.audit_log_maxsize).unwrap_or(100),
                compress: self.audit_log_compress || file.audit_log_compress,
                format,
            }),
            webhook_config_file: audit_webhook_config_file,
            webhook_batches,
        };
        let or = |own: &Vec<String>, file: &Vec<String>, default: &[&str]| match (own.is_empty(), file.is_empty()) {
            (false, _) => own.clone(),
            (true, false) => file.clone(),
            (true, true) => default.iter().map(|text| (*text).to_owned()).collect(),
        };
        let allowed_sysctls = or(&self.allowed_unsafe_sysctls, &file.allowed_unsafe_sysctls, &[]);
        let allowed_sysctls = AllowedSysctls::new(allowed_sysctls).unwrap_or_else(|error| {
            problems.push(format!("allowed-unsafe-sysctls: {error}"));
            AllowedSysctls::default()
        });
        let headers = RequestHeaders {
            client_ca_pem: String::new(),
            allowed_names: or(&self.requestheader_allowed_names, &file.requestheader_allowed_names, &[]),
            username: or(
                &self.requestheader_username_headers,
                &file.requestheader_username_headers,
                &["X-Remote-User"],
            ),
            uid: or(&self.requestheader_uid_headers, &file.requestheader_uid_headers, &["X-Remote-Uid"]),
            group: or(&self.requestheader_group_headers, &file.requestheader_group_headers, &["X-Remote-Group"]),
            extra_prefix: or(
                &self.requestheader_extra_headers_prefix,
                &file.requestheader_extra_headers_prefix,
                &["X-Remote-Extra-"],
            ),
        };
        let proxies = self.requestheader_client_ca_file.or(file.requestheader_client_ca_file);
        let mut duration = |name: &str, given: Option<String>, default: u64| match given {
            None => Duration::from_secs(default),
            Some(text) => minato_apiserver::parse_duration(&text).unwrap_or_else(|| {
                problems.push(format!("{name}: {text:?} is not a duration such as 10s or 1m30s"));
                Duration::ZERO
            }),
        };
        let token_time = self.authentication_token_webhook_cache_ttl.or(file.authentication_token_webhook_cache_ttl);
        let token_time = duration("authentication-token-webhook-cache-ttl", token_time, 120);
        let yes = self.authorization_webhook_cache_authorized_ttl.or(file.authorization_webhook_cache_authorized_ttl);
        let no =
            self.authorization_webhook_cache_unauthorized_ttl.or(file.authorization_webhook_cache_unauthorized_ttl);
        let authorization = AuthorizationOptions {
            file: self.authorization_config.or(file.authorization_config),
            webhook: self.authorization_webhook_config_file.or(file.authorization_webhook_config_file),
            authorized_time: duration("authorization-webhook-cache-authorized-ttl", yes, 300),
            unauthorized_time: duration("authorization-webhook-cache-unauthorized-ttl", no, 30),
            modes: or(&self.authorization_mode, &file.authorization_mode, &[]),
        };
        let authentication = AuthenticationOptions {
            file: self.authentication_config.or(file.authentication_config),
            webhook: self
                .authentication_token_webhook_config_file
                .or(file.authentication_token_webhook_config_file)
                .map(|kubeconfig| TokenWebhookOptions { kubeconfig, cache_time: token_time }),
            anonymous: self.anonymous_auth.or(file.anonymous_auth).unwrap_or(true),
            token_file: self.token_auth_file.or(file.token_auth_file),
            client_ca_file: self.client_ca_file.or(file.client_ca_file),
            request_headers: proxies.map(|path| (path, headers)),
            service_account_key_files: [self.service_account_key_file, file.service_account_key_file].concat(),
            service_account_issuer: self.service_account_issuer.or(file.service_account_issuer),
            oidc_ca_file: self.oidc_ca_file.or(file.oidc_ca_file),
            oidc: OidcFlags {
                issuer_url: self.oidc_issuer_url.or(file.oidc_issuer_url),
                client_id: self.oidc_client_id.or(file.oidc_client_id),
                certificate_authority: None,
                username_claim: self.oidc_username_claim.or(file.oidc_username_claim),
                username_prefix: self.oidc_username_prefix.or(file.oidc_username_prefix),
                groups_claim: self.oidc_groups_claim.or(file.oidc_groups_claim),
                groups_prefix: self.oidc_groups_prefix.or(file.oidc_groups_prefix),
                signing_algorithms: or(&self.oidc_signing_algs, &file.oidc_signing_algs, &[]),
                required_claims: or(&self.oidc_required_claim, &file.oidc_required_claim, &[]),
            },
        };
        let scheduler = match self.scheduler_config.or(file.scheduler_config) {
            None => minato_scheduler::Config::default(),
            Some(path) => read_scheduler_config(&path).unwrap_or_else(|error| {
                problems.push(format!("scheduler-config: {error:#}"));
                minato_scheduler::Config::default()
            }),
        };
        let data_dir = self.data_dir.or(file.data_dir).unwrap_or_else(|| PathBuf::from(DATA_DIR));
        let data_dir = std::path::absolute(&data_dir).with_context(|| format!("data-dir {}", data_dir.display()))?;
        if !problems.is_empty() {
            bail!("{}", problems.join("; "));
        }
        Ok(Settings {
            kubeconfig: self.write_kubeconfig.or(file.write_kubeconfig).unwrap_or_else(|| data_dir.join("kubeconfig")),
            data_dir,
            listen,
            node: !(self.no_node || file.no_node),
            cluster_cidr,
            service_cidr,
            service_node_ports,
            node_name,
            node_ip: self.node_ip.or(file.node_ip),
            allowed_sysctls,
            shutdown_delay,
            requests_inflight_max,
            encryption: self.encryption_provider_config.or(file.encryption_provider_config),
            admission: AdmissionOptions {
                enabled: or(&self.enable_admission_plugins, &file.enable_admission_plugins, &[]),
                disabled: or(&self.disable_admission_plugins, &file.disable_admission_plugins, &[]),
                configuration_file: self.admission_control_config_file.or(file.admission_control_config_file),
            },
            audit,
            authentication,
            authorization,
            scheduler,
            log_level: self.log_level.or(file.log_level).unwrap_or_else(|| LOG_LEVEL.to_owned()),
        })
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        // The place in the file is in the message: the line itself would repeat it, with all names that there are.
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options(&text, options)
            .with_context(|| format!("{} is not a valid configuration", path.display()))
    }
}

fn read_scheduler_config(path: &Path) -> anyhow::Result<minato_scheduler::Config> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    minato_scheduler::Config::parse(&text).with_context(|| path.display().to_string())
}

fn parse_ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first > 0 && first <= last).then_some(first..=last)
}

fn parse_cidr(text: &str) -> Option<(u32, u32)> {
    let (network, bits) = text.split_once('/')?;
    let network: Ipv4Addr = network.parse().ok()?;
    let bits: u32 = bits.parse().ok().filter(|bits| (1..=30).contains(bits))?;
    let size = 1u32 << (32 - bits);
    (u32::from(network) % size == 0).then(|| (network.into(), size))
}

fn overlap(a: (u32, u32), b: (u32, u32)) -> bool {
    let end = |(start, size): (u32, u32)| u64::from(start) + u64::from(size);
    u64::from(a.0) < end(b) && u64::from(b.0) < end(a)
}

fn host_name() -> anyhow::Result<String> {
    let name = nix::unistd::gethostname()?;
    Ok(name.to_string_lossy().to_ascii_lowercase())
}

fn is_dns_subdomain(name: &str) -> bool {
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253
        && name.split('.').all(|label| {
            let bytes = label.as_bytes();
            bytes.first().is_some_and(|c| edge(*c))
                && bytes.last().is_some_and(|c| edge(*c))
                && bytes.iter().all(|c| edge(*c) || *c == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(options: ServerOptions) -> Result<Settings, String> {
        options.settle().map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn everything_wrong_is_reported_at_once() {
        let options = ServerOptions {
            listen: Some("6443".to_owned()),
            cluster_cidr: Some("10.0.0.0/8".to_owned()),
            service_cidr: Some("10.43.0.0/16".to_owned()),
            service_node_port_range: Some("9-3".to_owned()),
            node_name: Some("A_b".to_owned()),
            ..ServerOptions::default()
        };
        let error = settle(options).unwrap_err();
        for part in ["listen", "overlap", "service-node-port-range", "node-name"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn the_command_line_has_precedence_over_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("minato.yaml");
        std::fs::write(&path, "listen: 127.0.0.1:1\nnode-name: from-file\nno-node: true\n").unwrap();
        let options = ServerOptions {
            config: Some(path.clone()),
            node_name: Some("from-flag".to_owned()),
            ..ServerOptions::default()
        };
        let settings = settle(options).unwrap();
        assert_eq!((settings.listen.port(), settings.node_name.as_str(), settings.node), (1, "from-flag", false));

        std::fs::write(&path, "listne: x\n").unwrap();
        let error = settle(ServerOptions { config: Some(path), ..ServerOptions::default() }).unwrap_err();
        assert!(error.contains("listne"), "{error}");
    }
}
