//! What users should know of pods and pod templates that are valid.

use std::collections::{HashMap, HashSet};

use minato_quantity::Quantity;
use serde_json::Value;

use crate::path::At;
use crate::read::Read;
use crate::resources::quantity_of;
use crate::seen::Seen;
use crate::volume_claim;
use crate::warnings::{Warnings, node_expressions, old_node_label};

/// With how many of the same ports a port is compared.
const REPEATS_MAX: usize = 16;
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const NO_SELECTOR: &str = "a null labelSelector results in matching no pod";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

const OLD_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];

/// Volume sources that are on their way out: name, name in the path, text.
const OLD_VOLUMES: [(&str, &str, &str); 9] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// What is said of a pod.
pub(crate) fn pod(pod: &Value, warnings: &mut Warnings) {
    whole(pod, &At::Root, false, warnings);
}

/// What is said of a template `{metadata, spec}`.
pub(crate) fn template(template: &Value, at: &At<'_>, warnings: &mut Warnings) {
    whole(template, at, true, warnings);
}

fn whole(pod: &Value, at: &At<'_>, is_template: bool, warnings: &mut Warnings) {
    let (metadata, spec) = (pod.or_null("metadata"), pod.or_null("spec"));
    let spec_at = at.field("spec");
    let metadata_at = at.field("metadata");
    let annotations_at = metadata_at.field("annotations");
    let annotations = metadata.or_null("annotations");
    scheduling(spec, &spec_at, warnings);
    for (key, text) in OLD_ANNOTATIONS {
        if annotations.has(key) {
            warnings.push(&annotations_at.key(key), text);
        }
    }
    volumes(spec, &spec_at.field("volumes"), warnings);
    repeats(spec, &spec_at, warnings);
    fractions(spec.or_null("overhead"), &spec_at.field("overhead"), warnings);
    if annotations.as_object().is_some_and(|annotations| !annotations.is_empty()) {
        profiles(spec, annotations, is_template, &annotations_at, warnings);
    }
    each_container(spec, &spec_at, &mut |container, at| {
        let at_resources = at.field("resources");
        let resources = container.or_null("resources");
        for list in ["limits", "requests"] {
            fractions(resources.or_null(list), &at_resources.field(list), warnings);
        }
        variables(container, &at.field("env"), warnings);
    });
    ports(spec, &spec_at, warnings);
    if spec.int("terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        let text = "must be >= 0; negative values are invalid and will be treated as 1";
        warnings.push(&spec_at.field("terminationGracePeriodSeconds"), text);
    }
    if let Some(affinity) = spec.at("affinity") {
        pod_affinity(affinity, &spec_at.field("affinity"), warnings);
    }
}

/// Visits all containers of all sorts, as the API does: init containers first.
fn each_container<'a>(spec: &'a Value, at: &At<'_>, visit: &mut dyn FnMut(&'a Value, &At<'_>)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let at = at.field(list);
        for (index, container) in spec.list(list).iter().enumerate() {
            visit(container, &at.index(index));
        }
    }
}

fn scheduling(spec: &Value, at: &At<'_>, warnings: &mut Warnings) {
    for (key, _) in spec.map("nodeSelector").into_iter().flatten() {
        if let Some(text) = old_node_label(key) {
            warnings.push(&at.field("nodeSelector").key(key), text);
        }
    }
    if let Some(affinity) = spec.or_null("affinity").at("nodeAffinity") {
        let at = at.field("affinity");
        let at = at.field("nodeAffinity");
        let terms_at = at.field(REQUIRED);
        let terms_at = terms_at.field("nodeSelectorTerms");
        for (index, term) in affinity.or_null(REQUIRED).list("nodeSelectorTerms").iter().enumerate() {
            node_expressions(term, "matchExpressions", &terms_at.index(index), warnings);
        }
        let terms_at = at.field(PREFERRED);
        for (index, term) in affinity.list(PREFERRED).iter().enumerate() {
            let at = terms_at.index(index);
            node_expressions(term.or_null("preference"), "matchExpressions", &at.field("preference"), warnings);
        }
    }
    let at = at.field("topologySpreadConstraints");
    for (index, constraint) in spec.list("topologySpreadConstraints").iter().enumerate() {
        let at = at.index(index);
        let key = constraint.text("topologyKey");
        if let Some(text) = old_node_label(key) {
            warnings.push(&at.field("topologyKey"), format_args!("{key} is {text}"));
        }
        if !constraint.has("labelSelector") {
            warnings.push(&at.field("labelSelector"), NO_SELECTOR);
        }
    }
}

