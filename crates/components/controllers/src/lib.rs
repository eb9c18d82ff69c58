//! minato-controllers
