//! CertificateSigningRequests: which are approved by themselves, which the built-in signers sign, and when they go.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;

/// Signer of client certificates for the API server.
pub const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
/// Signer of the kubelets' client certificates.
pub const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Signer of the kubelets' serving certificates.
pub const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
/// Signer of certificates that nobody vouches for.
pub const LEGACY_UNKNOWN: &str = "kubernetes.io/legacy-unknown";

/// Longest life of a certificate, and that of one that asks for none.
const LIFE_MAX: SignedDuration = SignedDuration::from_hours(365 * 24);
/// Clocks may differ by this.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);
const KEEP_DECIDED: SignedDuration = SignedDuration::from_hours(1);
const KEEP_PENDING: SignedDuration = SignedDuration::from_hours(24);

/// What a request (PKCS #10) says of its subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The common name.
    pub common_name: String,
    /// The organisations.
    pub organizations: Vec<String>,
    /// How many alternative names of each kind it has.
    pub dns_names: usize,
    /// See [`Self::dns_names`].
    pub ip_addresses: usize,
    /// Whether there is an e-mail address.
    pub has_email_addresses: bool,
    /// Whether there is a URI.
    pub has_uris: bool,
}

/// Whether `condition` of the request is true.
#[must_use]
pub fn has(request: &CertificateSigningRequest, condition: &str) -> bool {
    let conditions = request.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|found| found.type_ == condition && found.status != "False")
}

/// Whether a signer must act: approved, neither denied nor failed, not yet signed.
#[must_use]
pub fn awaits_certificate(request: &CertificateSigningRequest) -> bool {
    let signed = request.status.as_ref().and_then(|status| status.certificate.as_ref());
    has(request, "Approved") && !has(request, "Denied") && !has(request, "Failed") && signed.is_none()
}

/// Whether nobody has decided yet.
#[must_use]
pub fn awaits_approval(request: &CertificateSigningRequest) -> bool {
    !has(request, "Approved") && !has(request, "Denied")
}

/// Why `signer` may not sign for `subject` and `usages`; `None` where it may.
#[must_use]
pub fn refusal(signer: &str, subject: &Subject, usages: &[String]) -> Option<String> {
    match signer {
        CLIENT => client_usages(usages),
        KUBELET_CLIENT => kubelet_client(subject, usages),
        KUBELET_SERVING => kubelet_serving(subject, usages),
        _ => None,
    }
}

fn client_usages(usages: &[String]) -> Option<String> {
    let allowed = ["digital signature", "key encipherment", "client auth"];
    if let Some(other) = usages.iter().find(|usage| !allowed.contains(&usage.as_str())) {
        return Some(format!("invalid usage for client certificate: {other}"));
    }
    let has = usages.iter().any(|usage| usage == "client auth");
    (!has).then(|| "missing required usage for client certificate: client auth".to_owned())
}

/// Why a request is not one of a kubelet for its client certificate.
#[must_use]
pub fn kubelet_client(subject: &Subject, usages: &[String]) -> Option<String> {
    let problem = if subject.organizations != ["system:nodes"] {
        "subject organization is not system:nodes"
    } else if subject.dns_names > 0 {
        "DNS subjectAltNames are not allowed"
    } else if subject.has_email_addresses {
        "email subjectAltNames are not allowed"
    } else if subject.ip_addresses > 0 {
        "IP subjectAltNames are not allowed"
    } else if subject.has_uris {
        "URI subjectAltNames are not allowed"
    } else if !subject.common_name.starts_with("system:node:") {
        "subject common name does not begin with system:node: "
    } else if !is_one_of(usages, &["digital signature", "client auth"]) {
        "usages did not match [client auth, digital signature] or [client auth, digital signature, key encipherment]"
    } else {
        return None;
    };
    Some(problem.to_owned())
}

fn kubelet_serving(subject: &Subject, usages: &[String]) -> Option<String> {
    let problem = if subject.organizations != ["system:nodes"] {
        "subject organization is not system:nodes"
    } else if subject.dns_names + subject.ip_addresses == 0 {
        "DNS or IP subjectAltName is required"
    } else if subject.has_email_addresses {
        "email subjectAltNames are not allowed"
    } else if subject.has_uris {
        "URI subjectAltNames are not allowed"
    } else if !is_one_of(usages, &["digital signature", "server auth"]) {
        "usages did not match [digital signature, server auth] or [digital signature, key encipherment, server auth]"
    } else if !subject.common_name.starts_with("system:node:") {
        "subject common name does not begin with system:node: "
    } else {
        return None;
    };
    Some(problem.to_owned())
}

/// Exactly `wanted`, with or without key encipherment.
fn is_one_of(usages: &[String], wanted: &[&str]) -> bool {
    let others: Vec<&str> = usages.iter().map(String::as_str).filter(|usage| *usage != "key encipherment").collect();
    others.len() == wanted.len() && wanted.iter().all(|usage| others.contains(usage))
}

/// A way in which a kubelet's request is approved by itself: what its user must be allowed to create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recognition {
    /// The subresource of `certificatesigningrequests`.
    pub subresource: &'static str,
    /// What the approval says.
    pub message: &'static str,
}

/// The ways in which `request` may be approved by itself, the narrower first.
#[must_use]
pub fn recognitions(request: &CertificateSigningRequest, subject: &Subject) -> Vec<Recognition> {
    let usages = request.spec.usages.as_deref().unwrap_or_default();
    if request.spec.signer_name != KUBELET_CLIENT || kubelet_client(subject, usages).is_some() {
        return Vec::new();
    }
    let own = Recognition {
        subresource: "selfnodeclient",
        message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
    };
    let any = Recognition {
        subresource: "nodeclient",
        message: "Auto approving kubelet client certificate after SubjectAccessReview.",
    };
    if request.spec.username.as_deref() == Some(&subject.common_name) { vec![own, any] } else { vec![any] }
}

