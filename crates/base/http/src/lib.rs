//! minato-http
