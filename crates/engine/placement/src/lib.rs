//! minato-placement
