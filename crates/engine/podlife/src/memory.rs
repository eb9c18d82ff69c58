//! What is known about a pod besides its specification and the runtime's view: failed attempts, delays, probe results.
//!
//! All of it may be lost (a restart of the kubelet does that): the pod then continues from the runtime's view and the
//! status that the API holds.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::backoff::Backoff;

/// The pod's memory between two decisions.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    containers: BTreeMap<String, ContainerMemory>,
    pub(crate) sandbox: Option<SandboxFailure>,
    pub(crate) rejection: Option<Rejection>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ContainerMemory {
    pub(crate) restarts: Backoff,
    pub(crate) images: Backoff,
    pub(crate) failure: Option<StartFailure>,
    pub(crate) probes: Option<Probes>,
}

/// Why the pod's namespaces or volumes could not be set up, and when to try again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SandboxFailure {
    pub(crate) retry_at: Timestamp,
    failures: u32,
}

/// The node refuses the pod for good.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// CamelCase word, such as `OutOfcpu`.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// Why a container could not be started.
#[derive(Clone, Debug, PartialEq)]
pub struct StartFailure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// The details, shown in the status.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// Which attempt failed.
    pub attempt: u32,
}

/// The kinds of failures that keep a container from starting, with the word each shows as the waiting reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The image is not here and may not be fetched (`ErrImageNeverPull`).
    ImageNeverPull,
    /// The image could not be got (`ErrImagePull`, then `ImagePullBackOff`).
    ImagePull,
    /// The image's name is no image name (`InvalidImageName`).
    InvalidImageName,
    /// A referenced object or key is missing (`CreateContainerConfigError`).
    Config,
    /// The runtime could not make it (`CreateContainerError`).
    Create,
    /// The runtime could not start its process (`RunContainerError`).
    Run,
    /// Its postStart hook failed, so it was stopped (`PostStartHookError`).
    PostStartHook,
}

impl FailureKind {
    /// The waiting reason right after the failure.
    pub fn reason(self) -> &'static str {
        match self {
            Self::ImageNeverPull => "ErrImageNeverPull",
            Self::ImagePull => "ErrImagePull",
            Self::InvalidImageName => "InvalidImageName",
            Self::Config => "CreateContainerConfigError",
            Self::Create => "CreateContainerError",
            Self::Run => "RunContainerError",
            Self::PostStartHook => "PostStartHookError",
        }
    }

    /// Whether the failure left a container behind that counts as an attempt.
    pub(crate) fn counts_as_attempt(self) -> bool {
        matches!(self, Self::Run | Self::PostStartHook)
    }
}

/// What the probes said about one instance of a container; `None` is "nothing yet".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probes {
    container_id: String,
    pub(crate) startup: Option<bool>,
    pub(crate) readiness: Option<bool>,
    pub(crate) liveness: Option<bool>,
}

/// Which of the three probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Has it come up? The others wait for this one.
    Startup,
    /// May it get traffic?
    Readiness,
    /// Must it be restarted?
    Liveness,
}

impl ProbeKind {
    /// The word in events and messages: `Readiness probe failed: …`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

/// How long a configuration error waits for the next try when no event comes earlier.
pub const CONFIG_RETRY: SignedDuration = SignedDuration::from_secs(10);

impl Memory {
    pub(crate) fn container(&self, name: &str) -> Option<&ContainerMemory> {
        self.containers.get(name)
    }

    fn container_mut(&mut self, name: &str) -> &mut ContainerMemory {
        self.containers.entry(name.to_owned()).or_default()
    }

    /// A container could not be started.
    pub fn start_failed(&mut self, name: &str, failure: StartFailure) {
        let container = self.container_mut(name);
        if failure.kind == FailureKind::ImagePull {
            container.images.retry(failure.at, failure.at);
        }
        container.failure = Some(failure);
    }

    /// A container was started; `previous_end` is when the attempt before it ended.
    pub fn started(&mut self, name: &str) {
        let container = self.container_mut(name);
        container.failure = None;
        container.images = Backoff::default();
    }

    /// A container that ended at `ended` is about to be started again.
    pub fn restarting(&mut self, name: &str, ended: Timestamp, now: Timestamp) {
        self.container_mut(name).restarts.retry(ended, now);
    }

    /// A probe has passed its threshold, in either direction. True if that is news.
    pub fn probed(&mut self, name: &str, container_id: &str, kind: ProbeKind, healthy: bool) -> bool {
        let container = self.container_mut(name);
        if container.probes.as_ref().is_none_or(|probes| probes.container_id != container_id) {
            container.probes = Some(Probes { container_id: container_id.to_owned(), ..Probes::default() });
        }
        let Some(probes) = &mut container.probes else { return false };
        let slot = match kind {
            ProbeKind::Startup => &mut probes.startup,
            ProbeKind::Readiness => &mut probes.readiness,
            ProbeKind::Liveness => &mut probes.liveness,
        };
        let news = *slot != Some(healthy);
        *slot = Some(healthy);
        news
    }

    /// What the probes said about this very instance.
    pub(crate) fn probes(&self, name: &str, container_id: &str) -> Option<&Probes> {
        self.containers.get(name)?.probes.as_ref().filter(|probes| probes.container_id == container_id)
    }

    /// A referenced object has changed, or an image was imported: failures that this may have cured are tried at once.
    pub fn references_changed(&mut self) {
        for container in self.containers.values_mut() {
            let curable = |failure: &StartFailure| !failure.kind.counts_as_attempt();
            if container.failure.as_ref().is_some_and(curable) {
                container.failure = None;
            }
        }
        self.sandbox = None;
    }

    /// The namespaces, the network or the volumes of the pod could not be set up.
    pub fn sandbox_failed(&mut self, now: Timestamp) {
        let failures = self.sandbox.as_ref().map_or(0, |failure| failure.failures);
        let delay = SignedDuration::from_millis(500 << failures.min(7));
        self.sandbox = Some(SandboxFailure {
            retry_at: now.saturating_add(delay).unwrap_or(Timestamp::MAX),
            failures: failures + 1,
        });
    }

    /// The namespaces and volumes of the pod are there.
    pub fn sandbox_ready(&mut self) {
        self.sandbox = None;
    }

    /// The node refuses the pod: it fails and nothing of it runs.
    pub fn reject(&mut self, rejection: Rejection) {
        self.rejection.get_or_insert(rejection);
    }
}
