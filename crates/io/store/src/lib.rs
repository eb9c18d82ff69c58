//! minato-store
