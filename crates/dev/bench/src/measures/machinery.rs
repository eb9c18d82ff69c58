//! What the API machinery costs beside a plain create: a webhook, a custom resource, another encoding.

use std::time::{Duration, Instant};

use anyhow::bail;

use super::Bench;
use super::writes::rate;
use crate::client::Call;
use crate::hook::Hook;
use crate::load::{Outcome, drive_count};
use crate::objects;
use crate::report::Report;

const WEBHOOK_CREATES: usize = 1_000;
const DEFINITIONS: usize = 200;
const CUSTOM_OBJECTS: usize = 5_000;
const ENCODED_PODS: usize = 5_000;
const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
pub(super) const DEFINITION_PATH: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// How long something that was created may take to be in force.
const PATIENCE: Duration = Duration::from_secs(60);

impl Bench<'_> {
    /// Creates one after the other, without and with one mutating webhook on loopback.
    pub(super) async fn webhook(&self, report: &mut Report) -> anyhow::Result<()> {
        let namespace = self.workspace.namespace("webhook").await?;
        let count = self.scaled(WEBHOOK_CREATES);
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        let creates = async |prefix: &'static str| {
            let path = path.clone();
            let create = move |number| Call::post(&*path, &objects::config_map(&format!("{prefix}-{number}"), "x"));
            drive_count(&self.client, 1, count, create).await
        };
        let plain = creates("plain").await?;
        let hook = Hook::start().await?;
        let configuration = objects::webhook(&self.workspace.id, &namespace, &hook.client_config);
        self.client.send(&Call::post(WEBHOOKS, &configuration)).await?;
        let started = Instant::now();
        // Some servers take a moment to notice it.
        for number in 0.. {
            let made =
                self.client.send(&Call::post(&*path, &objects::config_map(&format!("try-{number}"), "x"))).await?;
            let made: serde_json::Value = serde_json::from_slice(&made)?;
            if made["metadata"]["labels"]["seen"] == "yes" {
                break;
            }
            if started.elapsed() > PATIENCE {
                bail!("the webhook is not called after {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let hooked = creates("hooked").await?;
        let added = (hooked.percentile(0.5).as_secs_f64() - plain.percentile(0.5).as_secs_f64()) * 1e3;
        let detail = format!(
            "median of {count}, one connection; {} without, {} with",
            plain.percentiles(),
            hooked.percentiles()
        );
        report.add("one mutating webhook adds", format!("{added:.2} ms"), detail);
        let configuration = format!("{WEBHOOKS}/{}", objects::webhook_name(&self.workspace.id));
        self.client.send(&Call::delete(configuration)).await?;
        self.workspace.delete_namespace(&namespace).await
    }

    /// Creates of definitions against creates of a built-in kind, and the same of their objects.
    pub(super) async fn definitions(&self, report: &mut Report) -> anyhow::Result<()> {
        let namespace = self.workspace.namespace("definitions").await?;
        let (id, count) = (self.workspace.id.clone(), self.scaled(DEFINITIONS));
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        let collection = path.clone();
        let text = "x".repeat(500);
        let create = move |number| Call::post(&*path, &objects::config_map(&format!("plain-{number}"), &text));
        let plain = drive_count(&self.client, 1, count, create).await?;
        let labelled = id.clone();
        let define = move |number| Call::post(DEFINITION_PATH, &objects::definition(&labelled, &labelled, number));
        let started = Instant::now();
        let defined = drive_count(&self.client, 1, count, define).await?;
        let last = format!("{DEFINITION_PATH}/{}", objects::definition_name(&id, count - 1));
        self.wait_until_established(&last).await?;
        let established = started.elapsed();
        let ratio = plain.rate() / defined.rate();
        let detail = format!(
            "{count} on one connection: {}; all established after {:.1} s; ConfigMaps {}",
            defined.percentiles(),
            established.as_secs_f64(),
            plain.percentiles()
        );
        report.add("CRD create takes", format!("{ratio:.2} x a ConfigMap create"), detail);

        let count = self.scaled(CUSTOM_OBJECTS);
        let text = "x".repeat(500);
        let create = move |number| Call::post(&*collection, &objects::config_map(&format!("other-{number}"), &text));
        let plain = drive_count(&self.client, self.connections, count, create).await?;
        let (text, group) = ("x".repeat(500), objects::group(&id));
        let path = format!("/apis/{group}/v1/namespaces/{namespace}/{}", objects::plural(0));
        let create = move |number| Call::post(&*path, &objects::custom(&group, &format!("bench-{number}"), &text));
        let custom = drive_count(&self.client, self.connections, count, create).await?;
        let detail = format!("{} against {}; {}", rate(&custom), rate(&plain), self.describe(&custom));
        report.add("custom object create takes", ratio_of(&plain, &custom, "x a ConfigMap create"), detail);
        let ours = format!("{DEFINITION_PATH}?labelSelector={}%3D{id}", objects::LABEL);
        self.client.send(&Call::delete(ours)).await?;
        self.workspace.delete_namespace(&namespace).await
    }

    pub(super) async fn wait_until_established(&self, definition: &str) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let found: serde_json::Value = serde_json::from_slice(&self.client.get(definition).await?)?;
            let mut conditions = found["status"]["conditions"].as_array().into_iter().flatten();
            if conditions.any(|condition| condition["type"] == "Established" && condition["status"] == "True") {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                bail!("{definition} is not established after {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Pod creates in protobuf against JSON, answers in the same encoding.
    pub(super) async fn protobuf(&self, report: &mut Report) -> anyhow::Result<()> {
        let namespace = self.workspace.namespace("protobuf").await?;
        let (path, count) = (format!("/api/v1/namespaces/{namespace}/pods"), self.scaled(ENCODED_PODS));
        let other = path.clone();
        let create = move |number| Call::post(&*path, &objects::pending_pod(&format!("json-{number}")));
        let json = drive_count(&self.client, self.connections, count, create).await?;
        // Encoded before the clock runs, as JSON is written while it does: the client's part is not what is measured.
        let bodies =
            (0..count).map(|number| minato_protobuf::encode(&objects::pending_pod(&format!("proto-{number}"))));
        let bodies = bodies.collect::<Result<Vec<_>, _>>()?;
        let create = move |number: usize| Call::protobuf(&*other, bodies[number].clone().into());
        let protobuf = drive_count(&self.client, self.connections, count, create).await?;
        let detail = format!("Pod creates: {} against {}; {}", rate(&protobuf), rate(&json), self.describe(&protobuf));
        report.add("protobuf takes", ratio_of(&json, &protobuf, "x JSON"), detail);
        self.workspace.delete_namespace(&namespace).await
    }
}

fn ratio_of(plain: &Outcome, other: &Outcome, unit: &str) -> String {
    format!("{:.2} {unit}", plain.rate() / other.rate())
}
