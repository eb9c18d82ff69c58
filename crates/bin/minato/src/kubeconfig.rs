//! The file that points kubectl at the cluster.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use minato_pki::Issued;
use serde_json::json;

/// Writes a kubeconfig with mode 0600 so that it is there whole or not at all.
pub(crate) fn write(path: &Path, server: &str, authority_pem: &str, admin: &Issued) -> anyhow::Result<()> {
    let name = "minato";
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": name,
        "clusters": [{"name": name, "cluster": {
            "server": server, "certificate-authority-data": base64(authority_pem)}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "users": [{"name": name, "user": {
            "client-certificate-data": base64(&admin.certificate_pem),
            "client-key-data": base64(&admin.key_pem)}}],
    });
    // Each value on one line: people read this file with grep and awk too.
    let lines = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let text = serde_saphyr::to_string_with_options(&config, lines)?;
    let failed = || format!("failed to write {}", path.display());
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).with_context(failed)?;
    }
    let mut staged = path.as_os_str().to_owned();
    staged.push(".new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&staged)
        .with_context(failed)?;
    file.write_all(text.as_bytes()).with_context(failed)?;
    std::fs::rename(&staged, path).with_context(failed)
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
