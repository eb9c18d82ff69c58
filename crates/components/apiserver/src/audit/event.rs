//! `audit.k8s.io/v1 Event`, its fields in the order in which upstream writes them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::policy::{Level, Stage};
use crate::identity::UserInfo;
use crate::route::ResourceRoute;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    pub(super) kind: &'static str,
    pub(super) api_version: &'static str,
    pub(super) level: Level,
    #[serde(rename = "auditID")]
    pub(super) audit_id: String,
    pub(super) stage: Stage,
    #[serde(rename = "requestURI")]
    pub(super) request_uri: String,
    pub(super) verb: String,
    pub(super) user: UserValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) impersonated_user: Option<UserValue>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "Vec::is_empty")]
    pub(super) source_ips: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) user_agent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object_ref: Option<ObjectReference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_status: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_object: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_object: Option<Value>,
    pub(super) request_received_timestamp: String,
    pub(super) stage_timestamp: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

impl Default for Event {
    fn default() -> Self {
        Self {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: Level::None,
            audit_id: String::new(),
            stage: Stage::RequestReceived,
            request_uri: String::new(),
            verb: String::new(),
            user: UserValue::default(),
            impersonated_user: None,
            source_ips: Vec::new(),
            user_agent: String::new(),
            object_ref: None,
            response_status: None,
            request_object: None,
            response_object: None,
            request_received_timestamp: String::new(),
            stage_timestamp: String::new(),
            annotations: BTreeMap::new(),
        }
    }
}

impl Event {
    /// The event as one line of text for people (`--audit-log-format=legacy`).
    pub(super) fn legacy(&self) -> String {
        let or = |text: &str, absent: &'static str| if text.is_empty() { absent.to_owned() } else { text.to_owned() };
        let list = |all: &[String]| all.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(",");
        let groups = match self.user.groups.is_empty() || self.user.username.is_empty() {
            true => "<none>".to_owned(),
            false => list(&self.user.groups),
        };
        let (as_user, as_groups) = match &self.impersonated_user {
            Some(user) => (user.username.clone(), list(&user.groups)),
            None => ("<self>".to_owned(), "<lookup>".to_owned()),
        };
        let namespace = self.object_ref.as_ref().map_or("", |reference| &reference.namespace);
        let response = match &self.response_status {
            Some(status) => status["code"].to_string(),
            None => "<deferred>".to_owned(),
        };
        format!(
            "{} AUDIT: id={:?} stage={:?} ip={:?} method={:?} user={:?} groups={groups} as={as_user:?} \
             asgroups={as_groups} user-agent={:?} namespace={:?} uri={:?} response=\"{response}\"",
            self.request_received_timestamp,
            self.audit_id,
            self.stage.as_str(),
            self.source_ips.first().map_or("<unknown>", String::as_str),
            self.verb,
            or(&self.user.username, "<none>"),
            self.user_agent,
            or(namespace, "<none>"),
            self.request_uri,
        )
    }
}

/// authentication.k8s.io `UserInfo`.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct UserValue {
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: BTreeMap<String, Vec<String>>,
}

impl UserValue {
    pub(super) fn of(user: &UserInfo) -> Self {
        Self {
            username: user.name.clone(),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone(),
        }
    }
}

/// Which object a request is about.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectReference {
    #[serde(skip_serializing_if = "String::is_empty")]
    resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    api_group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    resource_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    subresource: String,
}

impl ObjectReference {
    pub(super) fn of(route: &ResourceRoute, namespace: &str) -> Self {
        Self {
            resource: route.resource.clone(),
            namespace: namespace.to_owned(),
            name: route.name.clone().unwrap_or_default(),
            api_group: route.group.clone(),
            api_version: route.version.clone(),
            subresource: route.subresource.clone().unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Fills in what the URL does not say and the object in the request does.
    pub(super) fn fill(&mut self, object: &Value) {
        let fields = [
            (&mut self.namespace, "namespace"),
            (&mut self.name, "name"),
            (&mut self.uid, "uid"),
            (&mut self.resource_version, "resourceVersion"),
        ];
        for (field, key) in fields {
            if let Some(text) = object["metadata"][key].as_str().filter(|_| field.is_empty()) {
                text.clone_into(field);
            }
        }
    }
}

/// The time, with microseconds.
pub(super) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
