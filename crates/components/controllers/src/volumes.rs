//! Binds claims to volumes, and volumes to claims: carries out `minato_workloads::volume`'s plans, write by write.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::PostParams;
use kube::{Api, Client};
use minato_client::{Backoff, Index, Informer, Next, ObjectKey, Queue, Recorder};
use minato_placement::volume::{class_of_claim, class_of_volume};
use minato_scope::Scope;
use minato_workloads::protection::claims_of;
use minato_workloads::volume::{About, ClaimView, Event, Plan, VolumeView, Write, plan_claim, plan_volume};

use crate::Context;
use crate::error::{Error, Trying as _, is_conflict, is_not_found};
use crate::reconciler::Reconciler;

/// A binding takes four writes; who needs more has to wait for the next look.
const WRITES_MAX: usize = 8;
/// Marks the class of claims that name none.
const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Work {
    Claim(ObjectKey),
    Volume(ObjectKey),
}

#[derive(Clone)]
struct Binder {
    client: Client,
    pods: Informer<Pod>,
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<PersistentVolume>,
    classes: Informer<StorageClass>,
    pods_by_claim: Index<Pod>,
    /// Claims without a volume, by class.
    free_claims: Index<PersistentVolumeClaim>,
    /// Volumes without a claim, by class.
    free_volumes: Index<PersistentVolume>,
    /// Volumes by the claim that they are kept for.
    kept_volumes: Index<PersistentVolume>,
    recorder: Recorder,
    queue: Queue<Work>,
}

pub(crate) fn start(context: &Context) {
    let pods = context.informers.of::<Pod>();
    let claims = context.informers.of::<PersistentVolumeClaim>();
    let volumes = context.informers.of::<PersistentVolume>();
    let binder = Binder {
        client: context.client.clone(),
        pods_by_claim: pods.index("claim", claims_of),
        free_claims: claims.index("free by class", |claim| {
            let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
            Some(class_of_claim(claim).to_owned()).filter(|_| named.is_empty()).into_iter().collect()
        }),
        free_volumes: volumes.index("free by class", |volume| {
            let is_kept = volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_some());
            Some(class_of_volume(volume).to_owned()).filter(|_| !is_kept).into_iter().collect()
        }),
        kept_volumes: volumes
            .index("claim", |volume| kept_for(volume).map(|key| key.to_string()).into_iter().collect()),
        pods,
        claims,
        volumes,
        classes: context.informers.of::<StorageClass>(),
        recorder: context.events.recorder("persistentvolume-controller", None),
        queue: Queue::new("volume binder", Backoff::default()),
    };
    // One at a time: two claims never choose the same volume.
    context.start(binder, 1);
}

/// The claim that a volume is kept for.
fn kept_for(volume: &PersistentVolume) -> Option<ObjectKey> {
    let kept = volume.spec.as_ref()?.claim_ref.as_ref()?;
    Some(ObjectKey::new(kept.namespace.as_deref().unwrap_or_default(), kept.name.as_deref().unwrap_or_default()))
}

impl Reconciler for Binder {
    type Key = Work;

    fn queue(&self) -> &Queue<Work> {
        &self.queue
    }

    async fn synced(&self) {
        tokio::join!(self.pods.synced(), self.claims.synced(), self.volumes.synced(), self.classes.synced());
    }

