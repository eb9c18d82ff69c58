//! The file of `--encryption-provider-config`: `apiserver.config.k8s.io/v1 EncryptionConfiguration`.
//!
//! It says which resources are sealed by which keys. Whichever of the providers with keys is named, the store seals with
//! AES-256-GCM, by a key that comes from the given one.

use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minato_store::embedded::{SealKey, SealRule};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    resources: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    resources: Vec<String>,
    providers: Vec<Provider>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    aesgcm: Option<Keys>,
    aescbc: Option<Keys>,
    secretbox: Option<Keys>,
    identity: Option<Identity>,
    kms: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    name: String,
    secret: String,
}

/// Reads the file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<SealRule>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    parse(&text).with_context(|| format!("{}", path.display()))
}

fn parse(yaml: &str) -> anyhow::Result<Vec<SealRule>> {
    let file: File = serde_saphyr::from_str(yaml).context("not an EncryptionConfiguration")?;
    if file.kind != "EncryptionConfiguration" || file.api_version != "apiserver.config.k8s.io/v1" {
        bail!("not an EncryptionConfiguration: found {} {}", file.api_version, file.kind);
    }
    if file.resources.is_empty() {
        bail!("resources: Required value: at least one resource must be specified");
    }
    file.resources.iter().enumerate().map(|(index, entry)| entry.rule(&format!("resources[{index}]"))).collect()
}

impl Entry {
    fn rule(&self, at: &str) -> anyhow::Result<SealRule> {
        if self.resources.is_empty() {
            bail!("{at}.resources: Required value: at least one resource must be specified");
        }
        if self.providers.is_empty() {
            bail!("{at}.providers: Required value: at least one provider must be specified");
        }
        let mut keys = Vec::new();
        let mut is_plain_first = None;
        for (index, provider) in self.providers.iter().enumerate() {
            let of_provider = provider.keys(&format!("{at}.providers[{index}]"))?;
            is_plain_first.get_or_insert(of_provider.is_none());
            keys.extend(of_provider.into_iter().flatten());
        }
        Ok(SealRule {
            resources: self.resources.iter().map(|resource| storage_of(resource)).collect(),
            sealed_by: keys.first().cloned().filter(|_| is_plain_first == Some(false)),
            opened_by: keys,
        })
    }
}

impl Provider {
    /// The provider's keys; none where it is the one that leaves everything readable.
    fn keys(&self, at: &str) -> anyhow::Result<Option<Vec<SealKey>>> {
        let (name, lengths, keys) = match (&self.aesgcm, &self.aescbc, &self.secretbox, &self.identity, &self.kms) {
            (Some(keys), None, None, None, None) => ("aesgcm", &[16, 24, 32][..], keys),
            (None, Some(keys), None, None, None) => ("aescbc", &[16, 24, 32][..], keys),
            (None, None, Some(keys), None, None) => ("secretbox", &[32][..], keys),
            (None, None, None, Some(Identity {}), None) => return Ok(None),
            (None, None, None, None, Some(_)) => bail!("{at}.kms: key management services are not supported"),
            (None, None, None, None, None) => {
                bail!("{at}: Required value: provider does not contain any of the expected providers")
            }
            _ => bail!(
                "{at}: Invalid value: more than one provider specified in a single element, should split into different list elements"
            ),
        };
        if keys.keys.is_empty() {
            bail!("{at}.{name}.keys: Required value: at least one key must be specified");
        }
        let made = keys.keys.iter().enumerate().map(|(index, key)| {
            let at = format!("{at}.{name}.keys[{index}]");
            if key.name.is_empty() {
                bail!("{at}.name: Required value: name must be specified");
            }
            let secret = STANDARD.decode(&key.secret).ok();
            let secret = secret.with_context(|| format!("{at}.secret: Invalid value: secret must be base64 encoded"))?;
            if !lengths.contains(&secret.len()) {
                let found = secret.len();
                bail!("{at}.secret: Invalid value: secret is not of the expected length, got {found}, expected one of {lengths:?}");
            }
            Ok(SealKey::derived(name, &secret))
        });
        made.collect::<anyhow::Result<Vec<SealKey>>>().map(Some)
    }
}

/// `secrets`, `deployments.apps`, `*.apps`, `*.` and `*.*`, as the store names resources.
fn storage_of(resource: &str) -> String {
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    match (resource, group) {
        ("*", "*") => "*".to_owned(),
        (resource, "") => format!("core/{resource}"),
        (resource, group) => format!("{group}/{resource}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_files_say() {
        let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n";
        let secret = STANDARD.encode([7; 32]);
        let check = |resources: &str, providers: &str| {
            parse(&format!("{head}- resources: {resources}\n  providers: {providers}\n")).map_err(|e| format!("{e:#}"))
        };
        let keys = |provider: &str| format!("{{{provider}: {{keys: [{{name: a, secret: {secret}}}]}}}}");
        let rules = check(
            "[secrets, deployments.apps, '*.example.com', '*.', '*.*']",
            &format!("[{}, {{identity: {{}}}}]", keys("aescbc")),
        );
        let rule = &rules.unwrap()[0];
        assert_eq!(rule.resources, ["core/secrets", "apps/deployments", "example.com/*", "core/*", "*"]);
        assert_eq!(rule.sealed_by, Some(SealKey::derived("aescbc", &[7; 32])));
        let plain = check("[secrets]", &format!("[{{identity: {{}}}}, {}]", keys("secretbox"))).unwrap();
        assert_eq!((&plain[0].sealed_by, plain[0].opened_by.len()), (&None, 1));
        for (resources, providers, expected) in [
            ("[]", "[{identity: {}}]", "resources[0].resources: Required value"),
            ("[secrets]", "[]", "resources[0].providers: Required value"),
            ("[secrets]", "[{}]", "does not contain any of the expected providers"),
            ("[secrets]", "[{kms: {name: x}}]", "providers[0].kms: key management services are not supported"),
            ("[secrets]", "[{aesgcm: {keys: []}}]", "aesgcm.keys: Required value"),
            ("[secrets]", "[{aesgcm: {keys: [{name: a, secret: AAAA}]}}]", "got 3, expected one of [16, 24, 32]"),
            ("[secrets]", "[{aesgcm: {keys: [{name: a, secret: '?'}]}}]", "must be base64 encoded"),
            ("[secrets]", "[{rot13: {}}]", "not an EncryptionConfiguration"),
        ] {
            let error = check(resources, providers).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
