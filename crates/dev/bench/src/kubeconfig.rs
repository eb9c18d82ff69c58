//! Where the server is and who we are, from a kubeconfig's current context.

use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::Deserialize;

/// A server's address with everything a connection needs.
pub(crate) struct Kubeconfig {
    /// `host:port`, the Host header.
    pub(crate) authority: String,
    pub(crate) address: SocketAddr,
    pub(crate) server_name: ServerName<'static>,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    current_context: String,
    contexts: Vec<NamedContext>,
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: ContextEntry,
}

#[derive(Deserialize)]
struct ContextEntry {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
}

impl Kubeconfig {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let directory = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, directory).with_context(|| format!("cannot use {}", path.display()))
    }

    fn parse(text: &str, directory: &Path) -> anyhow::Result<Self> {
        let document: Document = serde_saphyr::from_str(text)?;
        let current = &document.current_context;
        let context = document.contexts.into_iter().find(|entry| entry.name == *current);
        let context = context.ok_or_else(|| anyhow!("no context {current:?}"))?.context;
        let cluster = document.clusters.into_iter().find(|entry| entry.name == context.cluster);
        let cluster = cluster.ok_or_else(|| anyhow!("no cluster {:?}", context.cluster))?.cluster;
        let user = document.users.into_iter().find(|entry| entry.name == context.user);
        let user = user.ok_or_else(|| anyhow!("no user {:?}", context.user))?.user;

        let uri: http::Uri = cluster.server.parse().with_context(|| format!("server {:?}", cluster.server))?;
        if uri.scheme_str() != Some("https") {
            bail!("server {:?} is not an https address", cluster.server);
        }
        let host = uri.host().ok_or_else(|| anyhow!("server {:?} has no host", cluster.server))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(443);
        let mut addresses = (&*host, port).to_socket_addrs().with_context(|| format!("cannot resolve {host}"))?;
        let address = addresses.next().ok_or_else(|| anyhow!("{host} has no address"))?;

        let load = |data: &Option<String>, path: &Option<PathBuf>| read_pem(data, path, directory);
        let authority_pem = load(&cluster.certificate_authority_data, &cluster.certificate_authority)?
            .ok_or_else(|| anyhow!("the cluster has no certificate authority"))?;
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&authority_pem) {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let certificate = load(&user.client_certificate_data, &user.client_certificate)?;
        let key = load(&user.client_key_data, &user.client_key)?;
        let mut tls = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let chain = CertificateDer::pem_slice_iter(&certificate).collect::<Result<_, _>>()?;
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&key)?)?
            }
            _ => builder.with_no_client_auth(),
        };
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            authority: uri.authority().map(ToString::to_string).unwrap_or_default(),
            address,
            server_name: ServerName::try_from(host)?,
            tls: Arc::new(tls),
            token: user.token,
        })
    }

    /// Fails unless the server's address is one of this machine.
    pub(crate) fn require_local(&self) -> anyhow::Result<()> {
        // Only an address of this machine can be bound.
        let local = self.address.ip().is_loopback() || UdpSocket::bind((self.address.ip(), 0)).is_ok();
        match local {
            true => Ok(()),
            false => bail!("{} is not this machine; --allow-remote drives it nevertheless", self.authority),
        }
    }
}

fn read_pem(data: &Option<String>, path: &Option<PathBuf>, directory: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match (data, path) {
        (Some(data), _) => Ok(Some(STANDARD.decode(data.trim())?)),
        (None, Some(path)) => {
            let path = directory.join(path);
            Ok(Some(std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?))
        }
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(server: &str, context: &str) -> String {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) =
            (STANDARD.encode(certified.cert.pem()), STANDARD.encode(certified.signing_key.serialize_pem()));
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {context}\n\
             contexts: [{{name: here, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: '{server}', certificate-authority-data: {certificate}}}}}]\n\
             users: [{{name: u, user: {{client-certificate-data: {certificate}, client-key-data: {key}}}}}]\n"
        )
    }

    fn check(server: &str, context: &str, expected: Result<&str, &str>) {
        let parsed = Kubeconfig::parse(&kubeconfig(server, context), Path::new("."));
        let local = parsed.and_then(|kubeconfig| kubeconfig.require_local().map(|()| kubeconfig.authority));
        match (local, expected) {
            (Ok(authority), Ok(expected)) => assert_eq!(authority, expected),
            (Err(error), Err(expected)) => assert!(format!("{error:#}").contains(expected), "{error:#}"),
            (found, _) => panic!("{server} {context}: {found:?}"),
        }
    }

    #[test]
    fn drives_only_this_machine() {
        check("https://127.0.0.1:6443", "here", Ok("127.0.0.1:6443"));
        check("https://localhost:6443", "here", Ok("localhost:6443"));
        check("https://[::1]:6443", "here", Ok("[::1]:6443"));
        check("https://192.0.2.1:6443", "here", Err("192.0.2.1:6443 is not this machine"));
    }

    #[test]
    fn says_what_is_wrong() {
        check("http://127.0.0.1:8080", "here", Err("is not an https address"));
        check("https://127.0.0.1:6443", "elsewhere", Err("no context \"elsewhere\""));
        assert!(Kubeconfig::parse("hello", Path::new(".")).is_err());
    }
}
