//! A Job among pods that end as they like, with a controller that dies between any two writes and forgets everything.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Happening {
    /// The controller looks and dies after so many writes.
    Look(usize),
    /// A pod ends.
    End { pod: usize, well: bool },
    /// Somebody deletes a pod.
    Delete(usize),
    /// The kubelet takes a pod that was told to end to its end.
    Stop(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        5 => (1..8_usize).prop_map(Happening::Look),
        3 => (0..16_usize, prop::bool::weighted(0.8)).prop_map(|(pod, well)| Happening::End { pod, well }),
        1 => (0..16_usize).prop_map(Happening::Delete),
        2 => (0..16_usize).prop_map(Happening::Stop),
    ]
}

#[derive(Default)]
struct World {
    pods: BTreeMap<String, Pod>,
    made: usize,
    second: i64,
    /// Pods that succeeded, and indexes of those, whatever became of them.
    succeeded: BTreeSet<String>,
    indexes: BTreeSet<i32>,
    ended_badly: BTreeSet<String>,
}

impl World {
    fn pods(&self) -> Vec<Arc<Pod>> {
        self.pods.values().cloned().map(Arc::new).collect()
    }

    /// What has neither finalizer nor reason to stay is gone.
    fn sweep(&mut self) {
        self.pods.retain(|_, pod| {
            has_tracking_finalizer(pod) || pod.metadata.deletion_timestamp.is_none() || !crate::pod::is_finished(pod)
        });
    }

    /// One look of the controller: returns the writes that it made, at most `limit`.
    fn look(&mut self, job: &mut Job, limit: usize) -> usize {
        let mut writes = 0;
        self.second += 700; // past any back-off
        let (pods, now) = (self.pods(), at(self.second));
        let made = plan(&Observed { job, pods: &pods, backoff: &Backoff::default(), now });
        for new in &made.create {
            if writes == limit {
                return writes;
            }
            writes += 1;
            self.made += 1;
            let name = format!("p{}", self.made);
            let mut pod = pod_for(job, new);
            pod.metadata.uid = Some(name.clone());
            pod.metadata.name = Some(name.clone());
            pod.metadata.creation_timestamp = Some(Time(now));
            self.pods.insert(name, pod);
        }
        for victim in &made.delete {
            if writes == limit {
                return writes;
            }
            writes += 1;
            if let Some(pod) = self.pods.get_mut(view::uid(victim)) {
                pod.metadata.deletion_timestamp = Some(Time(now));
                if !made.counted {
                    pod.metadata.finalizers = None;
                }
            }
        }
        loop {
            let pods = self.pods();
            let found = report(&Observed { job, pods: &pods, backoff: &Backoff::default(), now });
            if found.changes(job) {
                if writes == limit {
                    return writes;
                }
                writes += 1;
                job.status = Some(found.status);
            }
            if found.release.is_empty() {
                return writes;
            }
            for pod in found.release {
                if writes == limit {
                    return writes;
                }
                writes += 1;
                if let Some(pod) = self.pods.get_mut(view::uid(&pod)) {
                    pod.metadata.finalizers = None;
                }
            }
            self.sweep();
        }
    }

    fn happen(&mut self, job: &mut Job, happening: &Happening) {
        let pick = |world: &Self, number: usize, filter: &dyn Fn(&Pod) -> bool| {
            let names: Vec<String> =
                world.pods.iter().filter(|(_, pod)| filter(pod)).map(|(name, _)| name.clone()).collect();
            names.get(number % names.len().max(1)).cloned()
        };
        match happening {
            Happening::Look(limit) => {
                self.look(job, *limit);
            }
            Happening::End { pod, well } => {
                let running = |pod: &Pod| !crate::pod::is_finished(pod) && pod.metadata.deletion_timestamp.is_none();
                if let Some(name) = pick(self, *pod, &running) {
                    self.end(&name, *well);
                }
            }
            Happening::Delete(number) => {
                if let Some(name) = pick(self, *number, &|pod| pod.metadata.deletion_timestamp.is_none()) {
                    let now = Time(at(self.second));
                    self.pods.get_mut(&name).unwrap().metadata.deletion_timestamp = Some(now);
                }
            }
            Happening::Stop(number) => {
                if let Some(name) = pick(self, *number, &crate::pod::is_terminating) {
                    self.end(&name, false);
                }
            }
        }
        self.sweep();
    }

