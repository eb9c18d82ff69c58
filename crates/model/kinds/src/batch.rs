//! Work that ends: Jobs and CronJobs.

mod cron_job;
mod indexes;
mod job;
mod job_policy;
mod job_status;
mod job_update;

pub(crate) use cron_job::CronJob;
pub(crate) use job::Job;
