//! Watch streams: one JSON line per event.

use std::time::Duration;

use anyhow::{anyhow, bail};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::client::{Answer, Call, Client, Connection};

/// A stream of events, open as long as this lives.
pub(crate) struct Watch {
    body: Incoming,
    rest: Vec<u8>,
    _connection: Connection,
}

/// As much of an event as the measures look at.
#[derive(Debug, Deserialize)]
pub(crate) struct WatchEvent {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) object: Watched,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
pub(crate) struct Watched {
    pub(crate) metadata: Metadata,
    pub(crate) spec: Spec,
    pub(crate) status: Status,
    pub(crate) message: Option<String>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
pub(crate) struct Metadata {
    pub(crate) name: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Spec {
    pub(crate) node_name: Option<String>,
}

/// An object's status, or the word "Failure" of a Status.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Status {
    Fields {
        #[serde(default)]
        phase: Option<String>,
    },
    Other(IgnoredAny),
}

impl Default for Status {
    fn default() -> Self {
        Self::Fields { phase: None }
    }
}

impl Watched {
    pub(crate) fn phase(&self) -> Option<&str> {
        match &self.status {
            Status::Fields { phase } => phase.as_deref(),
            Status::Other(_) => None,
        }
    }
}

impl Watch {
    /// Watches a collection (a path with its query) from now on.
    pub(crate) async fn open(client: &Client, path: &str) -> anyhow::Result<Self> {
        let list = client.get(&format!("{path}{}limit=1", separator(path))).await?;
        let list: serde_json::Value = serde_json::from_slice(&list)?;
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or("0");
        let call = Call::get(format!("{path}{}watch=true&resourceVersion={version}", separator(path)));
        let mut connection = client.connect().await?;
        let response = connection.start(&call).await?;
        let status = response.status();
        if !status.is_success() {
            let body = response.into_body().collect().await?.to_bytes();
            Answer { status, body }.require_success(&call)?;
            bail!("{}: {status}", call.path);
        }
        Ok(Self { body: response.into_body(), rest: Vec::new(), _connection: connection })
    }

    /// The next piece of the stream, whatever it contains.
    pub(crate) async fn chunk(&mut self) -> anyhow::Result<Bytes> {
        loop {
            let frame = self.body.frame().await.ok_or_else(|| anyhow!("the server ended the watch"))??;
            if let Ok(data) = frame.into_data() {
                return Ok(data);
            }
        }
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> anyhow::Result<WatchEvent> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let event: WatchEvent = serde_json::from_slice(&line)?;
                if event.kind == "ERROR" {
                    bail!("watch: {}", event.object.message.unwrap_or_default());
                }
                return Ok(event);
            }
            let data = self.chunk().await?;
            self.rest.extend_from_slice(&data);
        }
    }

    /// Takes events in until `done` says so, at most for `timeout`; fails with what `missing` says.
    pub(crate) async fn until(
        &mut self,
        timeout: Duration,
        mut done: impl FnMut(WatchEvent) -> bool,
        missing: &str,
    ) -> anyhow::Result<()> {
        let wait = async {
            while !done(self.next().await?) {}
            Ok(())
        };
        tokio::time::timeout(timeout, wait).await.map_err(|_| anyhow!("{missing} after {timeout:?}"))?
    }
}

fn separator(path: &str) -> char {
    if path.contains('?') { '&' } else { '?' }
}
