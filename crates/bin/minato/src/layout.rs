//! What lies where in the data directory.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The data directory of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Certificates and keys of the cluster.
    pub(crate) fn pki(&self) -> PathBuf {
        self.root.join("pki")
    }

    /// The store.
    pub(crate) fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// The key that seals secrets, apart from what it seals.
    pub(crate) fn sealing_key(&self) -> PathBuf {
        self.root.join("keys/sealing.key")
    }

    /// Everything of the node: containers, volumes, logs.
    pub(crate) fn node(&self) -> PathBuf {
        self.root.join("node")
    }

    /// Volumes of claims: data of users, which stays when the node is taken down.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// Images of the node.
    pub(crate) fn images(&self) -> PathBuf {
        self.root.join("node/images")
    }

    /// Socket and log of the process that answers DNS questions.
    pub(crate) fn dns(&self) -> PathBuf {
        self.root.join("node/dns")
    }

    /// Eight hexadecimal digits that tell this cluster's things on the host from another's; made once.
    pub(crate) fn cluster_id(&self) -> anyhow::Result<String> {
        let path = self.root.join("cluster-id");
        let id = minato_pki::read_or_create(&path, || {
            let random = std::fs::File::open("/dev/urandom").and_then(|mut file| {
                let mut bytes = [0; 4];
                std::io::Read::read_exact(&mut file, &mut bytes).map(|()| u32::from_be_bytes(bytes))
            });
            let random = random.map_err(|source| minato_pki::PkiError::Read { path: "/dev/urandom".into(), source })?;
            Ok(format!("{random:08x}\n"))
        })?;
        let id = id.trim();
        let valid = id.len() == 8 && id.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
        valid
            .then(|| id.to_owned())
            .with_context(|| format!("{} does not hold eight hexadecimal digits", path.display()))
    }
}
