//! minato-patch
