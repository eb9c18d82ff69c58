//! From options to how the API server knows its users.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use minato_apiserver::{Anonymous, Authentication, RequestHeaders, StaticTokens};
use minato_pki::{PublicKey, SigningKey};

/// What the options say of authentication.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuthenticationOptions {
    pub(crate) anonymous: bool,
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
        Ok(Authentication {
            anonymous: Anonymous { enabled: self.anonymous, paths: Vec::new() },
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

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}
