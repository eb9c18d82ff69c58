//! minato-linux
