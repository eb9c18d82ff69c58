//! minato-runtime
