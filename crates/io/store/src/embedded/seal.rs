//! Encryption at rest: AES-256-GCM under keys that lie in a file of their own.
//!
//! The key file has a line `minato-seal-1 <id> <key>` per key, both in hexadecimal. The first key seals; the others
//! open what was sealed before it was put on top. Each row carries its key's id.
//! A sealed value is nonce, ciphertext and tag; key, revision and creation are authenticated with it, so that no row can
//! be passed off as another.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

use super::{OpenError, Seal};

const LINE_START: &str = "minato-seal-1";
const KEY_BYTES: usize = 32;
const KEY_FILE_BYTES_MAX: u64 = 64 << 10;

/// Nothing else is said about why a sealed value does not open or a key cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed value does not open")]
pub(super) struct Unsealable;

/// The keys, and what to use them on.
pub(super) struct Sealer {
    key_file: PathBuf,
    configured: bool,
    resources: Vec<String>,
    rules: Vec<Rule>,
    /// The cluster's own keys, the first of which seals, and those of the rules.
    keys: Vec<(u32, LessSafeKey)>,
    own_keys: usize,
    random: SystemRandom,
}

struct Rule {
    resources: Vec<String>,
    sealed_by: Option<u32>,
}

impl Rule {
    fn names(&self, resource: &str) -> bool {
        self.resources.iter().any(|named| match named.strip_suffix('*') {
            Some(start) => resource.starts_with(start),
            None => named == resource,
        })
    }
}

impl Sealer {
    /// Reads the key file, if there is one.
    pub(super) fn open(seal: Option<&Seal>) -> Result<Self, OpenError> {
        let mut sealer = Self {
            key_file: seal.map(|seal| seal.key_file.clone()).unwrap_or_default(),
            configured: seal.is_some(),
            resources: seal.map(|seal| seal.resources.clone()).unwrap_or_default(),
            rules: Vec::new(),
            keys: Vec::new(),
            own_keys: 0,
            random: SystemRandom::new(),
        };
        if let Some(seal) = seal {
            sealer.keys = read_keys(&seal.key_file)?;
            sealer.own_keys = sealer.keys.len();
            for rule in &seal.rules {
                for key in rule.sealed_by.iter().chain(&rule.opened_by) {
                    sealer.add_key(&key.0)?;
                }
                let sealed_by = rule.sealed_by.as_ref().map(|key| key_id(&key.0));
                sealer.rules.push(Rule { resources: rule.resources.clone(), sealed_by });
            }
        }
        Ok(sealer)
    }

    /// Makes a key when sealing is configured and there is none. Call it only after the store was found to need no
    /// other: a missing key must not be papered over.
    pub(super) fn create_key_if_absent(&mut self) -> Result<(), OpenError> {
        if !self.configured || self.own_keys > 0 {
            return Ok(());
        }
        let unusable = |source| OpenError::KeyFile { path: self.key_file.clone(), source };
        let mut bytes = [0; KEY_BYTES];
        self.random.fill(&mut bytes).map_err(|_| unusable(io::Error::other("no randomness")))?;
        let id = key_id(&bytes);
        write_key(&self.key_file, id, &bytes).map_err(unusable)?;
        let key = new_key(&bytes).map_err(|_| unusable(io::Error::other("not an AES-256 key")))?;
        self.keys.insert(0, (id, key));
        self.own_keys = 1;
        Ok(())
    }

    fn add_key(&mut self, bytes: &[u8; KEY_BYTES]) -> Result<(), OpenError> {
        let id = key_id(bytes);
        if !self.knows(id) {
            let unusable = |source| OpenError::KeyFile { path: self.key_file.clone(), source };
            let key = new_key(bytes).map_err(|_| unusable(io::Error::other("not an AES-256 key")))?;
            self.keys.push((id, key));
        }
        Ok(())
    }

    /// The key for new objects of `resource`, if they are sealed.
    pub(super) fn key_for(&self, resource: &str) -> Option<u32> {
        if let Some(rule) = self.rules.iter().find(|rule| rule.names(resource)) {
            return rule.sealed_by;
        }
        let (id, _) = self.keys[..self.own_keys].first()?;
        self.resources.iter().any(|sealed| sealed == resource).then_some(*id)
    }

    /// Whether the key is at hand.
    pub(super) fn knows(&self, id: u32) -> bool {
        self.key(id).is_some()
    }

    /// The error for a row whose key is not at hand.
    pub(super) fn missing(&self, id: u32, path: &Path) -> OpenError {
        match self.configured {
            true => OpenError::KeyMissing { path: path.to_owned(), key_file: self.key_file.clone(), key_id: id },
            false => OpenError::NotConfigured { path: path.to_owned() },
        }
    }

