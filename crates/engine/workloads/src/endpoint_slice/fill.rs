//! Which endpoint goes into which slice.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use super::ENDPOINTS_MAX;

/// The slices of one set of ports after filling.
pub(super) struct Filled<'a> {
    /// Existing slices with what they should hold.
    pub kept: Vec<(&'a Arc<EndpointSlice>, Vec<Endpoint>)>,
    /// Existing slices that hold nothing any more.
    pub emptied: Vec<&'a Arc<EndpointSlice>>,
    /// What further slices should hold.
    pub new: Vec<Vec<Endpoint>>,
}

struct Slot<'a> {
    slice: &'a Arc<EndpointSlice>,
    endpoints: Vec<Endpoint>,
    changed: bool,
}

/// Who an endpoint is, whatever its state.
type Identity = (Option<String>, Vec<String>);

fn identity(endpoint: &Endpoint) -> Identity {
    let uid = endpoint.target_ref.as_ref().and_then(|target| target.uid.clone());
    (uid, endpoint.addresses.clone())
}

/// Distributes `wanted` over `slices`: who is in a slice stays there. With `keep_one`, one slice stays though empty.
pub(super) fn fill<'a>(slices: &[&'a Arc<EndpointSlice>], wanted: Vec<Endpoint>, keep_one: bool) -> Filled<'a> {
    let order: Vec<Identity> = wanted.iter().map(identity).collect();
    let mut wanted: BTreeMap<Identity, Endpoint> =
        wanted.into_iter().map(|endpoint| (identity(&endpoint), endpoint)).collect();
    let mut slots: Vec<Slot<'a>> = slices.iter().map(|slice| stay(slice, &mut wanted)).collect();
    let mut rest: Vec<Endpoint> = order.iter().filter_map(|identity| wanted.remove(identity)).collect();

    // First slices that are written anyway, the fullest first; then, for what does not fill a slice of its own, the
    // fullest other that has room for all of it; what is left gets new slices.
    let mut changing: Vec<&mut Slot<'a>> = slots.iter_mut().filter(|slot| slot.changed).collect();
    changing.sort_by_key(|slot| std::cmp::Reverse(slot.endpoints.len()));
    for slot in changing {
        slot.take(&mut rest);
    }
    let remainder = rest.len() % ENDPOINTS_MAX;
    if remainder > 0 {
        let roomy = slots.iter_mut().filter(|slot| !slot.changed && slot.endpoints.len() + remainder <= ENDPOINTS_MAX);
        if let Some(slot) = roomy.max_by_key(|slot| slot.endpoints.len()) {
            let at = rest.len() - remainder;
            slot.endpoints.extend(rest.split_off(at));
        }
    }
    let mut filled = Filled { kept: Vec::new(), emptied: Vec::new(), new: Vec::new() };
    for slot in slots {
        if slot.endpoints.is_empty() {
            filled.emptied.push(slot.slice);
        } else {
            filled.kept.push((slot.slice, slot.endpoints));
        }
    }
    while !rest.is_empty() {
        let later = rest.split_off(rest.len().min(ENDPOINTS_MAX));
        filled.new.push(std::mem::replace(&mut rest, later));
    }
    if keep_one && filled.kept.is_empty() && filled.new.is_empty() {
        match filled.emptied.is_empty() {
            true => filled.new.push(Vec::new()),
            false => filled.kept.push((filled.emptied.remove(0), Vec::new())),
        }
    }
    filled
}

/// What stays in a slice: endpoints that are still wanted, as they are now.
fn stay<'a>(slice: &'a Arc<EndpointSlice>, wanted: &mut BTreeMap<Identity, Endpoint>) -> Slot<'a> {
    let before = slice.endpoints.as_deref().unwrap_or_default();
    let endpoints: Vec<Endpoint> = before.iter().filter_map(|endpoint| wanted.remove(&identity(endpoint))).collect();
    Slot { slice, changed: endpoints != before, endpoints }
}

impl Slot<'_> {
    fn take(&mut self, rest: &mut Vec<Endpoint>) {
        let count = rest.len().min(ENDPOINTS_MAX.saturating_sub(self.endpoints.len()));
        self.endpoints.extend(rest.drain(..count));
    }
}
