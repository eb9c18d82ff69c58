//! The parts of a kubeconfig file that say how to reach one server: that of a webhook, of the audit log for one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use minato_pki::Issued;
use serde::Deserialize;

use crate::webhook::Endpoint;

/// A kubeconfig file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// The file, or one that it names, cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not a kubeconfig, or says what makes no sense.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    current_context: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: User,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    username: Option<String>,
    password: Option<String>,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    #[serde(default)]
    user: String,
}

/// How to prove who one is to a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credential {
    pub(crate) identity: Option<Issued>,
    pub(crate) authorization: Option<HeaderValue>,
}

/// Credentials by the server that they are for, as admission webhooks are told of them.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    by_server: HashMap<String, Credential>,
    /// The user of the current context: for servers that nobody else is for.
    current: Option<Credential>,
}

impl Credentials {
    /// Reads a kubeconfig whose users have the names of servers, `*` in place of a first part or of everything.
    pub(crate) fn read(path: &Path) -> Result<Self, KubeconfigError> {
        let source = Source::read(path)?;
        let mut by_server = HashMap::new();
        for user in &source.config.users {
            by_server.insert(user.name.clone(), source.credential(&user.user)?);
        }
        let current = source.config.contexts.iter().find(|context| context.name == source.config.current_context);
        let current = current.and_then(|context| by_server.get(&context.context.user)).cloned();
        Ok(Self { by_server, current })
    }

    /// What to show the server, if anything.
    pub(crate) fn of(&self, host: &str, port: u16) -> Option<&Credential> {
        if self.by_server.is_empty() {
            return None;
        }
        let target = if port == 443 { host.to_owned() } else { format!("{host}:{port}") };
        let wider = target.match_indices('.').map(|(at, _)| format!("*{}", &target[at..]));
        let names = std::iter::once(target.clone()).chain(wider).chain(std::iter::once("*".to_owned()));
        names.into_iter().find_map(|name| self.by_server.get(&name)).or(self.current.as_ref())
    }
}

/// A kubeconfig with its place, which the files that it names are beside.
struct Source<'p> {
    path: &'p Path,
    config: Kubeconfig,
}

impl<'p> Source<'p> {
    fn read(path: &'p Path) -> Result<Self, KubeconfigError> {
        let config = serde_saphyr::from_str(&read_file(path)?);
        let config =
            config.map_err(|error| KubeconfigError::Invalid { path: path.to_owned(), reason: error.to_string() })?;
        Ok(Self { path, config })
    }

    fn invalid(&self, reason: impl Into<String>) -> KubeconfigError {
        KubeconfigError::Invalid { path: self.path.to_owned(), reason: reason.into() }
    }

