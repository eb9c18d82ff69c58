//! Pods about which extenders are asked: between filtering and binding they are out of the loop's hands.

use std::collections::HashMap;

use minato_client::EventKind;
use minato_placement::{Queued, Unschedulable};

use crate::extender::{ExtenderError, Opinion};
use crate::placing::{Done, Placing, ask};

impl Placing {
    /// Asks the extenders about the nodes on which a pod fits.
    pub(crate) fn ask_extenders(&mut self, queued: Queued) {
        let ranked = match self.cluster.rank(&ask(&queued)) {
            Ok(ranked) => ranked,
            Err(reason) => return self.put_off(&queued, reason),
        };
        let Some(pod) = self.pod_name(&queued.uid) else { return self.drop_queued(&queued.uid) };
        let names: Vec<String> = ranked.into_iter().map(|(name, _)| name.to_string()).collect();
        let nodes: HashMap<_, _> =
            names.iter().filter_map(|name| Some((name.clone(), self.nodes.get(name)?.clone()))).collect();
        let (extenders, client) = (self.extenders.clone(), self.client.clone());
        self.tasks.spawn(async move {
            let result = extenders.consult(client, &pod, &queued.demand, names, &nodes).await;
            Done::Consulted { queued, result }
        });
    }

    /// They have answered: the pod goes to the best of the nodes that are left, as the cluster is now.
    pub(crate) fn follow_opinion(&mut self, queued: Queued, result: Result<Opinion, ExtenderError>) {
        let Some(pod) = self.pod_name(&queued.uid) else { return self.drop_queued(&queued.uid) };
        let opinion = match result {
            Ok(opinion) => opinion,
            Err(error) => {
                self.record(&pod, EventKind::Warning, "FailedScheduling", error.to_string());
                return self.retry_queued(&queued.uid);
            }
        };
        let ranked = match self.cluster.rank(&ask(&queued)) {
            Ok(ranked) => ranked,
            Err(reason) => return self.put_off(&queued, reason),
        };
        let count = ranked.len();
        let left = ranked.into_iter().filter(|(name, _)| opinion.allowed.contains(&**name));
        let best = left.max_by_key(|(name, score)| {
            let more = opinion.scores.get(&**name).copied().unwrap_or_default();
            (score + more, std::cmp::Reverse(name.clone()))
        });
        match best {
            Some((node, _)) => self.assume(queued, node),
            None => self.put_off(&queued, Unschedulable::by_extenders(count, opinion.refused)),
        }
    }
}