    fn listen(&self, _scope: &Scope) {
        let binder = self.clone();
        self.claims.on_change(move |change| {
            let Some(claim) = change.latest() else { return };
            let key = ObjectKey::of(&claim.metadata);
            for volume in binder.kept_volumes.get(&key.to_string()) {
                binder.queue.add(Work::Volume(ObjectKey::of(&volume.metadata)));
            }
            let named = change.both().filter_map(|claim| claim.spec.as_ref()?.volume_name.as_deref());
            for named in named.filter(|named| !named.is_empty()) {
                binder.queue.add(Work::Volume(ObjectKey::cluster(named)));
            }
            binder.queue.add(Work::Claim(key));
        });
        let binder = self.clone();
        self.volumes.on_change(move |change| {
            for volume in change.both() {
                binder.queue.add(Work::Volume(ObjectKey::of(&volume.metadata)));
                match kept_for(volume) {
                    Some(claim) => binder.queue.add(Work::Claim(claim)),
                    None => binder.look_at_free_claims(class_of_volume(volume)),
                }
            }
            // Whoever names the volume, bound or not.
            if change.before.is_none() || change.after.is_none() {
                let name = change.latest().and_then(|volume| volume.metadata.name.clone());
                let names =
                    |claim: &PersistentVolumeClaim| claim.spec.as_ref().and_then(|spec| spec.volume_name.clone());
                for claim in binder.claims.list().iter().filter(|claim| names(claim) == name && name.is_some()) {
                    binder.queue.add(Work::Claim(ObjectKey::of(&claim.metadata)));
                }
            }
        });
        let binder = self.clone();
        self.classes.on_change(move |change| {
            let names = change.both().filter_map(|class| class.metadata.name.as_deref());
            for class in names.chain([""]) {
                binder.look_at_free_claims(class);
            }
        });
    }

    async fn reconcile(&self, work: &Work) -> Result<Next, Error> {
        let mut told: Vec<Event> = Vec::new();
        for _ in 0..WRITES_MAX {
            let (plan, claim, volume) = match work {
                Work::Claim(key) => {
                    let Some(claim) = self.claims.get(key) else { return Ok(Next::Done) };
                    (self.plan_claim(&claim), Some(claim), None)
                }
                Work::Volume(key) => {
                    let Some(volume) = self.volumes.get(key) else { return Ok(Next::Done) };
                    let claim = self.claim_of(&volume).await?;
                    (plan_volume(&VolumeView { volume: &volume, claim: claim.as_deref() }), claim, Some(volume))
                }
            };
            if plan.look_at_claim
                && let Some(claim) = &claim
            {
                self.queue.add(Work::Claim(ObjectKey::of(&claim.metadata)));
            }
            for event in plan.events {
                if !told.contains(&event) {
                    self.tell(&event, claim.as_deref(), volume.as_deref());
                    told.push(event);
                }
            }
            let Some(write) = plan.write else { return Ok(Next::Done) };
            if !self.carry_out(write).await? {
                return Ok(Next::Done);
            }
        }
        self.queue.add(work.clone());
        Ok(Next::Done)
    }
}

impl Binder {
    fn look_at_free_claims(&self, class: &str) {
        for claim in self.free_claims.get(class) {
            self.queue.add(Work::Claim(ObjectKey::of(&claim.metadata)));
        }
    }

    fn plan_claim(&self, claim: &PersistentVolumeClaim) -> Plan {
        let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
        let key = ObjectKey::of(&claim.metadata).to_string();
        let mut view =
            ClaimView { claim, named: None, volumes: &[], class: None, default_class: None, waiting_pods: &[] };
        if !named.is_empty() {
            let named = self.volumes.get(&ObjectKey::cluster(named));
            return plan_claim(&ClaimView { named: named.as_deref(), ..view });
        }
        let class_name = class_of_claim(claim);
        let mut volumes = self.kept_volumes.get(&key);
        volumes.extend(self.free_volumes.get(class_name));
        let class = self.classes.get(&ObjectKey::cluster(class_name));
        let default_class = self.default_class();
        let pods = self.pods_by_claim.get(&key);
        let waits = |pod: &&Arc<Pod>| {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            node.is_none_or(str::is_empty)
        };
        let mut waiting_pods: Vec<String> =
            pods.iter().filter(waits).filter_map(|pod| pod.metadata.name.clone()).collect();
        waiting_pods.sort();
        view.volumes = &volumes;
        view.class = class.as_deref();
        view.default_class = default_class.as_deref();
        view.waiting_pods = &waiting_pods;
        plan_claim(&view)
    }

