//! From options to how the API server knows its users, and who decides what they may.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use minato_apiserver::{
    Anonymous, ApiServer, Authentication, AuthenticationFile, AuthorizationMode, FailurePolicy, OidcFlags,
    RequestHeaders, StaticTokens, TokenWebhookOptions, WebhookOptions,
};
use minato_pki::{PublicKey, SigningKey};
use minato_scope::Scope;

/// How often files that may change are looked at.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// What the options say of authentication.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuthenticationOptions {
    pub(crate) anonymous: bool,
    /// Issuers of OpenID Connect.
    pub(crate) file: Option<PathBuf>,
    /// An issuer that the command line names.
    pub(crate) oidc: OidcFlags,
    pub(crate) oidc_ca_file: Option<PathBuf>,
    pub(crate) webhook: Option<TokenWebhookOptions>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) client_ca_file: Option<PathBuf>,
    /// Authorities of proxies, and the headers that they may set.
    pub(crate) request_headers: Option<(PathBuf, RequestHeaders)>,
    pub(crate) service_account_key_files: Vec<PathBuf>,
    pub(crate) service_account_issuer: Option<String>,
}

impl AuthenticationOptions {
    /// Reads the files; `own_ca_pem` is the cluster's authority, whose clients are always known.
    pub(crate) fn load(&self, own_ca_pem: &str) -> anyhow::Result<Authentication> {
        let mut client_ca_pem = own_ca_pem.to_owned();
        if let Some(path) = &self.client_ca_file {
            client_ca_pem.push('\n');
            client_ca_pem.push_str(&read(path)?);
        }
        let tokens = match &self.token_file {
            Some(path) => StaticTokens::parse(&read(path)?).with_context(|| format!("{}", path.display()))?,
            None => StaticTokens::default(),
        };
        let request_headers = match &self.request_headers {
            Some((path, headers)) => Some(RequestHeaders { client_ca_pem: read(path)?, ..headers.clone() }),
            None => None,
        };
        let oidc = match &self.oidc_ca_file {
            Some(path) => OidcFlags { certificate_authority: Some(read(path)?), ..self.oidc.clone() },
            None => self.oidc.clone(),
        };
        let by_flags = oidc.issuer()?;
        if by_flags.is_some() && self.file.is_some() {
            bail!("authentication-config file and oidc-* flags are mutually exclusive");
        }
        let file = match &self.file {
            Some(path) => AuthenticationFile::parse(&read(path)?).with_context(|| format!("{}", path.display()))?,
            None => AuthenticationFile::default(),
        };
        Ok(Authentication {
            anonymous: file.anonymous.unwrap_or(Anonymous { enabled: self.anonymous, paths: Vec::new() }),
            issuers: file.issuers.into_iter().chain(by_flags).collect(),
            webhook: self.webhook.clone(),
            tokens,
            client_ca_pem,
            request_headers,
        })
    }

    /// Lets `signer` accept the tokens of the other keys.
    pub(crate) fn add_keys(&self, signer: &mut SigningKey) -> anyhow::Result<()> {
        for path in &self.service_account_key_files {
            let keys = PublicKey::from_pem(read(path)?.as_bytes());
            for key in keys.with_context(|| format!("{}", path.display()))? {
                signer.accept(key);
            }
        }
        Ok(())
    }
}

/// What the options say of authorisation.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuthorizationOptions {
    pub(crate) file: Option<PathBuf>,
    pub(crate) modes: Vec<String>,
    pub(crate) webhook: Option<PathBuf>,
    pub(crate) authorized_time: Duration,
    pub(crate) unauthorized_time: Duration,
}

impl AuthorizationOptions {
    /// The authorisers in their order.
    pub(crate) fn load(&self) -> anyhow::Result<Vec<AuthorizationMode>> {
        if let Some(path) = &self.file {
            if !self.modes.is_empty() || self.webhook.is_some() {
                bail!("authorization-config excludes authorization-mode and authorization-webhook-config-file");
            }
            return AuthorizationMode::read(&read(path)?).with_context(|| format!("{}", path.display()));
        }
        if self.modes.is_empty() {
            return Ok(vec![AuthorizationMode::Node, AuthorizationMode::Rbac]);
        }
        let modes = self.modes.iter().map(|mode| match (mode.as_str(), &self.webhook) {
            ("Webhook", Some(kubeconfig)) => Ok(AuthorizationMode::Webhook(Box::new(WebhookOptions {
                name: "default".to_owned(),
                kubeconfig: kubeconfig.clone(),
                authorized_time: self.authorized_time,
                unauthorized_time: self.unauthorized_time,
                timeout: Duration::from_secs(30),
                failure_policy: FailurePolicy::NoOpinion,
                match_conditions: Vec::new(),
            }))),
            ("Webhook", None) => bail!("authorization-mode: Webhook needs authorization-webhook-config-file"),
            (mode, _) => AuthorizationMode::parse(mode).context("authorization-mode"),
        });
        modes.collect()
    }
}

/// Lets `api` follow the files that may change while it runs, until the scope ends. A file that makes no sense is told
/// of, and what was read before stays in force.
pub(crate) async fn follow(
    authentication: AuthenticationOptions,
    authorization: AuthorizationOptions,
    own_ca_pem: String,
    api: ApiServer,
    scope: Scope,
) {
    let files: Vec<PathBuf> = [&authentication.file, &authorization.file].into_iter().flatten().cloned().collect();
    if files.is_empty() {
        return;
    }
    let mut known = texts(&files).await;
    loop {
        tokio::select! {
            () = scope.cancelled() => return,
            () = tokio::time::sleep(RELOAD_INTERVAL) => {}
        }
        let found = texts(&files).await;
        if found == known {
            continue;
        }
        known = found;
        let changed = authentication
            .load(&own_ca_pem)
            .and_then(|settings| Ok(api.configure_authentication(&settings)?))
            .and_then(|()| authorization.load())
            .and_then(|modes| Ok(api.configure_authorization(&modes)?));
        match changed {
            Ok(()) => tracing::info!("authentication and authorisation are configured anew"),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "a configuration cannot be used, the old one stays")
            }
        }
    }
}

async fn texts(files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    let mut texts = Vec::new();
    for file in files {
        texts.push(tokio::fs::read(file).await.ok());
    }
    texts
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}
