//! The Node authoriser: a node reads what its own pods refer to, and nothing else of that kind (upstream's
//! `plugin/pkg/auth/authorizer/node`).
//!
//! Which pod refers to what is kept in a [`Graph`], brought up to date from the store's events whenever a node asks: a
//! pod that has just been bound counts at once, and while no node asks nothing is done. What lies behind claims
//! (volumes, and the secrets that volumes need) is looked up when it is asked for.

mod graph;

use minato_mvcc::{Key, Memory};
use serde_json::Value;

use self::graph::{Graph, Kind};
use super::{Action, Authorize, Decision, ResourceAction};
use crate::admission::node_of;
use crate::identity::User;
use crate::rbac::{Rule, node_rules};

/// Decides for users of the group `system:nodes`.
pub(crate) struct NodeAuthorizer {
    graph: Graph,
    memory: Memory,
    /// What every node may, whatever its pods are.
    rules: Vec<Rule>,
}

/// Why not.
type Refusal = String;

impl NodeAuthorizer {
    pub(crate) fn new(memory: Memory) -> Self {
        Self { graph: Graph::new(memory.clone()), memory, rules: node_rules() }
    }

    fn judge(&self, node: &str, action: &ResourceAction<'_>) -> Result<(), Refusal> {
        match (action.group, action.resource) {
            ("", "secrets") => self.read(node, Kind::Secret, action),
            ("", "configmaps") => self.read(node, Kind::ConfigMap, action),
            ("", "persistentvolumeclaims") if action.subresource == "status" => {
                allow(&["get", "update", "patch"], action, "can only get/update/patch this type")?;
                self.related(node, Kind::Claim, action)
            }
            ("", "persistentvolumeclaims") => self.get(node, Kind::Claim, action),
            ("", "persistentvolumes") => self.get(node, Kind::Volume, action),
            ("resource.k8s.io", "resourceclaims") => self.get(node, Kind::DeviceClaim, action),
            ("storage.k8s.io", "volumeattachments") => self.get(node, Kind::Attachment, action),
            ("", "serviceaccounts") if action.verb == "get" && action.subresource.is_empty() => {
                self.related(node, Kind::ServiceAccount, action)
            }
            ("", "serviceaccounts") => {
                if action.verb != "create" || action.subresource != "token" {
                    return Err("can only create tokens for individual service accounts".to_owned());
                }
                self.related(node, Kind::ServiceAccount, action)
            }
            ("coordination.k8s.io", "leases") => lease(node, action),
            ("storage.k8s.io", "csinodes") => csi_node(node, action),
            ("resource.k8s.io", "resourceslices") => self.slice(node, action),
            ("", "nodes") => own_node(node, action),
            ("", "pods") => self.pod(node, action),
            _ if self.rules.iter().any(|rule| rule.allows_resource(action)) => Ok(()),
            _ => Err(String::new()),
        }
    }

    /// Reading by name, or by a list or watch of one name.
    fn read(&self, node: &str, kind: Kind, action: &ResourceAction<'_>) -> Result<(), Refusal> {
        allow(&["get", "list", "watch"], action, "can only read resources of this type")?;
        if !action.subresource.is_empty() {
            return Err("cannot read subresource".to_owned());
        }
        if action.namespace.is_empty() {
            return Err("can only read namespaced object of this type".to_owned());
        }
        self.related(node, kind, action)
    }

    fn get(&self, node: &str, kind: Kind, action: &ResourceAction<'_>) -> Result<(), Refusal> {
        allow(&["get"], action, "can only get individual resources of this type")?;
        if !action.subresource.is_empty() {
            return Err("cannot get subresource".to_owned());
        }
        self.related(node, kind, action)
    }

    fn related(&self, node: &str, kind: Kind, action: &ResourceAction<'_>) -> Result<(), Refusal> {
        let name = name_of(action);
        if name.is_empty() {
            return Err("No Object name found".to_owned());
        }
        if self.is_related(node, kind, action.namespace, &name) {
            return Ok(());
        }
        Err(format!("no relationship found between node '{node}' and this object"))
    }

    fn is_related(&self, node: &str, kind: Kind, namespace: &str, name: &str) -> bool {
        match kind {
            Kind::Volume => self.object("core/persistentvolumes", "", name).is_some_and(|volume| {
                let claim = &volume["spec"]["claimRef"];
                let text = |key: &str| claim[key].as_str().unwrap_or_default();
                self.graph.refers(node, Kind::Claim, text("namespace"), text("name"))
            }),
            Kind::Attachment => self
                .object("storage.k8s.io/volumeattachments", "", name)
                .is_some_and(|attachment| attachment["spec"]["nodeName"] == node),
            Kind::Secret => {
                self.graph.refers(node, kind, namespace, name) || self.is_secret_of_volume(node, namespace, name)
            }
            _ => self.graph.refers(node, kind, namespace, name),
        }
    }

