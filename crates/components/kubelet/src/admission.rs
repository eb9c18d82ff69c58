//! Whether this node takes a pod in: what the scheduler made sure of, for pods that did not come by it, and what the node
//! alone knows.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use minato_client::{EventKind, ObjectKey, reference_to};
use minato_placement::admission;
use minato_podlife::Rejection;

use crate::node::Node;
use crate::worker::PodHandle;

/// Why `pod` is not taken in beside `others`, if so; it is told by an event.
pub(crate) fn judge(node: &Node, pod: &Pod, others: &HashMap<String, Arc<PodHandle>>) -> Option<Rejection> {
    if !is_new(pod) {
        return None;
    }
    let rejection = node.config.allowed_sysctls.check(pod).and_then(|()| fits(node, pod, others)).err()?;
    node.recorder.record(&reference_to(pod), EventKind::Warning, &rejection.reason, rejection.message.clone());
    Some(rejection)
}

/// What the node took in once it keeps, whatever became of it meanwhile.
fn is_new(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    let is_known = status.is_some_and(|status| status.start_time.is_some());
    phase == "Pending" && !is_known && pod.metadata.deletion_timestamp.is_none()
}

fn fits(node: &Node, pod: &Pod, others: &HashMap<String, Arc<PodHandle>>) -> Result<(), Rejection> {
    // Before it is registered nobody knows what it offers; pods that came by the scheduler come later.
    let Some(itself) = node.itself.get(&ObjectKey::cluster(&node.config.node_name)) else { return Ok(()) };
    let taken_in = others.values().filter(|handle| handle.admitted);
    let others: Vec<Arc<Pod>> = taken_in.map(|handle| Arc::clone(&handle.picture.read().pod)).collect();
    let active = others.iter().map(Arc::as_ref).filter(|other| !is_finished(other));
    admission::admit(&itself, pod, active)
        .map_err(|admission::Rejection { reason, message }| Rejection { reason, message })
}

fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}