    fn beside(&self, file: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new(".")).join(file)
    }

    /// What stands in a field, or in the file that another field names.
    fn part(&self, data: Option<&String>, file: Option<&PathBuf>) -> Result<Option<String>, KubeconfigError> {
        match (data, file) {
            (Some(data), _) => {
                let decoded = STANDARD.decode(data.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                decoded.map(Some).ok_or_else(|| self.invalid("a *-data field does not hold PEM in base64"))
            }
            (None, Some(file)) => read_file(&self.beside(file)).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn credential(&self, user: &User) -> Result<Credential, KubeconfigError> {
        let certificate = self.part(user.client_certificate_data.as_ref(), user.client_certificate.as_ref())?;
        let key = self.part(user.client_key_data.as_ref(), user.client_key.as_ref())?;
        let identity = match (certificate, key) {
            (Some(certificate_pem), Some(key_pem)) => Some(Issued { certificate_pem, key_pem }),
            (None, None) => None,
            _ => return Err(self.invalid("a client certificate needs its key, and a key its certificate")),
        };
        let token = match (&user.token, &user.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => Some(read_file(&self.beside(file))?.trim().to_owned()),
            (None, None) => None,
        };
        let authorization = match (token, &user.username) {
            (Some(token), _) => Some(format!("Bearer {token}")),
            (None, Some(name)) => {
                let password = user.password.as_deref().unwrap_or_default();
                Some(format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))
            }
            (None, None) => None,
        };
        let authorization = authorization.map(|value| HeaderValue::from_str(&value)).transpose();
        let authorization = authorization.map_err(|_| self.invalid("the credentials cannot stand in a header"))?;
        Ok(Credential { identity, authorization })
    }
}

/// The server of the current context, or of the only one there is.
pub(crate) fn endpoint(path: &Path) -> Result<Endpoint, KubeconfigError> {
    let source = Source::read(path)?;
    let config = &source.config;
    let context = match (config.contexts.as_slice(), config.current_context.as_str()) {
        ([only], "") => Some(only),
        (all, current) => all.iter().find(|context| context.name == current),
    };
    let context = context.ok_or_else(|| source.invalid(format!("there is no context {:?}", config.current_context)))?;
    let context = &context.context;
    let cluster = config.clusters.iter().find(|cluster| cluster.name == context.cluster);
    let cluster = &cluster.ok_or_else(|| source.invalid(format!("there is no cluster {:?}", context.cluster)))?.cluster;
    let nobody = User::default();
    let user = match (context.user.as_str(), config.users.iter().find(|user| user.name == context.user)) {
        ("", _) => &nobody,
        (_, Some(user)) => &user.user,
        (name, None) => return Err(source.invalid(format!("there is no user {name:?}"))),
    };
    let credential = source.credential(user)?;
    let authority = source.part(cluster.certificate_authority_data.as_ref(), cluster.certificate_authority.as_ref())?;
    let tls = match (authority, cluster.insecure_skip_tls_verify) {
        (_, true) => Some(minato_pki::unverified_client_config()),
        (Some(authority), false) => Some(
            minato_pki::client_config(&authority, credential.identity.as_ref(), &["http/1.1"])
                .map_err(|error| source.invalid(crate::write::chain(&error)))?,
        ),
        (None, false) if cluster.server.starts_with("https:") => {
            return Err(source.invalid("https needs certificate-authority or insecure-skip-tls-verify"));
        }
        (None, false) => None,
    };
    Endpoint::of_url(&cluster.server, tls, credential.authorization).map_err(|error| source.invalid(error.to_string()))
}

fn read_file(path: &Path) -> Result<String, KubeconfigError> {
    std::fs::read_to_string(path).map_err(|source| KubeconfigError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(), &str>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        std::fs::write(&path, text).unwrap();
        match (endpoint(&path), expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expected) => panic!("{text}: {:?} instead of {expected:?}", found.err()),
        }
    }

    #[test]
    fn credentials_by_server() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        let user = |name: &str| format!("- {{name: '{name}', user: {{token: '{name}'}}}}\n");
        let names = ["a.ns.svc", "*.ns.svc", "*.svc", "b.example.com:8443", "*"];
        std::fs::write(&path, format!("users:\n{}", names.map(user).concat())).unwrap();
        let credentials = Credentials::read(&path).unwrap();
        for (host, port, expected) in [
            ("a.ns.svc", 443, "a.ns.svc"),
            ("b.ns.svc", 443, "*.ns.svc"),
            ("b.other.svc", 443, "*.svc"),
            ("b.example.com", 8443, "b.example.com:8443"),
            ("b.example.com", 443, "*"),
        ] {
            let found = credentials.of(host, port).unwrap().authorization.clone().unwrap();
            assert_eq!(found.to_str().unwrap(), format!("Bearer {expected}"), "{host}:{port}");
        }
        assert!(Credentials::default().of("a.ns.svc", 443).is_none());
    }

    #[test]
    fn files() {
        let rest = "contexts: [{name: a, context: {cluster: c}}]\ncurrent-context: a\n";
        check(&format!("clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:1/x'}}}}]\n{rest}"), Ok(()));
        check(&format!("clusters: [{{name: c, cluster: {{server: 'https://a:1'}}}}]\n{rest}"), Err("https needs"));
        let insecure = "clusters: [{name: c, cluster: {server: 'https://a', insecure-skip-tls-verify: true}}]\n";
        check(&format!("{insecure}{rest}"), Ok(()));
        check(rest, Err("no cluster \"c\""));
        check("current-context: b", Err("no context \"b\""));
        check("[", Err("config"));
    }
}
