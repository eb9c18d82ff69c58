//! minato-podnet
