//! minato-schema