    /// The newest of the classes that are marked as default.
    fn default_class(&self) -> Option<Arc<StorageClass>> {
        let is_default = |class: &Arc<StorageClass>| {
            let annotations = class.metadata.annotations.as_ref();
            let says = |key: &&str| annotations.is_some_and(|all| all.get(*key).is_some_and(|value| value == "true"));
            DEFAULT_CLASS.iter().any(says)
        };
        let marked = self.classes.list().into_iter().filter(is_default);
        marked.max_by(|a, b| {
            let (a, b) = (&a.metadata, &b.metadata);
            let made = |one: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
                one.creation_timestamp.as_ref().map(|time| time.0)
            };
            made(a).cmp(&made(b)).then_with(|| b.name.cmp(&a.name))
        })
    }

    /// The claim that a volume is bound to. Before data is given up, the API has to say that the claim is gone.
    async fn claim_of(&self, volume: &PersistentVolume) -> Result<Option<Arc<PersistentVolumeClaim>>, Error> {
        let Some(key) = kept_for(volume) else { return Ok(None) };
        let kept = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()?.uid.clone());
        let known = self.claims.get(&key);
        if kept.is_none() || known.as_ref().is_some_and(|claim| claim.metadata.uid == kept) {
            return Ok(known);
        }
        let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Released" | "Failed")) {
            return Ok(known);
        }
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &key.namespace);
        Ok(api.get_opt(&key.name).await.trying(|| format!("get claim {key}"))?.map(Arc::new))
    }

    fn tell(&self, event: &Event, claim: Option<&PersistentVolumeClaim>, volume: Option<&PersistentVolume>) {
        let message = event.message.as_str();
        match (event.about, claim, volume) {
            (About::Claim, Some(claim), _) if event.warning => self.recorder.warning(claim, event.reason, message),
            (About::Claim, Some(claim), _) => self.recorder.normal(claim, event.reason, message),
            (About::Volume, _, Some(volume)) if event.warning => self.recorder.warning(volume, event.reason, message),
            (About::Volume, _, Some(volume)) => self.recorder.normal(volume, event.reason, message),
            (About::Claim, None, _) | (About::Volume, _, None) => {}
        }
    }

    /// False if another was quicker, or the object is gone: its watch brings it back here.
    async fn carry_out(&self, write: Write) -> Result<bool, Error> {
        let how = PostParams::default();
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let claims = |claim: &PersistentVolumeClaim| -> Api<PersistentVolumeClaim> {
            Api::namespaced(self.client.clone(), claim.metadata.namespace.as_deref().unwrap_or_default())
        };
        let (key, written) = match write {
            Write::Volume(volume) => {
                let key = ObjectKey::of(&volume.metadata);
                (
                    key.clone(),
                    volumes.replace(&key.name, &how, &volume).await.map(|written| self.volumes.observe(written)),
                )
            }
            Write::VolumeStatus(volume) => {
                let key = ObjectKey::of(&volume.metadata);
                let written = volumes.replace_status(&key.name, &how, &volume).await;
                (key, written.map(|written| self.volumes.observe(written)))
            }
            Write::Claim(claim) => {
                let key = ObjectKey::of(&claim.metadata);
                let written = claims(&claim).replace(&key.name, &how, &claim).await;
                (key, written.map(|written| self.claims.observe(written)))
            }
            Write::ClaimStatus(claim) => {
                let key = ObjectKey::of(&claim.metadata);
                let written = claims(&claim).replace_status(&key.name, &how, &claim).await;
                (key, written.map(|written| self.claims.observe(written)))
            }
        };
        match written {
            Ok(()) => Ok(true),
            Err(error) if is_conflict(&error) || is_not_found(&error) => Ok(false),
            Err(error) => Err(error).trying(|| format!("bind {key}")),
        }
    }
}
