//! minato-scheduler
