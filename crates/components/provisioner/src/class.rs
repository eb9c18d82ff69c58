//! The StorageClass that claims get who name none.

use std::time::Duration;

use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

use crate::PROVISIONER;

const NAME: &str = "local-path";
const RETRY: Duration = Duration::from_secs(1);

/// Makes the class, unless there is one of its name: what users changed in it stays.
pub(crate) async fn ensure(client: &Client) {
    let api: Api<StorageClass> = Api::all(client.clone());
    let class = json!({
        "metadata": {"name": NAME, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": true,
    });
    let class: StorageClass = match serde_json::from_value(class) {
        Ok(class) => class,
        Err(error) => return tracing::error!(%error, "the default storage class is malformed"),
    };
    loop {
        match api.create(&PostParams::default(), &class).await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if status.is_already_exists() => return,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the default storage class could not be made");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
