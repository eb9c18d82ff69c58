//! Authorisation: an ordered list of authorisers, of which the first that has an opinion decides.
//!
//! Members of `system:masters` may do everything, whatever the list says. [`Authorizer::decide`] is what requests use;
//! [`Authorizer::allows`] is for callers that only want to know, such as admission and access reviews of many things.

mod config;
mod node;
mod selector;
mod webhook;

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::FutureExt as _;
use minato_mvcc::Memory;

use self::node::NodeAuthorizer;
use crate::identity::{MASTERS, User};
use crate::rbac::{Rbac, Rule, everything};
use webhook::Webhook;

pub use config::{AuthorizationError, AuthorizationMode};
pub(crate) use selector::{Selector, SelectorRequirement, Selectors, parse_fields, parse_labels};
pub use webhook::{FailurePolicy, WebhookOptions};

/// What somebody wants to do.
#[derive(Clone, Debug)]
pub(crate) enum Action<'a> {
    /// Something with a resource.
    Resource(ResourceAction<'a>),
    /// A verb on another path.
    Path { verb: &'a str, path: &'a str },
}

/// A verb on a resource.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResourceAction<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    /// Empty where the asker did not say.
    pub(crate) version: &'a str,
    pub(crate) resource: &'a str,
    /// Empty where there is none.
    pub(crate) subresource: &'a str,
    /// Empty at cluster scope or over all namespaces.
    pub(crate) namespace: &'a str,
    /// Empty for lists and creations.
    pub(crate) name: &'a str,
    /// What a list, watch or deletion of many is limited to (KEP-4601).
    pub(crate) selectors: Selectors<'a>,
}

/// Why an authoriser decides as it does; shown by access reviews and in refusals.
pub(crate) type Reason = Arc<str>;

/// What an authoriser says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Yes; nobody else is asked.
    Allow(Option<Reason>),
    /// No; nobody else is asked.
    Deny(Option<Reason>),
    /// The next one is asked; where there is none, it is no.
    NoOpinion(Option<Reason>),
}

impl Decision {
    pub(crate) fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Allow(reason) | Self::Deny(reason) | Self::NoOpinion(reason) => reason.as_deref().unwrap_or_default(),
        }
    }
}

/// An authoriser that decides by what is in memory.
pub(crate) trait Authorize: Send + Sync {
    /// Whether `user` may do `action`.
    fn decide(&self, user: &User, action: &Action<'_>) -> Decision;
}

/// One entry of the list.
enum Mode {
    /// Decides at once: the Node authoriser, and whatever else needs nothing but memory.
    Local(Box<dyn Authorize>),
    /// Roles and bindings.
    Rbac,
    /// Somebody else.
    Webhook(Box<Webhook>),
}

/// Everything, or nothing, is allowed.
struct Always(bool);

impl Authorize for Always {
    fn decide(&self, _: &User, _: &Action<'_>) -> Decision {
        if self.0 { Decision::Allow(None) } else { Decision::NoOpinion(Some("Everything is forbidden.".into())) }
    }
}

/// The list.
pub(crate) struct Authorizer {
    /// Read again when its file changes.
    modes: ArcSwap<Vec<Mode>>,
    rbac: Rbac,
}

impl Authorizer {
    pub(crate) fn new(memory: &Memory, modes: &[AuthorizationMode]) -> Result<Self, AuthorizationError> {
        let modes = ArcSwap::from_pointee(Self::list(memory, modes)?);
        Ok(Self { modes, rbac: Rbac::new(memory.clone()) })
    }

    /// Asks these from now on.
    pub(crate) fn configure(&self, memory: &Memory, modes: &[AuthorizationMode]) -> Result<(), AuthorizationError> {
        self.modes.store(Arc::new(Self::list(memory, modes)?));
        Ok(())
    }

    fn list(memory: &Memory, modes: &[AuthorizationMode]) -> Result<Vec<Mode>, AuthorizationError> {
        let mode = |mode: &AuthorizationMode| {
            Ok(match mode {
                AuthorizationMode::AlwaysAllow => Mode::Local(Box::new(Always(true))),
                AuthorizationMode::AlwaysDeny => Mode::Local(Box::new(Always(false))),
                AuthorizationMode::Node => Mode::Local(Box::new(NodeAuthorizer::new(memory.clone()))),
                AuthorizationMode::Rbac => Mode::Rbac,
                AuthorizationMode::Webhook(options) => {
                    Mode::Webhook(Box::new(Webhook::new((**options).clone(), memory.clone())?))
                }
            })
        };
        modes.iter().map(mode).collect()
    }

    /// Asks the list.
    pub(crate) async fn decide(&self, user: &User, action: &Action<'_>) -> Decision {
        if user.in_group(MASTERS) {
            return Decision::Allow(None);
        }
        let mut reasons = Vec::new();
        let modes = self.modes.load();
        for mode in modes.iter() {
            let decision = match mode {
                Mode::Local(authorizer) => authorizer.decide(user, action),
                Mode::Rbac => self.rbac.decide(user, action),
                Mode::Webhook(webhook) => webhook.decide(user, action).await,
            };
            match decision {
                Decision::NoOpinion(reason) => reasons.extend(reason),
                decided => return decided,
            }
        }
        no_opinion(&reasons)
    }

    /// Whether the list allows `action`.
    pub(crate) fn allows(&self, user: &User, action: &Action<'_>) -> bool {
        self.decide_now(user, action).is_allowed()
    }

    /// Asks the list from where nothing can be awaited; a webhook in it makes this thread wait.
    pub(crate) fn decide_now(&self, user: &User, action: &Action<'_>) -> Decision {
        if self.modes.load().iter().any(|mode| matches!(mode, Mode::Webhook(_))) {
            let runtime = tokio::runtime::Handle::current();
            return tokio::task::block_in_place(|| runtime.block_on(self.decide(user, action)));
        }
        // Without a webhook nothing is waited for, and the first look has the answer.
        self.decide(user, action).now_or_never().unwrap_or(Decision::NoOpinion(None))
    }

    /// The rules that `user` has in `namespace`, for a rules review.
    pub(crate) fn rules(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let mut rules = self.rbac.rules(user, namespace);
        if user.in_group(MASTERS) {
            rules.extend(everything());
        }
        rules
    }

    /// Roles and bindings alone, for the checks of what one may grant.
    pub(crate) fn rbac(&self) -> &Rbac {
        &self.rbac
    }
}

/// The reasons of all that had no opinion, as one.
fn no_opinion(reasons: &[Reason]) -> Decision {
    Decision::NoOpinion(match reasons {
        [] => None,
        [one] => Some(Arc::clone(one)),
        many => Some(many.join("\n").into()),
    })
}

/// What a refused user reads.
pub(crate) fn refusal(user: &User, action: &Action<'_>, reason: &str) -> String {
    let mut text = match action {
        Action::Path { verb, path } => format!("User {:?} cannot {verb} path {path:?}", user.name),
        Action::Resource(action) => {
            let resource = if action.subresource.is_empty() {
                action.resource.to_owned()
            } else {
                format!("{}/{}", action.resource, action.subresource)
            };
            let place = if action.namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {:?}", action.namespace)
            };
            format!(
                "User {:?} cannot {} resource {resource:?} in API group {:?} {place}",
                user.name, action.verb, action.group
            )
        }
    };
    if !reason.is_empty() {
        text.push_str(": ");
        text.push_str(reason);
    }
    text
}
