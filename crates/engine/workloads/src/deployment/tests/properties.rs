use proptest::prelude::*;

use super::*;

/// What may happen next.
#[derive(Clone, Debug)]
enum Happening {
    /// The controller looks and dies after so many writes.
    Plan(usize),
    /// One of the sets works.
    Set(usize),
    /// A pod becomes ready.
    Ready(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0..4_usize).prop_map(Happening::Plan),
        3 => (0..8_usize).prop_map(Happening::Set),
        4 => (0..64_usize).prop_map(Happening::Ready),
    ]
}

fn limit() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["0", "1", "2", "25%", "50%", "100%"])
}

impl Cluster {
    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Plan(limit) => self.step(*limit),
            Happening::Set(number) => {
                if let Some(name) = self.sets.keys().nth(number % self.sets.len().max(1)).cloned() {
                    self.run_set(&name);
                }
            }
            Happening::Ready(number) => {
                let waiting: Vec<_> = self.pods.values().filter(|pod| !crate::pod::is_ready(pod)).cloned().collect();
                if let Some(pod) = waiting.get(number % waiting.len().max(1)) {
                    self.set_ready(pod.metadata.uid.as_deref().unwrap(), true);
                }
            }
        }
    }

    /// Pods that the sets are asked to have: like upstream, the upper limit holds for what is asked for, because a pod
    /// that an old set has to delete may still be there for a moment.
    fn asked_for(&self) -> i32 {
        self.sets.values().map(|set| replica_set::desired_replicas(set)).sum()
    }

    fn ready_pods(&self) -> i32 {
        i32::try_from(self.pods.values().filter(|pod| crate::pod::is_ready(pod)).count()).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A rollout of one or two templates in any order of events, with a controller that dies between any two writes:
    /// there are never fewer ready nor more pods than promised, and in the end all pods are of the last template.
    #[test]
    fn a_rollout_keeps_its_promises_and_converges(
        replicas in 0..12_i32,
        surge in limit(),
        unavailable in limit(),
        first in prop::collection::vec(happening(), 0..40),
        second in prop::collection::vec(happening(), 0..120),
    ) {
        let mut cluster = Cluster::new(replicas, surge, unavailable);
        cluster.settle();
        let limits = limits::Limits::of(cluster.deployment.spec.as_ref().unwrap());
        for (image, happenings) in [("image:2", first), ("image:3", second)] {
            cluster.spec().template = template(image);
            for happening in happenings {
                cluster.happen(&happening);
                prop_assert!(cluster.ready_pods() >= limits.min_available(), "{:?} after {happening:?}", cluster.sizes());
                prop_assert!(cluster.asked_for() <= limits.max_total(), "{:?} after {happening:?}", cluster.sizes());
            }
        }
        cluster.settle();
        prop_assert!(cluster.pods.values().all(|pod| image_of(pod) == "image:3"));
        prop_assert_eq!(cluster.ready_pods(), replicas);
        prop_assert!(cluster.plan().is_empty(&cluster.deployment));
    }

    /// Changes of size in the middle of everything converge too.
    #[test]
    fn any_sequence_of_sizes_converges(
        sizes in prop::collection::vec((0..15_i32, prop::collection::vec(happening(), 0..15)), 1..6),
        surge in limit(),
        unavailable in limit(),
    ) {
        let mut cluster = Cluster::new(4, surge, unavailable);
        cluster.settle();
        cluster.spec().template = template("image:2");
        for (size, happenings) in &sizes {
            cluster.spec().replicas = Some(*size);
            for happening in happenings {
                cluster.happen(happening);
            }
        }
        cluster.settle();
        let last = sizes.last().unwrap().0;
        prop_assert_eq!(cluster.ready_pods(), last);
        prop_assert_eq!(cluster.pods.len(), usize::try_from(last).unwrap());
        prop_assert!(cluster.pods.values().all(|pod| image_of(pod) == "image:2"));
        prop_assert!(cluster.plan().is_empty(&cluster.deployment));
    }
}

/// The old set was shrinking towards the size that is then asked for: the rollout must go on all the same.
#[test]
fn a_size_that_a_set_has_already_does_not_stop_a_rollout() {
    let mut cluster = Cluster::new(4, "0", "50%");
    cluster.settle();
    cluster.spec().template = template("image:2");
    cluster.spec().replicas = Some(9);
    cluster.step(1);
    cluster.step(3);
    cluster.spec().replicas = Some(5);
    cluster.settle();
    assert!(cluster.pods.values().all(|pod| image_of(pod) == "image:2"), "{:?}", cluster.sizes());
    assert_eq!((cluster.ready_pods(), cluster.pods.len()), (5, 5));
}