    /// Encrypts `plain`, bound to `context`.
    pub(super) fn seal(&self, id: u32, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let key = self.key(id).ok_or(Unsealable)?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| Unsealable)?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(plain);
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut sealed)
            .map_err(|_| Unsealable)?;
        sealed.splice(0..0, nonce);
        Ok(sealed)
    }

    /// Decrypts what `seal` made of the same context.
    pub(super) fn unseal(&self, id: u32, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let key = self.key(id).ok_or(Unsealable)?;
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Unsealable)?;
        let mut plain = ciphertext.to_vec();
        let opened = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context), &mut plain);
        let length = opened.map_err(|_| Unsealable)?.len();
        plain.truncate(length);
        Ok(plain)
    }

    fn key(&self, id: u32) -> Option<&LessSafeKey> {
        self.keys.iter().find(|(found, _)| *found == id).map(|(_, key)| key)
    }
}

/// SHA-256 over the purpose and the secret.
pub(super) fn derive(purpose: &str, secret: &[u8]) -> [u8; KEY_BYTES] {
    let hash = digest(&SHA256, &[purpose.as_bytes(), &[0], secret].concat());
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}

fn new_key(bytes: &[u8]) -> Result<LessSafeKey, Unsealable> {
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| Unsealable)?))
}

/// A key's id is the start of its SHA-256: it tells keys apart and tells nothing of them.
fn key_id(bytes: &[u8]) -> u32 {
    digest(&SHA256, bytes).as_ref().first_chunk().map_or(0, |start| u32::from_be_bytes(*start))
}

fn read_keys(path: &Path) -> Result<Vec<(u32, LessSafeKey)>, OpenError> {
    let unusable = |source| OpenError::KeyFile { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unusable(error)),
    };
    let mode = file.metadata().map_err(unusable)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "the key file is open to others");
    }
    let mut text = String::new();
    file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(unusable)?;
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let parsed = parse_line(line).ok_or(OpenError::KeyFileContent { path: path.to_owned(), line: index + 1 })?;
        keys.push(parsed);
    }
    match keys.is_empty() {
        true => Err(OpenError::KeyFileContent { path: path.to_owned(), line: 1 }),
        false => Ok(keys),
    }
}

fn parse_line(line: &str) -> Option<(u32, LessSafeKey)> {
    let mut words = line.split_whitespace();
    let (start, id, key) = (words.next()?, words.next()?, words.next()?);
    let bytes = parse_hex(key)?;
    let id = u32::from_str_radix(id, 16).ok()?;
    let well_formed = start == LINE_START && words.next().is_none() && id == key_id(&bytes);
    well_formed.then(|| new_key(&bytes).ok()).flatten().map(|key| (id, key))
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| (high * 16 + low) as u8).collect())
}

/// Writes the file whole or not at all, readable by the owner only.
fn write_key(path: &Path, id: u32, bytes: &[u8]) -> io::Result<()> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let draft = path.with_extension("new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    writeln!(file, "{LINE_START} {id:08x} {hex}")?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(directory: &Path) -> Sealer {
        let seal = Seal {
            key_file: directory.join("keys/seal.key"),
            resources: vec!["core/secrets".to_owned()],
            rules: Vec::new(),
        };
        let mut sealer = Sealer::open(Some(&seal)).unwrap();
        sealer.create_key_if_absent().unwrap();
        sealer
    }

    #[test]
    fn opens_only_what_it_sealed_in_the_same_place() {
        let directory = tempfile::tempdir().unwrap();
        let sealer = sealer(directory.path());
        assert_eq!(sealer.key_for("core/pods"), None);
        let id = sealer.key_for("core/secrets").unwrap();
        let sealed = sealer.seal(id, b"here", b"the password").unwrap();
        assert!(!sealed.windows(8).any(|window| window == b"password"));
        assert_eq!(sealer.unseal(id, b"here", &sealed).unwrap(), b"the password");
        assert_eq!(sealer.unseal(id, b"there", &sealed), Err(Unsealable));
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert_eq!(sealer.unseal(id, b"here", &flipped), Err(Unsealable), "byte {at}");
        }
    }

    #[test]
    fn the_key_survives_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let first = sealer(directory.path());
        let second = sealer(directory.path());
        let id = first.key_for("core/secrets").unwrap();
        let sealed = first.seal(id, b"", b"text").unwrap();
        assert_eq!(second.unseal(id, b"", &sealed).unwrap(), b"text");
        let mode = std::fs::metadata(directory.path().join("keys/seal.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn refuses_files_that_are_no_keys() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal.key");
        for content in ["", "hello", "minato-seal-1 00000000 00", "minato-seal-1 zz 00", "minato-seal-1 00000000 é"] {
            std::fs::write(&path, content).unwrap();
            assert!(matches!(read_keys(&path), Err(OpenError::KeyFileContent { line: 1, .. })), "{content}");
        }
    }
}
