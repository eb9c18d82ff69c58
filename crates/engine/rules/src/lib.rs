//! minato-rules
