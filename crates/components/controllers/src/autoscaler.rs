//! HorizontalPodAutoscalers: asks the metrics APIs every 15 seconds, sets the scale of their targets.

mod measure;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use minato_client::{Backoff, Index, Informer, Next, ObjectKey, Queue, Recorder};
use minato_scope::Scope;
use minato_select::LabelSelector;
use minato_workloads::autoscaler::{Memory, Observed, Plan, Pods, Scale, Settings, needs_metrics, plan, without_scale};
use minato_workloads::job::Event;
use parking_lot::Mutex;

use crate::Context;
use crate::discovery::Resources;
use crate::error::{Error, Trying as _, is_conflict, is_not_found, message_of};
use crate::reconciler::Reconciler;
use measure::Measure;

/// What is known of an autoscaler between two looks.
#[derive(Clone, Default)]
struct Known {
    uid: String,
    memory: Memory,
    /// Which pods it is about.
    selector: Option<LabelSelector>,
}

#[derive(Clone)]
struct Controller {
    client: Client,
    autoscalers: Informer<HorizontalPodAutoscaler>,
    pods: Informer<Pod>,
    pods_by_namespace: Index<Pod>,
    resources: Resources,
    known: Arc<Mutex<HashMap<ObjectKey, Known>>>,
    settings: Settings,
    recorder: Recorder,
    queue: Queue<ObjectKey>,
}

pub(crate) fn start(context: &Context, resources: &Resources) {
    let pods = context.informers.of::<Pod>();
    let controller = Controller {
        client: context.client.clone(),
        autoscalers: context.informers.of(),
        pods_by_namespace: pods.by_namespace(),
        pods,
        resources: resources.clone(),
        known: Arc::default(),
        settings: Settings::default(),
        recorder: context.events.recorder("horizontal-pod-autoscaler", None),
        queue: Queue::new("horizontalpodautoscaler", Backoff::default()),
    };
    context.start(controller, context.workers);
}

/// The target of an autoscaler, with its scale.
struct Target {
    api: Api<DynamicObject>,
    name: String,
    whole: k8s_openapi::api::autoscaling::v1::Scale,
    scale: Scale,
}

impl Reconciler for Controller {
    type Key = ObjectKey;

    fn queue(&self) -> &Queue<ObjectKey> {
        &self.queue
    }

    async fn synced(&self) {
        tokio::join!(self.autoscalers.synced(), self.pods.synced());
    }

    fn listen(&self, _: &Scope) {
        let (queue, known) = (self.queue.clone(), Arc::clone(&self.known));
        self.autoscalers.on_change(move |change| match (&change.before, &change.after) {
            // What this controller writes itself is no news.
            (Some(before), Some(after)) if before.spec == after.spec && before.metadata.uid == after.metadata.uid => {}
            (_, Some(after)) => queue.add(ObjectKey::of(&after.metadata)),
            (Some(before), None) => drop(known.lock().remove(&ObjectKey::of(&before.metadata))),
            (None, None) => {}
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(autoscaler) = self.autoscalers.get(key) else {
            self.known.lock().remove(key);
            return Ok(Next::Done);
        };
        let again = Next::After(self.settings.sync_period);
        let target = match self.target(key, &autoscaler).await {
            Ok(target) => target,
            Err(error) => {
                let (status, event) = without_scale(&autoscaler, &error, Timestamp::now());
                self.tell(&autoscaler, &[event]);
                self.report(key, &autoscaler, status).await?;
                return Ok(again);
            }
        };
        let known = self.known(key, &autoscaler, &target.scale);
        let selected = self.selected(key, &target.scale);
        let (pods, problem) = match selected {
            Ok(pods) => (pods, None),
            Err(problem) => (Vec::new(), Some(problem)),
        };
        let readings = if problem.is_none() && needs_metrics(&autoscaler, &target.scale) {
            let measure = Measure { client: &self.client, resources: &self.resources, namespace: &key.namespace };
            measure.all(&autoscaler, &target.scale.selector).await
        } else {
            Vec::new()
        };
        let observed = Observed {
            autoscaler: &autoscaler,
            scale: &target.scale,
            pods: match problem {
                Some((reason, message)) => Pods::Unknown { reason, message },
                None => Pods::Measured { pods: &pods, readings: &readings },
            },
            memory: &known.memory,
            settings: &self.settings,
            now: Timestamp::now(),
        };
        let plan = self.carry_out(&target, plan(&observed), &observed).await;
        self.tell(&autoscaler, &plan.events);
        if let Some(known) = self.known.lock().get_mut(key) {
            known.memory = plan.memory;
        }
        self.report(key, &autoscaler, plan.status).await?;
        Ok(again)
    }
}

impl Controller {
    /// The target's scale, or why there is none.
    async fn target(&self, key: &ObjectKey, autoscaler: &HorizontalPodAutoscaler) -> Result<Target, String> {
        let reference = autoscaler.spec.scale_target_ref.clone();
        let version = reference.api_version.as_deref().unwrap_or_default();
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let resource = self.resource(group, &reference.kind).await?;
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &key.namespace, &resource);
        let whole = api.get_scale(&reference.name).await.map_err(|error| message_of(&error))?;
        let status = whole.status.clone().unwrap_or_default();
        let scale = Scale {
            replicas: whole.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0),
            status_replicas: status.replicas,
            selector: status.selector.unwrap_or_default(),
        };
        Ok(Target { api, name: reference.name, whole, scale })
    }

