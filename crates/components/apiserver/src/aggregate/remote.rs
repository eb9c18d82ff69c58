//! One other server: where it is, how it is trusted, whether it answers.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minato_mvcc::Memory;
use rustls::ClientConfig;
use serde_json::Value;

use super::FrontProxy;
use crate::object;
use crate::relay::Backend;
use crate::webhook::resolve;

/// Where a version of a group is served; made anew when its APIService changes.
pub(crate) struct Remote {
    /// The APIService's name, such as `v1beta1.metrics.k8s.io`.
    pub(crate) name: String,
    pub(super) group: String,
    pub(super) version: String,
    pub(super) priority: u32,
    pub(super) namespace: String,
    pub(super) service: String,
    pub(super) port: u16,
    authority_pem: Option<String>,
    available: bool,
}

impl Remote {
    /// What `api_service` says; `None` where this server itself serves the version.
    pub(super) fn of(api_service: &Value) -> Option<Self> {
        let spec = &api_service["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let service = spec["service"].as_object()?;
        let bundle = spec["caBundle"].as_str().and_then(|bundle| STANDARD.decode(bundle).ok());
        let bundle = bundle.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let conditions = api_service["status"]["conditions"].as_array().into_iter().flatten();
        let available =
            conditions.into_iter().any(|condition| condition["type"] == "Available" && condition["status"] == "True");
        Some(Self {
            name: object::text(api_service, "name").to_owned(),
            group: text(&spec["group"]),
            version: text(&spec["version"]),
            priority: spec["groupPriorityMinimum"].as_u64().and_then(|p| u32::try_from(p).ok()).unwrap_or_default(),
            namespace: text(service.get("namespace")?),
            service: text(service.get("name")?),
            port: service.get("port").and_then(Value::as_u64).and_then(|p| u16::try_from(p).ok()).unwrap_or(443),
            authority_pem: (spec["insecureSkipTLSVerify"] != true).then_some(bundle),
            available,
        })
    }

    pub(super) fn is_available(&self) -> bool {
        self.available
    }

    /// The name that the server's certificate must be for.
    pub(super) fn host_name(&self) -> String {
        format!("{}.{}.svc", self.service, self.namespace)
    }

    /// How to connect now.
    pub(super) fn backend(&self, memory: &Memory, front_proxy: Option<&FrontProxy>) -> Result<Backend, String> {
        let (host, port) = resolve(memory, &self.namespace, &self.service, self.port)?;
        let tls = self.tls(front_proxy)?;
        Ok(Backend { host, port, tls: Some((Arc::new(tls), Some(self.host_name()))) })
    }

    fn tls(&self, front_proxy: Option<&FrontProxy>) -> Result<ClientConfig, String> {
        let identity = front_proxy.map(|front_proxy| &front_proxy.identity);
        let made = match &self.authority_pem {
            None => minato_pki::unverified_client_config_as(identity),
            Some(authority) => minato_pki::client_config(authority, identity, &["http/1.1"]),
        };
        made.map_err(|error| crate::write::chain(&error))
    }
}
