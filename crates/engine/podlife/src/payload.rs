//! The files of ConfigMap, Secret, downward API and projected volumes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, Secret, ServiceAccountTokenProjection,
    Volume,
};

use crate::downward::{self, DownwardError, Surroundings};
use crate::env::References;

const DEFAULT_MODE: i32 = 0o644;

/// Files by their path inside the volume.
pub type Payload = BTreeMap<String, File>;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// What it holds.
    pub data: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// Why a volume's files cannot be made. The pod waits until it can.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PayloadError {
    /// No such ConfigMap.
    #[error("configmap \"{0}\" not found")]
    ConfigMapNotFound(String),
    /// No such Secret.
    #[error("secret \"{0}\" not found")]
    SecretNotFound(String),
    /// An item asks for a key that is not there.
    #[error("references non-existent {kind} key: {key}")]
    MissingKey {
        /// `config` or `secret`.
        kind: &'static str,
        /// The key.
        key: String,
    },
    /// A field reference cannot be resolved.
    #[error(transparent)]
    Downward(#[from] DownwardError),
    /// A service-account token was not handed in.
    #[error("service account token for audience \"{0}\" is not available")]
    Token(String),
}

/// What the files are made of.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Existing ConfigMaps and Secrets of its namespace.
    pub references: &'a References,
    /// Addresses and allocatable resources.
    pub surroundings: &'a Surroundings,
    /// Tokens by [`TokenKey`].
    pub tokens: &'a BTreeMap<TokenKey, String>,
}

/// What distinguishes the tokens of one pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenKey {
    /// Empty for the API server's own.
    pub audience: String,
    /// Life time asked for.
    pub expiration_seconds: i64,
}

impl TokenKey {
    /// The key of a projection, with the default life of an hour.
    pub fn of(projection: &ServiceAccountTokenProjection) -> Self {
        Self {
            audience: projection.audience.clone().unwrap_or_default(),
            expiration_seconds: projection.expiration_seconds.unwrap_or(3600),
        }
    }
}

/// The files of a volume; `None` for volumes that are not made of API data.
pub fn payload(volume: &Volume, sources: Sources<'_>) -> Result<Option<Payload>, PayloadError> {
    let mut files = Payload::new();
    if let Some(source) = &volume.config_map {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let optional = source.optional == Some(true);
        add_config_map(&mut files, sources, &source.name, source.items.as_deref(), mode, optional)?;
    } else if let Some(source) = &volume.secret {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let optional = source.optional == Some(true);
        let name = source.secret_name.as_deref().unwrap_or_default();
        add_secret(&mut files, sources, name, source.items.as_deref(), mode, optional)?;
    } else if let Some(source) = &volume.downward_api {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        add_downward(&mut files, sources, source.items.as_deref().unwrap_or_default(), mode)?;
    } else if let Some(source) = &volume.projected {
        add_projected(&mut files, sources, source)?;
    } else {
        return Ok(None);
    }
    Ok(Some(files))
}

fn add_projected(
    files: &mut Payload,
    sources: Sources<'_>,
    source: &ProjectedVolumeSource,
) -> Result<(), PayloadError> {
    let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
    for part in source.sources.iter().flatten() {
        if let Some(part) = &part.config_map {
            let optional = part.optional == Some(true);
            add_config_map(files, sources, &part.name, part.items.as_deref(), mode, optional)?;
        } else if let Some(part) = &part.secret {
            let optional = part.optional == Some(true);
            add_secret(files, sources, &part.name, part.items.as_deref(), mode, optional)?;
        } else if let Some(part) = &part.downward_api {
            add_downward(files, sources, part.items.as_deref().unwrap_or_default(), mode)?;
        } else if let Some(part) = &part.service_account_token {
            let key = TokenKey::of(part);
            let token = sources.tokens.get(&key).ok_or_else(|| PayloadError::Token(key.audience.clone()))?;
            files.insert(part.path.clone(), File { data: token.clone().into_bytes(), mode: token_mode(sources, mode) });
        }
    }
    Ok(())
}

