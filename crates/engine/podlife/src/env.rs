//! A container's environment.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, EnvVarSource, Pod, Secret, Service};

use crate::downward::{self, DownwardError, Surroundings};
use crate::expand::expand;

/// The objects that environments and volumes refer to, all of the pod's namespace.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// Those that exist, by name.
    pub config_maps: BTreeMap<String, ConfigMap>,
    /// Those that exist, by name.
    pub secrets: BTreeMap<String, Secret>,
}

/// Why the environment cannot be built. Shown as the message of `CreateContainerConfigError`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvError {
    /// No such ConfigMap.
    #[error("configmap \"{0}\" not found")]
    ConfigMapNotFound(String),
    /// No such Secret.
    #[error("secret \"{0}\" not found")]
    SecretNotFound(String),
    /// The ConfigMap lacks the key.
    #[error("couldn't find key {key} in ConfigMap {namespace}/{name}")]
    ConfigMapKey {
        /// The missing key.
        key: String,
        /// The object's namespace.
        namespace: String,
        /// The object's name.
        name: String,
    },
    /// The Secret lacks the key.
    #[error("couldn't find key {key} in Secret {namespace}/{name}")]
    SecretKey {
        /// The missing key.
        key: String,
        /// The object's namespace.
        namespace: String,
        /// The object's name.
        name: String,
    },
    /// A field reference cannot be resolved.
    #[error(transparent)]
    Downward(#[from] DownwardError),
}

