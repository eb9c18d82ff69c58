//! Carrying out what was planned for the EndpointSlices of one Service.

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client};
use minato_client::{Informer, ObjectKey};
use minato_workloads::endpoint_slice::{Plan, SERVICE_NAME};

use crate::error::{Error, Trying as _, is_namespace_terminating, is_not_found};

/// The Service that a slice belongs to.
pub(crate) fn service_of(slice: &EndpointSlice) -> Option<ObjectKey> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(ObjectKey::new(slice.metadata.namespace.as_deref().unwrap_or_default(), name))
}

/// Writes the slices of the Service `key`; `slices` learns of each at once.
pub(crate) async fn write(
    client: &Client,
    slices: &Informer<EndpointSlice>,
    key: &ObjectKey,
    plan: Plan,
) -> Result<(), Error> {
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), &key.namespace);
    for slice in &plan.create {
        match api.create(&PostParams::default(), slice).await {
            Ok(created) => slices.observe(created),
            Err(error) if is_namespace_terminating(&error) => return Ok(()),
            Err(error) => return Err(error).trying(|| format!("create an endpoint slice of service {key}")),
        }
    }
    for slice in &plan.update {
        let name = slice.metadata.name.as_deref().unwrap_or_default();
        let written = api.replace(name, &PostParams::default(), slice).await;
        slices.observe(written.trying(|| format!("update endpoint slice {name}"))?);
    }
    for slice in &plan.delete {
        let name = slice.metadata.name.as_deref().unwrap_or_default();
        let uid = slice.metadata.uid.clone();
        let same = DeleteParams::default().preconditions(Preconditions { uid, resource_version: None });
        match api.delete(name, &same).await {
            Err(error) if !is_not_found(&error) => {
                return Err(error).trying(|| format!("delete endpoint slice {name}"));
            }
            _ => {
                let key = ObjectKey::of(&slice.metadata);
                slices.observe_gone(&key, slice.metadata.uid.as_deref().unwrap_or_default());
            }
        }
    }
    Ok(())
}
