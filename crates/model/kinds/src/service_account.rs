//! ServiceAccounts.

use serde_json::Value;

use crate::path::At;
use crate::read::Read;
use crate::strategy::Strategy;
use crate::warnings::Warnings;

pub(crate) struct ServiceAccount;

const MOUNTABLE_ONLY: &str = "kubernetes.io/enforce-mountable-secrets";

impl Strategy for ServiceAccount {
    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let annotated = |object: &Value| object.or_null("metadata").or_null("annotations").has(MOUNTABLE_ONLY);
        let mut warnings = Warnings::default();
        if annotated(new) && !old.is_some_and(annotated) {
            let at = At::Root.field("metadata");
            let text = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
            warnings.push(&at.field("annotations").key(MOUNTABLE_ONLY), text);
        }
        warnings.into_vec()
    }
}
