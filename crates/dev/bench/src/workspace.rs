//! The namespaces and nodes of a run, and their removal.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use http::StatusCode;

use crate::client::{Call, Client};
use crate::objects::{self, LABEL};

/// Everything that a run creates is found again through this.
pub(crate) struct Workspace {
    client: Client,
    /// Tells the run's objects from all others.
    pub(crate) id: String,
    namespaces: Mutex<Vec<String>>,
}

impl Workspace {
    pub(crate) fn new(client: Client) -> Self {
        let nanoseconds = jiff::Timestamp::now().as_nanosecond();
        let id = format!("{:08x}", (nanoseconds / 1000) as u32 ^ std::process::id());
        Self { client, id, namespaces: Mutex::default() }
    }

    /// Makes a namespace and waits until pods can be created in it.
    pub(crate) async fn namespace(&self, purpose: &str) -> anyhow::Result<String> {
        const ACCOUNT_TIMEOUT: Duration = Duration::from_secs(10);
        let name = format!("minato-bench-{}-{purpose}", self.id);
        self.namespaces.lock().map_err(|_| anyhow!("a task panicked"))?.push(name.clone());
        self.client.send(&Call::post("/api/v1/namespaces", &objects::namespace(&name))).await?;
        let started = Instant::now();
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        // Without the controller that makes it there is none, and the server may not ask for it.
        while self.client.get(&account).await.is_err() && started.elapsed() < ACCOUNT_TIMEOUT {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(name)
    }

    /// Deletes a namespace; its pods first, because nobody may be there to confirm their end.
    pub(crate) async fn delete_namespace(&self, name: &str) -> anyhow::Result<()> {
        self.client.send(&Call::delete_now(format!("/api/v1/namespaces/{name}/pods"))).await?;
        self.client.send(&Call::delete(format!("/api/v1/namespaces/{name}"))).await?;
        Ok(())
    }

    /// Removes everything, and waits until it is gone. Says what would not go.
    pub(crate) async fn remove(&self) -> anyhow::Result<()> {
        const TIMEOUT: Duration = Duration::from_secs(120);
        let namespaces = std::mem::take(&mut *self.namespaces.lock().map_err(|_| anyhow!("a task panicked"))?);
        let ours = format!("labelSelector={LABEL}%3D{}", self.id);
        for name in &namespaces {
            // It may be gone already; what is left is found below.
            let _ = self.delete_namespace(name).await;
        }
        let leases = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases?{ours}");
        for collection in [
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        ] {
            self.client.send(&Call::delete(format!("{collection}?{ours}"))).await?;
        }
        let (leases, nodes) = (
            self.client.send(&Call::delete_now(leases)).await,
            self.client.send(&Call::delete_now(format!("/api/v1/nodes?{ours}"))).await,
        );
        let started = Instant::now();
        let mut connection = self.client.connect().await?;
        for name in &namespaces {
            let call = Call::get(format!("/api/v1/namespaces/{name}"));
            while connection.send(&call).await?.status != StatusCode::NOT_FOUND {
                if started.elapsed() > TIMEOUT {
                    bail!("namespace {name} is still there after {TIMEOUT:?}");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        leases?;
        nodes?;
        Ok(())
    }
}