    /// Whether a volume that a pod of the node claims needs the secret.
    fn is_secret_of_volume(&self, node: &str, namespace: &str, name: &str) -> bool {
        self.graph.claims(node).iter().any(|(claim_namespace, claim)| {
            let Some(claim) = self.object("core/persistentvolumeclaims", claim_namespace, claim) else { return false };
            let volume = claim["spec"]["volumeName"].as_str().unwrap_or_default();
            self.object("core/persistentvolumes", "", volume).is_some_and(|volume| {
                graph::volume_secrets(&volume["spec"], claim_namespace).contains(&(namespace, name))
            })
        })
    }

    fn object(&self, storage: &str, namespace: &str, name: &str) -> Option<Value> {
        let object = self.memory.get(&Key::new(storage, namespace, name))?;
        crate::write::parse(&object).ok()
    }

    fn pod(&self, node: &str, action: &ResourceAction<'_>) -> Result<(), Refusal> {
        match (action.subresource, action.verb) {
            ("", "get") => self.related(node, Kind::Pod, action),
            ("", "list" | "watch") if selects(action, "spec.nodeName", node) => Ok(()),
            ("", "list" | "watch") => Err("can only list/watch pods with spec.nodeName field selector".to_owned()),
            // Admission sees to it that these are the node's own.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => Err(String::new()),
        }
    }

    fn slice(&self, node: &str, action: &ResourceAction<'_>) -> Result<(), Refusal> {
        if !action.subresource.is_empty() {
            return Err("cannot authorize ResourceSlice subresources".to_owned());
        }
        match action.verb {
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => {
                let slice = self.object("resource.k8s.io/resourceslices", "", action.name);
                let own = slice.is_some_and(|slice| slice["spec"]["nodeName"] == node);
                if own { Ok(()) } else { Err(format!("no relationship found between node '{node}' and this object")) }
            }
            "list" | "watch" | "deletecollection" if selects(action, "spec.nodeName", node) => Ok(()),
            "list" | "watch" | "deletecollection" => {
                Err("can only list/watch/deletecollection resourceslices with nodeName field selector".to_owned())
            }
            _ => Err("only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection".to_owned()),
        }
    }
}

impl Authorize for NodeAuthorizer {
    fn decide(&self, user: &User, action: &Action<'_>) -> Decision {
        let Some(node) = node_of(user) else { return Decision::NoOpinion(None) };
        if node.is_empty() {
            return Decision::NoOpinion(Some(format!("unknown node for user {:?}", user.name).into()));
        }
        let Action::Resource(action) = action else { return Decision::NoOpinion(None) };
        match self.judge(node, action) {
            Ok(()) => Decision::Allow(None),
            Err(why) => Decision::NoOpinion(Some(why).filter(|why| !why.is_empty()).map(Into::into)),
        }
    }
}

fn allow(verbs: &[&str], action: &ResourceAction<'_>, otherwise: &str) -> Result<(), Refusal> {
    if verbs.contains(&action.verb) { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// The name in the URL, or the one name that a list or watch is limited to.
fn name_of(action: &ResourceAction<'_>) -> String {
    if !action.name.is_empty() || !matches!(action.verb, "list" | "watch") {
        return action.name.to_owned();
    }
    let fields = action.selectors.fields();
    let one =
        fields.iter().find(|field| field.key == "metadata.name" && field.operator == "In" && field.values.len() == 1);
    one.and_then(|field| field.values.first().cloned()).unwrap_or_default()
}

/// Whether a list or watch is limited to objects whose `field` is `value`.
fn selects(action: &ResourceAction<'_>, field: &str, value: &str) -> bool {
    let fields = action.selectors.fields();
    fields.iter().any(|wanted| wanted.key == field && wanted.operator == "In" && wanted.values == [value])
}

fn lease(node: &str, action: &ResourceAction<'_>) -> Result<(), Refusal> {
    let verbs = ["get", "create", "update", "patch", "delete"];
    allow(&verbs, action, "can only get, create, update, patch, or delete a node lease")?;
    if action.namespace != "kube-node-lease" {
        return Err("can only access leases in the \"kube-node-lease\" system namespace".to_owned());
    }
    if action.verb != "create" && action.name != node {
        return Err("can only access node lease with the same name as the requesting node".to_owned());
    }
    Ok(())
}

fn csi_node(node: &str, action: &ResourceAction<'_>) -> Result<(), Refusal> {
    let verbs = ["get", "create", "update", "patch", "delete"];
    allow(&verbs, action, "can only get, create, update, patch, or delete a CSINode")?;
    if !action.subresource.is_empty() {
        return Err("cannot authorize CSINode subresources".to_owned());
    }
    if action.verb != "create" && action.name != node {
        return Err("can only access CSINode with the same name as the requesting node".to_owned());
    }
    Ok(())
}

fn own_node(node: &str, action: &ResourceAction<'_>) -> Result<(), Refusal> {
    match (action.subresource, action.verb) {
        // Admission sees to it that this is the node itself.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
        ("", "get" | "list" | "watch") => match name_of(action).as_str() {
            name if name == node => Ok(()),
            "" => Err(format!("node '{node}' cannot read all nodes, only its own Node object")),
            name => Err(format!("node '{node}' cannot read '{name}', only its own Node object")),
        },
        _ => Err(String::new()),
    }
}
