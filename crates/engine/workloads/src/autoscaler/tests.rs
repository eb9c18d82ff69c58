use std::sync::Arc;

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    now().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

/// A pod that requests one processor and has run for an hour; one that is not ready never was.
fn pod(index: usize, ready: bool) -> Arc<Pod> {
    let begun = at(-3600).to_string();
    let pod = json!({
        "metadata": {"name": format!("p{index}"), "namespace": "default"},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1k"}}}]},
        "status": {"phase": "Running", "startTime": begun, "conditions": [
            {"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": begun}]},
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn measured(levels: &[i64]) -> PodMetrics {
    let metric = |value| PodMetric { value, at: now(), window: SignedDuration::from_secs(30) };
    levels.iter().enumerate().map(|(index, level)| (format!("p{index}"), metric(*level))).collect()
}

fn autoscaler(spec: Value) -> HorizontalPodAutoscaler {
    let mut whole =
        json!({"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "minReplicas": 1, "maxReplicas": 100});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({"metadata": {"name": "h", "namespace": "default"}, "spec": whole})).unwrap()
}

fn cpu(percent: i32) -> Value {
    json!([{"type": "Resource", "resource": {"name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": percent}}}])
}

struct Case {
    autoscaler: HorizontalPodAutoscaler,
    replicas: i32,
    pods: Vec<Arc<Pod>>,
    readings: Vec<Reading>,
    memory: Memory,
    now: Timestamp,
}

impl Case {
    fn new(spec: Value, replicas: i32, reading: Reading) -> Self {
        let pods = (0..usize::try_from(replicas).unwrap_or(0)).map(|index| pod(index, true)).collect();
        let autoscaler = autoscaler(spec);
        Self { autoscaler, replicas, pods, readings: vec![reading], memory: Memory::default(), now: now() }
    }

    fn with<T>(&self, run: impl FnOnce(&Observed<'_, Arc<Pod>>) -> T) -> T {
        let scale = Scale { replicas: self.replicas, status_replicas: self.replicas, selector: "app=x".to_owned() };
        run(&Observed {
            autoscaler: &self.autoscaler,
            scale: &scale,
            pods: Pods::Measured { pods: &self.pods, readings: &self.readings },
            memory: &self.memory,
            settings: &Settings::default(),
            now: self.now,
        })
    }

    fn plan(&self) -> Plan {
        self.with(|observed| plan(observed).rescaled(observed))
    }
}

fn condition<'a>(plan: &'a Plan, kind: &str) -> (&'a str, &'a str, &'a str) {
    let found = plan.status.conditions.iter().flatten().find(|condition| condition.type_ == kind).unwrap();
    (&found.status, found.reason.as_deref().unwrap(), found.message.as_deref().unwrap())
}

/// Upstream's table: replicas, readiness, levels in thousandths of a processor, target in percent; replicas, percent,
/// average.
#[test]
fn utilization() {
    let all = &[true, true, true, true, true];
    for (name, replicas, ready, levels, target, expected) in [
        ("up", 3, &all[..3], &[300, 500, 700][..], 30, (5, 50, 500)),
        ("up, unready, less", 3, &[false, true, true], &[300, 500, 700], 30, (4, 60, 600)),
        ("up, unready, none", 3, &[true, false, false], &[400, 500, 700], 30, (3, 40, 400)),
        ("down", 5, &all[..5], &[100, 300, 500, 250, 250], 50, (3, 28, 280)),
        ("missing, down", 4, &all[..4], &[400, 95], 100, (3, 24, 247)),
        ("missing, equal", 2, &all[..2], &[1000], 100, (2, 100, 1000)),
        ("missing, more", 2, &all[..2], &[1900], 100, (2, 190, 1900)),
        ("missing, less", 2, &all[..2], &[600], 100, (2, 60, 600)),
        ("missing, unready, none", 3, &[false, true, true], &[100, 450], 50, (3, 45, 450)),
        ("missing, unready, up", 3, &[false, true, true], &[100, 2000], 50, (4, 200, 2000)),
        ("missing, unready, down", 4, &[false, true, true, true], &[100, 100, 100], 50, (3, 10, 100)),
        ("within tolerance", 3, &all[..3], &[900, 1000, 1090], 100, (3, 99, 996)),
    ] {
        let reading = Reading::Pods(Ok(measured(levels)));
        let mut case = Case::new(json!({"metrics": cpu(target)}), replicas, reading);
        case.pods = ready.iter().enumerate().map(|(index, ready)| pod(index, *ready)).collect();
        let pods = &case.pods;
        let target = Target {
            pods,
            replicas,
            tolerances: Tolerances { down: 0.1, up: 0.1 },
            settings: &Settings::default(),
            now: now(),
        };
        let Reading::Pods(Ok(metrics)) = &case.readings[0] else { unreachable!() };
        let percent = case.autoscaler.spec.metrics.as_ref().unwrap()[0].resource.as_ref().unwrap();
        let used = target.by_utilization(metrics, "cpu", "", percent.target.average_utilization.unwrap()).unwrap();
        assert_eq!((used.replicas, used.percent, used.average), expected, "{name}");
    }
}

#[test]
fn processors_do_not_count_while_a_pod_starts() {
    let mut case = Case::new(json!({"metrics": cpu(30)}), 3, Reading::Pods(Ok(measured(&[300, 500, 700]))));
    for pod in &mut case.pods[..1] {
        // Ready for ten seconds: less than the window over which was measured.
        let status = Arc::make_mut(pod).status.as_mut().unwrap();
        status.start_time = Some(Time(at(-20)));
        status.conditions.as_mut().unwrap()[0].last_transition_time = Some(Time(at(-10)));
    }
    assert_eq!(case.plan().rescale.unwrap().replicas, 4);
}

#[test]
fn amounts_and_values() {
    let metric = |name: &str| json!({"name": name});
    let pods = json!([{"type": "Pods", "pods": {"metric": metric("qps"),
        "target": {"type": "AverageValue", "averageValue": "15"}}}]);
    let object = |target: Value| {
        let described = json!({"kind": "Ingress", "name": "main", "apiVersion": "networking.k8s.io/v1"});
        json!([{"type": "Object", "object": {"metric": metric("qps"), "describedObject": described, "target": target}}])
    };
    let external =
        |target: Value| json!([{"type": "External", "external": {"metric": metric("qps"), "target": target}}]);
    let value = |value: &str| json!({"type": "Value", "value": value});
    let average = |value: &str| json!({"type": "AverageValue", "averageValue": value});
    for (metrics, replicas, reading, expected, name) in [
        (pods, 3, Reading::Pods(Ok(measured(&[20_000, 10_000, 30_000]))), 4, "pods metric qps"),
        (object(value("15")), 3, Reading::Value(Ok(20_000)), 4, "qps metric"),
        (object(average("5")), 3, Reading::Value(Ok(20_000)), 4, "external metric qps(nil)"),
        (external(value("4400m")), 1, Reading::Value(Ok(8600)), 2, "external metric qps(nil)"),
        (external(average("2150m")), 3, Reading::Value(Ok(8600)), 4, "external metric qps(nil)"),
    ] {
        let plan = Case::new(json!({"metrics": metrics}), replicas, reading).plan();
        let rescale = plan.rescale.clone().unwrap();
        assert_eq!((rescale.replicas, rescale.reason.as_str()), (expected, format!("{name} above target").as_str()));
        let message = format!("the HPA was able to successfully calculate a replica count from {name}");
        assert_eq!(condition(&plan, "ScalingActive"), ("True", "ValidMetricFound", message.as_str()));
    }
}

#[test]
fn what_is_told_of_a_change() {
    let plan = Case::new(json!({"metrics": cpu(30)}), 3, Reading::Pods(Ok(measured(&[300, 500, 700])))).plan();
    let metric = "cpu resource utilization (percentage of request)";
    assert_eq!(plan.events.len(), 1);
    assert_eq!(plan.events[0].reason, "SuccessfulRescale");
    assert_eq!(plan.events[0].message, format!("New size: 5; reason: {metric} above target"));
    let message = "the HPA controller was able to update the target scale to 5";
    assert_eq!(condition(&plan, "AbleToScale"), ("True", "SucceededRescale", message));
    let message = "the desired count is within the acceptable range";
    assert_eq!(condition(&plan, "ScalingLimited"), ("False", "DesiredWithinRange", message));
    let current = plan.status.current_metrics.as_ref().unwrap()[0].resource.as_ref().unwrap();
    assert_eq!(
        (current.current.average_utilization, &*current.current.average_value.as_ref().unwrap().0),
        (Some(50), "500m")
    );
    assert_eq!((plan.status.current_replicas, plan.status.desired_replicas), (Some(3), 5));
}

#[test]
fn bounds_come_first() {
    let none = || Reading::Value(Err("not asked".to_owned()));
    for (spec, replicas, expected) in [
        (json!({"maxReplicas": 4}), 9, Some((4, "Current number of replicas above Spec.MaxReplicas"))),
        (json!({"minReplicas": 5}), 2, Some((5, "Current number of replicas below Spec.MinReplicas"))),
        (json!({}), 0, None),
    ] {
        let case = Case::new(spec, replicas, none());
        assert!(!case.with(|observed| needs_metrics(observed.autoscaler, observed.scale)));
        let plan = case.plan();
        let rescale = plan.rescale.as_ref().map(|rescale| (rescale.replicas, rescale.reason.as_str()));
        assert_eq!(rescale, expected);
    }
}

#[test]
fn without_metrics_nothing_is_done() {
    let error = "unable to fetch metrics from resource metrics API: the server could not find the requested resource";
    let plan = Case::new(json!({"metrics": cpu(30)}), 3, Reading::Pods(Err(error.to_owned()))).plan();
    assert_eq!(plan.rescale, None);
    let fault = format!("failed to get cpu utilization: unable to get metrics for resource cpu: {error}");
    let message = format!("the HPA was unable to compute the replica count: {fault}");
    assert_eq!(condition(&plan, "ScalingActive"), ("False", "FailedGetResourceMetric", message.as_str()));
    let told: Vec<_> = plan.events.iter().map(|event| (event.reason.as_str(), event.message.as_str())).collect();
    let sum = format!(
        "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: {fault}"
    );
    assert_eq!(told, [("FailedGetResourceMetric", fault.as_str()), ("FailedComputeMetricsReplicas", sum.as_str())]);
}

#[test]
fn a_metric_that_is_missing_keeps_what_there_is() {
    let memory = json!([{"type": "Resource", "resource": {"name": "memory",
        "target": {"type": "AverageValue", "averageValue": "1k"}}}]);
    let metrics: Vec<Value> = [cpu(50), memory].into_iter().flat_map(|one| one.as_array().unwrap().clone()).collect();
    for (levels, expected) in [([10, 10], None), ([900, 900], Some(4))] {
        let mut case = Case::new(json!({"metrics": metrics}), 2, Reading::Pods(Ok(measured(&levels))));
        case.readings.push(Reading::Pods(Err("none".to_owned())));
        assert_eq!(case.plan().rescale.map(|rescale| rescale.replicas), expected);
    }
}

#[test]
fn requests_must_be_told() {
    let mut case = Case::new(json!({"metrics": cpu(30)}), 1, Reading::Pods(Ok(measured(&[300]))));
    Arc::make_mut(&mut case.pods[0]).spec.as_mut().unwrap().containers[0].resources = None;
    let plan = case.plan();
    let message = "the HPA was unable to compute the replica count: failed to get cpu utilization: \
                   missing request for cpu in container c of Pod p0";
    assert_eq!(condition(&plan, "ScalingActive"), ("False", "FailedGetResourceMetric", message));
}

#[test]
fn replicas_go_after_five_minutes() {
    let mut case = Case::new(json!({"metrics": cpu(100)}), 10, Reading::Pods(Ok(measured(&[1000; 10]))));
    case.memory = case.plan().memory;
    case.readings = vec![Reading::Pods(Ok(measured(&[500; 10])))];
    case.now = at(299);
    let plan = case.plan();
    assert_eq!(plan.rescale, None);
    assert_eq!(condition(&plan, "AbleToScale").1, "ScaleDownStabilized");
    case.memory = plan.memory;
    case.now = at(301);
    let plan = case.plan();
    let rescale = plan.rescale.unwrap();
    assert_eq!((rescale.replicas, rescale.reason.as_str()), (5, "All metrics below target"));
}

/// Behaviour, replicas, what the metric asks for, earlier changes (seconds ago, replicas); the result and its reason.
#[test]
fn rules_of_change() {
    let up = |policies: Value, select: &str| json!({"scaleUp": {"policies": policies, "selectPolicy": select, "stabilizationWindowSeconds": 0}});
    let down = |policies: Value, select: &str| json!({"scaleDown": {"policies": policies, "selectPolicy": select, "stabilizationWindowSeconds": 0}});
    let pods = |value: i32| json!({"type": "Pods", "value": value, "periodSeconds": 60});
    let percent = |value: i32| json!({"type": "Percent", "value": value, "periodSeconds": 60});
    for (behavior, replicas, wanted, ups, downs, expected) in [
        (up(json!([pods(2)]), "Max"), 5, 20, vec![], vec![], (7, "ScaleUpLimit")),
        (up(json!([pods(2)]), "Max"), 5, 20, vec![(30, 1)], vec![], (6, "ScaleUpLimit")),
        (up(json!([pods(2)]), "Max"), 5, 20, vec![(90, 1)], vec![], (7, "ScaleUpLimit")),
        (up(json!([pods(2)]), "Max"), 5, 20, vec![(30, 9)], vec![], (5, "ScaleUpLimit")),
        (up(json!([pods(2), percent(100)]), "Max"), 5, 20, vec![], vec![], (10, "ScaleUpLimit")),
        (up(json!([pods(2), percent(100)]), "Min"), 5, 20, vec![], vec![], (7, "ScaleUpLimit")),
        (up(json!([pods(2)]), "Disabled"), 5, 20, vec![], vec![], (5, "ScaleUpLimit")),
        (up(json!([pods(2)]), "Max"), 5, 6, vec![], vec![], (6, "DesiredWithinRange")),
        (up(json!([pods(200)]), "Max"), 90, 120, vec![], vec![], (100, "TooManyReplicas")),
        (down(json!([pods(2)]), "Max"), 10, 1, vec![], vec![], (8, "ScaleDownLimit")),
        (down(json!([pods(2)]), "Max"), 10, 1, vec![], vec![(30, 1)], (9, "ScaleDownLimit")),
        (down(json!([pods(2), percent(50)]), "Max"), 10, 1, vec![], vec![], (5, "ScaleDownLimit")),
        (down(json!([pods(2), percent(50)]), "Min"), 10, 1, vec![], vec![], (8, "ScaleDownLimit")),
        (down(json!([pods(2)]), "Disabled"), 10, 1, vec![], vec![], (10, "ScaleDownLimit")),
        (down(json!([percent(100)]), "Max"), 10, 0, vec![], vec![], (1, "TooFewReplicas")),
    ] {
        let autoscaler = autoscaler(json!({"behavior": behavior}));
        let steps = |steps: Vec<(i64, i32)>| steps.into_iter().map(|(ago, replicas)| Step { at: at(-ago), replicas });
        let memory = Memory { recommendations: Vec::new(), ups: steps(ups).collect(), downs: steps(downs).collect() };
        let settings = Settings::default();
        let bounds = Bounds {
            min: 1,
            max: 100,
            current: replicas,
            behavior: autoscaler.spec.behavior.as_ref(),
            settings: &settings,
            now: now(),
        };
        let limited = bounds.limit(wanted, &memory);
        assert_eq!((limited.replicas, limited.reason), expected, "{behavior} {replicas} {wanted}");
    }
}

#[test]
fn a_window_upwards_takes_the_lowest() {
    let rules = json!({"stabilizationWindowSeconds": 60, "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 1000, "periodSeconds": 15}]});
    let spec = json!({"metrics": cpu(100), "behavior": {"scaleUp": rules}});
    let mut case = Case::new(spec, 2, Reading::Pods(Ok(measured(&[1000, 1000]))));
    case.memory = case.plan().memory;
    case.readings = vec![Reading::Pods(Ok(measured(&[3000, 3000])))];
    case.now = at(30);
    let plan = case.plan();
    assert_eq!((plan.rescale.clone(), condition(&plan, "AbleToScale").1), (None, "ScaleUpStabilized"));
    case.memory = plan.memory;
    case.now = at(61);
    assert_eq!(case.plan().rescale.unwrap().replicas, 6);
}

#[test]
fn tolerance_is_told_by_direction() {
    let spec = |tolerance: &str| {
        json!({"metrics": cpu(100), "behavior": {"scaleUp": {"tolerance": tolerance, "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}}})
    };
    for (tolerance, expected) in [("0", Some(11)), ("0.05", None), ("0.2", None)] {
        let case = Case::new(spec(tolerance), 10, Reading::Pods(Ok(measured(&[1040; 10]))));
        assert_eq!(case.plan().rescale.map(|rescale| rescale.replicas), expected, "{tolerance}");
    }
}

#[test]
fn a_target_that_refuses() {
    let case = Case::new(json!({"metrics": cpu(30)}), 3, Reading::Pods(Ok(measured(&[300, 500, 700]))));
    let plan = case.with(|observed| plan(observed).refused(observed, "no"));
    let message = "the HPA controller was unable to update the target scale: no";
    assert_eq!(condition(&plan, "AbleToScale"), ("False", "FailedUpdateScale", message));
    assert_eq!(plan.events[0].reason, "FailedRescale");
    assert!(plan.memory.ups.is_empty());
}

proptest! {
    /// Whatever is measured: the number stays within its bounds, moves where the metric points, and a second look at the
    /// same things changes nothing that the first did not.
    #[test]
    fn within_bounds(
        replicas in 0..60_i32, least in 1..20_i32, more in 0..40_i32, target in 1..200_i32,
        levels in prop::collection::vec(0..i64::MAX / 1000, 0..60), unready in prop::collection::vec(any::<bool>(), 60),
        ruled in any::<bool>(),
    ) {
        let most = least + more;
        let mut spec = json!({"metrics": cpu(target), "minReplicas": least, "maxReplicas": most});
        if ruled {
            spec["behavior"] = json!({"scaleUp": {"policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}]},
                "scaleDown": {"policies": [{"type": "Pods", "value": 3, "periodSeconds": 60}]}});
        }
        let mut case = Case::new(spec, replicas, Reading::Pods(Ok(measured(&levels))));
        case.pods = (0..usize::try_from(replicas).unwrap()).map(|index| pod(index, !unready[index])).collect();
        let plan = case.plan();
        if replicas == 0 {
            prop_assert_eq!(plan.rescale, None);
        } else if let Some(rescale) = &plan.rescale {
            prop_assert!((least..=most).contains(&rescale.replicas), "{rescale:?}");
            if (least..=most).contains(&replicas) {
                let up = rescale.reason.ends_with("above target");
                prop_assert_eq!(up, rescale.replicas > replicas);
            }
        }
    }
}