fn pod_affinity(affinity: &Value, at: &At<'_>, warnings: &mut Warnings) {
    for name in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = affinity.at(name) else { continue };
        let at = at.field(name);
        let terms_at = at.field(REQUIRED);
        for (index, term) in affinity.list(REQUIRED).iter().enumerate() {
            if !term.has("labelSelector") {
                warnings.push(&terms_at.index(index).field("labelSelector"), NO_SELECTOR);
            }
        }
        let terms_at = at.field(PREFERRED);
        for (index, term) in affinity.list(PREFERRED).iter().enumerate() {
            if !term.or_null("podAffinityTerm").has("labelSelector") {
                let at = terms_at.index(index);
                warnings.push(&at.field("podAffinityTerm").field("labelSelector"), NO_SELECTOR);
            }
        }
    }
}

fn volumes(spec: &Value, at: &At<'_>, warnings: &mut Warnings) {
    let volumes = spec.list("volumes");
    let mut tokens = HashSet::new();
    for (index, volume) in volumes.iter().enumerate() {
        let at = at.index(index);
        for (name, source) in volume.as_object().into_iter().flatten() {
            let old = OLD_VOLUMES.iter().find(|(old, ..)| old == name && !source.is_null());
            if let Some((_, shown, text)) = old {
                warnings.push(&at.field(shown), text);
            }
        }
        if let Some(template) = volume.or_null("ephemeral").at("volumeClaimTemplate") {
            let at = at.field("ephemeral");
            let at = at.field("volumeClaimTemplate");
            volume_claim::warn(template.or_null("spec"), &at.field("spec"), warnings);
        }
        let sources = volume.or_null("projected").list("sources").iter();
        tokens.extend(sources.filter_map(|source| Some(source.at("serviceAccountToken")?.text("path"))));
    }
    if tokens.is_empty() {
        return;
    }
    for (index, volume) in volumes.iter().enumerate() {
        let at = at.index(index);
        let at = at.field("projected");
        let at = at.field("sources");
        for source in volume.or_null("projected").list("sources") {
            let mut again = |path: &str, at: &At<'_>| {
                if tokens.contains(path) {
                    warnings.push(at, format_args!("has duplicated path with ServiceAccountToken {path:?}"));
                }
            };
            for (kind, shown) in [("configMap", "configMap"), ("secret", "secrets"), ("downwardAPI", "downwardAPI")] {
                let at = at.field(shown);
                for (index, item) in source.or_null(kind).list("items").iter().enumerate() {
                    again(item.text("path"), &at.index(index));
                }
            }
            if let Some(bundle) = source.at("clusterTrustBundle") {
                again(bundle.text("path"), &at.field("ClusterTrustBundle"));
            }
        }
    }
}

/// Entries of lists that should be unique.
fn repeats(spec: &Value, at: &At<'_>, warnings: &mut Warnings) {
    for (list, key) in [("hostAliases", "ip"), ("imagePullSecrets", "name")] {
        let at = at.field(list);
        let entries = spec.list(list);
        let mut seen = Seen::new();
        for (index, entry) in entries.iter().enumerate() {
            let value = entry.text(key);
            if seen.again(value) {
                warnings.push(&at.index(index).field(key), format_args!("duplicate {key} {value:?}"));
            }
        }
    }
    let at = at.field("imagePullSecrets");
    for (index, entry) in spec.list("imagePullSecrets").iter().enumerate() {
        if entry.text("name").is_empty() {
            warnings.push(&at.index(index).field("name"), "invalid empty name \"\"");
        }
    }
}

/// Warns of a fraction of a byte.
pub(crate) fn fraction(amount: Option<Quantity>, at: &At<'_>, warnings: &mut Warnings) {
    if let Some(amount) = amount.filter(|amount| amount.milli_value() % 1000 != 0) {
        let shown = amount.to_string();
        warnings.push(at, format_args!("fractional byte value {shown:?} is invalid, must be an integer"));
    }
}

