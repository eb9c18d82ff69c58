//! CertificateSigningRequests: kubelets' are approved by themselves, approved ones are signed, old ones go.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use minato_client::{Backoff, Informer, Next, ObjectKey, Queue};
use minato_pki::{Authority, CertificateRequest, Terms, certificate_ends};
use minato_workloads::certificate_request::{self as plan, Subject};

use crate::Context;
use crate::error::{Error, Trying as _, is_conflict, is_not_found};

const SIGNERS: [&str; 4] = [plan::CLIENT, plan::KUBELET_CLIENT, plan::KUBELET_SERVING, plan::LEGACY_UNKNOWN];

struct Worker {
    api: Api<CertificateSigningRequest>,
    reviews: Api<SubjectAccessReview>,
    requests: Informer<CertificateSigningRequest>,
    authority: Arc<Authority>,
}

pub(crate) fn start(context: &Context, authority: Option<Arc<Authority>>) {
    let Some(authority) = authority else { return };
    let requests = context.informers.of::<CertificateSigningRequest>();
    let queue: Queue<ObjectKey> = Queue::new("certificates", Backoff::default());
    let scope = context.scope.clone();
    let worker = Arc::new(Worker {
        api: Api::all(context.client.clone()),
        reviews: Api::all(context.client.clone()),
        requests: requests.clone(),
        authority,
    });
    context.scope.spawn("certificates", async move {
        tokio::select! {
            () = scope.cancelled() => return,
            () = requests.synced() => {}
        }
        let changed = queue.clone();
        requests.on_change(move |change| {
            if let Some(request) = &change.after {
                changed.add(ObjectKey::of(&request.metadata));
            }
        });
        queue.work(&scope, 1, move |key| {
            let worker = Arc::clone(&worker);
            async move { worker.look(&key).await }
        });
    });
}

impl Worker {
    async fn look(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(request) = self.requests.get(key) else { return Ok(Next::Done) };
        let ends = request.status.as_ref().and_then(|status| certificate_ends(&status.certificate.as_ref()?.0));
        let now = Timestamp::now();
        let expires = plan::expires(&request, ends);
        if expires.is_some_and(|expires| expires <= now) {
            return match self.api.delete(&key.name, &DeleteParams::default()).await {
                Err(error) if !is_not_found(&error) => {
                    Err(error).trying(|| format!("delete certificate signing request {}", key.name))
                }
                _ => Ok(Next::Done),
            };
        }
        let parsed = CertificateRequest::parse(&request.spec.request.0);
        let written = match &parsed {
            Ok(parsed) if plan::awaits_approval(&request) => self.approve(&request, parsed).await?,
            parsed if plan::awaits_certificate(&request) && SIGNERS.contains(&request.spec.signer_name.as_str()) => {
                self.sign(&request, parsed.as_ref().map_err(ToString::to_string)).await?
            }
            _ => None,
        };
        if let Some(written) = written {
            self.requests.observe(written);
        }
        // Long waits are cut: the clock may be set.
        let wait = expires.map(|expires| expires.duration_since(now).unsigned_abs().min(Duration::from_secs(3600)));
        Ok(wait.map_or(Next::Done, Next::After))
    }

    async fn approve(
        &self,
        request: &CertificateSigningRequest,
        parsed: &CertificateRequest,
    ) -> Result<Option<CertificateSigningRequest>, Error> {
        for recognition in plan::recognitions(request, &subject_of(parsed)) {
            if !self.may_create(request, recognition.subresource).await? {
                continue;
            }
            let approved = with_condition(request, "Approved", "AutoApproved", recognition.message);
            let name = request.metadata.name.as_deref().unwrap_or_default();
            let parameters = PostParams::default();
            return settled(self.api.replace_subresource("approval", name, &parameters, &approved).await)
                .trying(|| format!("approve certificate signing request {name}"));
        }
        Ok(None)
    }

    /// Whether the request's user may create this kind of request.
    async fn may_create(&self, request: &CertificateSigningRequest, subresource: &str) -> Result<bool, Error> {
        let spec = &request.spec;
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: spec.username.clone(),
                uid: spec.uid.clone(),
                groups: spec.groups.clone(),
                extra: spec.extra.clone(),
                resource_attributes: Some(ResourceAttributes {
                    group: Some("certificates.k8s.io".to_owned()),
                    resource: Some("certificatesigningrequests".to_owned()),
                    verb: Some("create".to_owned()),
                    subresource: Some(subresource.to_owned()),
                    version: Some("*".to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = self.reviews.create(&PostParams::default(), &review).await;
        let answer = answer.trying(|| format!("ask what {:?} may do", spec.username))?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    async fn sign(
        &self,
        request: &CertificateSigningRequest,
        parsed: Result<&CertificateRequest, String>,
    ) -> Result<Option<CertificateSigningRequest>, Error> {
        let usages = request.spec.usages.as_deref().unwrap_or_default();
        let signed = parsed.and_then(|parsed| {
            if let Some(why) = plan::refusal(&request.spec.signer_name, &subject_of(parsed), usages) {
                return Err(why);
            }
            let (not_before, not_after) = plan::validity(request.spec.expiration_seconds, Timestamp::now());
            let terms = Terms { usages, not_before, not_after };
            self.authority.sign(parsed, &terms).map_err(|error| error.to_string())
        });
        let updated = match signed {
            Ok(certificate) => {
                let mut signed = request.clone();
                signed.status.get_or_insert_default().certificate = Some(ByteString(certificate.into_bytes()));
                signed
            }
            Err(why) => with_condition(request, "Failed", "SignerValidationFailure", &why),
        };
        let name = request.metadata.name.as_deref().unwrap_or_default();
        settled(self.api.replace_status(name, &PostParams::default(), &updated).await)
            .trying(|| format!("sign certificate signing request {name}"))
    }
}

/// Lost races are no errors: the watch brings what is there now.
fn settled(
    written: Result<CertificateSigningRequest, kube::Error>,
) -> Result<Option<CertificateSigningRequest>, kube::Error> {
    match written {
        Ok(written) => Ok(Some(written)),
        Err(error) if is_conflict(&error) || is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn subject_of(request: &CertificateRequest) -> Subject {
    Subject {
        common_name: request.common_name.clone(),
        organizations: request.organizations.clone(),
        dns_names: request.dns_names.len(),
        ip_addresses: request.ip_addresses.len(),
        has_email_addresses: request.has_email_addresses,
        has_uris: request.has_uris,
    }
}

fn with_condition(
    request: &CertificateSigningRequest,
    kind: &str,
    reason: &str,
    message: &str,
) -> CertificateSigningRequest {
    let mut changed = request.clone();
    let status: &mut CertificateSigningRequestStatus = changed.status.get_or_insert_default();
    let now = Time(Timestamp::now());
    status.conditions.get_or_insert_default().push(CertificateSigningRequestCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_update_time: Some(now.clone()),
        last_transition_time: Some(now),
    });
    changed
}
