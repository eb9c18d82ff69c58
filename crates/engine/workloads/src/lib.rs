//! minato-workloads
