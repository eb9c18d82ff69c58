//! minato-mvcc