fn fractions(amounts: &Value, at: &At<'_>, warnings: &mut Warnings) {
    for name in ["memory", "ephemeral-storage"] {
        fraction(quantity_of(amounts, name), &at.key(name), warnings);
    }
}

/// Annotations that were security profiles, where the field that took their place is not set.
fn profiles(spec: &Value, annotations: &Value, is_template: bool, at: &At<'_>, warnings: &mut Warnings) {
    const SECCOMP: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
    const PROFILE: &str = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
    let of_pod = spec.or_null("securityContext");
    if !of_pod.has("seccompProfile") && annotations.has(SECCOMP_POD) {
        warnings.push(&at.key(SECCOMP_POD), SECCOMP);
    }
    each_container(spec, &At::Root, &mut |container, _| {
        let own = container.or_null("securityContext");
        let key = format!("{SECCOMP_CONTAINER}{}", container.text("name"));
        if !own.has("seccompProfile") && annotations.has(&key) {
            warnings.push(&at.key(&key), SECCOMP);
        }
        let key = format!("{APP_ARMOR}{}", container.text("name"));
        let has_profile = of_pod.has("appArmorProfile") || own.has("appArmorProfile");
        if is_template && !has_profile && annotations.has(&key) {
            warnings.push(&at.key(&key), PROFILE);
        }
    });
}

/// Variables that are defined again without building on their former value.
fn variables(container: &Value, at: &At<'_>, warnings: &mut Warnings) {
    let variables = container.list("env");
    let mut seen = Seen::new();
    for (index, variable) in variables.iter().enumerate() {
        let name = variable.text("name");
        if !seen.again(name) {
            continue;
        }
        let reference = format!("$({name})");
        let value = variable.text("value");
        if variable.has("valueFrom") || value == reference || !value.contains(&reference) {
            let text = format_args!("hides previous definition of {name:?}, which may be dropped when using apply");
            warnings.push(&at.index(index), text);
        }
    }
}

/// A port and where it stands: in which list of containers, of which container, the how-manieth.
type Port<'a> = (&'a Value, &'static str, usize, usize);

/// The same port in several containers or twice in one.
fn ports(spec: &Value, at: &At<'_>, warnings: &mut Warnings) {
    let mut seen: HashMap<(Option<i64>, &str), Vec<Port<'_>>> = HashMap::new();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for (container, value) in spec.list(list).iter().enumerate() {
            for (index, port) in value.list("ports").iter().enumerate() {
                let list_at = at.field(list);
                let container_at = list_at.index(container);
                let ports_at = container_at.field("ports");
                let here = ports_at.index(index);
                let (host_ip, host_port) = (port.text("hostIP"), port.int("hostPort").unwrap_or(0));
                if !host_ip.is_empty() && host_port == 0 {
                    warnings.push(&here, format_args!("hostIP set without hostPort: {}", go_port(port)));
                }
                let same = seen.entry((port.int("containerPort"), port.text("protocol"))).or_default();
                // Who has the same port a thousand times learns it from the first.
                for (other, other_list, other_container, other_index) in same.iter().take(REPEATS_MAX) {
                    let there = format!("{at}.{other_list}[{other_container}].ports[{other_index}]");
                    let (other_ip, other_port) = (other.text("hostIP"), other.int("hostPort").unwrap_or(0));
                    let what = match () {
                        () if host_ip == other_ip && host_port == other_port => "duplicate",
                        () if host_port == 0 || other_port == 0 => "overlapping",
                        () if host_port == other_port && host_ip.is_empty() != other_ip.is_empty() => {
                            "dangerously ambiguous"
                        }
                        () => continue,
                    };
                    warnings.push(&here, format_args!("{what} port definition with {there}"));
                }
                same.push((port, list, container, index));
            }
        }
    }
}

/// A port as Go's `%+v` prints it.
fn go_port(port: &Value) -> String {
    format!(
        "{{Name:{} HostPort:{} ContainerPort:{} Protocol:{} HostIP:{}}}",
        port.text("name"),
        port.int("hostPort").unwrap_or(0),
        port.int("containerPort").unwrap_or(0),
        port.text("protocol"),
        port.text("hostIP"),
    )
}
