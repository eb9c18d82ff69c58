//! Which resources the API serves, as those need to know who must look at all of them.

use std::sync::Arc;

use kube::Client;
use kube::core::ApiResource;
use kube::discovery::{Discovery, Scope};
use parking_lot::RwLock;

use crate::error::{Error, Trying as _};

/// A resource in its preferred version.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resource {
    pub api: ApiResource,
    pub namespaced: bool,
    verbs: Vec<String>,
}

impl Resource {
    pub(crate) fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|found| found == verb)
    }

    /// `pods.`, `deployments.apps`: as upstream writes it in a namespace's conditions.
    pub(crate) fn full_name(&self) -> String {
        format!("{}.{}", self.api.plural, self.api.group)
    }
}

/// The last discovery; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Resources {
    known: Arc<RwLock<Arc<Vec<Resource>>>>,
}

impl Resources {
    pub(crate) fn known(&self) -> Arc<Vec<Resource>> {
        Arc::clone(&self.known.read())
    }

    /// Asks the API; whether something changed.
    pub(crate) async fn refresh(&self, client: &Client) -> Result<bool, Error> {
        let discovery = Discovery::new(client.clone()).run_aggregated().await;
        let discovery = discovery.trying(|| "discover the API's resources".to_owned())?;
        let mut found: Vec<Resource> = discovery
            .groups()
            .flat_map(kube::discovery::ApiGroup::recommended_resources)
            .map(|(api, capabilities)| Resource {
                api,
                namespaced: capabilities.scope == Scope::Namespaced,
                verbs: capabilities.operations,
            })
            .collect();
        found.sort_by_key(Resource::full_name);
        let mut known = self.known.write();
        let changed = **known != found;
        if changed {
            *known = Arc::new(found);
        }
        Ok(changed)
    }

    /// The resource of a kind, whichever version is asked for.
    pub(crate) fn of_kind(&self, group: &str, kind: &str) -> Option<Resource> {
        self.known().iter().find(|found| found.api.group == group && found.api.kind == kind).cloned()
    }
}
