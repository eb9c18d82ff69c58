//! minato-kinds