    fn end(&mut self, name: &str, well: bool) {
        let pod = self.pods.get_mut(name).unwrap();
        pod.status.get_or_insert_default().phase = Some(if well { "Succeeded" } else { "Failed" }.to_owned());
        let tracked = has_tracking_finalizer(pod);
        if well && tracked {
            self.succeeded.insert(name.to_owned());
            self.indexes.extend(pod::index_of(pod));
        } else if !well {
            self.ended_badly.insert(name.to_owned());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever happens in whatever order: no success is counted twice or lost, no failure twice; no more pods run than
    /// parallelism allows, and no two of one index; and when the faults stop, the Job comes to its end.
    #[test]
    fn counts_exactly_once(
        happenings in prop::collection::vec(happening(), 0..60),
        completions in 1..6_i32,
        parallelism in 1..4_i32,
        indexed: bool,
        failed_only: bool,
    ) {
        let spec = json!({
            "completions": completions, "parallelism": parallelism, "backoffLimit": 1000,
            "completionMode": if indexed { "Indexed" } else { "NonIndexed" },
            "podReplacementPolicy": if failed_only { "Failed" } else { "TerminatingOrFailed" },
        });
        let mut job = job(&spec, &json!({}));
        let mut world = World::default();
        let check = |job: &Job, world: &World| {
            let status = job.status.clone().unwrap_or_default();
            let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
            let pending = |uids: Option<Vec<String>>| uids.unwrap_or_default().len();
            let counted = usize::try_from(status.succeeded.unwrap_or(0)).unwrap() + pending(uncounted.succeeded);
            let really = if indexed { world.indexes.len() } else { world.succeeded.len() };
            assert!(counted <= really, "{counted} of {really} successes");
            assert!(really <= usize::try_from(completions).unwrap(), "never more than asked for: {really}");
            let failed = usize::try_from(status.failed.unwrap_or(0)).unwrap() + pending(uncounted.failed);
            assert!(failed <= world.made - world.succeeded.len(), "{failed} failures of {} pods", world.made);
            let active: Vec<&Pod> = world.pods.values().filter(|pod| crate::pod::is_active(pod)).collect();
            assert!(active.len() <= usize::try_from(parallelism).unwrap());
            let distinct: BTreeSet<Option<i32>> = active.iter().map(|pod| pod::index_of(pod)).collect();
            assert!(!indexed || distinct.len() == active.len(), "one pod for each index");
            if failed_only {
                let unfinished = world.pods.values().filter(|pod| !crate::pod::is_finished(pod)).count();
                assert!(unfinished <= usize::try_from(parallelism).unwrap(), "a pod is replaced when it has ended");
            }
        };
        for happening in &happenings {
            world.happen(&mut job, happening);
            check(&job, &world);
        }
        for _ in 0..100 {
            while world.look(&mut job, 100) > 0 {}
            check(&job, &world);
            world.happen(&mut job, &Happening::Stop(0));
            world.happen(&mut job, &Happening::End { pod: 0, well: true });
        }
        prop_assert!(is_true(&job, "Complete"), "{:?}", job.status);
        let status = job.status.as_ref().unwrap();
        prop_assert_eq!(status.succeeded, Some(completions));
        prop_assert_eq!((status.active, status.terminating), (None, Some(0)));
        prop_assert!(!world.pods.values().any(has_tracking_finalizer));
        if !indexed {
            prop_assert_eq!(world.succeeded.len(), usize::try_from(completions).unwrap());
        }
    }
}