    async fn resource(&self, group: &str, kind: &str) -> Result<ApiResource, String> {
        if let Some(found) = self.resources.of_kind(group, kind) {
            return Ok(found.api);
        }
        self.resources.refresh(&self.client).await.map_err(|error| error.to_string())?;
        let found = self.resources.of_kind(group, kind);
        found.map(|found| found.api).ok_or_else(|| format!("no matches for kind {kind:?} in group {group:?}"))
    }

    /// What was remembered of the autoscaler, which is from now on about the pods of `scale`.
    fn known(&self, key: &ObjectKey, autoscaler: &HorizontalPodAutoscaler, scale: &Scale) -> Known {
        let uid = autoscaler.metadata.uid.clone().unwrap_or_default();
        let mut all = self.known.lock();
        let known = all.entry(key.clone()).or_default();
        if known.uid != uid {
            *known = Known { uid, ..Known::default() };
        }
        known.selector = LabelSelector::parse(&scale.selector).ok().filter(|_| !scale.selector.is_empty());
        known.clone()
    }

    /// The pods that the scale's selector selects, or the reason and words why they are not known.
    fn selected(&self, key: &ObjectKey, scale: &Scale) -> Result<Vec<Arc<Pod>>, (&'static str, String)> {
        if scale.selector.is_empty() {
            return Err(("InvalidSelector", "the HPA target's scale is missing a selector".to_owned()));
        }
        let selector = LabelSelector::parse(&scale.selector).map_err(|error| {
            let message = format!("couldn't convert selector into a corresponding internal selector object: {error}");
            ("InvalidSelector", message)
        })?;
        let covers = |selector: &LabelSelector, pod: &Pod| {
            selector.matches(|label| pod.metadata.labels.as_ref()?.get(label).map(String::as_str))
        };
        let mut pods = self.pods_by_namespace.get(&key.namespace);
        pods.retain(|pod| covers(&selector, pod));
        let known = self.known.lock();
        let others = known.iter().filter(|(other, _)| other.namespace == key.namespace);
        let mut claiming: Vec<String> = others
            .filter(|(_, other)| {
                other.selector.as_ref().is_some_and(|selector| pods.iter().any(|pod| covers(selector, pod)))
            })
            .map(|(other, _)| format!("{}/{}", other.namespace, other.name))
            .collect();
        if claiming.len() > 1 {
            claiming.sort();
            let message = format!(
                "pods by selector {} are controlled by multiple HPAs: [{}]",
                scale.selector,
                claiming.join(" ")
            );
            return Err(("AmbiguousSelector", message));
        }
        Ok(pods)
    }

    async fn carry_out(&self, target: &Target, plan: Plan, observed: &Observed<'_, Arc<Pod>>) -> Plan {
        let Some(rescale) = &plan.rescale else { return plan };
        let mut wanted = target.whole.clone();
        wanted.spec.get_or_insert_default().replicas = Some(rescale.replicas);
        match target.api.replace_scale(&target.name, &PostParams::default(), &wanted).await {
            Ok(_) => plan.rescaled(observed),
            Err(error) => plan.refused(observed, &message_of(&error)),
        }
    }

    fn tell(&self, autoscaler: &HorizontalPodAutoscaler, events: &[Event]) {
        for event in events {
            match event.warning {
                true => self.recorder.warning(autoscaler, &event.reason, event.message.as_str()),
                false => self.recorder.normal(autoscaler, &event.reason, event.message.as_str()),
            }
        }
    }

    async fn report(
        &self,
        key: &ObjectKey,
        autoscaler: &HorizontalPodAutoscaler,
        status: HorizontalPodAutoscalerStatus,
    ) -> Result<(), Error> {
        if autoscaler.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let renewed = HorizontalPodAutoscaler { status: Some(status), ..autoscaler.clone() };
        let api: Api<HorizontalPodAutoscaler> = Api::namespaced(self.client.clone(), &key.namespace);
        match api.replace_status(&key.name, &PostParams::default(), &renewed).await {
            Ok(written) => self.autoscalers.observe(written),
            Err(error) if is_not_found(&error) => {}
            // Somebody changed it meanwhile: it is looked at again with what it says now.
            Err(error) if is_conflict(&error) => self.queue.add(key.clone()),
            Err(error) => return Err(error).trying(|| format!("say how {key} scales")),
        }
        Ok(())
    }
}