/// From when until when a certificate that is signed `now` is valid.
#[must_use]
pub fn validity(expiration_seconds: Option<i32>, now: Timestamp) -> (Timestamp, Timestamp) {
    let asked = expiration_seconds.map(|seconds| SignedDuration::from_secs(seconds.into()));
    let life = asked.unwrap_or(LIFE_MAX).clamp(SignedDuration::from_mins(10), LIFE_MAX);
    (now - BACKDATE, now + life)
}

/// When a request is deleted, given the end of the certificate that it has, if any.
#[must_use]
pub fn expires(request: &CertificateSigningRequest, certificate_ends: Option<Timestamp>) -> Option<Timestamp> {
    let created = request.metadata.creation_timestamp.as_ref()?.0;
    let conditions = || request.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let since = |kind: &str| {
        let times = conditions().filter(|condition| condition.type_ == kind);
        times.filter_map(|condition| condition.last_update_time.as_ref().map(|time| time.0)).max().unwrap_or(created)
    };
    let signed = request.status.as_ref().is_some_and(|status| status.certificate.is_some());
    let by_state = if has(request, "Denied") {
        since("Denied") + KEEP_DECIDED
    } else if has(request, "Failed") {
        since("Failed") + KEEP_DECIDED
    } else if has(request, "Approved") && signed {
        since("Approved") + KEEP_DECIDED
    } else if has(request, "Approved") {
        return certificate_ends;
    } else {
        created + KEEP_PENDING
    };
    Some(certificate_ends.map_or(by_state, |ends| ends.min(by_state)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node() -> Subject {
        Subject {
            common_name: "system:node:a".to_owned(),
            organizations: vec!["system:nodes".to_owned()],
            ..Subject::default()
        }
    }

    #[test]
    fn what_signers_sign() {
        let check = |signer, subject: &Subject, usages: &[&str], expected: Option<&str>| {
            let usages: Vec<String> = usages.iter().map(|usage| (*usage).to_owned()).collect();
            let refusal = refusal(signer, subject, &usages);
            assert_eq!(refusal.as_deref().map(|why| why.split(':').next().unwrap()), expected, "{signer} {usages:?}");
        };
        let alice = Subject { common_name: "alice".to_owned(), ..Subject::default() };
        check(CLIENT, &alice, &["client auth"], None);
        check(CLIENT, &alice, &["digital signature", "key encipherment", "client auth"], None);
        check(CLIENT, &alice, &["server auth"], Some("invalid usage for client certificate"));
        check(CLIENT, &alice, &["digital signature"], Some("missing required usage for client certificate"));
        check(KUBELET_CLIENT, &node(), &["client auth", "digital signature", "key encipherment"], None);
        check(KUBELET_CLIENT, &node(), &["client auth", "digital signature"], None);
        check(
            KUBELET_CLIENT,
            &node(),
            &["client auth"],
            Some(
                "usages did not match [client auth, digital signature] or [client auth, digital signature, key encipherment]",
            ),
        );
        check(KUBELET_CLIENT, &alice, &["client auth"], Some("subject organization is not system"));
        check(KUBELET_CLIENT, &Subject { dns_names: 1, ..node() }, &[], Some("DNS subjectAltNames are not allowed"));
        check(
            KUBELET_SERVING,
            &node(),
            &["server auth", "digital signature"],
            Some("DNS or IP subjectAltName is required"),
        );
        check(KUBELET_SERVING, &Subject { ip_addresses: 1, ..node() }, &["server auth", "digital signature"], None);
        check(LEGACY_UNKNOWN, &alice, &["any"], None);
    }

    #[test]
    fn when_requests_go() {
        let created: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let check = |status: serde_json::Value, ends: Option<&str>, expected: Option<&str>| {
            let request: CertificateSigningRequest = serde_json::from_value(json!({
                "metadata": {"name": "r", "creationTimestamp": created.to_string()},
                "spec": {"request": "", "signerName": CLIENT}, "status": status,
            }))
            .unwrap();
            let time = |text: &str| text.parse::<Timestamp>().unwrap();
            assert_eq!(expires(&request, ends.map(time)), expected.map(time), "{status}");
        };
        let condition =
            |kind: &str| json!([{"type": kind, "status": "True", "lastUpdateTime": "2026-01-01T02:00:00Z"}]);
        check(json!({}), None, Some("2026-01-02T00:00:00Z"));
        check(json!({"conditions": condition("Denied")}), None, Some("2026-01-01T03:00:00Z"));
        check(json!({"conditions": condition("Approved")}), None, None);
        let signed = json!({"conditions": condition("Approved"), "certificate": "AAAA"});
        check(signed.clone(), Some("2027-01-01T00:00:00Z"), Some("2026-01-01T03:00:00Z"));
        check(signed, Some("2026-01-01T02:10:00Z"), Some("2026-01-01T02:10:00Z"));
    }

    #[test]
    fn lives_are_bounded() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let minutes = |seconds| {
            let (from, until) = validity(seconds, now);
            assert_eq!(from, now - BACKDATE);
            until.duration_since(now).as_mins()
        };
        assert_eq!(minutes(None), 365 * 24 * 60);
        assert_eq!(minutes(Some(3600)), 60);
        assert_eq!(minutes(Some(1)), 10);
        assert_eq!(minutes(Some(i32::MAX)), 365 * 24 * 60);
    }
}
