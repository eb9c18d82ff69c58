//! Webhooks and policies that judge requests.

mod conditions;
mod expressions;
mod policy;
mod rules;
mod webhook;

pub(crate) use policy::{Policy, PolicyBinding};
pub(crate) use webhook::WebhookConfiguration;
