//! The cluster's own certificate authority, and the key that signs service-account tokens.
//!
//! What must last is small: `ca.crt`, `ca.key` and `sa.key` in one directory, made at the first start. Leaf
//! certificates (API server, kubelet, clients) are issued anew by whoever needs one; issuing takes well under a
//! millisecond, so nothing else has to be kept, rotated or repaired.

mod authority;
mod der;
mod files;
mod identity;
mod key_pair;
mod public_key;
mod request;
mod tls;
mod token;

pub use authority::{Authority, IssueError, Issued};
pub use files::{PkiError, read_or_create};
pub use identity::{CertificateIdentity, ClientChain, IdentityError, certificate_ends, identity_of};
pub use key_pair::{KeyPairError, check_key_pair};
pub use public_key::{KeySet, ParseKeyError, PublicKey};
pub use request::{CertificateRequest, RequestError, Terms, check_request, organizations};
pub use tls::{
    ClientAuthority, TlsError, client_config, server_config, unverified_client_config, unverified_client_config_as,
};
pub use token::{SigningKey, Token, TokenError, detached_signature, digest_of};
