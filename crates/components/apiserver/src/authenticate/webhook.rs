//! A webhook that knows tokens: it is asked by `TokenReview` (authentication.k8s.io/v1).

use std::path::PathBuf;
use std::time::Duration;

use minato_mvcc::Memory;
use serde_json::{Value, json};

use crate::identity::{User, UserInfo};
use crate::kubeconfig::{self, KubeconfigError};
use crate::recent::Recent;
use crate::webhook::Endpoint;

const LIMIT: Duration = Duration::from_secs(30);
const REMEMBERED_MAX: usize = 4096;

/// Where tokens can be asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenWebhookOptions {
    /// A kubeconfig whose current cluster is the webhook.
    pub kubeconfig: PathBuf,
    /// How long an answer is good.
    pub cache_time: Duration,
}

type Known = Option<(User, Vec<String>)>;

pub(super) struct TokenWebhook {
    endpoint: Endpoint,
    cache_time: Duration,
    /// By a digest of token and audiences, so that no token is kept.
    answers: Recent<Vec<u8>, Known>,
}

impl TokenWebhook {
    pub(super) fn new(options: &TokenWebhookOptions) -> Result<Self, KubeconfigError> {
        let endpoint = kubeconfig::endpoint(&options.kubeconfig)?;
        Ok(Self { endpoint, cache_time: options.cache_time, answers: Recent::new(REMEMBERED_MAX) })
    }

    /// The user of `token`, with those of `audiences` that it is for. `own` is what the API server's audience is called.
    pub(super) async fn user(&self, memory: &Memory, token: &str, audiences: &[String], own: &str) -> Known {
        let wanted = if audiences.is_empty() { vec![own.to_owned()] } else { audiences.to_vec() };
        let key = [token, "\n", &wanted.join("\n")].concat();
        let key = minato_pki::digest_of(key.as_bytes());
        if let Some(known) = self.answers.get(&key) {
            return known;
        }
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": wanted},
        });
        let status = match self.endpoint.review(memory, "TokenReview", &review, LIMIT).await {
            Ok(status) => status,
            Err(error) => {
                tracing::error!(%error, "the token webhook gives no answer");
                return None;
            }
        };
        let known = read(&status, &wanted);
        self.answers.put(key, known.clone(), self.cache_time);
        known
    }
}

fn read(status: &Value, wanted: &[String]) -> Known {
    if status["authenticated"] != true {
        return None;
    }
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    // A webhook that says nothing of audiences has not looked at them: its tokens are for everybody who asked.
    let said = strings(&status["audiences"]);
    let audiences: Vec<String> = match said.is_empty() {
        true => wanted.to_vec(),
        false => said.into_iter().filter(|audience| wanted.contains(audience)).collect(),
    };
    let user = &status["user"];
    let text = |key: &str| user[key].as_str().unwrap_or_default().to_owned();
    if audiences.is_empty() {
        return None;
    }
    let extra = user["extra"].as_object().into_iter().flatten();
    let info = UserInfo {
        name: text("username"),
        uid: text("uid"),
        groups: strings(&user["groups"]),
        extra: extra.map(|(key, values)| (key.clone(), strings(values))).collect(),
        ..UserInfo::default()
    };
    Some((User::authenticated(info), audiences))
}
