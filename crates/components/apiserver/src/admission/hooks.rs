//! The webhooks and policies of the cluster, compiled: made again only when their configurations change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use minato_mvcc::{Memory, Object};
use parking_lot::Mutex;
use serde_json::Value;

use super::policy::{MutatingPolicy, ValidatingPolicy};
use super::webhooks::Webhook;
use crate::kubeconfig::Credentials;

const GROUP: &str = "admissionregistration.k8s.io/";

/// What stands between a request and the store, besides the built-in plugins.
#[derive(Default)]
pub(crate) struct Compiled {
    pub(super) mutating: Vec<Arc<Webhook>>,
    pub(super) validating: Vec<Arc<Webhook>>,
    pub(super) validating_policies: Vec<Arc<ValidatingPolicy>>,
    pub(super) mutating_policies: Vec<Arc<MutatingPolicy>>,
}

/// Which of them are on, and what webhooks are shown.
#[derive(Debug)]
pub(super) struct HookOptions {
    pub(super) mutating_policies: bool,
    pub(super) validating_policies: bool,
    /// Absent: off.
    pub(super) mutating_webhooks: Option<Credentials>,
    pub(super) validating_webhooks: Option<Credentials>,
}

/// Holds what is compiled now.
pub(crate) struct Hooks {
    options: HookOptions,
    current: ArcSwap<Compiled>,
    /// Counts the writes to configurations.
    written: AtomicU64,
    /// The count when `current` was made.
    made: AtomicU64,
    making: Mutex<()>,
}

impl Hooks {
    /// Nothing yet; the first request makes it.
    pub(super) fn new(options: HookOptions) -> Self {
        Self {
            options,
            current: ArcSwap::from_pointee(Compiled::default()),
            written: AtomicU64::new(1),
            made: AtomicU64::new(0),
            making: Mutex::new(()),
        }
    }

    /// Tells that an object of `storage` was written.
    pub(crate) fn written(&self, storage: &str) {
        if storage.starts_with(GROUP) {
            self.written.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// What is in force for a request that comes now.
    pub(super) fn current(&self, memory: &Memory) -> Guard<Arc<Compiled>> {
        if self.made.load(Ordering::Acquire) != self.written.load(Ordering::Acquire) {
            let _alone = self.making.lock();
            let written = self.written.load(Ordering::Acquire);
            // Who waited finds it made; a write that comes while it is made counts on.
            if self.made.load(Ordering::Acquire) != written {
                self.current.store(Arc::new(Compiled::make(memory, &self.options)));
                self.made.store(written, Ordering::Release);
            }
        }
        self.current.load()
    }
}

impl Compiled {
    fn make(memory: &Memory, options: &HookOptions) -> Self {
        let objects = |resource: &str| -> Vec<Value> {
            // In the order of their names.
            memory.snapshot(&format!("{GROUP}{resource}")).iter().filter_map(|object| read(object)).collect()
        };
        let webhooks = |resource: &str, credentials: Option<&Credentials>| -> Vec<Arc<Webhook>> {
            let Some(credentials) = credentials else { return Vec::new() };
            let configurations = objects(resource);
            let all = configurations.iter().flat_map(|configuration| {
                let name = crate::object::text(configuration, "name").to_owned();
                let webhooks = configuration["webhooks"].as_array().into_iter().flatten();
                webhooks.map(move |webhook| Arc::new(Webhook::new(&name, webhook, credentials)))
            });
            all.collect()
        };
        let policies = |resource: &str, on: bool| if on { objects(resource) } else { Vec::new() };
        let bindings = objects("validatingadmissionpolicybindings");
        let mutating_bindings = objects("mutatingadmissionpolicybindings");
        Self {
            mutating: webhooks("mutatingwebhookconfigurations", options.mutating_webhooks.as_ref()),
            validating: webhooks("validatingwebhookconfigurations", options.validating_webhooks.as_ref()),
            validating_policies: policies("validatingadmissionpolicies", options.validating_policies)
                .iter()
                .filter_map(|policy| ValidatingPolicy::new(policy, &bindings))
                .map(Arc::new)
                .collect(),
            mutating_policies: policies("mutatingadmissionpolicies", options.mutating_policies)
                .iter()
                .filter_map(|policy| MutatingPolicy::new(policy, &mutating_bindings))
                .map(Arc::new)
                .collect(),
        }
    }
}

fn read(object: &Object) -> Option<Value> {
    match serde_json::from_slice(&object.value) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(key = %object.key, %error, "a stored object cannot be read");
            None
        }
    }
}
