//! minato-pki
