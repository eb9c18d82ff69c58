//! What Kubernetes' controllers decide, as plain functions: no await, no clock, no sockets.
//!
//! Each module plans one kind of work from what is observed, in Kubernetes' own words. The controllers that feed and
//! carry out the plans live in `minato-controllers`.

pub mod autoscaler;
pub mod bootstrap_token;
pub mod certificate_request;
pub mod cluster_role;
pub mod cron_job;
pub mod daemon_set;
pub mod deployment;
pub mod disruption;
pub mod endpoint_mirror;
pub mod endpoint_slice;
pub mod endpoints;
pub mod garbage;
pub mod history;
pub mod job;
pub mod namespace;
pub mod node;
pub mod ownership;
pub mod pod;
pub mod pod_cidr;
pub mod policy_types;
pub mod protection;
pub mod replica_set;
pub mod service;
pub mod service_cidr;
pub mod share;
pub mod stateful_set;
pub mod volume;
