//! minato-proxy
