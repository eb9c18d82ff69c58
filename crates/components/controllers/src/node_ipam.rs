//! Gives every node its part of the cluster's pod addresses.

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use minato_client::{Backoff, Next, ObjectKey, Queue};
use minato_workloads::pod_cidr::{Cidr, allocate};

use crate::Context;
use crate::error::{Error, Trying as _, is_not_found};

/// The addresses of pods, and how many bits of prefix each node's part has.
#[derive(Clone, Copy)]
pub(crate) struct Ranges {
    pub cluster: Cidr,
    pub node_prefix: u8,
}

fn range_of(node: &Node) -> Option<&String> {
    node.spec.as_ref()?.pod_cidr.as_ref().filter(|cidr| !cidr.is_empty())
}

pub(crate) fn start(context: &Context, ranges: Ranges) {
    let nodes = context.informers.of::<Node>();
    let recorder = context.events.recorder("cidrAllocator", None);
    let queue: Queue<ObjectKey> = Queue::new("node addresses", Backoff::default());
    let (scope, client) = (context.scope.clone(), context.client.clone());
    context.scope.spawn("node addresses", async move {
        tokio::select! {
            () = scope.cancelled() => return,
            () = nodes.synced() => {}
        }
        let changed = queue.clone();
        nodes.on_change(move |change| {
            if let Some(node) = change.after.as_ref().filter(|node| range_of(node).is_none()) {
                changed.add(ObjectKey::of(&node.metadata));
            }
        });
        // One worker: two nodes must not choose the same range at the same time.
        queue.work(&scope, 1, move |key| {
            let (nodes, client, recorder) = (nodes.clone(), client.clone(), recorder.clone());
            async move {
                let wanted = |node: &Node| range_of(node).is_none() && node.metadata.deletion_timestamp.is_none();
                let Some(node) = nodes.get(&key).filter(|node| wanted(node)) else { return Ok(Next::Done) };
                let used: Vec<Cidr> = nodes.list().iter().filter_map(|node| range_of(node)?.parse().ok()).collect();
                let Some(range) = allocate(ranges.cluster, ranges.node_prefix, &used) else {
                    recorder.normal(&*node, "CIDRNotAvailable", format!("Node {key} status is now: CIDRNotAvailable"));
                    return Err(Error::NoRangeLeft { node: key.to_string(), cluster: ranges.cluster.to_string() });
                };
                let range = range.to_string();
                let patch = serde_json::json!({
                    "metadata": { "uid": node.metadata.uid },
                    "spec": { "podCIDR": range, "podCIDRs": [range] },
                });
                let api: Api<Node> = Api::all(client);
                match api.patch(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await {
                    Ok(node) => nodes.observe(node),
                    Err(error) if is_not_found(&error) => {}
                    Err(error) => return Err(error).trying(|| format!("give node {key} the range {range}")),
                }
                Ok(Next::Done)
            }
        });
    });
}