/// A token is for its pod alone, and readable by it: 0600 if all containers run as one user, 0640 with an fsGroup.
fn token_mode(sources: Sources<'_>, mode: i32) -> u32 {
    let security = sources.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    if security.is_some_and(|security| security.fs_group.is_some()) {
        return 0o640;
    }
    bits(mode)
}

fn bits(mode: i32) -> u32 {
    u32::try_from(mode).unwrap_or(0o644) & 0o777
}

fn add_config_map(
    files: &mut Payload,
    sources: Sources<'_>,
    name: &str,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: bool,
) -> Result<(), PayloadError> {
    let empty = ConfigMap::default();
    let map = match sources.references.config_maps.get(name) {
        Some(map) => map,
        None if optional => &empty,
        None => return Err(PayloadError::ConfigMapNotFound(name.to_owned())),
    };
    let text = map.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()));
    add_keys(files, &text.chain(binary).collect(), items, mode, optional, "config")
}

fn add_secret(
    files: &mut Payload,
    sources: Sources<'_>,
    name: &str,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: bool,
) -> Result<(), PayloadError> {
    let empty = Secret::default();
    let secret = match sources.references.secrets.get(name) {
        Some(secret) => secret,
        None if optional => &empty,
        None => return Err(PayloadError::SecretNotFound(name.to_owned())),
    };
    let data = secret.data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice())).collect();
    add_keys(files, &data, items, mode, optional, "secret")
}

fn add_keys(
    files: &mut Payload,
    data: &BTreeMap<&str, &[u8]>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: bool,
    kind: &'static str,
) -> Result<(), PayloadError> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        let all = data.iter().map(|(key, value)| ((*key).to_owned(), File { data: value.to_vec(), mode: bits(mode) }));
        files.extend(all);
        return Ok(());
    };
    for item in items {
        match data.get(item.key.as_str()) {
            Some(value) => {
                let mode = bits(item.mode.unwrap_or(mode));
                files.insert(item.path.clone(), File { data: value.to_vec(), mode });
            }
            None if optional => {}
            None => return Err(PayloadError::MissingKey { kind, key: item.key.clone() }),
        }
    }
    Ok(())
}

fn add_downward(
    files: &mut Payload,
    sources: Sources<'_>,
    items: &[DownwardAPIVolumeFile],
    mode: i32,
) -> Result<(), PayloadError> {
    for item in items {
        let text = if let Some(field) = &item.field_ref {
            downward::field(sources.pod, sources.surroundings, &field.field_path)?
        } else if let Some(selector) = &item.resource_field_ref {
            let name = selector.container_name.as_deref().unwrap_or_default();
            let container = downward::named_container(sources.pod, name)?;
            downward::resource(container, sources.surroundings, selector)?
        } else {
            continue;
        };
        let mode = bits(item.mode.unwrap_or(mode));
        files.insert(item.path.clone(), File { data: text.into_bytes(), mode });
    }
    Ok(())
}

/// The tokens that the pod's volumes need, with the paths of no interest here.
pub fn token_keys(pod: &Pod) -> Vec<TokenKey> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let parts =
        volumes.filter_map(|volume| volume.projected.as_ref()).flat_map(|source| source.sources.iter().flatten());
    let mut keys: Vec<TokenKey> =
        parts.filter_map(|part| part.service_account_token.as_ref()).map(TokenKey::of).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Names of the ConfigMaps and Secrets a pod refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferencedNames {
    /// ConfigMaps.
    pub config_maps: std::collections::BTreeSet<String>,
    /// Secrets.
    pub secrets: std::collections::BTreeSet<String>,
}

