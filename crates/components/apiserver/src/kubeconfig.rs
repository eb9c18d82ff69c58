//! The parts of a kubeconfig file that say how to reach one server: that of a webhook, of the audit log for one.

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

/// The server of the current context, or of the only one there is.
pub(crate) fn endpoint(path: &Path) -> Result<Endpoint, KubeconfigError> {
    let text = read_file(path)?;
    let invalid = |reason: String| KubeconfigError::Invalid { path: path.to_owned(), reason };
    let config: Kubeconfig = serde_saphyr::from_str(&text).map_err(|error| invalid(error.to_string()))?;
    let context = match (config.contexts.as_slice(), config.current_context.as_str()) {
        ([only], "") => Some(only),
        (all, current) => all.iter().find(|context| context.name == current),
    };
    let context = context.ok_or_else(|| invalid(format!("there is no context {:?}", config.current_context)))?;
    let context = &context.context;
    let cluster = config.clusters.iter().find(|cluster| cluster.name == context.cluster);
    let cluster = &cluster.ok_or_else(|| invalid(format!("there is no cluster {:?}", context.cluster)))?.cluster;
    let nobody = User::default();
    let user = match (context.user.as_str(), config.users.iter().find(|user| user.name == context.user)) {
        ("", _) => &nobody,
        (_, Some(user)) => &user.user,
        (name, None) => return Err(invalid(format!("there is no user {name:?}"))),
    };
    let directory = path.parent().unwrap_or(Path::new("."));
    let part = |data: &Option<String>, file: &Option<PathBuf>| match (data, file) {
        (Some(data), _) => {
            let decoded = STANDARD.decode(data.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            decoded.map(Some).ok_or_else(|| invalid("a *-data field does not hold PEM in base64".to_owned()))
        }
        (None, Some(file)) => read_file(&directory.join(file)).map(Some),
        (None, None) => Ok(None),
    };
    let certificate_pem = part(&user.client_certificate_data, &user.client_certificate)?;
    let key_pem = part(&user.client_key_data, &user.client_key)?;
    let identity = match (certificate_pem, key_pem) {
        (Some(certificate_pem), Some(key_pem)) => Some(Issued { certificate_pem, key_pem }),
        (None, None) => None,
        _ => return Err(invalid("a client certificate needs its key, and a key its certificate".to_owned())),
    };
    let authority = part(&cluster.certificate_authority_data, &cluster.certificate_authority)?;
    let tls = match (authority, cluster.insecure_skip_tls_verify) {
        (_, true) => Some(minato_pki::unverified_client_config()),
        (Some(authority), false) => Some(
            minato_pki::client_config(&authority, identity.as_ref(), &["http/1.1"])
                .map_err(|error| invalid(crate::write::chain(&error)))?,
        ),
        (None, false) if cluster.server.starts_with("https:") => {
            return Err(invalid("https needs certificate-authority or insecure-skip-tls-verify".to_owned()));
        }
        (None, false) => None,
    };
    let token = match (&user.token, &user.token_file) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(file)) => Some(read_file(&directory.join(file))?.trim().to_owned()),
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
    let authorization = authorization.map_err(|_| invalid("the credentials cannot stand in a header".to_owned()))?;
    Endpoint::of_url(&cluster.server, tls, authorization).map_err(|error| invalid(error.to_string()))
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
