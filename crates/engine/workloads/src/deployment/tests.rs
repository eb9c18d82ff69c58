//! A small cluster in memory: the planner under test, the real ReplicaSet planner, and pods that become ready, fail or
//! end when a test says so.

mod cases;
mod properties;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{Container, PodCondition, PodSpec, PodStatus, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::*;
use crate::ownership::{controller_reference, is_controlled_by};
use crate::replica_set;

struct Cluster {
    deployment: Deployment,
    sets: BTreeMap<String, Arc<ReplicaSet>>,
    pods: BTreeMap<String, Arc<Pod>>,
    second: i64,
    serial: u64,
}

fn parse_limit(text: &str) -> IntOrString {
    text.parse().map_or_else(|_| IntOrString::String(text.to_owned()), IntOrString::Int)
}

fn template(image: &str) -> PodTemplateSpec {
    let container = Container { name: "c".to_owned(), image: Some(image.to_owned()), ..Container::default() };
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(BTreeMap::from([("app".to_owned(), "web".to_owned())])),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec { containers: vec![container], ..PodSpec::default() }),
    }
}

impl Cluster {
    fn new(replicas: i32, surge: &str, unavailable: &str) -> Self {
        let rolling = RollingUpdateDeployment {
            max_surge: Some(parse_limit(surge)),
            max_unavailable: Some(parse_limit(unavailable)),
        };
        let spec = DeploymentSpec {
            replicas: Some(replicas),
            selector: LabelSelector {
                match_labels: Some(BTreeMap::from([("app".to_owned(), "web".to_owned())])),
                ..LabelSelector::default()
            },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(rolling),
            }),
            template: template("image:1"),
            progress_deadline_seconds: Some(600),
            revision_history_limit: Some(10),
            ..DeploymentSpec::default()
        };
        let metadata = ObjectMeta {
            name: Some("web".to_owned()),
            namespace: Some("default".to_owned()),
            uid: Some("deployment".to_owned()),
            generation: Some(1),
            ..ObjectMeta::default()
        };
        let deployment = Deployment { metadata, spec: Some(spec), status: None };
        Self { deployment, sets: BTreeMap::new(), pods: BTreeMap::new(), second: 0, serial: 0 }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_000_000 + self.second).unwrap()
    }

    fn spec(&mut self) -> &mut DeploymentSpec {
        *self.deployment.metadata.generation.as_mut().unwrap() += 1;
        self.deployment.spec.as_mut().unwrap()
    }

    fn plan(&self) -> Plan {
        let sets: Vec<_> = self.sets.values().cloned().collect();
        let mut pods: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in self.pods.values() {
            let owner = crate::ownership::controller_of(&pod.metadata).unwrap();
            pods.entry(owner.uid.clone()).or_default().push(Arc::clone(pod));
        }
        plan(&Observed { deployment: &self.deployment, replica_sets: &sets, pods: &pods, now: self.now() })
    }

    /// Applies at most `limit` steps of a fresh plan (the controller may die in between), and the status after all.
    fn step(&mut self, limit: usize) {
        let plan = self.plan();
        let all = plan.steps.len();
        for step in plan.steps.into_iter().take(limit) {
            self.apply(step);
        }
        if limit >= all {
            self.deployment.status = Some(plan.status);
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Create(set) => {
                let mut set = *set;
                let name = set.metadata.name.clone().unwrap();
                assert!(!self.sets.contains_key(&name), "{name} exists");
                self.serial += 1;
                set.metadata.uid = Some(format!("set-{}", self.serial));
                set.metadata.creation_timestamp = Some(Time(self.now()));
                set.metadata.generation = Some(1);
                self.second += 1;
                self.sets.insert(name, set.into());
            }
            Step::Update { replica_set, .. } => {
                let mut set = *replica_set;
                let name = set.metadata.name.clone().unwrap();
                *set.metadata.generation.as_mut().unwrap() += 1;
                assert!(self.sets.insert(name, set.into()).is_some());
            }
            Step::Delete(set) => {
                self.sets.remove(set.metadata.name.as_deref().unwrap()).unwrap();
            }
            Step::SetRevision(revision) => {
                self.deployment.metadata.annotations.get_or_insert_default().insert(REVISION.to_owned(), revision);
            }
        }
    }

    /// Lets one ReplicaSet do its work.
    fn run_set(&mut self, name: &str) {
        let set = Arc::clone(&self.sets[name]);
        let uid = set.metadata.uid.clone().unwrap();
        let pods = |cluster: &Self| -> Vec<Arc<Pod>> {
            cluster.pods.values().filter(|pod| is_controlled_by(&pod.metadata, &uid)).cloned().collect()
        };
        let mine = pods(self);
        let plan = replica_set::plan(&replica_set::Observed {
            replica_set: &set,
            pods: &mine,
            related: &mine,
            now: self.now(),
        });
        for pod in plan.delete {
            self.pods.remove(pod.metadata.uid.as_deref().unwrap());
        }
        let owner = controller_reference("apps/v1", "ReplicaSet", &set.metadata);
        for _ in 0..plan.create {
            let template = set.spec.as_ref().unwrap().template.as_ref().unwrap();
            let mut pod = replica_set::pod_from_template(template, "default", owner.clone());
            self.serial += 1;
            let uid = format!("pod-{:05}", self.serial);
            pod.metadata.name = Some(uid.clone());
            pod.metadata.uid = Some(uid.clone());
            pod.metadata.creation_timestamp = Some(Time(self.now()));
            self.pods.insert(uid, pod.into());
        }
        let mine = pods(self);
        let (status, _) = replica_set::status(
            &replica_set::Observed { replica_set: &set, pods: &mine, related: &mine, now: self.now() },
            None,
        );
        let mut set = (*set).clone();
        set.status = Some(status);
        self.sets.insert(name.to_owned(), set.into());
    }

    fn set_ready(&mut self, uid: &str, ready: bool) {
        let since = Time(self.now());
        let pod = Arc::make_mut(self.pods.get_mut(uid).unwrap());
        pod.spec.as_mut().unwrap().node_name = Some("node".to_owned());
        pod.status = Some(PodStatus {
            phase: Some("Running".to_owned()),
            conditions: Some(vec![PodCondition {
                type_: "Ready".to_owned(),
                status: if ready { "True" } else { "False" }.to_owned(),
                last_transition_time: Some(since),
                ..PodCondition::default()
            }]),
            ..PodStatus::default()
        });
    }

    /// Everybody works, and pods for which `healthy` holds become ready, until nothing changes any more.
    fn settle_if(&mut self, healthy: impl Fn(&Pod) -> bool) {
        for _ in 0..500 {
            let before = (self.deployment.clone(), self.sets.clone(), self.pods.clone());
            self.step(usize::MAX);
            for name in self.sets.keys().cloned().collect::<Vec<_>>() {
                self.run_set(&name);
            }
            let pods: Vec<_> =
                self.pods.values().filter(|pod| !crate::pod::is_ready(pod) && healthy(pod)).cloned().collect();
            for pod in pods {
                self.set_ready(pod.metadata.uid.as_deref().unwrap(), true);
            }
            if before == (self.deployment.clone(), self.sets.clone(), self.pods.clone()) {
                return;
            }
        }
        panic!("does not settle: {:?}", self.sizes());
    }

    fn settle(&mut self) {
        self.settle_if(|_| true);
    }

    /// Revision, desired and available replicas of every set.
    fn sizes(&self) -> Vec<(i64, i32, i32)> {
        let mut sizes: Vec<_> = self
            .sets
            .values()
            .map(|set| {
                let available = set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
                (annotations::revision(set), replica_set::desired_replicas(set), available)
            })
            .collect();
        sizes.sort_unstable();
        sizes
    }

    fn reason(&self, kind: &str) -> Option<&str> {
        let conditions = self.deployment.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|condition| condition.type_ == kind)?.reason.as_deref()
    }
}

fn image_of(pod: &Pod) -> &str {
    pod.spec.as_ref().unwrap().containers[0].image.as_deref().unwrap()
}
