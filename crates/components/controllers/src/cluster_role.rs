//! Aggregated ClusterRoles have the rules of the roles that they select.

use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use kube::api::PostParams;
use minato_client::{Backoff, Informer, Next, ObjectKey, Queue};
use minato_workloads::cluster_role::aggregated_rules;

use crate::Context;
use crate::error::{Error, Trying as _, is_conflict, is_not_found};

pub(crate) fn start(context: &Context) {
    let roles = context.informers.of::<ClusterRole>();
    let queue: Queue<ObjectKey> = Queue::new("clusterrole-aggregation", Backoff::default());
    let (scope, api) = (context.scope.clone(), Api::<ClusterRole>::all(context.client.clone()));
    context.scope.spawn("clusterrole-aggregation", async move {
        tokio::select! {
            () = scope.cancelled() => return,
            () = roles.synced() => {}
        }
        let (changed, known) = (queue.clone(), roles.clone());
        // Whichever role changes, every aggregated one may.
        roles.on_change(move |change| {
            if let Some(role) = change.latest().filter(|role| role.aggregation_rule.is_some()) {
                changed.add(ObjectKey::of(&role.metadata));
            }
            if change.both().any(|role| role.metadata.labels.as_ref().is_some_and(|labels| !labels.is_empty())) {
                for role in known.list().iter().filter(|role| role.aggregation_rule.is_some()) {
                    changed.add(ObjectKey::of(&role.metadata));
                }
            }
        });
        queue.work(&scope, 1, move |key| {
            let (roles, api) = (roles.clone(), api.clone());
            async move { aggregate(&roles, &api, &key).await }
        });
    });
}

async fn aggregate(roles: &Informer<ClusterRole>, api: &Api<ClusterRole>, key: &ObjectKey) -> Result<Next, Error> {
    let Some(role) = roles.get(key) else { return Ok(Next::Done) };
    let all = roles.list();
    let Some(rules) = aggregated_rules(&role, all.iter().map(AsRef::as_ref)) else { return Ok(Next::Done) };
    if role.rules.as_deref().unwrap_or_default() == rules {
        return Ok(Next::Done);
    }
    let updated = ClusterRole { rules: Some(rules), ..(*role).clone() };
    match api.replace(&key.name, &PostParams::default(), &updated).await {
        Ok(written) => roles.observe(written),
        Err(error) if is_conflict(&error) || is_not_found(&error) => {} // the watch brings what is there now
        Err(error) => return Err(error).trying(|| format!("aggregate cluster role {}", key.name)),
    }
    Ok(Next::Done)
}
