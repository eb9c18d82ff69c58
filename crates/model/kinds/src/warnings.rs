//! What users should know of an object though it is valid: `Warning` headers, which kubectl prints.

use std::fmt::Display;
use std::net::IpAddr;

use serde_json::Value;

use crate::check;
use crate::declaration::generation;
use crate::names;
use crate::path::At;
use crate::pod::warnings as pod;
use crate::read::Read;

/// More than this nobody is told of one object: answers have room for far less.
const WARNINGS_MAX: usize = 1_000;

/// The warnings gathered on a walk. Costs nothing while there are none.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Vec<String>);

impl Warnings {
    /// Says `text` of the field `at`.
    #[cold]
    pub(crate) fn push(&mut self, at: &At<'_>, text: impl Display) {
        if self.0.len() < WARNINGS_MAX {
            self.0.push(format!("{at}: {text}"));
        }
    }

    /// Says `text` of the object.
    #[cold]
    pub(crate) fn say(&mut self, text: impl Into<String>) {
        self.0.push(text.into());
    }

    pub(crate) fn into_vec(self) -> Vec<String> {
        self.0
    }
}

/// Labels of nodes that have newer names, and what is said of the old.
const OLD_NODE_LABELS: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

/// What is said of the label of a node, if it has a newer name.
pub(crate) fn old_node_label(key: &str) -> Option<&'static str> {
    OLD_NODE_LABELS.iter().find(|(old, _)| *old == key).map(|(_, text)| *text)
}

/// Warns of old labels in `holder.matchExpressions` (or a list of another name with the same shape).
pub(crate) fn node_expressions(holder: &Value, list: &str, at: &At<'_>, warnings: &mut Warnings) {
    let at = at.field(list);
    for (index, expression) in holder.list(list).iter().enumerate() {
        let key = expression.text("key");
        if let Some(text) = old_node_label(key) {
            warnings.push(&at.index(index).field("key"), format_args!("{key} is {text}"));
        }
    }
}

/// Warns of an IPv6 address that is not written as RFC 5952 has it.
pub(crate) fn address(text: &str, at: &At<'_>, warnings: &mut Warnings) {
    if let Ok(IpAddr::V6(address)) = text.parse()
        && address.to_string() != text
    {
        let canonical = address.to_string();
        warnings.push(at, format_args!("IPv6 address {text:?} should be in RFC 5952 canonical format ({canonical:?})"));
    }
}

/// Warns of an address range of IPv6 that is not written as RFC 5952 has it.
pub(crate) fn range(text: &str, at: &At<'_>, warnings: &mut Warnings) {
    if let Some((IpAddr::V6(address), length)) = check::parse_cidr(text) {
        let canonical = format!("{address}/{length}");
        if canonical != text {
            warnings.push(
                at,
                format_args!("IPv6 CIDR value {text:?} should be in RFC 5952 canonical format ({canonical:?})"),
            );
        }
    }
}

/// Warns of a name that is not a DNS label though pods get names from it.
pub(crate) fn pods_name(object: &Value, used: &str, warnings: &mut Warnings) {
    let name = object.or_null("metadata").text("name");
    let complaints = names::dns_label(name);
    if !complaints.is_empty() {
        warnings.say(format!(
            "metadata.name: this is used in {used}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            complaints.join(" ")
        ));
    }
}

/// Where pods' names and host names come from.
pub(crate) const POD_NAMES: &str = "Pod names and hostnames";

/// What is said of a controller of pods: of its name when it is new (if pods get theirs from it), of its template whenever its
/// wishes change.
pub(crate) fn controller(new: &Value, old: Option<&Value>, names_pods: bool) -> Warnings {
    let mut warnings = Warnings::default();
    if old.is_none() && names_pods {
        pods_name(new, POD_NAMES, &mut warnings);
    }
    if changes(new, old) {
        let at = At::Root.field("spec");
        pod::template(new.or_null("spec").or_null("template"), &at.field("template"), &mut warnings);
    }
    warnings
}

/// Whether the object is new or its generation went up.
pub(crate) fn changes(new: &Value, old: Option<&Value>) -> bool {
    old.is_none_or(|old| generation(new) != generation(old))
}

/// The annotation that was once the storage class of claims and volumes.
const OLD_STORAGE_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// Warns of the annotation that was once the storage class.
pub(crate) fn old_storage_class(object: &Value, warnings: &mut Warnings) {
    if object.or_null("metadata").or_null("annotations").has(OLD_STORAGE_CLASS) {
        let at = At::Root.field("metadata");
        let text = "deprecated since v1.8; use \"storageClassName\" attribute instead";
        warnings.push(&at.field("annotations").key(OLD_STORAGE_CLASS), text);
    }
}