/// Builds the environment: service variables, then `envFrom`, then `env`; a later entry wins over an earlier one.
pub fn environment(
    pod: &Pod,
    container: &Container,
    references: &References,
    services: &BTreeMap<String, String>,
    surroundings: &Surroundings,
) -> Result<Vec<(String, String)>, EnvError> {
    let mut env = Ordered::default();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &source.config_map_ref {
            match references.config_maps.get(&reference.name) {
                Some(map) => {
                    for (key, value) in map.data.iter().flatten() {
                        env.set(format!("{prefix}{key}"), value.clone());
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(EnvError::ConfigMapNotFound(reference.name.clone())),
            }
        } else if let Some(reference) = &source.secret_ref {
            match references.secrets.get(&reference.name) {
                Some(secret) => {
                    for (key, value) in secret.data.iter().flatten() {
                        env.set(format!("{prefix}{key}"), String::from_utf8_lossy(&value.0).into_owned());
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(EnvError::SecretNotFound(reference.name.clone())),
            }
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = variable_value(pod, container, references, services, surroundings, &env, variable)? {
            env.set(variable.name.clone(), value);
        }
    }
    for (name, value) in services {
        if env.get(name).is_none() {
            env.set(name.clone(), value.clone());
        }
    }
    Ok(env.entries)
}

fn variable_value(
    pod: &Pod,
    container: &Container,
    references: &References,
    services: &BTreeMap<String, String>,
    surroundings: &Surroundings,
    env: &Ordered,
    variable: &EnvVar,
) -> Result<Option<String>, EnvError> {
    let Some(source) = &variable.value_from else {
        let value = variable.value.as_deref().unwrap_or_default();
        let lookup = |name: &str| env.get(name).or_else(|| services.get(name).map(String::as_str));
        return Ok(Some(expand(value, lookup)));
    };
    if let Some(field) = &source.field_ref {
        return Ok(Some(downward::field(pod, surroundings, &field.field_path)?));
    }
    if let Some(selector) = &source.resource_field_ref {
        let named = match selector.container_name.as_deref() {
            Some(name) if !name.is_empty() => downward::named_container(pod, name)?,
            _ => container,
        };
        return Ok(Some(downward::resource(named, surroundings, selector)?));
    }
    key_reference(pod, references, source)
}

fn key_reference(pod: &Pod, references: &References, source: &EnvVarSource) -> Result<Option<String>, EnvError> {
    let namespace = || pod.metadata.namespace.clone().unwrap_or_default();
    if let Some(selector) = &source.config_map_key_ref {
        let optional = selector.optional == Some(true);
        let Some(map) = references.config_maps.get(&selector.name) else {
            return if optional { Ok(None) } else { Err(EnvError::ConfigMapNotFound(selector.name.clone())) };
        };
        return match map.data.as_ref().and_then(|data| data.get(&selector.key)) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(EnvError::ConfigMapKey {
                key: selector.key.clone(),
                namespace: namespace(),
                name: selector.name.clone(),
            }),
        };
    }
    let Some(selector) = &source.secret_key_ref else { return Ok(Some(String::new())) };
    let optional = selector.optional == Some(true);
    let Some(secret) = references.secrets.get(&selector.name) else {
        return if optional { Ok(None) } else { Err(EnvError::SecretNotFound(selector.name.clone())) };
    };
    match secret.data.as_ref().and_then(|data| data.get(&selector.key)) {
        Some(value) => Ok(Some(String::from_utf8_lossy(&value.0).into_owned())),
        None if optional => Ok(None),
        None => {
            Err(EnvError::SecretKey { key: selector.key.clone(), namespace: namespace(), name: selector.name.clone() })
        }
    }
}

/// The variables for the services of a namespace: `REDIS_SERVICE_HOST`, `REDIS_PORT_6379_TCP_ADDR`, ….
/// `default/kubernetes` is always among them; the others only with `enableServiceLinks`.
pub fn service_variables<'a>(pod: &Pod, services: impl IntoIterator<Item = &'a Service>) -> BTreeMap<String, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let links = pod.spec.as_ref().and_then(|spec| spec.enable_service_links).unwrap_or(true);
    let mut own = Vec::new();
    let mut master = Vec::new();
    for service in services {
        let home = service.metadata.namespace.as_deref().unwrap_or_default();
        let name = service.metadata.name.as_deref().unwrap_or_default();
        if home == namespace && links {
            own.push(service);
        } else if home == "default" && name == "kubernetes" {
            master.push(service);
        }
    }
    let mut variables = BTreeMap::new();
    for service in master.into_iter().chain(own) {
        add_service(&mut variables, service);
    }
    variables
}

fn add_service(variables: &mut BTreeMap<String, String>, service: &Service) {
    let Some(spec) = &service.spec else { return };
    let Some(ip) = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None") else { return };
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first() else { return };
    let shout = |name: &str| name.to_uppercase().replace('-', "_");
    let prefix = shout(service.metadata.name.as_deref().unwrap_or_default());
    let address = |port: i32| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
    let mut set = |name: String, value: String| variables.insert(name, value);
    set(format!("{prefix}_SERVICE_HOST"), ip.to_owned());
    set(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
    for (index, port) in ports.iter().enumerate() {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            set(format!("{prefix}_SERVICE_PORT_{}", shout(name)), port.port.to_string());
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let scheme = protocol.to_lowercase();
        let url = format!("{scheme}://{}", address(port.port));
        if index == 0 {
            set(format!("{prefix}_PORT"), url.clone());
        }
        let link = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_uppercase());
        set(link.clone(), url);
        set(format!("{link}_PROTO"), scheme);
        set(format!("{link}_PORT"), port.port.to_string());
        set(format!("{link}_ADDR"), ip.to_owned());
    }
}

/// Names in order of first mention, each with its last value.
#[derive(Default)]
struct Ordered {
    entries: Vec<(String, String)>,
    places: BTreeMap<String, usize>,
}

impl Ordered {
    fn get(&self, name: &str) -> Option<&str> {
        self.places.get(name).map(|place| self.entries[*place].1.as_str())
    }

    fn set(&mut self, name: String, value: String) {
        match self.places.get(&name) {
            Some(place) => self.entries[*place].1 = value,
            None => {
                self.places.insert(name.clone(), self.entries.len());
                self.entries.push((name, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod() -> Pod {
        let pod =
            json!({"metadata": {"name": "p", "namespace": "n", "labels": {"app": "web"}}, "spec": {"containers": []}});
        serde_json::from_value(pod).unwrap()
    }

    fn references() -> References {
        let map = json!({"metadata": {"name": "m"}, "data": {"k": "v", "other": "$(K)"}});
        let secret = json!({"metadata": {"name": "s"}, "data": {"pw": "c2VjcmV0"}});
        References {
            config_maps: [("m".to_owned(), serde_json::from_value(map).unwrap())].into(),
            secrets: [("s".to_owned(), serde_json::from_value(secret).unwrap())].into(),
        }
    }

    fn check(container: Value, expected: Result<&[(&str, &str)], &str>) {
        let mut container = container;
        container["name"] = json!("c");
        let shown = container.to_string();
        let container: Container = serde_json::from_value(container).unwrap();
        let services = [("SVC_HOST".to_owned(), "10.43.0.1".to_owned())].into();
        let surroundings = Surroundings { pod_ips: vec!["10.42.0.2".into()], ..Surroundings::default() };
        let mut result = environment(&pod(), &container, &references(), &services, &surroundings);
        if let Ok(env) = &mut result {
            env.retain(|(name, _)| name != "SVC_HOST");
        }
        let pairs = |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let expected: Result<Vec<_>, String> = expected.map(pairs).map_err(str::to_owned);
        assert_eq!(result.map_err(|error| error.to_string()), expected, "{shown}");
    }

    #[test]
    fn variables() {
        check(json!({}), Ok(&[]));
        check(
            json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)-$(C)-$$(A)"}]}),
            Ok(&[("A", "1"), ("B", "1-$(C)-$(A)")]),
        );
        check(json!({"env": [{"name": "A", "value": "$(SVC_HOST)"}]}), Ok(&[("A", "10.43.0.1")]));
        check(json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2$(A)"}]}), Ok(&[("A", "21")]));
        check(json!({"env": [{"name": "A"}]}), Ok(&[("A", "")]));
        check(
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}}]}),
            Ok(&[("A", "web")]),
        );
        check(
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}),
            Ok(&[("A", "10.42.0.2")]),
        );
    }

    #[test]
    fn references_to_objects() {
        let key = |kind: &str, name: &str, key: &str, optional: bool| json!({"env": [{"name": "A", "valueFrom": {kind: {"name": name, "key": key, "optional": optional}}}]});
        check(key("configMapKeyRef", "m", "k", false), Ok(&[("A", "v")]));
        check(key("configMapKeyRef", "m", "x", true), Ok(&[]));
        check(key("configMapKeyRef", "m", "x", false), Err("couldn't find key x in ConfigMap n/m"));
        check(key("configMapKeyRef", "none", "x", false), Err("configmap \"none\" not found"));
        check(key("secretKeyRef", "s", "pw", false), Ok(&[("A", "secret")]));
        check(key("secretKeyRef", "s", "x", false), Err("couldn't find key x in Secret n/s"));
        check(key("secretKeyRef", "none", "x", false), Err("secret \"none\" not found"));
        check(key("secretKeyRef", "none", "x", true), Ok(&[]));
        check(
            json!({"envFrom": [{"prefix": "P_", "configMapRef": {"name": "m"}}]}),
            Ok(&[("P_k", "v"), ("P_other", "$(K)")]),
        );
        check(
            json!({"envFrom": [{"secretRef": {"name": "s"}}], "env": [{"name": "pw", "value": "x"}]}),
            Ok(&[("pw", "x")]),
        );
        check(json!({"envFrom": [{"secretRef": {"name": "none"}}]}), Err("secret \"none\" not found"));
        check(json!({"envFrom": [{"configMapRef": {"name": "none", "optional": true}}]}), Ok(&[]));
    }

    #[test]
    fn service_links() {
        let services: Vec<Service> = serde_json::from_value(json!([
            {"metadata": {"name": "kubernetes", "namespace": "default"}, "spec": {"clusterIP": "10.43.0.1", "ports": [{"name": "https", "port": 443}]}},
            {"metadata": {"name": "redis-leader", "namespace": "n"}, "spec": {"clusterIP": "10.43.0.9", "ports": [{"port": 6379, "protocol": "TCP"}]}},
            {"metadata": {"name": "headless", "namespace": "n"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}},
            {"metadata": {"name": "elsewhere", "namespace": "other"}, "spec": {"clusterIP": "10.43.0.7", "ports": [{"port": 1}]}},
        ]))
        .unwrap();
        let variables = service_variables(&pod(), &services);
        assert_eq!(variables["KUBERNETES_SERVICE_HOST"], "10.43.0.1");
        assert_eq!(variables["KUBERNETES_SERVICE_PORT_HTTPS"], "443");
        assert_eq!(variables["REDIS_LEADER_PORT"], "tcp://10.43.0.9:6379");
        assert_eq!(variables["REDIS_LEADER_PORT_6379_TCP_ADDR"], "10.43.0.9");
        assert!(!variables.keys().any(|name| name.starts_with("HEADLESS") || name.starts_with("ELSEWHERE")));
        let mut unlinked = pod();
        unlinked.spec.as_mut().unwrap().enable_service_links = Some(false);
        let variables = service_variables(&unlinked, &services);
        assert!(variables.keys().all(|name| name.starts_with("KUBERNETES")) && !variables.is_empty());
    }
}
