//! minato-e2e