/// Every ConfigMap and Secret in environments and volumes.
pub fn referenced_names(pod: &Pod) -> ReferencedNames {
    let mut names = ReferencedNames::default();
    let Some(spec) = &pod.spec else { return names };
    let ephemeral = crate::ephemeral::ephemeral_containers(pod);
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()).chain(&ephemeral) {
        for source in container.env_from.iter().flatten() {
            names.config_maps.extend(source.config_map_ref.iter().map(|reference| reference.name.clone()));
            names.secrets.extend(source.secret_ref.iter().map(|reference| reference.name.clone()));
        }
        for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            names.config_maps.extend(source.config_map_key_ref.iter().map(|selector| selector.name.clone()));
            names.secrets.extend(source.secret_key_ref.iter().map(|selector| selector.name.clone()));
        }
    }
    for volume in spec.volumes.iter().flatten() {
        names.config_maps.extend(volume.config_map.iter().map(|source| source.name.clone()));
        names.secrets.extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()));
        for part in volume.projected.iter().flat_map(|source| source.sources.iter().flatten()) {
            names.config_maps.extend(part.config_map.iter().map(|source| source.name.clone()));
            names.secrets.extend(part.secret.iter().map(|source| source.name.clone()));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(volume: Value, expected: Result<&[(&str, &str, u32)], &str>) {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}]},
        }))
        .unwrap();
        let map = json!({"metadata": {"name": "m"}, "data": {"k": "v", "l": "w"}, "binaryData": {"bin": "AAE="}});
        let secret = json!({"metadata": {"name": "s"}, "data": {"pw": "c2VjcmV0"}});
        let references = References {
            config_maps: [("m".to_owned(), serde_json::from_value(map).unwrap())].into(),
            secrets: [("s".to_owned(), serde_json::from_value(secret).unwrap())].into(),
        };
        let tokens = [(TokenKey { audience: "vault".into(), expiration_seconds: 600 }, "jwt".to_owned())].into();
        let surroundings = Surroundings::default();
        let sources = Sources { pod: &pod, references: &references, surroundings: &surroundings, tokens: &tokens };
        let mut volume = volume;
        volume["name"] = json!("v");
        let shown = volume.to_string();
        let volume: Volume = serde_json::from_value(volume).unwrap();
        let files = payload(&volume, sources).map(|files| {
            let files = files.unwrap_or_default().into_iter();
            files.map(|(path, file)| (path, String::from_utf8_lossy(&file.data).into_owned(), file.mode)).collect()
        });
        let own = |list: &[(&str, &str, u32)]| {
            list.iter().map(|(path, data, mode)| ((*path).to_owned(), (*data).to_owned(), *mode)).collect()
        };
        let expected: Result<Vec<_>, String> = expected.map(own).map_err(str::to_owned);
        assert_eq!(files.map_err(|error| error.to_string()), expected, "{shown}");
    }

    #[test]
    fn volumes() {
        check(
            json!({"configMap": {"name": "m"}}),
            Ok(&[("bin", "\0\u{1}", 0o644), ("k", "v", 0o644), ("l", "w", 0o644)]),
        );
        check(
            json!({"configMap": {"name": "m", "defaultMode": 0o400, "items": [{"key": "k", "path": "d/x"}, {"key": "l", "path": "y", "mode": 0o755}]}}),
            Ok(&[("d/x", "v", 0o400), ("y", "w", 0o755)]),
        );
        check(
            json!({"configMap": {"name": "m", "items": [{"key": "zz", "path": "x"}]}}),
            Err("references non-existent config key: zz"),
        );
        check(json!({"configMap": {"name": "m", "optional": true, "items": [{"key": "zz", "path": "x"}]}}), Ok(&[]));
        check(json!({"configMap": {"name": "no"}}), Err("configmap \"no\" not found"));
        check(json!({"configMap": {"name": "no", "optional": true}}), Ok(&[]));
        check(json!({"secret": {"secretName": "s", "defaultMode": 0o440}}), Ok(&[("pw", "secret", 0o440)]));
        check(json!({"secret": {"secretName": "no"}}), Err("secret \"no\" not found"));
        check(
            json!({"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}, {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}}]}}),
            Ok(&[("cpu", "1", 0o644), ("labels", "a=\"b\"", 0o644)]),
        );
        check(
            json!({"projected": {"sources": [
                {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}},
                {"configMap": {"name": "m", "items": [{"key": "k", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}
            ]}}),
            Ok(&[("ca.crt", "v", 0o644), ("namespace", "n", 0o644), ("token", "jwt", 0o644)]),
        );
        check(
            json!({"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}),
            Err("service account token for audience \"\" is not available"),
        );
        check(json!({"emptyDir": {}}), Ok(&[]));
    }
}
