//! minato-quantity
