//! A runtime that exists only in memory and a clock that moves when told.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use minato_podlife::{
    Action, Container, ContainerState, Decision, Exit, FailureKind, Input, Memory, Observed, Sandbox, StartFailure,
    StopCause, decide,
};
use serde_json::{Value, json};

pub(crate) struct World {
    pub(crate) pod: Pod,
    pub(crate) observed: Observed,
    pub(crate) memory: Memory,
    pub(crate) status: PodStatus,
    pub(crate) now: Timestamp,
    pub(crate) started: Vec<String>,
    pub(crate) stops: Vec<(String, i64, StopCause)>,
    pub(crate) finished: bool,
    pub(crate) fail_start: Option<FailureKind>,
    next_id: u32,
}

impl World {
    pub(crate) fn new(spec: Value) -> Self {
        let pod = json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1},
            "spec": spec,
        });
        Self {
            pod: serde_json::from_value(pod).unwrap(),
            observed: Observed::default(),
            memory: Memory::default(),
            status: PodStatus::default(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            started: Vec::new(),
            stops: Vec::new(),
            finished: false,
            fail_start: None,
            next_id: 0,
        }
    }

    pub(crate) fn decide(&self) -> Decision {
        decide(Input {
            pod: &self.pod,
            gone: false,
            previous: &self.status,
            observed: &self.observed,
            memory: &self.memory,
            host_ips: &["192.168.0.1".to_owned()],
            now: self.now,
        })
    }

    /// Decides and acts until nothing is left to do; returns when to look again.
    pub(crate) fn settle(&mut self) -> Option<Timestamp> {
        for _ in 0..50 {
            let decision = self.decide();
            self.status = decision.status;
            if decision.actions.is_empty() || self.finished {
                return decision.wake_at;
            }
            for action in decision.actions {
                self.act(action);
            }
        }
        panic!("does not settle: {:?}", self.decide());
    }

    pub(crate) fn act(&mut self, action: Action) {
        match action {
            Action::CreateSandbox => {
                self.memory.sandbox_ready();
                let ips = vec!["10.42.0.2".to_owned()];
                self.observed.sandbox = Some(Sandbox { id: "u".into(), ready: true, ips });
            }
            Action::StopSandbox => {
                assert!(!self.observed.any_running());
                if let Some(sandbox) = &mut self.observed.sandbox {
                    sandbox.ready = false;
                }
            }
            Action::Start { name, attempt, restart_of, .. } => self.start(&name, attempt, restart_of),
            Action::Stop { name, id, grace, cause } => {
                self.stops.push((name, grace.as_secs(), cause));
                let kill_at = self.now + grace;
                if let Some(container) = self.observed.containers.iter_mut().find(|container| container.id == id) {
                    assert!(container.is_running());
                    container.stopping = Some(kill_at);
                }
            }
            Action::Remove { id } => self.observed.containers.retain(|container| container.id != id),
            Action::Finish => {
                assert!(!self.observed.any_running());
                self.finished = true;
            }
        }
    }

    fn start(&mut self, name: &str, attempt: u32, restart_of: Option<Timestamp>) {
        let clash = |other: &Container| other.name == name && (other.is_running() || other.attempt == attempt);
        assert!(!self.observed.containers.iter().any(clash), "second instance of {name}");
        if let Some(ended) = restart_of {
            self.memory.restarting(name, ended, self.now);
        }
        self.next_id += 1;
        let id = format!("c{}", self.next_id);
        let started_at = self.now;
        let mut container = Container {
            id,
            name: name.to_owned(),
            attempt,
            image: "i".to_owned(),
            image_id: "sha256:1".to_owned(),
            state: ContainerState::Running { started_at },
            stopping: None,
        };
        if let Some(kind) = self.fail_start {
            let failure = StartFailure { kind, message: "why".to_owned(), at: self.now, attempt };
            self.memory.start_failed(name, failure);
            if kind != FailureKind::Run {
                return;
            }
            container.state = ContainerState::Exited(Exit {
                started_at: None,
                finished_at: self.now,
                exit_code: 128,
                oom_killed: false,
                message: Some("why".to_owned()),
                reason: Some("StartError".to_owned()),
            });
        } else {
            self.memory.started(name);
            self.started.push(name.to_owned());
        }
        self.observed.containers.push(container);
    }

    pub(crate) fn running_id(&self, name: &str) -> Option<String> {
        let mut running = self.observed.containers.iter().filter(|container| container.is_running());
        running.find(|container| container.name == name).map(|container| container.id.clone())
    }

    pub(crate) fn exit(&mut self, name: &str, exit_code: i32) {
        let now = self.now;
        let mut running = self.observed.containers.iter_mut().filter(|container| container.is_running());
        let container = running.find(|container| container.name == name).expect("it runs");
        let ContainerState::Running { started_at } = container.state else { panic!("it runs") };
        container.state = ContainerState::Exited(Exit {
            started_at: Some(started_at),
            finished_at: now,
            exit_code,
            oom_killed: exit_code == 137 && container.stopping.is_none(),
            message: None,
            reason: None,
        });
    }

    /// Lets every container that was asked to stop end.
    pub(crate) fn obey_stops(&mut self) {
        let stopping: Vec<String> = self
            .observed
            .containers
            .iter()
            .filter(|container| container.is_running() && container.stopping.is_some())
            .map(|container| container.name.clone())
            .collect();
        for name in stopping {
            self.exit(&name, 143);
        }
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    pub(crate) fn delete(&mut self, grace_seconds: i64) {
        let deadline = self.now + SignedDuration::from_secs(grace_seconds);
        self.pod.metadata.deletion_timestamp = Some(deadline.into());
        self.pod.metadata.deletion_grace_period_seconds = Some(grace_seconds);
    }

    /// Adds an ephemeral container, as `kubectl debug` does.
    pub(crate) fn debug(&mut self, name: &str) {
        let container = serde_json::from_value(json!({"name": name, "image": "i"})).unwrap();
        self.pod.spec.as_mut().unwrap().ephemeral_containers.get_or_insert_default().push(container);
    }

    pub(crate) fn phase(&self) -> &str {
        self.status.phase.as_deref().unwrap_or_default()
    }

    /// `waiting:<reason>`, `running`, `terminated:<reason>:<code>` of a container.
    pub(crate) fn state(&self, name: &str) -> String {
        let statuses = self.status.init_container_statuses.iter().flatten();
        let statuses = statuses.chain(self.status.container_statuses.iter().flatten());
        let mut statuses = statuses.chain(self.status.ephemeral_container_statuses.iter().flatten());
        let state = statuses.find(|status| status.name == name).and_then(|status| status.state.clone());
        let Some(state) = state else { return "none".to_owned() };
        if let Some(waiting) = state.waiting {
            return format!("waiting:{}", waiting.reason.unwrap_or_default());
        }
        match state.terminated {
            Some(end) => format!("terminated:{}:{}", end.reason.unwrap_or_default(), end.exit_code),
            None => "running".to_owned(),
        }
    }

    pub(crate) fn condition(&self, kind: &str) -> String {
        let mut conditions = self.status.conditions.iter().flatten();
        let condition = conditions.find(|condition| condition.type_ == kind).expect("it is there");
        match &condition.reason {
            Some(reason) => format!("{}:{reason}", condition.status),
            None => condition.status.clone(),
        }
    }
}
