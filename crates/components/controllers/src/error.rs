//! What can go wrong in a controller.

/// Why the controllers could not run, or one look at one object failed. A failed look is tried again with back-off.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API refused a request, or could not be reached.
    #[error("failed to {action}: {source}")]
    Api {
        /// What was tried, on what.
        action: String,
        /// The API's answer.
        source: kube::Error,
    },
    /// A selector that validation should have refused.
    #[error("selector of {object} is invalid: {source}")]
    Selector {
        /// Whose selector.
        object: String,
        /// What is wrong with it.
        source: minato_select::RequirementError,
    },
    /// The name that a new ReplicaSet would have is taken; the next try uses another.
    #[error("replica set {name} is another's")]
    Collision {
        /// The name.
        name: String,
    },
    /// All parts of the pod address range are given away.
    #[error("no part of {cluster} is left for node {node}")]
    NoRangeLeft {
        /// Who wants one.
        node: String,
        /// The whole range.
        cluster: String,
    },
    /// The configured pod address range is none.
    #[error("cluster_cidr: {0}")]
    ClusterCidr(#[from] minato_workloads::pod_cidr::ParseCidrError),
    /// An owner of a kind that the API does not serve (any more).
    #[error("{api_version} {kind} is not served")]
    UnknownKind {
        /// The owner's apiVersion.
        api_version: String,
        /// The owner's kind.
        kind: String,
    },
    /// Some of a namespace's content could not be deleted.
    #[error("failed to delete all content of namespace {namespace}: {}", errors.join(", "))]
    Content {
        /// Its name.
        namespace: String,
        /// What went wrong, by resource.
        errors: Vec<String>,
    },
    /// Somebody wrote the object between reading and writing.
    #[error("{object} was changed by another")]
    Overtaken {
        /// Which object.
        object: String,
    },
    /// A token could not be signed.
    #[error("failed to sign a token of service account {account}: {source}")]
    Sign {
        /// Whose token.
        account: String,
        /// What went wrong.
        source: minato_pki::TokenError,
    },
    /// The name of an ephemeral volume's claim is taken.
    #[error(transparent)]
    Ephemeral(#[from] minato_workloads::volume::EphemeralError),
    /// A task of a batch ended without an answer.
    #[error("task ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Says what an API request was for.
pub(crate) trait Trying<T> {
    fn trying(self, action: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Trying<T> for Result<T, kube::Error> {
    fn trying(self, action: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Api { action: action(), source })
    }
}

/// The API's answer, if it was one.
pub(crate) fn status_of(error: &kube::Error) -> Option<&kube::core::Status> {
    match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}

/// Whether the object is not there any more.
pub(crate) fn is_not_found(error: &kube::Error) -> bool {
    status_of(error).is_some_and(kube::core::Status::is_not_found)
}

/// Whether the name is taken.
pub(crate) fn is_already_exists(error: &kube::Error) -> bool {
    status_of(error).is_some_and(kube::core::Status::is_already_exists)
}

/// Whether somebody else wrote in between.
pub(crate) fn is_conflict(error: &kube::Error) -> bool {
    status_of(error).is_some_and(kube::core::Status::is_conflict)
}

/// Whether the namespace is being deleted, so that nothing can be created in it any more.
pub(crate) fn is_namespace_terminating(error: &kube::Error) -> bool {
    status_of(error).is_some_and(|status| {
        let causes = status.details.iter().flat_map(|details| &details.causes);
        status.is_forbidden()
            && (causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
                || status.message.contains("because it is being terminated"))
    })
}

/// The API's message, or the error's.
pub(crate) fn message_of(error: &kube::Error) -> String {
    status_of(error).map_or_else(|| error.to_string(), |status| status.message.clone())
}
