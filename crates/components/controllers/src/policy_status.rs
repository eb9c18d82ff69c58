//! Statuses of ValidatingAdmissionPolicies: what their expressions get wrong about the kinds that they match.

use std::collections::HashMap;

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use minato_client::{Backoff, Informer, Next, ObjectKey, Queue};
use minato_workloads::policy_types::{
    KINDS_MAX, NamedResource, VersionedKind, declared_type, expression_warnings, named_resources, param_kind,
};
use serde_json::{Value, json};

use crate::Context;
use crate::error::{Error, Trying as _, is_not_found};

const NAME: &str = "validatingadmissionpolicy-status-controller";

pub(crate) fn start(context: &Context) {
    let policies = context.informers.of::<ValidatingAdmissionPolicy>();
    let queue: Queue<ObjectKey> = Queue::new("validatingadmissionpolicy-status", Backoff::default());
    let (scope, client) = (context.scope.clone(), context.client.clone());
    context.scope.spawn(NAME, async move {
        tokio::select! {
            () = scope.cancelled() => return,
            () = policies.synced() => {}
        }
        let changed = queue.clone();
        policies.on_change(move |change| {
            if let Some(policy) = &change.after {
                changed.add(ObjectKey::of(&policy.metadata));
            }
        });
        queue.work(&scope, 1, move |key| {
            let (policies, client) = (policies.clone(), client.clone());
            async move { check(&policies, &client, &key).await }
        });
    });
}

async fn check(
    policies: &Informer<ValidatingAdmissionPolicy>,
    client: &Client,
    key: &ObjectKey,
) -> Result<Next, Error> {
    let Some(policy) = policies.get(key) else { return Ok(Next::Done) };
    let observed = policy.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(0);
    let generation = policy.metadata.generation.unwrap_or(0);
    if generation <= observed {
        return Ok(Next::Done);
    }
    let mut schemas = Schemas { client, documents: HashMap::new() };
    let mut kinds = Vec::new();
    for kind in schemas.kinds(&named_resources(&policy)).await? {
        if let Some(ty) = schemas.declared(&kind).await? {
            kinds.push((kind, ty));
        }
    }
    let params = match param_kind(&policy) {
        Some(kind) => schemas.declared(&kind).await?,
        None => None,
    };
    let warnings = expression_warnings(&policy, &kinds, params.as_ref());
    let checking = if warnings.is_empty() { json!({}) } else { json!({"expressionWarnings": warnings}) };
    let status = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": &*key.name},
        "status": {"observedGeneration": generation, "typeChecking": checking},
    });
    let api: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    match api.patch_status(&key.name, &PatchParams::apply(NAME).force(), &Patch::Apply(&status)).await {
        Ok(written) => policies.observe(written),
        Err(error) if is_not_found(&error) => {}
        Err(error) => return Err(error).trying(|| format!("report on the expressions of policy {}", key.name)),
    }
    Ok(Next::Done)
}

/// What the API publishes, asked for once per check.
struct Schemas<'c> {
    client: &'c Client,
    documents: HashMap<String, Option<Value>>,
}

impl Schemas<'_> {
    /// The kinds of `resources` that are served, sorted; not more than are checked.
    async fn kinds(&self, resources: &[NamedResource]) -> Result<Vec<VersionedKind>, Error> {
        let mut lists: HashMap<String, Option<APIResourceList>> = HashMap::new();
        let mut kinds = Vec::new();
        for named in resources {
            let (group, version) = (&named.group, &named.version);
            let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
            let list = match lists.remove(&path) {
                Some(list) => list,
                None => self.get(&path).await?,
            };
            let mut served = list.iter().flat_map(|list| &list.resources);
            let found = served.find(|served| served.name == named.resource || served.singular_name == named.resource);
            if let Some(found) = found {
                let (group, version, kind) = (group.clone(), version.clone(), found.kind.clone());
                kinds.push(VersionedKind { group, version, kind });
            }
            lists.insert(path, list);
        }
        kinds.sort();
        kinds.dedup();
        kinds.truncate(KINDS_MAX);
        Ok(kinds)
    }

    async fn declared(&mut self, kind: &VersionedKind) -> Result<Option<minato_workloads::policy_types::Type>, Error> {
        let path = kind.schema_path();
        if !self.documents.contains_key(&path) {
            let document = self.get(&path).await?;
            self.documents.insert(path.clone(), document);
        }
        let document = self.documents.get(&path).and_then(Option::as_ref);
        Ok(document.and_then(|document| declared_type(document, kind)))
    }

    /// The answer of a path; none where there is none.
    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        let request = http::Request::get(path).body(Vec::new());
        let answer = match request {
            Ok(request) => self.client.request(request).await,
            // A group or version that is no part of a path is not served either.
            Err(_) => return Ok(None),
        };
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error).trying(|| format!("read {path}")),
        }
    }
}
