//! minato-podlife
