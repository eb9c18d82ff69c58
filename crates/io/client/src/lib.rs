//! minato-client
