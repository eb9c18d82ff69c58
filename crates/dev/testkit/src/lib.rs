//! minato-testkit
