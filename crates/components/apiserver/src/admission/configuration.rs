//! The file of `--admission-control-config-file`: `apiserver.config.k8s.io/v1 AdmissionConfiguration`, which holds, or
//! names the file of, what a plugin is told.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::plugins::beside;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// A file cannot be read.
    #[error("failed to read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no `AdmissionConfiguration`.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A plugin cannot be told this.
    #[error("configuration of plugin {plugin}: {reason}")]
    Plugin {
        /// Which.
        plugin: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// What each plugin is told.
#[derive(Default)]
pub(super) struct ConfigurationFile {
    plugins: Vec<(String, Value)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    plugins: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    path: PathBuf,
    #[serde(default)]
    configuration: Value,
}

impl ConfigurationFile {
    pub(super) fn read(path: &Path) -> Result<Self, ConfigurationError> {
        let malformed = |reason: String| ConfigurationError::Malformed { path: path.to_owned(), reason };
        let file: File = serde_saphyr::from_str(&text(path)?).map_err(|error| malformed(error.to_string()))?;
        let versions = ["v1", "v1alpha1"].map(|version| format!("apiserver.config.k8s.io/{version}"));
        if file.kind != "AdmissionConfiguration" || !versions.contains(&file.api_version) {
            return Err(malformed(format!("found {} {}", file.api_version, file.kind)));
        }
        let mut plugins: Vec<(String, Value)> = Vec::new();
        for entry in file.plugins {
            let told = if entry.configuration.is_null() && !entry.path.as_os_str().is_empty() {
                let path = beside(path, &entry.path);
                let malformed = |error: String| ConfigurationError::Malformed { path: path.clone(), reason: error };
                serde_saphyr::from_str(&text(&path)?).map_err(|error| malformed(error.to_string()))?
            } else {
                entry.configuration
            };
            plugins.push((entry.name, told));
        }
        Ok(Self { plugins })
    }

    /// What `plugin` is told, as `read` understands it; its default where it is told nothing.
    pub(super) fn of<T: Default>(
        &self,
        plugin: &'static str,
        read: fn(&Value) -> Result<T, String>,
    ) -> Result<T, ConfigurationError> {
        match self.plugins.iter().find(|(name, told)| name == plugin && !told.is_null()) {
            Some((_, told)) => read(told).map_err(|reason| ConfigurationError::Plugin { plugin, reason }),
            None => Ok(T::default()),
        }
    }
}

fn text(path: &Path) -> Result<String, ConfigurationError> {
    std::fs::read_to_string(path).map_err(|source| ConfigurationError::Read { path: path.to_owned(), source })
}

/// Reads a configuration of `kind` in one of the versions of `group`.
pub(super) fn versioned<T: DeserializeOwned>(told: &Value, group: &str, kind: &str) -> Result<T, String> {
    let text = |key: &str| told[key].as_str().unwrap_or_default();
    let version = text("apiVersion").strip_prefix(group).and_then(|rest| rest.strip_prefix('/'));
    if text("kind") != kind || !matches!(version, Some("v1" | "v1beta1" | "v1alpha1")) {
        return Err(format!("no kind {:?} is registered for version {:?}", text("kind"), text("apiVersion")));
    }
    let mut fields = told.clone();
    if let Value::Object(fields) = &mut fields {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    serde_json::from_value(fields).map_err(|error| error.to_string())
}
