//! minato-table
