//! minato-select
