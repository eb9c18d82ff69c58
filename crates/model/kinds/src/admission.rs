//! Webhooks and policies that judge requests. Expressions in CEL are bounded here and compiled elsewhere.

mod conditions;
mod policy;
mod rules;
mod webhook;

pub(crate) use policy::{Policy, PolicyBinding};
pub(crate) use webhook::WebhookConfiguration;
